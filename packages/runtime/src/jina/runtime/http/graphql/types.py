"""GraphQL types made from document classes, and values between the two."""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NewType, Optional, cast

import strawberry
from docarray import BaseDoc, DocList
from jina.core.schema import schema_of
from jina.runtime.http.graphql.nodes import Kind, Node, fingerprint, kind_of, merged_properties
from jina.runtime.http.rendering import to_json
from pydantic import BaseModel
from strawberry import UNSET
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

__all__ = ['SCALARS', 'TypeBuilder', 'identifier']

BigInt = NewType('BigInt', int)
Tensor = NewType('Tensor', object)


def _as_plain(value: Any) -> Any:
    """Turns a value into what JSON knows."""
    return json.loads(to_json(value))


def _whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise ValueError(f'{value!r} is no whole number')
    return int(value)


SCALARS: Final[dict[object, ScalarDefinition]] = {
    BigInt: strawberry.scalar(
        name='BigInt',
        description='A whole number of any size, in JSON a number.',
        serialize=_whole_number,
        parse_value=_whole_number,
    ),
    Tensor: strawberry.scalar(
        name='Tensor',
        description='Numbers in lists, nested as deep as the tensor has dimensions.',
        serialize=_as_plain,
        parse_value=lambda value: value,
    ),
    JSON: strawberry.scalar(
        name='JSON',
        description='Any JSON value.',
        serialize=_as_plain,
        parse_value=lambda value: value,
    ),
}
_ANNOTATIONS: Final[dict[Kind, Any]] = {
    'string': str,
    'integer': BigInt,
    'number': float,
    'boolean': bool,
    'tensor': Tensor,
    'json': JSON,
}
_SIMPLE: Final = (str, int, bool, type(None))


class TypeBuilder:
    """Makes the types of one GraphQL schema. Equal documents get the same type.

    Fields have the names of the JSON that HTTP speaks; what GraphQL has no name for gets ``_`` in its place.
    """

    def __init__(self) -> None:
        self._types: dict[tuple[str, bool], type] = {}
        self._type_names: set[str] = set()
        self._roots: dict[type[BaseModel], Mapping[str, Any]] = {}
        self._key_of: dict[str, str] = {}
        self._name_of: dict[str, str] = {}

    def output(self, models: Sequence[type[BaseModel]], name: str = '') -> Any:
        """Returns the type for documents of any of the classes that an endpoint gives.

        Args:
            models: The classes. Several are merged: a field that not all of them have is null where it is missing.
            name: Name of the merged type.
        """
        return self._annotation([self._root(model) for model in models], name, is_input=False)

    def input(self, models: Sequence[type[BaseModel]], name: str = '') -> Any:
        """Returns the type for documents, or parameters, that an endpoint takes; see :meth:`output`."""
        return self._annotation([self._root(model) for model in models], name, is_input=True)

    def resolve(self, source: Any, attribute: str) -> Any:
        """Returns the value of a field of a document, in the form that GraphQL takes."""
        key = self._key_of.get(attribute, attribute)
        return _to_graphql(source.get(key) if isinstance(source, Mapping) else getattr(source, key, None))

    def to_json_names(self, value: Any) -> Any:
        """Turns what came in as an input type into the JSON that HTTP takes."""
        if isinstance(value, list):
            return [self.to_json_names(item) for item in value]
        if not hasattr(type(value), '__strawberry_definition__'):
            return value
        return {
            self._key_of[attribute]: self.to_json_names(item)
            for attribute, item in vars(value).items()
            if item is not UNSET
        }

    def _root(self, model: type[BaseModel]) -> Node:
        if model not in self._roots:
            self._roots[model] = schema_of(model)
        return Node(self._roots[model], self._roots[model])

    def _annotation(self, nodes: Sequence[Node], name: str, *, is_input: bool) -> Any:
        kind, alternatives, _ = kind_of(nodes)
        if kind == 'object':
            return self._object(alternatives, name, is_input=is_input)
        if kind == 'array':
            items = [node.at(node.schema['items']) for node in alternatives]
            element = self._annotation(items, name, is_input=is_input)
            return list[element if kind_of(items)[0] == 'object' else Optional[element]]  # type: ignore[misc]  # noqa: UP045
        return _ANNOTATIONS[kind]

    def _object(self, nodes: Sequence[Node], name: str, *, is_input: bool) -> type:
        key = fingerprint(nodes), is_input
        if key in self._types:
            return self._types[key]
        merged = '\n' in key[0]
        title = name if merged or not nodes[0].title else nodes[0].title
        made: Any = type(self._unique_name(identifier(title or 'Document') + 'Input' * is_input), (), {})
        self._types[key] = made  # before its fields, which may be of this type
        annotations: dict[str, Any] = {}
        for field, (places, required) in merged_properties(nodes).items():
            attribute = self._attribute(field)
            annotation = (
                strawberry.ID if field == 'id' else self._annotation(places, f'{title}_{field}', is_input=is_input)
            )
            if is_input and required and not kind_of(places)[2]:
                setattr(made, attribute, strawberry.field(name=attribute))
            else:
                annotation = Optional[annotation]  # noqa: UP045 - types are known at run time only
                default = {'default': UNSET} if is_input else {}
                setattr(made, attribute, strawberry.field(name=attribute, **default))
            annotations[attribute] = annotation
        made.__annotations__ = annotations
        # of a class's documentation only what it is: the rest is about Python
        description = None if merged else str(nodes[0].schema.get('description') or '').strip().partition('\n\n')[0]
        decorate: Any = strawberry.input if is_input else strawberry.type
        return cast('type', decorate(made, name=made.__name__, description=description or None))

    def _attribute(self, key: str) -> str:
        """Returns the name of a field in GraphQL and in the classes here: one name per key, one key per name."""
        if key not in self._name_of:
            name = base = identifier(key)
            number = 2
            while name in self._key_of:
                name, number = f'{base}_{number}', number + 1
            self._name_of[key], self._key_of[name] = name, key
        return self._name_of[key]

    def _unique_name(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self._type_names:
            name, number = f'{wanted}{number}', number + 1
        self._type_names.add(name)
        return name


def identifier(text: str) -> str:
    """Returns the nearest name that both GraphQL and Python allow."""
    name = re.sub('[^0-9A-Za-z_]', '_', text)
    if name.startswith('__') or not name:
        name = name.lstrip('_') or 'field'
    if name[0].isdigit():
        name = f'_{name}'
    return f'{name}_' if keyword.iskeyword(name) else name


def _to_graphql(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # as in the JSON of HTTP
    if type(value) in _SIMPLE or isinstance(value, (BaseDoc, Mapping)):
        return value
    if isinstance(value, (list, tuple, set, frozenset, DocList)):
        return [_to_graphql(item) for item in value]
    if hasattr(value, 'shape'):
        return value  # the scalar's own business
    return _as_plain(value)
