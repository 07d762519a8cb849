"""Checked making of options, with messages that name the place and the nearest valid option."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jina.core.config.base import Options, option_info
from jina.core.errors import ConfigError

OptionsT = TypeVar('OptionsT', bound=Options)

_EXPECTED = {
    'int_type': 'a whole number',
    'int_parsing': 'a whole number',
    'int_from_float': 'a whole number',
    'bool_type': 'true or false',
    'bool_parsing': 'true or false',
    'string_type': 'text',
    'list_type': 'a list',
    'dict_type': 'a mapping',
    'greater_than_equal': '{ge} or more',
    'less_than_equal': '{le} or less',
    'literal_error': 'one of {expected}',
}
_LONGEST_VALUE = 80


def build(
    model: type[OptionsT],
    values: Mapping[str, Any],
    *,
    where: str = '',
    spell: Callable[[str], str] = str,
    locate: Callable[[str], str] | None = None,
) -> OptionsT:
    """Make options from values that a person wrote.

    Args:
        model: Which options.
        values: Names and values, from Python, YAML or the command line.
        where: Place of the values, put before the name of an option in messages: ``'Deployment'`` or
            ``'flow.yml: executors[1]'``. A place that ends with a colon is followed by a space instead of a dot.
        spell: How the source spells the name of an option, for example as a flag.
        locate: Gives the whole place of an option, for example ``flow.yml:3: with.port``; by default ``where`` and its name.

    Raises:
        ConfigError: An option doesn't exist, a value is wrong, or an option is not available in this version.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise _config_error(error, model, _Origin(where, spell, locate)) from None


@dataclass(frozen=True)
class _Origin:
    """Where values come from, for messages."""

    where: str
    spell: Callable[[str], str]
    locate: Callable[[str], str] | None

    def place(self, name: str) -> str:
        return self.locate(name) if self.locate else _place(self.where, self.spell(name))


def unknown_option(
    name: str, known: Iterable[str], *, where: str = '', command: str = '', place: str = ''
) -> ConfigError:
    """The error for an option that doesn't exist.

    Args:
        name: What was written.
        known: Names that exist.
        where: Place, as for :func:`build`.
        command: Command whose help lists the options; named when no existing name is near.
        place: Place with the option's name, instead of ``where``.
    """
    return ConfigError(f'{place or _place(where, name)}: no such option', hint=_suggestion(name, known, command))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like ``name``, if any does."""
    matches = difflib.get_close_matches(name, sorted(known), n=1)
    return matches[0] if matches else None


def _suggestion(name: str, known: Iterable[str], command: str) -> str:
    match = nearest(name, known)
    if match is not None:
        return f'did you mean {match!r}?'
    return f'`jina {command} --help` lists the options' if command else ''


def _config_error(error: ValidationError, model: type[Options], origin: _Origin) -> ConfigError:
    seen: set[object] = set()
    problems: list[ConfigError] = []
    for detail in error.errors(include_url=False):
        key = detail['loc'][:1] or detail['msg']
        if key not in seen:
            seen.add(key)
            problems.append(_problem(detail, model, origin))
    if len(problems) == 1:
        return problems[0]
    return ConfigError('\n'.join(str(problem) for problem in problems))


def _problem(detail: ErrorDetails, model: type[Options], origin: _Origin) -> ConfigError:
    kind, location = detail['type'], detail['loc']
    where, spell = origin.where, origin.spell
    prefix = '' if where in ('', model.owner) else f'{where.removesuffix(":")}: '
    if kind == 'unavailable':
        return ConfigError(f'{prefix}{detail["msg"]}', hint='remove it')
    if not location:
        return ConfigError(f'{prefix or model.owner + ": "}{detail["msg"].removeprefix("Value error, ")}')
    name = str(location[0])
    if kind == 'extra_forbidden':
        known = {spell(option) for option in (*model.model_fields, *model.aliases())}
        return unknown_option(spell(name), known, command=model.command, place=origin.place(name))
    place = origin.place(name)
    if kind == 'missing':
        return ConfigError(f'{place} is missing', hint='give it')
    if kind == 'value_error':
        return ConfigError(f'{place}: {detail["msg"].removeprefix("Value error, ")}')
    field = model.model_fields.get(name)
    if field is not None and option_info(field).secret:
        return ConfigError(f'{place} is not valid: {detail["msg"]}')
    text = repr(detail['input'])
    if len(text) > _LONGEST_VALUE:
        text = f'{text[:_LONGEST_VALUE]}…'
    expected = _EXPECTED.get(kind)
    if expected is None:
        return ConfigError(f'{place}: {text} is not valid: {detail["msg"]}')
    return ConfigError(f'{place}: {text} is not valid', hint=f'give {expected.format(**detail.get("ctx", {}))}')


def _place(where: str, name: str) -> str:
    if not where:
        return name
    return f'{where} {name}' if where.endswith(':') else f'{where}.{name}'
