# ruff: noqa: UP006, UP035, UP037, UP045, RUF012 - the forms of annotations are what is tested


from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import weakref
from typing import Any, Dict, Generic, Optional, TypeVar

import numpy as np
import pytest
from docarray import BaseDoc, DocList, DocVec
from docarray.documents import ImageDoc, TextDoc
from docarray.documents.legacy import LegacyDocument
from docarray.proto import DocProto
from docarray.typing import (
    ID,
    NdArray,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.core import codec, document_reader, document_writer
from jina.core.errors import RequestTypeError, SchemaError
from pydantic import Field, PrivateAttr, ValidationError, create_model, field_validator, model_validator

from .document_samples import (
    CHECKED,
    FIELDS,
    Anything,
    Inner,
    Leaf,
    canonical,
    check_both_ways,
    is_tensor,
    outcome,
    reference_decode,
    round_trip,
    same,
    schemas,
)


@CHECKED
@given(schemas())
def test_generated_documents_are_converted_as_by_docarray(made: tuple[Any, Any]) -> None:
    model, docs = made
    check_both_ways(DocList[model](docs))


@CHECKED
@given(schemas(), st.data())
def test_documents_of_another_class_give_what_docarray_gives(made: tuple[Any, Any], data: Any) -> None:
    model, docs = made
    chosen = data.draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=5))
    sent = [info.annotation for name, info in model.model_fields.items() if name != 'id']
    # docarray takes numbers and bytes for the shape of an array, and allocates it.
    chosen = [
        field if not is_tensor(field[0]) or (sent[index : index + 1] and is_tensor(sent[index])) else FIELDS[0]
        for index, field in enumerate(chosen)
    ]
    names = [f'f{index}' if index else 'größe' for index in range(len(chosen))]
    required = data.draw(st.booleans())
    defaults: Any = ... if required else None
    other = create_model('Other', __base__=BaseDoc, **{n: (f[0], defaults) for n, f in zip(names, chosen, strict=True)})
    raw = DocList(docs).to_protobuf().SerializeToString()
    content = codec.field(1, raw)
    theirs = outcome(lambda: reference_decode(raw, DocList[other]))
    ours = outcome(lambda: codec.decode_docs(content, DocList[other]))
    if isinstance(theirs, tuple) and theirs[0] is UserWarning:
        assert ours == theirs  # of an array that takes another shape; here warnings are errors
    elif isinstance(theirs, tuple):
        assert ours == (SchemaError, f'the documents of the request do not fit DocList[Other]: {theirs[1]}')
    else:
        assert same(ours, theirs)


@CHECKED
@given(schemas())
def test_untyped_documents_are_converted_as_by_docarray(made: tuple[Any, Any]) -> None:
    _, docs = made
    raw = DocList(docs).to_protobuf().SerializeToString()
    ours = outcome(lambda: codec.decode_docs(codec.field(1, raw), DocList))
    theirs = outcome(lambda: reference_decode(raw, DocList))
    assert same(ours, theirs) or (isinstance(theirs, tuple) and isinstance(ours, tuple) and ours[0] is SchemaError)
    if not isinstance(theirs, tuple):
        assert canonical(document_writer.write_docs(ours)) == canonical(theirs.to_protobuf().SerializeToString())


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_messages_give_what_docarray_gives(data: Any) -> None:
    class Damaged(BaseDoc):
        text: str | None = None
        number: float = 0
        size: int = 0
        vector: NdArray | None = None
        tags: Dict[str, Any] = {}
        leaf: Leaf | None = None
        leaves: DocList[Leaf] | None = None

    leaf = Leaf(id='l', text='t', vector=np.arange(3))
    doc = Damaged(
        id='1', text='a', number=1, vector=np.ones((2, 2)), tags={'a': [1]}, leaf=leaf, leaves=DocList[Leaf]([leaf])
    )
    intact = document_writer.write_docs(DocList[Damaged]([doc]))
    raw = bytearray(intact)
    for _ in range(data.draw(st.integers(1, 2))):
        position = data.draw(st.integers(0, len(raw) - 1))
        change = data.draw(st.sampled_from(['set', 'cut', 'insert']))
        if change == 'set':
            raw[position] = data.draw(st.integers(0, 255))
        elif change == 'cut':
            del raw[position : position + data.draw(st.integers(1, 4))]
        else:
            raw[position:position] = data.draw(st.binary(min_size=1, max_size=3))
        if not raw:
            return
    for message in (bytes(raw), intact + bytes(raw)):
        theirs = outcome(lambda message=message: reference_decode(message, DocList[Damaged]))
        try:
            ours: Any = document_reader.read_docs(message, 0, len(message), type(DocList[Damaged]()))
        except Exception:
            continue  # docarray is asked then
        assert not isinstance(theirs, tuple), theirs
        assert same(ours, theirs)


