from __future__ import annotations

from collections import OrderedDict, defaultdict
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.proto import DocProto
from docarray.typing import (
    ID,
    AnyUrl,
    ImageBytes,
    ImageUrl,
)
from jina.core import codec, document_reader, document_writer
from jina.core.errors import SchemaError
from pydantic import create_model

from .document_samples import (
    Anything,
    Color,
    Leaf,
    Size,
    canonical,
    outcome,
    reference_decode,
    round_trip,
    same,
)


def assert_left_to_docarray(doc: BaseDoc) -> None:
    with pytest.raises((NotImplementedError, ValueError)):
        document_writer.write_doc(doc)


def test_arrays_of_objects_and_subclasses_are_left_to_docarray() -> None:
    assert_left_to_docarray(Anything(value=np.array([object()])))
    for array in (
        np.ma.masked_array([1.0, 2.0], [True, False]),
        np.rec.array([(1, 2.0)], dtype=[('a', '<i4'), ('b', '<f4')]),
    ):
        round_trip(Anything(value=array))


def test_long_texts_names_and_ids() -> None:
    long_name = 'n' * 300
    model: Any = create_model('Long', __base__=BaseDoc, **{long_name: (str, ...), 'tags': (dict[str, Any], ...)})
    for size in (127, 128, 1023, 1024, 16383, 16384, 3_000_000):
        round_trip(model(id='i' * size, **{long_name: 'ä' * size}, tags={'k' * size: 'v' * size}))


@pytest.mark.parametrize(
    'value', [2**31, -(2**31) - 1, 10**30, object(), 1j, frozenset([1]), {1: 2}, np.int64(3), '\ud800']
)
@pytest.mark.parametrize('wrap', [lambda value: value, lambda value: [value], lambda value: {'a': {'b': [value]}}])
def test_values_without_a_form_give_docarrays_error(value: Any, wrap: Any) -> None:
    doc = Anything(value=wrap(value))
    kind, message = outcome(lambda: DocList[Anything]([doc]).to_protobuf().SerializeToString())
    assert issubclass(kind, (ValueError, TypeError))
    with pytest.raises(SchemaError) as caught:
        codec.encode_docs(DocList[Anything]([doc]))
    assert str(caught.value).endswith(f'can not be serialised: {message}')
    with pytest.raises(SchemaError):
        codec.encode_doc(doc)


class Point(NamedTuple):
    x: int
    y: int


class LoudText(str):
    def __str__(self) -> str:
        return 'loud'

    def encode(self, *arguments: Any) -> bytes:
        return b'loud'


class LoudUrl(AnyUrl):
    def __str__(self) -> str:
        return 'loud'


class BigInt(int):
    pass


@pytest.mark.parametrize(
    'value',
    [
        Color.RED,
        Size.L,
        LoudText('quiet'),
        LoudUrl('quiet'),
        BigInt(7),
        True,
        np.float64(0.5),
        b'a',
        Point(1, 2),
        OrderedDict(a=1),
        defaultdict(list, a=[1]),
        type('Bytes', (bytes,), {})(b'abc'),
        type('Rows', (list,), {})([1, 'a']),
        ImageBytes(b'abc'),
        [ImageUrl('a.png'), ID('x'), None, {}, [], ()],
        {'': None, '_a': 1},
    ],
    ids=lambda value: type(value).__name__,
)
def test_subclasses_of_plain_values_are_written_as_by_docarray(value: Any) -> None:
    doc = Anything(value=value)
    ours = document_writer.write_doc(doc)
    theirs = doc.to_protobuf()
    assert DocProto.FromString(ours) == theirs
    assert same(document_reader.read_doc(ours, Anything), Anything.from_protobuf(theirs))


def test_a_field_holds_more_than_its_annotation_says() -> None:
    doc = Leaf(text='a')
    doc.__dict__['text'] = [1, ID('x')]
    doc.__dict__['extra'] = 'e'
    doc.__dict__['_hidden'] = 'h'
    doc.__dict__['_hidden_array'] = np.zeros(2)
    doc.__dict__['_hidden_object'] = 3
    for _ in range(2):  # from the caches, too
        assert DocProto.FromString(document_writer.write_doc(doc)) == doc.to_protobuf()
    assert (
        DocProto.FromString(document_writer.write_doc(Anything(value={'_hidden': 'h'})))
        .data['value']
        .dict.data['_hidden']
    )


def test_documents_that_hold_themselves_are_refused() -> None:
    doc = Anything()
    doc.value = [doc]
    with pytest.raises(SchemaError):
        codec.encode_doc(doc)


class Remembering(BaseDoc):
    text: str

    @cached_property
    def shout(self) -> str:
        return self.text.upper()


def test_docs_of_a_subclass_are_written_with_all_their_fields() -> None:
    class More(Leaf):
        more: int = 3

    docs = DocList[Leaf]([Leaf(text='a'), More(text='b')])
    raw = document_writer.write_docs(docs)
    assert canonical(raw) == canonical(docs.to_protobuf().SerializeToString())
    decoded = document_reader.read_docs(raw, 0, len(raw), type(docs))
    assert same(decoded, reference_decode(raw, DocList[Leaf]))
    assert [type(doc) for doc in decoded] == [Leaf, Leaf]


def test_cached_properties_travel_as_docarray_sends_them() -> None:
    doc = Remembering(text='a')
    assert doc.shout == 'A'
    assert DocProto.FromString(document_writer.write_doc(doc)) == doc.to_protobuf()
    assert same(
        document_reader.read_doc(document_writer.write_doc(doc), Remembering),
        Remembering.from_protobuf(doc.to_protobuf()),
    )


def test_caches_of_frames_are_bounded() -> None:
    for size in range(1, 6000):
        document_writer.write_doc(Anything(value=np.zeros(size, np.int8)))
        document_writer.write_doc(Anything(id='', value='x' * (size % 2000)))
    for name in ('_frames', '_field_heads', '_key_heads', '_message_heads'):
        assert len(getattr(document_writer, name)) <= document_writer._CACHE_SIZE
    from jina.core import tensor_readers

    for size in range(1, 600):
        codec.decode_doc(codec.encode_doc(Leaf(text='', vector=np.zeros(size))), Leaf)
    assert len(tensor_readers._frames) <= tensor_readers._CACHE_SIZE
