from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.proto import DocListProto, DocProto
from docarray.typing import NdArray
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.core import codec
from jina.core.errors import RequestTypeError, SchemaError


class Leaf(BaseDoc):
    text: str | None = None
    raw: bytes = b''


class Flat(BaseDoc):
    text: str = ''
    number: float | None = None
    size: int = 0
    flag: bool | None = None
    names: list[str] = []  # noqa: RUF012 - docarray models are pydantic models
    tags: dict[str, Any] = {}  # noqa: RUF012
    tensor: NdArray | None = None
    leaf: Leaf | None = None


class Tree(Flat):
    leaves: DocList[Leaf] = DocList[Leaf]()


TEXTS = st.text(max_size=6)
LEAVES = st.builds(Leaf, id=TEXTS, text=st.none() | TEXTS, raw=st.binary(max_size=6))
TREES = st.builds(
    Tree,
    id=st.sampled_from(['a', 'b', 'c', 'ü', '']),
    text=TEXTS,
    number=st.none() | st.floats(allow_nan=False),
    size=st.integers(-(2**31), 2**31 - 1),
    flag=st.none() | st.booleans(),
    names=st.lists(TEXTS, max_size=3),
    tags=st.dictionaries(TEXTS, st.none() | st.booleans() | TEXTS | st.integers(-9, 9), max_size=3),
    tensor=st.none() | st.builds(lambda size: np.arange(size, dtype=np.float32), st.integers(1, 200)),
    leaf=st.none() | LEAVES,
    leaves=st.builds(lambda docs: DocList[Leaf](docs), st.lists(LEAVES, max_size=3)),
)
LISTS = st.builds(lambda docs: DocList[Tree](docs), st.lists(TREES, max_size=4))


def parsed(content: bytes) -> Any:
    """The DocListProto in a content, by the public message."""
    kind, raw = codec.split_content(content)
    assert kind == 1
    return DocListProto.FromString(raw)


def message(docs: DocList[Any]) -> Any:
    return docs.to_protobuf()


@settings(deadline=None, max_examples=80)
@given(LISTS)
def test_bytes_are_those_of_docarray(docs: DocList[Tree]) -> None:
    content = codec.encode_docs(docs)
    assert parsed(content) == message(docs)
    decoded = codec.decode_docs(content, DocList[Tree])
    assert decoded.doc_type is Tree
    assert message(decoded) == message(docs)


@settings(deadline=None, max_examples=60)
@given(LISTS)
def test_documents_in_docarrays_own_serialisation_are_read(docs: DocList[Tree]) -> None:
    content = codec.content_of_docs_bytes(docs.to_bytes())
    assert message(codec.decode_docs(content, DocList[Tree])) == message(docs)
    assert codec.docs_bytes_of(content) == docs.to_bytes()
    assert codec.count_docs(content) == len(docs)


@settings(deadline=None, max_examples=60)
@given(TREES)
def test_single_documents(doc: Tree) -> None:
    raw = codec.encode_doc(doc)
    assert DocProto.FromString(raw) == doc.to_protobuf()
    assert codec.decode_doc(raw, Tree).to_protobuf() == doc.to_protobuf()


@settings(deadline=None, max_examples=60)
@given(LISTS)
def test_documents_can_be_told_apart_without_decoding(docs: DocList[Tree]) -> None:
    content = codec.encode_docs(docs)
    raw = list(codec.iter_doc_bytes(content))
    assert [DocProto.FromString(item) for item in raw] == [doc.to_protobuf() for doc in docs]
    assert codec.content_of_doc_bytes(raw) == content
    assert codec.count_docs(content) == len(docs)


@settings(deadline=None, max_examples=120)
@given(st.lists(LISTS, max_size=3))
def test_merge_keeps_order_of_appearance_and_joins_equal_ids_of_different_lists(lists: list[DocList[Tree]]) -> None:
    merged = codec.decode_docs(codec.merge_contents([codec.encode_docs(docs) for docs in lists]), DocList[Tree])
    numbered = [
        (doc.id, [other.id for other in docs[: position + 1]].count(doc.id))
        for docs in lists
        for position, doc in enumerate(docs)
    ]
    assert [doc.id for doc in merged] == [doc_id for doc_id, _ in dict.fromkeys(numbered)]
    if all(message(docs) == message(lists[0]) for docs in lists[1:]) and lists:
        assert message(merged) == message(lists[0])