def test_nesting_beyond_the_limit_is_docarrays_matter() -> None:
    value: Any = 1
    for depth in range(60):
        doc = Anything(value=value)
        theirs = outcome(lambda doc=doc: doc.to_protobuf().SerializeToString())
        ours = outcome(lambda doc=doc: codec.encode_doc(doc))
        assert isinstance(ours, bytes) is isinstance(theirs, bytes), depth
        if isinstance(ours, bytes):
            decoded = outcome(lambda raw=ours: codec.decode_doc(raw, Anything))
            expected = outcome(lambda raw=ours: Anything.from_protobuf(DocProto.FromString(raw)))
            assert isinstance(decoded, tuple) is isinstance(expected, tuple), depth
            assert isinstance(decoded, tuple) or same(decoded, expected)
        value = [value] if depth % 2 else {'a': value}


def test_hostile_nesting_is_read_in_linear_time() -> None:
    class Chain(BaseDoc):
        flag: bool = False
        next: Optional['Chain'] = None

    Chain.model_rebuild(_types_namespace={'Chain': Chain})
    node = DocProto()
    for _ in range(18):
        outer = DocProto()
        outer.data['next'].doc.CopyFrom(node)
        outer.data['flag'].text = 'no bool'
        node = outer
    reads = []
    original = document_reader._read_nested

    def counting(*arguments: Any) -> Any:
        reads.append(1)
        return original(*arguments)

    document_reader._read_nested = counting  # type: ignore[assignment]
    try:
        with pytest.raises(SchemaError):
            codec.decode_doc(node.SerializeToString(), Chain)
    finally:
        document_reader._read_nested = original
    assert len(reads) <= 40


class Checked(BaseDoc):
    text: str
    number: float = 0

    @field_validator('text', mode='before')
    @classmethod
    def strip(cls, value: Any) -> Any:
        return value.strip()

    @model_validator(mode='after')
    def double(self) -> Any:
        self.__dict__['number'] *= 2
        return self


class Private(BaseDoc):
    text: str
    _note: list[int] = PrivateAttr(default_factory=lambda: [1])


class PostInit(BaseDoc):
    text: str

    def model_post_init(self, context: Any, /) -> None:
        self.__dict__['text'] += '!'


class OwnInit(BaseDoc):
    text: str

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{**fields, 'text': fields['text'] + '?'})


class Bounded(BaseDoc):
    number: int = Field(gt=0)
    text: str = Field('', alias='other')
    names: list[str] = Field([], max_length=2)


class Frozen(BaseDoc):
    model_config = {'frozen': True}
    text: str


class Forbidding(BaseDoc):
    model_config = {'extra': 'forbid'}
    text: str


class Stripping(BaseDoc):
    model_config = {'str_strip_whitespace': True}
    text: str


class OwnReading(BaseDoc):
    text: str

    @classmethod
    def from_protobuf(cls, message: Any) -> Any:
        return cls(text='own')

    def to_protobuf(self) -> Any:
        return TextDoc(id='own', text='own').to_protobuf()


T = TypeVar('T')


class Box(BaseDoc, Generic[T]):
    content: T


class Around(BaseDoc):
    checked: Checked | None = None
    private: Private | None = None
    post: PostInit | None = None
    own: OwnInit | None = None
    reading: OwnReading | None = None
    many: DocList[Checked] = DocList[Checked]()


SPECIAL: list[Any] = [
    Checked(text=' a '),
    Private(text='a'),
    PostInit(text='a'),
    OwnInit(text='a'),
    Bounded(number=3, names=['a']),
    Frozen(text='a'),
    Forbidding(text='a'),
    Stripping(text=' a '),
    OwnReading(text='a'),
    Box[int](content=3),
    Box[Leaf](content=Leaf(text='a')),
    Around(checked=Checked(text=' b ')),
    Around(private=Private(text='b'), post=PostInit(text='b')),
    Around(own=OwnInit(text='b'), reading=OwnReading(text='b')),
    Around(many=DocList[Checked]([Checked(text=' c ', number=2)])),
    TextDoc(text='a', embedding=[1, 2]),
    ImageDoc(url='a.png', tensor=np.zeros((2, 2, 3))),
    LegacyDocument(text='a', tags={'x': [1]}, chunks=DocList[LegacyDocument]([LegacyDocument(blob=b'b')])),
]


