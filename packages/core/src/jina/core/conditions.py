"""The query language of ``when``: which documents reach an Executor.

It is MongoDB's, as far as docarray documents it: ``{field: {operator: value}}``, where ``__`` in the name of a field leads
into nested documents, dicts and lists. Queries are checked and compiled when a Flow is built; a compiled one asks for
values by the path of a field, so that it needn't know what a document is. What can't be compared doesn't match.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from jina.core.errors import ConfigError

__all__ = ['MISSING', 'Condition', 'Fields', 'Path']


class _Missing:
    """Equal to nothing."""

    def __repr__(self) -> str:
        return 'MISSING'


MISSING: Final = _Missing()
"""The value of a field that isn't there."""

Path = tuple[str, ...]
"""The parts of a field's name: ``tags__key`` is ``('tags', 'key')``."""


class Fields(Protocol):
    """The values of a document."""

    def value(self, path: Path) -> Any:
        """Returns the value of a field, or ``MISSING``."""

    def holds(self, path: Path) -> bool:
        """Whether there is data: a key of a dict that is there, a field of a document that is neither None nor empty."""


_Test = Callable[[Fields], bool]

_PLACEHOLDER: Final = re.compile(r'\{\s*(\w+)\s*\}')
_ADVICE: Final = 'write {field: {operator: value}}, for example {"tags__key": {"$eq": 5}}'


class Condition:
    """A compiled query.

    Args:
        query: The query, for example ``{'tags__key': {'$eq': 5}}``. An empty one lets every document pass.

    Attributes:
        query: The query.
        fields: Names of the fields of a document that it reads, without what is nested in them.

    Raises:
        ConfigError: The query makes no sense; the message has the part that is wrong.
    """

    def __init__(self, query: Mapping[str, Any]) -> None:
        self.query = query
        self._paths: list[Path] = []
        self._test = self._all(query)
        self.fields: tuple[str, ...] = tuple(dict.fromkeys(path[0] for path in self._paths))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self.query == other.query

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f'Condition({self.query!r})'

    def matches(self, document: Fields) -> bool:
        """Whether a document passes."""
        return self._test(document)

    def _all(self, query: object) -> _Test:
        tests = self._tests(query)
        return tests[0] if len(tests) == 1 else lambda document: all(test(document) for test in tests)

    def _tests(self, query: object) -> list[_Test]:
        if not isinstance(query, Mapping):
            raise ConfigError(f'{query!r} is no condition', hint=_ADVICE)
        return [self._entry(str(key), value) for key, value in query.items()]

    def _entry(self, key: str, value: Any) -> _Test:
        if key in ('$and', '$or'):
            return self._group(key, value)
        if key == '$not':
            return _negated(self._all(value))
        if key.startswith('$'):
            if key in _OPERATORS:
                raise ConfigError(f'{key} stands where the name of a field is expected', hint=_ADVICE)
            raise _unknown(key, ('$and', '$or', '$not'))
        return self._field(key, value)

    def _group(self, key: str, value: Any) -> _Test:
        if isinstance(value, Mapping):
            tests = self._tests(value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            tests = [self._all(part) for part in value]
        else:
            raise ConfigError(f'{key} is {value!r}', hint='give it a list of conditions')
        if not tests:
            raise ConfigError(f'{key} has no conditions', hint='give it a list of conditions')
        combine = all if key == '$and' else any
        return lambda document: combine(test(document) for test in tests)

    def _field(self, name: str, value: Any) -> _Test:
        path = self._path(name)
        if not isinstance(value, Mapping):
            return self._operation(name, path, '$eq', value)
        if not value:
            raise ConfigError(f'{name} has no operator', hint=_ADVICE)
        tests = [self._operation(name, path, str(key), operand) for key, operand in value.items()]
        return tests[0] if len(tests) == 1 else lambda document: all(test(document) for test in tests)

    def _operation(self, name: str, path: Path, key: str, operand: Any) -> _Test:
        if key == '$not':
            return _negated(self._field(name, operand))
        if key not in _OPERATORS:
            raise _unknown(key, _OPERATORS, of=name)
        compare = _OPERATORS[key]
        placeholder = _PLACEHOLDER.fullmatch(operand) if isinstance(operand, str) else None
        if placeholder is not None and key in _COMPARISONS:
            other = self._path(placeholder[1])
            return lambda document: compare(document.value(path), document.value(other))
        operand = _checked(name, key, operand)
        if key == '$exists':
            return lambda document: document.holds(path) is operand
        return lambda document: compare(document.value(path), operand)

    def _path(self, name: str) -> Path:
        path = tuple(name.split('__'))
        if not all(path):
            raise ConfigError(f'{name!r} is no name of a field', hint=_ADVICE)
        self._paths.append(path)
        return path


def _negated(test: _Test) -> _Test:
    return lambda document: not test(document)


def _unknown(key: str, known: Sequence[str] | Mapping[str, object], *, of: str = '') -> ConfigError:
    names = [name for name in known if name != '$neq']
    close = difflib.get_close_matches(key, names, 1)
    hint = f'did you mean {close[0]}?' if close else f'there are {", ".join(names)}'
    if of and not key.startswith('$'):
        return ConfigError(f'{of} has {key!r} instead of an operator', hint=f'{of}__{key} is the field in {of}')
    return ConfigError(f'{of}: {key} is no operator' if of else f'{key} is no operator', hint=hint)


def _checked(name: str, key: str, operand: Any) -> Any:
    """Returns what an operator compares with, made ready."""
    if key == '$exists':
        if not isinstance(operand, bool):
            raise ConfigError(f'{name}: $exists is {operand!r}', hint='give true or false')
    elif key == '$size':
        if isinstance(operand, bool) or not isinstance(operand, (int, float)) or operand != int(operand):
            raise ConfigError(f'{name}: $size is {operand!r}', hint='give a whole number')
    elif key in ('$in', '$nin'):
        if isinstance(operand, (str, bytes)) or not isinstance(operand, (Sequence, set, frozenset)):
            raise ConfigError(f'{name}: {key} is {operand!r}', hint='give a list of values')
        return list(operand)
    elif key == '$regex':
        try:
            return re.compile(operand)
        except (re.error, TypeError) as error:
            raise ConfigError(f'{name}: $regex is {operand!r}: {error}', hint='give a regular expression') from None
    return operand


def _equal(value: Any, operand: Any) -> bool:
    if value is MISSING:
        return operand is None
    try:
        return bool(value == operand)
    except (ValueError, TypeError, RuntimeError):  # a tensor is neither true nor false
        return False


def _among(value: Any, operands: list[Any]) -> bool:
    return any(_equal(value, operand) for operand in operands)


def _ordered(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    def test(value: Any, operand: Any) -> bool:
        try:
            return bool(compare(value, operand))
        except (TypeError, ValueError, RuntimeError):  # None, or another type: it isn't in that order
            return False

    return test


def _matches(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.search(value) is not None


def _has_size(value: Any, size: int) -> bool:
    return hasattr(value, '__len__') and len(value) == size


_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    '$eq': _equal,
    '$ne': lambda value, operand: not _equal(value, operand),
    '$neq': lambda value, operand: not _equal(value, operand),
    '$lt': _ordered(operator.lt),
    '$lte': _ordered(operator.le),
    '$gt': _ordered(operator.gt),
    '$gte': _ordered(operator.ge),
}
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    **_COMPARISONS,
    '$in': _among,
    '$nin': lambda value, operands: not _among(value, operands),
    '$regex': _matches,
    '$size': _has_size,
    '$exists': lambda value, wanted: (value is not MISSING) is wanted,
}
