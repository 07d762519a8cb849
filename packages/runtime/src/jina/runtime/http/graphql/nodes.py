"""JSON Schemas as GraphQL sees them: what kind of value a place in one or several schemas holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = ['Kind', 'Node', 'fingerprint', 'kind_of', 'merged_properties']

_TENSOR_MARK: Final = 'tensor/array shape'
_NULL: Final = 'null'
_SCALARS: Final = frozenset({'string', 'integer', 'number', 'boolean'})
Kind = Literal['string', 'integer', 'number', 'boolean', 'tensor', 'array', 'object', 'json']


@dataclass(frozen=True)
class Node:
    """A place in a JSON Schema.

    Attributes:
        schema: What stands there.
        root: The whole schema, for its definitions.
    """

    schema: Mapping[str, Any]
    root: Mapping[str, Any]

    def at(self, schema: Any) -> Node:
        """A place inside this one."""
        return Node(schema if isinstance(schema, Mapping) else {}, self.root)

    def alternatives(self) -> list[Node]:
        """What may stand here: references followed, unions taken apart."""
        found: list[Node] = []
        waiting, seen = [self], set[str]()
        while waiting:
            node = waiting.pop(0)
            reference = node.schema.get('$ref')
            members = [*node.schema.get('anyOf', ()), *node.schema.get('oneOf', ()), *node.schema.get('allOf', ())]
            if reference and str(reference) not in seen:
                seen.add(str(reference))
                waiting.append(node.at(_definitions(node.root).get(_name_of(reference))))
            elif members:
                waiting += map(node.at, members)
            elif not reference:
                found.append(node)
        return found

    @property
    def title(self) -> str:
        """The name of the class that it was made from."""
        return str(self.schema.get('title') or '')

    def kind(self) -> Kind | None:
        """What one alternative holds; None for null."""
        schema = self.schema
        if _TENSOR_MARK in schema:
            return 'tensor'
        if 'enum' in schema or 'const' in schema:
            return _kind_of_values(schema.get('enum', [schema.get('const')]))
        kind = schema.get('type')
        if kind == _NULL:
            return None
        if kind == 'array':
            return 'array' if isinstance(schema.get('items'), Mapping) else 'json'
        if kind == 'object':
            return 'object' if schema.get('properties') else 'json'
        return kind if kind in _SCALARS else 'json'


def kind_of(nodes: Sequence[Node]) -> tuple[Kind, list[Node], bool]:
    """Returns what all nodes together hold, the alternatives of that kind, and whether it may be null."""
    alternatives = [alternative for node in nodes for alternative in node.alternatives()]
    kinds = {alternative.kind() for alternative in alternatives}
    is_nullable = None in kinds
    kinds.discard(None)
    if kinds == {'integer', 'number'}:
        return 'number', [], is_nullable
    if len(kinds) != 1:  # any value, or no common GraphQL type
        return 'json', [], is_nullable or not kinds
    (kind,) = kinds
    return kind or 'json', [item for item in alternatives if item.kind() is not None], is_nullable


def merged_properties(nodes: Sequence[Node]) -> dict[str, tuple[list[Node], bool]]:
    """Returns the properties of objects: for each the places where it stands, and whether all of them require it."""
    names = dict.fromkeys(name for node in nodes for name in node.schema['properties'])
    return {
        name: (
            [node.at(node.schema['properties'][name]) for node in nodes if name in node.schema['properties']],
            all(name in node.schema.get('required', ()) for node in nodes),
        )
        for name in names
    }


def fingerprint(nodes: Iterable[Node]) -> str:
    """Returns what tells objects of different structure from each other."""
    return '\n'.join(sorted({_fingerprint(node) for node in nodes}))


def _fingerprint(node: Node) -> str:
    used: dict[str, Any] = {}
    waiting = [node.schema]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in used:
                used[name] = _definitions(node.root).get(name, {})
                waiting.append(used[name])
    return json.dumps([node.schema, used], sort_keys=True, default=str)


def _references(schema: Any) -> list[str]:
    if isinstance(schema, Mapping):
        own = [_name_of(schema['$ref'])] if isinstance(schema.get('$ref'), str) else []
        return own + [name for value in schema.values() for name in _references(value)]
    if isinstance(schema, list):
        return [name for value in schema for name in _references(value)]
    return []


def _definitions(root: Mapping[str, Any]) -> Mapping[str, Any]:
    return root.get('$defs') or root.get('definitions') or {}


def _name_of(reference: Any) -> str:
    return str(reference).rpartition('/')[2]


def _kind_of_values(values: Sequence[Any]) -> Kind | None:
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return None
    return 'string' if kinds == {str} else 'integer' if kinds == {int} else 'json'
