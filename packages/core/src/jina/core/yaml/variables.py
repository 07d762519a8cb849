"""Variables in YAML values.

``${{ ENV.NAME }}`` is an environment variable, ``${{ CONTEXT.name }}`` or ``${{ name }}`` an item of the context that
``load_config`` got, ``${{root.a.b[0]}}`` another value of the same document, and ``${{this.name}}`` a value beside the
one that names it. ``$NAME`` and ``${NAME}`` are the deprecated form for environment variables; they stay as they are if
there is no such variable. Keys are never touched.

A value that is one variable and nothing else takes the variable's value with its type; the text of an environment
variable is read as a number, a truth value, a JSON list or object only if that reading loses nothing (``12`` is a
number, ``007`` a text).
"""

from __future__ import annotations

import difflib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jina.core.errors import ConfigError

_VARIABLE = re.compile(
    r'\$\{\{(?P<expression>(?:(?!\}\}).)*)\}\}|\$\{(?P<braced>[^\W\d]\w*)\}|\$(?P<bare>[^\W\d]\w*)|(?P<open>\$\{\{)',
    re.DOTALL,
)
_ENVIRONMENT = re.compile(r'env\.(\w+)', re.IGNORECASE)
_CONTEXT = re.compile(r'(?:context\.)?([^\W\d][\w-]*(?:\.[\w-]+|\[\d+\])*)', re.IGNORECASE)
_REFERENCE = re.compile(r'(root|this)((?:\.[^.\[\]\s]+|\[\d+\])+)')
_STEP = re.compile(r'\.?([^.\[\]\s]+)|\[(\d+)\]')
_INTEGER = re.compile(r'-?(?:0|[1-9]\d{0,17})')

Path = tuple[str | int, ...]


def substitute(data: Mapping[str, Any], context: Mapping[str, Any] | None, where: Callable[[Path], str]) -> Any:
    """Replaces the variables in all values of a document.

    Args:
        data: The document; it isn't changed.
        context: Values for ``${{ CONTEXT.x }}`` and ``${{ x }}``.
        where: Gives the place of a path, for messages.

    Returns:
        A new document.

    Raises:
        ConfigError: A variable is unknown or malformed, or variables refer to each other in a circle.
    """
    return _Substitution(data, context or {}, where).run()


def typed(text: str) -> object:
    """Reads a text as a YAML scalar or as JSON if that loses nothing, else returns it.

    Args:
        text: Value of an environment variable.
    """
    if text == '':
        return None
    if text.lower() in ('true', 'false'):
        return text.lower() == 'true'
    if _INTEGER.fullmatch(text) and text != '-0':
        return int(text)
    if text[0] in '[{':
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    try:
        number = float(text)
    except ValueError:
        return text
    return number if repr(number) == text and number - number == 0 else text


class _Substitution:
    def __init__(self, data: Mapping[str, Any], context: Mapping[str, Any], where: Callable[[Path], str]) -> None:
        self._data = data
        self._context = context
        self._where = where
        self._active: list[Path] = []

    def run(self) -> Any:
        return self._value(self._data, ())

    def _value(self, node: object, path: Path) -> Any:
        if isinstance(node, str):
            return self._text(node, path) if '$' in node else node
        if isinstance(node, Mapping):
            return {key: self._value(value, (*path, key)) for key, value in node.items()}
        if isinstance(node, (list, tuple)):
            return [self._value(value, (*path, index)) for index, value in enumerate(node)]
        return node

    def _text(self, text: str, path: Path) -> Any:
        whole = _VARIABLE.fullmatch(text.strip())
        if whole:
            return self._variable(whole, path)
        return _VARIABLE.sub(lambda match: _as_text(self._variable(match, path)), text)

    def _variable(self, match: re.Match[str], path: Path) -> Any:
        if match['open']:
            raise ConfigError(f'{self._where(path)}: ${{{{ is not closed', hint='write ${{ ENV.NAME }}')
        name = match['braced'] or match['bare']
        if name is None:
            return self._expression(match['expression'].strip(), path)
        if name not in os.environ:
            return match.group()
        warnings.warn(
            f'{self._where(path)}: {match.group()} is a deprecated form, write ${{{{ ENV.{name} }}}}',
            DeprecationWarning,
            stacklevel=2,
        )
        return typed(os.environ[name])

    def _expression(self, text: str, path: Path) -> Any:
        if environment := _ENVIRONMENT.fullmatch(text):
            return self._environment(environment[1], path)
        if reference := _REFERENCE.fullmatch(text):
            return self._reference(reference[1], reference[2], path)
        if context := _CONTEXT.fullmatch(text):
            return self._from_context(context[1], path)
        raise ConfigError(
            f'{self._where(path)}: ${{{{ {text} }}}} is no variable',
            hint='write ${{ ENV.NAME }}, ${{ CONTEXT.name }}, ${{root.path.to.value}} or ${{this.name}}',
        )

    def _environment(self, name: str, path: Path) -> Any:
        if name not in os.environ:
            raise self._unknown(f'environment variable {name!r} is not set', name, os.environ, path)
        return typed(os.environ[name])

    def _from_context(self, text: str, path: Path) -> Any:
        value: Any = self._context
        for step in _steps(text):
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                known = value if isinstance(value, Mapping) else ()
                hint = f'; for the environment variable write ${{{{ ENV.{text} }}}}' if text in os.environ else ''
                raise self._unknown(f'the context has no {text!r}{hint}', str(step), known, path) from None
        return value

    def _reference(self, start: str, steps: str, path: Path) -> Any:
        target = () if start == 'root' else self._enclosing(path)
        node: Any = self._at(target)
        for step in _steps(steps):
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                known = node if isinstance(node, Mapping) else ()
                raise self._unknown(f'the document has no {start}{steps}', str(step), known, path) from None
            target = (*target, step)
        if target in self._active or target == path:
            circle = ' → '.join(_dotted(place) for place in (*self._active, target))
            raise ConfigError(f'{self._where(path)}: variables refer to each other in a circle: {circle}')
        self._active.append(target)
        try:
            return self._value(node, target)
        finally:
            self._active.pop()

    def _enclosing(self, path: Path) -> Path:
        for length in range(len(path) - 1, 0, -1):
            if isinstance(self._at(path[:length]), Mapping):
                return path[:length]
        return ()

    def _at(self, path: Path) -> Any:
        node: Any = self._data
        for step in path:
            node = node[step]
        return node

    def _unknown(self, problem: str, name: str, known: Iterable[Any], path: Path) -> ConfigError:
        close = difflib.get_close_matches(name, [str(key) for key in known], 1)
        return ConfigError(f'{self._where(path)}: {problem}' + (f'; did you mean {close[0]!r}?' if close else ''))


def _steps(text: str) -> Sequence[str | int]:
    return [int(match[2]) if match[2] else match[1] for match in _STEP.finditer(text)]


def _dotted(path: Path) -> str:
    return ''.join(f'[{step}]' if isinstance(step, int) else f'.{step}' for step in path).lstrip('.')


def _as_text(value: object) -> str:
    return '' if value is None else str(value)