@settings(deadline=None, max_examples=120)
@given(TREES, TREES)
def test_merge_keeps_the_first_value_and_fills_what_is_empty(first: Tree, second: Tree) -> None:
    second.id = first.id
    contents = [codec.encode_docs(DocList[Tree]([doc])) for doc in (first, second)]
    (merged,) = codec.decode_docs(codec.merge_contents(contents), DocList[Tree])
    for name in ('text', 'names'):
        assert getattr(merged, name) == (getattr(first, name) or getattr(second, name))
    for name in ('number', 'flag', 'size'):
        expected = getattr(first, name) if getattr(first, name) is not None else getattr(second, name)
        assert getattr(merged, name) == expected
    assert {key: value for key, value in merged.tags.items() if value not in (None, '')} == {
        key: value
        for key in {**first.tags, **second.tags}
        if (value := first.tags[key] if first.tags.get(key) not in (None, '') else second.tags.get(key))
        not in (None, '')
    }
    ids = [[leaf.id for leaf in tree.leaves] for tree in (first, second, merged)]
    assert {leaf_id: ids[2].count(leaf_id) for leaf_id in ids[2]} == {
        leaf_id: max(ids[0].count(leaf_id), ids[1].count(leaf_id)) for leaf_id in ids[0] + ids[1]
    }


def test_branches_that_fill_different_fields_come_together() -> None:
    class Page(BaseDoc):
        text: str = ''
        abstract: str | None = None
        embedding: NdArray | None = None
        tags: dict[str, str] = {}  # noqa: RUF012
        author: TextDoc | None = None

    embedded = Page(id='1', text='t', embedding=np.ones(3), tags={'a': '1'}, author=TextDoc(id='x', text='n'))
    summarised = Page(
        id='1', text='t', abstract='s', tags={'b': '2', 'a': '9'}, author=TextDoc(id='x', url='http://h/')
    )
    contents = [codec.encode_docs(DocList[Page]([doc])) for doc in (embedded, summarised)]
    (merged,) = codec.decode_docs(codec.merge_contents(contents), DocList[Page])
    assert merged.abstract == 's'
    assert merged.embedding is not None
    assert merged.embedding.tolist() == [1, 1, 1]
    assert merged.tags == {'a': '1', 'b': '2'}
    assert merged.author is not None
    assert (merged.author.text, str(merged.author.url)) == ('n', 'http://h/')


def test_documents_without_id_are_all_kept() -> None:
    def content(*docs: TextDoc) -> bytes:
        raw = DocList[TextDoc](docs).to_protobuf()
        for doc in raw.docs:
            del doc.data['id']
        return codec.content_of_docs_bytes(raw.SerializeToString())

    merged = codec.merge_contents([content(TextDoc(text='a')), content(TextDoc(text='a'), TextDoc(text='b'))])
    assert [doc.text for doc in codec.decode_docs(merged, DocList[TextDoc])] == ['a', 'a', 'b']


def test_single_content_is_not_touched() -> None:
    assert codec.merge_contents([b'anything']) == b'anything'


def test_nothing_merged_is_an_empty_list() -> None:
    assert codec.merge_contents([]) == codec.encode_docs(DocList[Tree]()) == b'\x0a\x00'
    assert codec.merge_contents([b'', b'']) == b'\x0a\x00'
    assert len(codec.decode_docs(b'', DocList[Tree])) == 0


def test_repeated_members_are_read_as_protobuf_does() -> None:
    one, two = (codec.encode_docs(DocList[TextDoc]([TextDoc(text=text)])) for text in 'ab')
    other = codec.content_of_docs_bytes(DocList[TextDoc]([TextDoc(text='c')]).to_bytes())
    assert [doc.text for doc in codec.decode_docs(one + two, DocList[TextDoc])] == ['a', 'b']
    assert [doc.text for doc in codec.decode_docs(one + other, DocList[TextDoc])] == ['c']
    assert [doc.text for doc in codec.decode_docs(one + other + two, DocList[TextDoc])] == ['b']


def test_unknown_fields_are_skipped() -> None:
    docs = codec.encode_docs(DocList[TextDoc]([TextDoc(text='a')]))
    unknown = b'\x18\x96\x01' + b'\x21' + bytes(8) + b'\x2d' + bytes(4) + b'\xfa\x7f\x01x'
    assert [doc.text for doc in codec.decode_docs(unknown + docs + unknown, DocList[TextDoc])] == ['a']


