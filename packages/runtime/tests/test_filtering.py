from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.documents.legacy import LegacyDocument
from docarray.typing import AnyUrl, NdArray
from docarray.utils.filter import filter_docs
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.core.codec import content_of_docs_bytes, decode_docs, encode_docs
from jina.core.conditions import Condition
from jina.core.schema import RemoteEndpoint
from jina.runtime.filtering import defaults_of, filter_content


class Inner(BaseDoc):
    word: str = ''
    number: int = 0


class Doc(BaseDoc):
    text: str = ''
    title: str | None = None
    price: float = 0.0
    flag: bool = False
    raw: bytes = b''
    url: AnyUrl | None = None
    tensor: NdArray | None = None
    inner: Inner = Inner()
    inners: DocList[Inner] = DocList[Inner]()
    names: list[str] = []  # noqa: RUF012
    pair: tuple[int, ...] = ()
    tags: dict[str, Any] = {}  # noqa: RUF012


DOC = Doc(
    id='0123456789abcdef0123456789abcdef',
    text='hello',
    price=2.5,
    flag=True,
    raw=b'abc',
    url='https://example.com/photo.png',
    tensor=np.zeros((3, 2)),
    inner=Inner(word='deep', number=7),
    inners=DocList[Inner]([Inner(word='a'), Inner(word='b', number=3)]),
    names=['x', 'y'],
    pair=(1, 2),
    tags={'key': 5, 'none': None, 'empty': '', 'list': [1, {'z': 2}], 'of': {'deep': True}},
)


def passes(doc: BaseDoc, query: dict[str, Any]) -> bool:
    content = encode_docs(DocList[type(doc)]([doc]))  # type: ignore[misc]
    return filter_content(content, Condition(query)) is content


@pytest.mark.parametrize(
    'query',
    [
        {'id': DOC.id},
        {'text': 'hello'},
        {'title': None},
        {'price': {'$gte': 2.5}},
        {'flag': True},
        {'raw': {'$size': 3}},
        {'url': {'$regex': 'photo'}},
        {'tensor': {'$size': 3}},
        {'inner__word': {'$eq': 'deep'}},
        {'inner__number': {'$in': [7]}},
        {'inners': {'$size': 2}},
        {'inners__1__number': {'$eq': 3}},
        {'names__0': 'x'},
        {'names': {'$eq': ['x', 'y']}},
        {'pair': {'$size': 2}},
        {'tags__key': {'$eq': 5}},
        {'tags__list__1__z': {'$eq': 2}},
        {'tags__of': {'$eq': {'deep': True}}},
        {'tags__of__deep': True},
        {'inners__2__word': {'$exists': False}},
        {'text__x': {'$exists': False}},
        *({name: {'$exists': True}} for name in ('text', 'price', 'flag', 'tensor', 'inner', 'inners', 'tags')),
        *({name: {'$exists': True}} for name in ('tags__none', 'tags__empty', 'names__1', 'inner__number')),
        *({name: {'$exists': False}} for name in ('title', 'nothing', 'tags__other', 'names__2')),
    ],
    ids=str,
)
def test_values_of_every_kind_are_found(query: dict[str, Any]) -> None:
    assert passes(DOC, query)
    assert not passes(DOC, {'$not': query})


def test_a_field_holds_data_unless_it_is_none_or_empty() -> None:
    for name in ('text', 'title', 'raw', 'url', 'tensor', 'inners', 'names', 'pair', 'tags'):
        assert passes(Doc(), {name: {'$exists': False}}), name
    assert passes(Doc(), {'price': {'$exists': True}})
    assert passes(Doc(), {'inner__word': {'$exists': False}})


def test_schema_need_not_be_known() -> None:
    docs = DocList[LegacyDocument]([LegacyDocument(tags={'key': key}) for key in (4, 5, 5)])
    content = encode_docs(docs)
    assert filter_content(content, Condition({'tags__key': {'$gte': 0}})) is content
    assert filter_content(content, Condition({'tags__key': {'$eq': 5}})) == encode_docs(docs[1:])
    assert filter_content(content, Condition({'tags__key': {'$eq': 6}})) == encode_docs(docs[:0])


def test_documents_in_docarrays_own_bytes_are_filtered_too() -> None:
    docs = DocList[Doc]([Doc(text='a'), Doc(text='b')])
    kept = filter_content(content_of_docs_bytes(docs.to_bytes()), Condition({'text': 'b'}))
    assert decode_docs(kept, DocList[Doc]).text == ['b']


def test_fields_that_the_sender_left_out_have_their_defaults() -> None:
    class Full(BaseDoc):
        text: str
        state: str = 'new'
        tags: dict[str, list[int]] = {'sizes': [1, 2]}  # noqa: RUF012

    class Short(BaseDoc):
        text: str

    endpoint = RemoteEndpoint('/', input_schema=json.loads(json.dumps(Full.model_json_schema())))
    content = encode_docs(DocList[Short]([Short(text='a')]))
    for query in ({'state': 'new'}, {'tags__sizes__1': 2}, {'tags__sizes': {'$exists': True}}, {'tags__x': None}):
        assert filter_content(content, Condition(query), defaults_of(endpoint)) is content
    assert filter_content(content, Condition({'state': 'new'}), defaults_of(None)) is not content


FIELDS = ('number', 'word', 'tags__a', 'tags__b')


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    key = draw(st.sampled_from(['$eq', '$neq', '$lt', '$lte', '$gt', '$gte', '$in', '$nin', '$size', '$regex']))
    name = draw(st.sampled_from(FIELDS))
    number = name in ('number', 'tags__a')
    value = draw(st.integers(-3, 3) if number else st.sampled_from(['a', 'b', 'ab', '']))
    if key in ('$in', '$nin'):
        return {name: {key: draw(st.lists(st.just(value), max_size=2))}}
    if key == '$size':
        return {'word': {key: draw(st.integers(0, 2))}}
    if key == '$regex':
        return {'word': {key: draw(st.sampled_from(['a', '^b', '.', 'ab$']))}}
    return {name: {key: value}}


QUERIES = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.fixed_dictionaries({'$and': st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({'$or': st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({'$not': inner}),
    ),
    max_leaves=6,
)


class Flat(BaseDoc):
    number: int
    word: str
    tags: dict[str, Any]


@settings(deadline=None, max_examples=150)
@given(QUERIES, st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(['a', 'b', 'ab'])), max_size=4))
def test_what_docarray_chooses_is_chosen(query: dict[str, Any], values: list[tuple[int, str]]) -> None:
    """docarray's own filter is the reference where every field is there and has the right type."""
    docs = DocList[Flat]([Flat(number=n, word=w, tags={'a': -n, 'b': w}) for n, w in values])
    kept = filter_content(encode_docs(docs), Condition(query))
    assert decode_docs(kept, DocList[Flat]).id == filter_docs(docs, query).id