@pytest.mark.parametrize('doc', SPECIAL, ids=lambda doc: type(doc).__name__)
def test_special_classes_behave_as_with_docarray(doc: Any) -> None:
    kind = type(doc)
    docs: Any = DocList[kind]([doc])  # type: ignore[valid-type]
    raw = codec.encode_docs(docs)
    _, inner = codec.split_content(raw)
    assert canonical(inner) == canonical(docs.to_protobuf().SerializeToString())
    theirs = outcome(lambda: reference_decode(inner, DocList[kind]))  # type: ignore[valid-type]
    for _ in range(2):
        ours = outcome(lambda: codec.decode_docs(raw, DocList[kind]))  # type: ignore[valid-type]
        assert same(ours, theirs) or (isinstance(theirs, tuple) and theirs[1] in ours[1])


def test_which_classes_need_no_validation() -> None:
    direct = [Leaf, Inner, TextDoc, ImageDoc, Forbidding, Box[int]]
    validated = [Checked, Private, PostInit, OwnInit, Bounded, Frozen, Stripping, Around]
    for kind in direct + validated:
        read: Any = document_reader._plan(kind).read
        assert read.__name__ == ('read_direct' if kind in direct else 'read_validated'), kind
    assert document_reader._plan(OwnReading).read is None


def test_decoded_documents_are_whole() -> None:
    inner = Inner(name='n', leaf=Leaf(text='t', vector=np.arange(3)), leaves=DocList[Leaf]([Leaf(text='u')]))
    decoded = round_trip(inner)
    assert decoded.model_fields_set == {'id', 'name', 'leaf', 'leaves'}
    assert decoded.model_fields_set is not round_trip(inner).model_fields_set
    for copied in (
        pickle.loads(pickle.dumps(decoded)),
        copy.copy(decoded),
        copy.deepcopy(decoded),
        decoded.model_copy(deep=True),
    ):
        assert same(copied, decoded) or copied == decoded
        assert copied.model_fields_set == decoded.model_fields_set
    with pytest.raises(ValidationError):
        decoded.name = 3
    decoded.leaf.vector = [1, 2]
    assert isinstance(decoded.leaf.vector, NdArray)
    decoded.leaves.append(Leaf(text='v'))
    with pytest.raises(ValueError, match='is not a'):
        decoded.leaves.append(TextDoc())
    assert decoded.leaves.text == ['u', 'v']
    assert codec.doc_to_json(decoded) == codec.doc_to_json(Inner.from_protobuf(decoded.to_protobuf()))
    del decoded.leaf
    private = codec.decode_doc(codec.encode_doc(Private(text='a')), Private)
    # docarray's own __getattr__ hides private attributes, but they are there.
    assert private.__pydantic_private__ == {'_note': [1]}


def test_document_vectors() -> None:
    class Row(BaseDoc):
        text: str
        number: int | None = None

    # No tensors: those of numpy 2 can't be stacked by docarray.
    rows = DocList[Row]([Row(text=str(i)) for i in range(3)])
    vectors = DocVec[Row](rows)
    view = vectors[1]
    assert view.is_view()
    assert DocProto.FromString(codec.encode_doc(view)) == view.to_protobuf()
    decoded = codec.decode_docs(codec.encode_docs(vectors), DocVec[Row])
    assert isinstance(decoded, DocVec)
    assert list(decoded.text) == ['0', '1', '2']


def test_lists_of_an_own_class() -> None:
    class Leaves(DocList[Leaf]):  # type: ignore[misc]
        pass

    class Counted(DocList[Leaf]):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.count = len(self)

    raw = codec.encode_docs(DocList[Leaf]([Leaf(text='a')]))
    assert type(codec.decode_docs(raw, Leaves)) is Leaves
    assert codec.decode_docs(raw, Counted).count == 1
    assert codec.encode_docs(Leaves([Leaf(id='1', text='a')])) == codec.encode_docs(
        DocList[Leaf]([Leaf(id='1', text='a')])
    )


