"""Writing of YAML documents: the plain data that stands for a value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from enum import Enum
from typing import Any

from jina.core.errors import ConfigError


def dump_yaml(data: Mapping[str, Any]) -> str:
    """Writes a document.

    Keys keep their order. Tuples and sets become lists, enumerations their names, paths texts, and classes their
    import paths (classes of the running script just their names).

    Args:
        data: The document.

    Returns:
        YAML text; `jina.core.yaml.load_yaml` gives the same data for it.

    Raises:
        ConfigError: A value has no YAML form or contains itself.
    """
    from jina.core.yaml.emission import emit  # noqa: PLC0415 - PyYAML is needed only where a document is written

    plain = _plain(data, '', ())
    return emit(plain)


def _plain(value: Any, place: str, parents: tuple[int, ...]) -> Any:
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, (bool, bytes, date)):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)  # subclasses have no representer
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, type):
        return value.__qualname__ if value.__module__ == '__main__' else f'{value.__module__}.{value.__qualname__}'
    if id(value) in parents:
        raise ConfigError(f'{place or "the document"} contains itself', hint='YAML has no form for that')
    inside = (*parents, id(value))
    if isinstance(value, Mapping):
        return {
            _plain(key, place, inside): _plain(item, f'{place}.{key}'.lstrip('.'), inside)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(item, f'{place}[{index}]', inside) for index, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item, place, inside) for item in value)
    raise ConfigError(
        f'{place or "the document"} is {type(value).__name__} {value!r}, which has no YAML form',
        hint='use texts, numbers, lists and dicts',
    )
