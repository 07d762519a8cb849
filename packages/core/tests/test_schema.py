from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.documents import ImageDoc, TextDoc
from docarray.documents.legacy import LegacyDocument
from docarray.typing import AnyTensor, ImageUrl, NdArray
from jina.core.annotations import ParametersType
from jina.core.codec import decode_doc, decode_docs, encode_doc, encode_docs
from jina.core.errors import SchemaError
from jina.core.schema import (
    EndpointSchema,
    doc_list_of,
    doc_type_from_schema,
    remote_endpoints,
    schema_of,
    schemas_compatible,
)
from jina.core.structs import dict_to_struct
from jina.core.wire import EndpointsProto
from pydantic import BaseModel, ConfigDict, Field


class Inner(BaseDoc):
    text: str = 'a'
    tensor: AnyTensor | None = None


class Plain(BaseDoc):
    text: str


class WithVector(Plain):
    vector: AnyTensor | None = None


class Tree(BaseDoc):
    word: str = ''
    children: DocList[Tree] | None = None


class Outer(BaseDoc):
    """What the outer one is."""

    count: int = Field(description='how many', examples=[3])
    tags: dict[str, int] = {}  # noqa: RUF012
    words: list[str] = []  # noqa: RUF012
    inner: Inner
    more: DocList[Inner]
    vector: NdArray[3]
    maybe: Inner | None = None
    either: str | int = 'x'
    kind: Literal['a', 'b'] = 'a'
    raw: bytes = b''
    url: ImageUrl | None = None
    flag: bool = False
    anything: Any = None


class Limits(BaseModel):
    """How much."""

    top_k: int = 3
    name: str


def an_outer() -> Outer:
    return Outer(
        count=3,
        tags={'a': 1},
        words=['x'],
        inner=Inner(text='i', tensor=np.arange(2.0)),
        more=DocList[Inner]([Inner(text='m')]),
        vector=np.ones(3),
        maybe=Inner(),
        raw=b'\x00\xff',
        url='http://x/a.png',
        kind='b',
    )


@pytest.mark.parametrize('doc_type', [TextDoc, ImageDoc, LegacyDocument, Inner, Outer])
def test_a_type_built_from_its_schema_holds_the_same_documents(doc_type: type[BaseDoc]) -> None:
    built = doc_type_from_schema(schema_of(doc_type))
    assert built.__name__ == doc_type.__name__
    assert next(iter(built.model_fields)) == 'id'
    assert set(built.model_fields) == set(doc_type.model_fields)


def test_documents_travel_through_a_built_type() -> None:
    doc = an_outer()
    content = encode_docs(DocList[Outer]([doc]))
    built = doc_type_from_schema(schema_of(Outer))
    there = decode_docs(content, doc_list_of(built))
    assert (there[0].count, there[0].raw, there[0].words, there[0].kind) == (3, b'\x00\xff', ['x'], 'b')
    assert isinstance(there[0].more, DocList)
    back = decode_docs(encode_docs(there), DocList[Outer])[0]
    assert back.id == doc.id
    assert back.inner.text == 'i'
    assert np.array_equal(back.inner.tensor, np.arange(2.0))
    assert np.array_equal(back.vector, np.ones(3))
    assert back.more[0].id == doc.more[0].id
    assert (back.tags, back.url, back.maybe.id) == ({'a': 1}, doc.url, doc.maybe.id)


def test_defaults_requirements_and_descriptions_survive() -> None:
    built = doc_type_from_schema(schema_of(Outer))
    schema = schema_of(built)
    assert built.__doc__ == 'What the outer one is.'
    assert schema['required'] == ['count', 'inner', 'more', 'vector']
    assert schema['properties']['count']['description'] == 'how many'
    assert schema['properties']['count']['examples'] == [3]
    assert built.model_fields['kind'].default == 'a'