def test_a_class_that_is_built_anew_is_read_anew() -> None:
    class Growing(BaseDoc):
        text: str

    raw = codec.encode_doc(Leaf(id='1', text='7'))
    assert codec.decode_doc(raw, Growing).text == '7'
    Growing.model_fields['text'].annotation = ID
    Growing.model_rebuild(force=True)
    assert type(codec.decode_doc(raw, Growing).text) is ID


def test_a_class_may_travel_by_value_after_it_was_used() -> None:
    class Traveller(BaseDoc):
        text: str
        inner: Leaf | None = None

    raw = codec.encode_doc(Traveller(id='1', text='a'))
    assert codec.decode_doc(raw, Traveller).text == 'a'
    # All that a class holds is pickled then; what was compiled stays behind.
    assert pickle.loads(pickle.dumps(vars(Traveller)['__jina_plan__'])).read is None

    class Heir(Traveller):
        more: int = 1

    assert document_reader._plan(Heir).read is not document_reader._plan(Traveller).read
    assert codec.decode_doc(raw, Heir).more == 1


def test_forward_references_are_resolved_by_the_first_document() -> None:
    class Early(BaseDoc):
        later: Optional['Later'] = None  # type: ignore[name-defined]

    class Later(BaseDoc):
        text: str

    Early.model_rebuild(_types_namespace={'Later': Later})
    early = Early(later=Later(text='a'))
    assert same(round_trip(early), Early.from_protobuf(early.to_protobuf()))


def test_messages_of_other_writers_are_read() -> None:
    """Fields in another order, twice, unknown, or not at all: docarray's reading counts."""
    entry = codec.field(1, codec.field(1, b'text') + codec.field(2, codec.field(1, b'a')))
    swapped = codec.field(1, codec.field(2, codec.field(1, b'b')) + codec.field(1, b'text'))
    empty = codec.field(1, codec.field(1, b'text'))
    unknown = codec.field(9, b'?')
    extra = codec.field(1, codec.field(1, b'zzz') + codec.field(2, codec.field(1, b'z')))
    broken = codec.field(1, codec.field(1, b'zzz') + codec.field(2, b'\x0a\x09z'))
    for raw in (
        entry,
        swapped,
        entry + swapped,
        swapped + entry,
        entry + entry,
        entry + unknown,
        entry + extra,
        empty,
        broken,
        b'',
    ):
        theirs = outcome(lambda raw=raw: Leaf.from_protobuf(DocProto.FromString(raw)))
        ours = outcome(lambda raw=raw: codec.decode_doc(raw, Leaf))
        if isinstance(theirs, tuple):
            assert ours[0] in (SchemaError, RequestTypeError)
            assert theirs[1] in ours[1]
        else:
            assert same(ours, theirs)


def test_broken_documents_behind_unfitting_ones_are_reported_as_broken() -> None:
    unfitting = Anything(value=1).to_protobuf().SerializeToString()
    content = codec.content_of_doc_bytes([unfitting, b'\xff\xff'])
    with pytest.raises(RequestTypeError):
        codec.decode_docs(content, DocList[Leaf])


def test_classes_are_not_kept_alive() -> None:
    def use() -> list[weakref.ref[Any]]:
        class Small(BaseDoc):
            text: str

        class Around(BaseDoc):
            inner: Small

        class Words(str):
            pass

        doc = Around(inner=Small(text='b'))
        doc.inner.__dict__['text'] = Words('a')
        codec.decode_doc(codec.encode_doc(doc), Around)
        return [weakref.ref(Small), weakref.ref(Around), weakref.ref(Words)]

    use()
    gc.collect()
    sizes = [len(cache) for cache in (document_writer._plain, document_writer._writers)]
    for _ in range(5):
        references = use()
    gc.collect()
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]
    assert [len(cache) for cache in (document_writer._plain, document_writer._writers)] == sizes


def test_threads() -> None:
    models: list[Any] = [
        create_model(f'M{index}', __base__=BaseDoc, text=(str, ...), vector=(NdArray, ...)) for index in range(20)
    ]
    failures: list[Any] = []
    start = threading.Barrier(6)

    def work(seed: int) -> None:
        start.wait()
        for round_number in range(8):
            for model in models:
                size = (seed + round_number) % 5 + 1
                doc = model(text='t' * size, vector=np.full(size, seed))
                (decoded,) = codec.decode_docs(codec.encode_docs(DocList([doc])), DocList[model])
                if decoded.text != doc.text or decoded.vector.tolist() != doc.vector.tolist():
                    failures.append((doc, decoded))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
