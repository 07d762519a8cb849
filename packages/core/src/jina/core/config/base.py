"""The base of all option models: aliases, absent values, and options whose behaviour isn't there yet."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class OptionInfo:
    """What an option says about itself beyond type, default and description."""

    planned: str = ''
    """Theme that this option comes with; until then any value but the default is refused."""
    unsupported: str = ''
    """Why any value but the default is refused for good."""
    aliases: tuple[str, ...] = ()
    """Other names, all accepted in Python, YAML and on the command line."""
    hidden: bool = False
    """Left out of the command's help unless ``JINA_FULL_CLI`` is set."""
    positional: bool = False
    """A positional argument of the command instead of a flag."""
    cli: bool = True
    """Whether the command line offers it."""
    secret: bool = False
    """No message shows its value."""
    compact: bool = False
    """A list that is written as its only element when it has one."""


def option(default: Any = ..., *, info: OptionInfo | None = None, **settings: Any) -> Any:
    """Declare an option.

    Args:
        default: Default value; a callable makes a fresh one for each model. Left out: the option is required.
        info: All facts about the option, when they are shared by several options.
        settings: Fields of :class:`OptionInfo`; the rest goes to :func:`pydantic.Field`.
    """
    facts = {name: settings.pop(name) for name in tuple(settings) if name in OptionInfo.__dataclass_fields__}
    extra = {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}
    if info is not None:
        extra = {**vars(info), **extra}
    if callable(default):
        return Field(default_factory=default, json_schema_extra=extra, **settings)
    return Field(default=default, json_schema_extra=extra, **settings)


def description_of(model: type[BaseModel], name: str) -> str:
    """The description of an option: the docstring below its declaration.

    It is read from the source when it is asked for. Pydantic's ``use_attribute_docstrings`` would parse the source of every
    model at every import.
    """
    owner = next(base for base in model.__mro__ if name in inspect.get_annotations(base))
    return _descriptions(owner).get(name, '')


@cache
def _descriptions(owner: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    statements = body.body if isinstance(body, ast.ClassDef) else []
    return {
        declared.target.id: inspect.cleandoc(below.value.value)
        for declared, below in itertools.pairwise(statements)
        if isinstance(declared, ast.AnnAssign)
        and isinstance(declared.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


def option_info(field: FieldInfo) -> OptionInfo:
    """The facts that :func:`option` stored in a field."""
    extra = field.json_schema_extra
    if not isinstance(extra, Mapping):
        return OptionInfo()
    known: dict[str, Any] = {name: extra[name] for name in OptionInfo.__dataclass_fields__ if name in extra}
    known['aliases'] = tuple(known.get('aliases', ()))
    return OptionInfo(**known)


class Options(BaseModel):
    """A set of options: immutable, and strict about names.

    Values may come from Python, YAML or the command line; ``None`` for an option that can't be ``None`` means "not given".
    """

    model_config = ConfigDict(
        frozen=True,
        extra='forbid',
        coerce_numbers_to_str=True,
        arbitrary_types_allowed=True,
        defer_build=True,
    )

    owner: ClassVar[str] = 'Options'
    """Who these options belong to, as messages name it."""
    command: ClassVar[str] = ''
    """Command whose help lists these options."""

    @model_validator(mode='before')
    @classmethod
    def _normalise(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        aliases, nullable = _names(cls)
        result: dict[str, Any] = {}
        written: dict[str, str] = {}
        for key, value in values.items():
            name = aliases.get(str(key), str(key))
            if value is None and name in cls.model_fields and name not in nullable:
                continue
            if name in result:
                context = {'first': written[name], 'second': key}
                raise PydanticCustomError('twice', '{first} and {second} are the same option; give only one', context)
            result[name] = value
            written[name] = str(key)
        return result

    @model_validator(mode='after')
    def _refuse_unavailable(self) -> Self:
        for name, reason in _restricted(type(self)):
            if getattr(self, name) != default_of(type(self), name):
                raise unavailable(f'option {name!r}', self.owner, reason)
        return self

    @classmethod
    def aliases(cls) -> dict[str, str]:
        """Every alias of these options with the name that it stands for."""
        return dict(_names(cls)[0])


def unavailable(what: str, owner: str, reason: str) -> PydanticCustomError:
    """The error for something that this version refuses; ``build`` turns it into a ``ConfigError``."""
    context = {'what': what, 'owner': owner, 'reason': reason}
    return PydanticCustomError('unavailable', '{what} of {owner} is not available in this version ({reason})', context)


def default_of(model: type[BaseModel], name: str) -> Any:
    """The default value of an option; ``...`` if it has none."""
    field = model.model_fields[name]
    return ... if field.is_required() else field.get_default(call_default_factory=True, validated_data={})


@cache
def _names(model: type[Options]) -> tuple[dict[str, str], frozenset[str]]:
    aliases: dict[str, str] = {}
    nullable: set[str] = set()
    for name, field in model.model_fields.items():
        aliases.update(dict.fromkeys(option_info(field).aliases, name))
        if field.annotation is Any or type(None) in get_args(field.annotation):
            nullable.add(name)
    return aliases, frozenset(nullable)


@cache
def _restricted(model: type[Options]) -> tuple[tuple[str, str], ...]:
    return tuple(_restrictions(model))


def _restrictions(model: type[Options]) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        info = option_info(field)
        if info.planned:
            yield name, f'it comes with {info.planned}'
        elif info.unsupported:
            yield name, info.unsupported