def test_the_same_schema_gives_the_same_type() -> None:
    assert doc_type_from_schema(schema_of(Inner), 'Inner') is doc_type_from_schema(schema_of(Inner), 'Inner')
    assert doc_type_from_schema({}) is LegacyDocument
    assert doc_type_from_schema({'title': 'anything'}, 'LegacyDocumentJina') is LegacyDocument


def test_schemas_of_pydantic_1() -> None:
    schema = {
        'title': 'Old',
        'type': 'object',
        'properties': {
            'id': {'type': 'string'},
            'text': {'title': 'Text', 'type': 'string'},
            'nested': {'$ref': '#/definitions/Nested'},
            'all': {'title': 'All', 'type': 'array', 'items': {'$ref': '#/definitions/Nested'}},
            'vector': {'type': 'array', 'items': {'type': 'number'}, 'tensor/array shape': '[3]'},
        },
        'required': ['nested'],
        'definitions': {'Nested': {'title': 'Nested', 'type': 'object', 'properties': {'a': {'type': 'integer'}}}},
    }
    built = doc_type_from_schema(schema)
    doc = built(nested={'a': 1}, all=[{'a': 2}], vector=[1.0, 2.0])
    assert (doc.text, doc.nested.a, doc.all[0].a) == (None, 1, 2)
    assert isinstance(doc.all, DocList)


def test_a_default_that_the_schema_does_not_tell_is_left_to_the_class() -> None:
    class Words(BaseDoc):
        words: list[str] = Field(default_factory=lambda: ['w'])
        text: str = 't'
        inner: Inner = Field(default_factory=lambda: Inner(text='i'))

    built = doc_type_from_schema(schema_of(Words))
    doc = built()
    assert (doc.words, doc.inner, doc.text) == (None, None, 't')
    assert decode_doc(encode_doc(doc), Words).words == ['w']
    assert decode_doc(encode_doc(doc), Words).inner.text == 'i'
    assert decode_doc(encode_doc(built(words=['a'])), Words).words == ['a']
    assert decode_doc(encode_doc(decode_doc(encode_doc(doc), built)), Words).words == ['w']


def test_a_schema_of_something_else_is_refused() -> None:
    with pytest.raises(SchemaError, match="the schema of 'X' describes no object"):
        doc_type_from_schema({'type': 'string', 'title': 'X'})


def test_a_field_without_json_schema_leaves_the_type_servable() -> None:
    class Odd(BaseDoc):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        thing: slice | None = None

    assert schema_of(Odd) == {'title': 'Odd', 'type': 'object', 'properties': {}}


def test_schema_of_gives_a_copy() -> None:
    schema_of(Inner)['properties'].clear()
    assert 'text' in schema_of(Inner)['properties']


def test_discovery_entries_round_trip() -> None:
    own = EndpointSchema(Inner, Outer, ParametersType(Limits, allows_dict=False), is_singleton_doc=True)
    proto = EndpointsProto(endpoints=['/a', '/bare'])
    proto.schemas.CopyFrom(dict_to_struct({'/a': own.to_dict()}))
    found = remote_endpoints(EndpointsProto.FromString(proto.SerializeToString()))
    endpoint = found['/a']
    assert (endpoint.input_name, endpoint.output_name, endpoint.parameters_name) == ('Inner', 'Outer', 'Limits')
    assert (endpoint.is_generator, endpoint.is_singleton_doc) == (False, True)
    types = endpoint.types()
    assert types is endpoint.types()
    assert set(types.output_model.model_fields) == set(Outer.model_fields)
    assert types.parameters_model.model_validate({'name': 'x', 'top_k': 2.0}).top_k == 2
    assert types.parameters_model.__doc__ == 'How much.'
    assert found['/bare'].types().input_model is LegacyDocument


