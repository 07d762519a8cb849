from __future__ import annotations

from typing import Any

import numpy as np
from docarray import BaseDoc, DocList
from docarray.proto import DocListProto
from docarray.typing import NdArray
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.core import document_reader, document_writer
from jina.core.skeletons import MOST_BYTES, Skeletons

from .document_samples import same


class Entry(BaseDoc):
    text: str
    vector: NdArray | None = None
    score: float = 0.0


def written(*docs: BaseDoc) -> bytes:
    return document_writer.write_docs(DocList[Entry](docs))


def read(raw: bytes) -> Any:
    return document_reader.read_docs(raw, 0, len(raw), type(DocList[Entry]()))


def skeletons_of(kind: type[BaseDoc]) -> Skeletons:
    plan = document_reader._plan(kind)
    assert plan.skeletons is not None
    return plan.skeletons


def check(raw: bytes) -> Any:
    docs = read(raw)
    assert same(docs, DocList[Entry].from_protobuf(DocListProto.FromString(raw)))
    return docs


VECTORS = st.one_of(
    st.none(),
    st.builds(
        np.full, st.sampled_from([4, 5, (2, 2), (1, 4), 0]), st.integers(0, 9), st.sampled_from(['<f4', '>f4', '<i4'])
    ),
    st.just(np.asfortranarray(np.arange(4, dtype=np.float32).reshape(2, 2))),
    st.just(np.arange(8, dtype=np.float32)[::2]),
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.text('abä', max_size=3), st.text('xyü', max_size=3), VECTORS, st.sampled_from([0.0, 1, 300])),
        max_size=8,
    )
)
def test_documents_of_the_same_size_are_told_apart(rows: list[Any]) -> None:
    check(written(*(Entry(id=id_, text=text, vector=vector, score=score) for id_, text, vector, score in rows)))


def test_same_size_with_other_places_of_the_contents() -> None:
    first = Entry(id='aa', text='b', vector=np.ones(4, np.float32))
    second = Entry(id='a', text='bb', vector=np.ones(4, np.float32))
    third = Entry(id='cc', text='d', vector=np.ones(4, np.int32))
    fourth = Entry(id='cc', text='d', vector=np.ones((2, 2), np.float32))
    raw = written(first, second, third, fourth, first, third)
    assert len({message.ByteSize() for message in DocListProto.FromString(raw).docs[:3]}) == 1
    check(raw)


def test_arrays_are_independent_of_each_other_and_of_the_message() -> None:
    raw = written(*(Entry(text='a', vector=np.full(4, number)) for number in range(3)))
    docs = check(raw)
    docs[1].vector[:] = 9
    assert [doc.vector[0] for doc in docs] == [0, 9, 2]
    assert not np.shares_memory(docs[1].vector, docs[2].vector)
    assert docs[1].vector.flags.aligned
    assert read(raw)[1].vector[0] == 1


def test_states_of_documents_are_independent_of_each_other() -> None:
    docs = check(written(Entry(text='a'), Entry(text='b'), Entry(text='c')))
    docs[1].__pydantic_fields_set__.clear()
    assert docs[2].__pydantic_fields_set__ == {'id', 'text', 'vector', 'score'}


def test_other_senders_order_of_fields_is_read() -> None:
    usual = DocListProto.FromString(written(Entry(id='1', text='a'), Entry(id='2', text='b')))
    turned = DocListProto()
    for message in usual.docs:
        entries = dict(message.data)
        doc = turned.docs.add()
        for name in reversed(sorted(entries)):
            doc.data[name].CopyFrom(entries[name])
    check(usual.SerializeToString() + turned.SerializeToString() + usual.SerializeToString())


def test_unknown_and_missing_fields_among_usual_documents() -> None:
    class Wider(Entry):
        more: str = 'x'

    class Narrower(BaseDoc):
        text: str

    usual = written(Entry(id='1', text='a'), Entry(id='2', text='b'))
    wider = document_writer.write_docs(DocList[Wider]([Wider(id='3', text='c'), Wider(id='4', text='d')]))
    narrower = document_writer.write_docs(DocList[Narrower]([Narrower(id='5', text='e'), Narrower(id='6', text='f')]))
    docs = check(usual + wider + usual + narrower + usual)
    assert docs[7].__pydantic_fields_set__ == {'id', 'text'}


def test_a_skeleton_is_kept_by_size_and_used() -> None:
    class Fresh(Entry):
        pass

    docs = DocList[Fresh]([Fresh(id=str(number), text='text') for number in range(9)])
    raw = document_writer.write_docs(docs)
    document_reader.read_docs(raw, 0, len(raw), type(docs))
    skeletons = skeletons_of(Fresh)
    assert len(skeletons.by_size) == 1
    assert skeletons._learned == 1
    assert skeletons._hits == 8


def test_documents_that_never_look_alike_are_not_learned_for_ever() -> None:
    class Various(Entry):
        pass

    docs = DocList[Various]([Various(text='a' * number) for number in range(2000)])
    raw = document_writer.write_docs(docs)
    decoded = document_reader.read_docs(raw, 0, len(raw), type(docs))
    assert [len(doc.text) for doc in decoded] == list(range(2000))
    assert len(skeletons_of(Various).by_size) < 100


def test_a_long_document_has_no_skeleton() -> None:
    class Long(Entry):
        pass

    docs = DocList[Long]([Long(text='a' * MOST_BYTES)])
    raw = document_writer.write_docs(docs)
    assert document_reader.read_docs(raw, 0, len(raw), type(docs))[0].text == docs[0].text
    assert not skeletons_of(Long).by_size
