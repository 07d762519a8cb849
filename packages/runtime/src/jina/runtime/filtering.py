"""Chooses documents by a condition: their messages are looked into, the documents are never made.

So a filter works for any document, whether or not the gateway knows its schema, and costs no more than the fields that it
reads. docarray is needed for its messages only, and only where there is a filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from jina.core.codec import content_of_doc_bytes, iter_doc_bytes
from jina.core.conditions import MISSING, Condition, Path
from jina.core.schema import RemoteEndpoint, field_defaults

__all__ = ['defaults_of', 'filter_content']

_NOTHING: Final[Mapping[str, Any]] = {}


def filter_content(content: bytes, condition: Condition, defaults: Mapping[str, Any] = _NOTHING) -> bytes:
    """Returns the documents of a content that match; the same object if all do.

    Args:
        content: A serialised ``DataContentProto``.
        condition: What they have to match.
        defaults: Values of fields that a document lacks.
    """
    parse = _doc_message().FromString
    docs = list(iter_doc_bytes(content))
    kept = [raw for raw in docs if condition.matches(_Message(parse(raw), defaults))]
    return content if len(kept) == len(docs) else content_of_doc_bytes(kept)


def defaults_of(endpoint: RemoteEndpoint | None) -> Mapping[str, Any]:
    """Returns the values that fields of the documents get which the sender left out."""
    return _NOTHING if endpoint is None else field_defaults(endpoint.input_schema)


@cache
def _doc_message() -> Any:
    from docarray.proto import DocProto  # noqa: PLC0415 - docarray is heavy, a gateway without filters must not need it

    return DocProto


class _Message:
    """The fields of a ``DocProto``."""

    __slots__ = ('_defaults', '_message')

    def __init__(self, message: Any, defaults: Mapping[str, Any]) -> None:
        self._message = message
        self._defaults = defaults

    def value(self, path: Path) -> Any:
        return self._find(path)[0]

    def holds(self, path: Path) -> bool:
        value, in_document = self._find(path)
        if value is MISSING or not in_document:
            return value is not MISSING
        return value is not None and (not hasattr(value, '__len__') or len(value) > 0)

    def _find(self, path: Path) -> tuple[Any, bool]:
        """Returns a value, and whether it is a field of a document rather than an item of a dict or a list."""
        kind, container = 'doc', self._message
        for position, name in enumerate(path):
            node = _child(kind, container, name)
            if node is MISSING:
                return _in_plain(self._defaults, path) if position == 0 else (MISSING, False)
            parent = kind
            kind = 'doc' if parent == 'doc_array' else node.WhichOneof('content')
            container = node if parent == 'doc_array' or kind is None else getattr(node, kind)
        return _plain(kind, container), parent == 'doc'


def _child(kind: str | None, container: Any, name: str) -> Any:
    """Returns what a document, dict or list has under a name or index, or ``MISSING``."""
    if kind in ('doc', 'dict'):
        return container.data.get(name, MISSING)
    items = container.docs if kind == 'doc_array' else container.data if kind in ('list', 'tuple') else ()
    try:
        return items[int(name)]
    except (ValueError, IndexError):
        return MISSING


def _in_plain(values: Any, path: Path) -> tuple[Any, bool]:
    """The same for the default of a field, which is JSON."""
    for name in path:
        try:
            values = values[int(name) if isinstance(values, list) else name]
        except (KeyError, IndexError, TypeError, ValueError):
            return MISSING, False
    return values, len(path) == 1


def _plain(kind: str | None, value: Any) -> Any:
    """Returns a value as Python has it; of a tensor what tells its length."""
    if kind is None:
        return None
    if kind in ('doc', 'dict'):
        return {name: _node(node) for name, node in value.data.items()}
    if kind in ('list', 'tuple', 'set'):
        return [_node(node) for node in value.data]
    if kind == 'doc_array':
        return [_plain('doc', doc) for doc in value.docs]
    return range(value.dense.shape[0] if value.dense.shape else 0) if kind == 'ndarray' else value


def _node(node: Any) -> Any:
    kind = node.WhichOneof('content')
    return None if kind is None else _plain(kind, getattr(node, kind))