def test_the_shape_of_gateways_is_read_too() -> None:
    proto = EndpointsProto(endpoints=['/a'])
    entry = {'input': schema_of(Inner), 'output': schema_of(Outer), 'is_generator': True, 'is_singleton_doc': True}
    proto.schemas.CopyFrom(dict_to_struct({'/a': entry}))
    endpoint = remote_endpoints(proto)['/a']
    assert (endpoint.input_name, endpoint.output_name, endpoint.is_generator) == ('Inner', 'Outer', True)
    assert endpoint.parameters_schema is None


def test_the_entry_of_an_endpoint_has_the_shape_that_peers_know() -> None:
    entry = EndpointSchema(LegacyDocument, Outer).to_dict()
    assert entry.keys() == {'input', 'output', 'is_generator', 'is_singleton_doc', 'parameters'}
    assert entry['input']['name'] == 'LegacyDocumentJina'
    assert entry['parameters'] == {'name': None, 'model': None}
    assert entry['output']['model']['definitions'] == entry['output']['model']['$defs']


@pytest.mark.parametrize(
    ('output', 'wanted', 'fits'),
    [
        (Inner, Inner, True),
        (TextDoc, Inner, False),
        (Plain, WithVector, True),
        (WithVector, Plain, False),
        (Inner, Outer, False),
        (LegacyDocument, Outer, True),
        (Outer, LegacyDocument, True),
        (BaseDoc, BaseDoc, True),
    ],
)
def test_which_types_can_be_chained(output: type[BaseDoc], wanted: type[BaseDoc], fits: bool) -> None:
    assert schemas_compatible(schema_of(output), schema_of(wanted)) is fits


def test_types_that_differ_in_kind_can_not_be_chained() -> None:
    class Number(BaseDoc):
        text: int

    class Text(BaseDoc):
        text: str

    class Real(BaseDoc):
        text: float

    assert not schemas_compatible(schema_of(Number), schema_of(Text))
    assert schemas_compatible(schema_of(Number), schema_of(Real))


def test_wire_schema_has_no_null_because_the_original_fails_on_it() -> None:
    import json

    from docarray import BaseDoc

    class Inner(BaseDoc):
        size: int | None = None

    class Outer(BaseDoc):
        text: str | None
        inner: Inner | None = None
        either: int | str | None = None

    entry = EndpointSchema(Outer, Outer).to_dict()
    assert '"null"' not in json.dumps(entry)
    model = entry['input']['model']
    assert model['properties']['id']['type'] == 'string'
    assert model['properties']['inner']['$ref'].endswith('/Inner')
    assert [kind['type'] for kind in model['properties']['either']['anyOf']] == ['integer', 'string']
    assert 'text' not in model.get('required', [])


class AnyTags(BaseDoc):
    tags: dict[str, Any] = Field(default_factory=dict)
    counts: dict[str, int] = Field(default_factory=dict)


def test_wire_schema_leaves_out_that_anything_goes_because_the_original_fails_on_it() -> None:
    properties = EndpointSchema(AnyTags, AnyTags).to_dict()['input']['model']['properties']
    assert 'additionalProperties' not in properties['tags']
    assert properties['tags']['type'] == 'object'
    assert properties['counts']['additionalProperties'] == {'type': 'integer'}


def test_wire_schema_of_untyped_documents_is_that_of_the_original() -> None:
    model = EndpointSchema(LegacyDocument, LegacyDocument).to_dict()['input']['model']
    assert model['$ref'] == '#/definitions/LegacyDocumentJina'
    definition = model['definitions']['LegacyDocumentJina']
    assert definition['description'].startswith(
        'This Document is the LegacyDocumentJina. It follows the same schema as'
    )
    assert set(definition['properties']) == set(LegacyDocument.model_fields)


def test_lists_of_types_that_refer_to_themselves_have_columns() -> None:
    for doc_type, field in ((LegacyDocument, 'text'), (Tree, 'word')):
        docs = doc_list_of(doc_type)([doc_type(), doc_type()])
        setattr(docs, field, ['a', 'b'])
        assert getattr(docs, field) == ['a', 'b']
        assert [getattr(doc, field) for doc in docs] == ['a', 'b']
