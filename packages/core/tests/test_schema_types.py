from __future__ import annotations

from typing import Any, Literal

import pytest
from docarray import BaseDoc, DocList
from jina.core.schema_types import document_from_schema, parameters_model_from_schema
from pydantic import BaseModel, ConfigDict, ValidationError


class Tree(BaseDoc):
    name: str
    children: list[Tree] = []  # noqa: RUF012


class Choice(BaseModel):
    model_config = ConfigDict(extra='forbid')
    kind: Literal['a', 'b'] = 'a'
    fixed: Literal[3] = 3
    ratios: dict[str, float] = {}
    maybe: int | None = None
    anything: Any = None


def test_a_parameters_model() -> None:
    built = parameters_model_from_schema(Choice.model_json_schema(), 'Choice')
    assert not issubclass(built, BaseDoc)
    assert built(kind='b', ratios={'x': 1}).model_dump() == Choice(kind='b', ratios={'x': 1.0}).model_dump()
    for wrong in ({'kind': 'c'}, {'fixed': 4}, {'ratios': {'x': 'y'}}, {'unknown': 1}):
        with pytest.raises(ValidationError):
            built(**wrong)


def test_a_type_that_contains_itself_ends_in_untyped_values() -> None:
    built = document_from_schema(Tree.model_json_schema(), 'Tree')
    doc = built(name='root', children=[{'name': 'leaf', 'children': []}])
    assert (doc.name, doc.children[0]['name']) == ('root', 'leaf')


def test_nested_objects_without_a_name_of_their_own() -> None:
    inner = {'type': 'object', 'properties': {'a': {'type': 'integer'}}, 'required': ['a']}
    schema = {'type': 'object', 'properties': {'one': inner, 'many': {'type': 'array', 'items': inner}}}
    built = document_from_schema(schema, 'Outer')
    doc = built(one={'a': 1}, many=[{'a': 2}])
    assert (doc.one.a, doc.many[0].a) == (1, 2)
    assert isinstance(doc.many, DocList)


@pytest.mark.parametrize(
    ('schema', 'good', 'bad'),
    [
        ({'type': 'string', 'format': 'binary'}, b'x', 3),
        ({'type': 'array', 'items': {'type': 'string'}}, ['a'], [1]),
        ({'type': 'array', 'uniqueItems': True, 'items': {'type': 'integer'}}, {1}, {'a'}),
        ({'type': 'array'}, [1, 'a'], 3),
        ({'type': 'array', 'items': {'type': 'array', 'items': {'type': 'integer'}}}, [[1]], [1]),
        ({'enum': ['x', 1]}, 'x', 'y'),
        ({'oneOf': [{'type': 'integer'}, {'type': 'boolean'}]}, True, 'x'),
        ({'$ref': '#/$defs/Color'}, 'red', 'green'),
        ({'type': 'object', 'additionalProperties': {'type': 'integer'}}, {'a': 1}, {'a': 'x'}),
    ],
)
def test_fields(schema: dict[str, Any], good: Any, bad: Any) -> None:
    definitions = {'Color': {'enum': ['red', 'blue'], 'type': 'string'}}
    root = {'type': 'object', 'properties': {'value': schema}, 'required': ['value'], '$defs': definitions}
    built = document_from_schema(root, 'Doc')
    assert built(value=good).value == good
    with pytest.raises(ValidationError):
        built(value=bad)


def test_a_reference_to_nothing_takes_anything() -> None:
    built = document_from_schema({'type': 'object', 'properties': {'value': {'$ref': '#/$defs/No'}}}, 'Doc')
    assert built(value=[1]).value == [1]