@pytest.mark.parametrize(
    ('content', 'error'),
    [
        (b'\x0a\x05abc', 'the data of the request is cut off: 5 of 7 bytes'),
        (b'\x0a', 'the data of the request is cut off after 1 bytes'),
        (b'\x0b', 'the data of the request is no protobuf message: wire type 3'),
        (b'\x18' + b'\xff' * 11, 'the data of the request is no protobuf message: a number is too long'),
    ],
)
def test_broken_content_is_refused(content: bytes, error: str) -> None:
    for read in (codec.count_docs, codec.split_content, lambda raw: codec.merge_contents([raw, raw])):
        with pytest.raises(RequestTypeError) as caught:
            read(content)
        assert str(caught.value) == error
    with pytest.raises(RequestTypeError):
        codec.decode_docs(content, DocList[TextDoc])


def test_content_that_is_no_list_of_documents_is_refused() -> None:
    with pytest.raises(RequestTypeError, match=r'^the data of the request is no list of documents: '):
        codec.decode_docs(b'\x0a\x02\xff\xff', DocList[TextDoc])
    with pytest.raises(RequestTypeError, match=r'^the data of the request is no document: '):
        codec.decode_doc(b'\xff', TextDoc)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=40))
def test_any_bytes_give_documents_or_our_error(content: bytes) -> None:
    for read in (
        lambda raw: codec.decode_docs(raw, DocList[Tree]),
        lambda raw: codec.decode_doc(raw, Tree),
        lambda raw: codec.merge_contents([raw, raw]),
    ):
        try:
            read(content)
        except (RequestTypeError, SchemaError):
            continue


def test_fields_without_a_form_are_reported() -> None:
    class Odd(BaseDoc):
        thing: Any = None

    odd = Odd(thing=object())
    with pytest.raises(SchemaError, match='Field `thing` is problematic'):
        codec.encode_docs(DocList[Odd]([odd]))
    with pytest.raises(SchemaError, match=rf"^Odd '{odd.id}' can not be serialised: .*Field `thing` is problematic"):
        codec.encode_doc(odd)


def test_dicts_too_deep_for_the_wire_are_reported() -> None:
    class Tagged(BaseDoc):
        tags: dict[str, Any] = {}  # noqa: RUF012

    tags: dict[str, Any] = {}
    for _ in range(100):
        tags = {'a': tags}
    with pytest.raises(SchemaError, match=r'can not be serialised: .*Field `tags` is problematic'):
        codec.encode_docs(DocList[Tagged]([Tagged(tags=tags)]))
    with pytest.raises(SchemaError, match=r'can not be serialised: .*Field `tags` is problematic'):
        codec.encode_doc(Tagged(tags=tags))


def test_numbers_beyond_the_wire_are_reported() -> None:
    with pytest.raises(SchemaError, match='Field `size` is problematic'):
        codec.encode_docs(DocList[Tree]([Tree(size=2**31)]))


def test_untyped_documents_become_json() -> None:
    leaf = Leaf(id='2', raw=b'\x00')
    tree = Tree(id='1', tensor=np.arange(2), leaf=leaf, tags={'a': 1}, leaves=DocList[Leaf]([Leaf(id='3')]))
    (untyped,) = codec.decode_docs(codec.encode_docs(DocList[Tree]([tree])), DocList)
    assert codec.doc_to_json(untyped) == {
        'id': '1',
        'text': '',
        'number': None,
        'size': 0,
        'flag': None,
        'names': [],
        'tags': {'a': 1},
        'tensor': [0, 1],
        'leaf': {'id': '2', 'text': None, 'raw': 'AA=='},
        'leaves': [{'id': '3', 'text': None, 'raw': ''}],
    }
    assert codec.doc_to_json(tree)['tensor'] == [0, 1]


class Vector(BaseDoc):
    text: str
    embedding: NdArray


def test_the_codec_is_much_faster_than_docarray() -> None:
    docs = DocList[Vector]([Vector(text='text', embedding=np.zeros(768, np.float32)) for _ in range(20)])
    raw = docs.to_protobuf().SerializeToString()
    content = codec.field(1, raw)

    def fastest(action: Callable[[], Any]) -> float:
        return min(timeit.repeat(action, number=3, repeat=15))

    theirs = fastest(lambda: docs.to_protobuf().SerializeToString())
    assert theirs > 3 * fastest(lambda: codec.encode_docs(docs))
    theirs = fastest(lambda: DocList[Vector].from_protobuf(DocListProto.FromString(raw)))
    assert theirs > 3 * fastest(lambda: codec.decode_docs(content, DocList[Vector]))
