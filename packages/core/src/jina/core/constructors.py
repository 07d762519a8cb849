"""What the constructors of users' classes take, with errors that say what to change, before Python's own."""

from __future__ import annotations

import difflib
import dis
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jina.core.errors import ConfigError

__all__ = ['check_constructor', 'constructor_arguments', 'reads_rest', 'unknown_argument']


def check_constructor(
    kind: type,
    arguments: Mapping[str, Any],
    injected: Mapping[str, Any],
    unknown: Callable[[str], ConfigError],
    section: str = '',
) -> None:
    """Checks that a class can be made with some arguments.

    Args:
        kind: The class.
        arguments: What its configuration gives.
        injected: What the framework gives in addition.
        unknown: Makes the error about an argument that the constructor doesn't take.
        section: Where the arguments stand, for messages: ``config.yml:4: with``.

    Raises:
        ConfigError: The constructor doesn't take what the framework gives, or needs or refuses an argument.
    """
    name = f'{kind.__name__}.__init__'
    signature = inspect.signature(kind.__init__)  # type: ignore[misc]
    parameters = list(signature.parameters.values())[1:]
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    names = {parameter.name for parameter in parameters}
    if not takes_all and not set(injected) <= names:
        raise ConfigError(
            f'{name}{signature} takes no **kwargs',
            hint='add **kwargs to its parameters and call super().__init__(**kwargs)',
        )
    for argument in () if takes_all else arguments:
        if argument not in names:
            raise unknown(argument)
    for parameter in parameters:
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if not variadic and parameter.default is parameter.empty and parameter.name not in (*arguments, *injected):
            near = difflib.get_close_matches(parameter.name, arguments.keys() - names, 1)
            raise ConfigError(
                f'{section}{": " if section else ""}{name} needs the argument {parameter.name!r}',
                hint=f'{near[0]!r} may be meant for it'
                if near
                else f"give it: uses_with={{'{parameter.name}': ...}}, or 'with' in YAML",
            )


def unknown_argument(kind: type, base: type, argument: str, *, place: str, reserved: tuple[str, ...]) -> ConfigError:
    """Returns the error about an argument that no constructor of a class takes.

    Args:
        kind: The class.
        base: The class of the framework that it is derived from.
        argument: Name of the argument.
        place: Where it was given.
        reserved: Arguments that only the framework gives.
    """
    known = [name for name in constructor_arguments(kind, base) if name not in reserved]
    near = difflib.get_close_matches(argument, known, 1)
    return ConfigError(
        f'{place}: {kind.__name__}.__init__ takes no argument {argument!r}',
        hint=f'did you mean {near[0]!r}?' if near else f'it takes {", ".join(known) or "none"}',
    )


def reads_rest(kind: type, base: type) -> bool:
    """Tells whether a constructor does more with its ``**kwargs`` than to hand them on to that of its base.

    Then an argument that nobody names may be meant: ``self.size = kwargs.get('size')``.

    Args:
        kind: The class.
        base: The class of the framework that it is derived from.
    """
    for init in _constructors(kind, base):
        rest = next((p.name for p in inspect.signature(init).parameters.values() if p.kind is p.VAR_KEYWORD), None)
        code = getattr(inspect.unwrap(init), '__code__', None)
        if rest is not None and (code is None or _loads(code, rest) > 1):
            return True
    return False


def _loads(code: Any, variable: str) -> int:
    """Counts how often a function reads a variable; an instruction of Python 3.13 may read two."""
    return sum(
        instruction.opname.startswith('LOAD')
        and (
            variable in instruction.argval if isinstance(instruction.argval, tuple) else instruction.argval == variable
        )
        for instruction in dis.get_instructions(code)
    )


def _constructors(kind: type, base: type) -> Iterator[Callable[..., Any]]:
    """Yields the constructors that users wrote."""
    for cls in kind.__mro__:
        if cls is base:
            return
        if '__init__' in vars(cls):
            yield vars(cls)['__init__']


def constructor_arguments(kind: type, base: type) -> list[str]:
    """Returns the names of the arguments that the constructors of a class take.

    Args:
        kind: The class.
        base: The class of the framework that it is derived from.
    """
    found: dict[str, None] = {}
    for init in (*_constructors(kind, base), base.__init__):  # type: ignore[misc]
        parameters = list(inspect.signature(init).parameters.values())[1:]
        found.update((p.name, None) for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
    return list(found)
