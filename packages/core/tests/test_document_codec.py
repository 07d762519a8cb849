"""The compiled codec beside docarray's own conversion, on generated classes and values."""

from __future__ import annotations

import copy
import enum
import gc
import pickle
import sys
import threading
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from functools import cached_property
from typing import Any, Dict, Generic, List, Literal, NamedTuple, Optional, Set, Tuple, TypeVar, Union  # noqa: UP035

import numpy as np
import pytest
from docarray import BaseDoc, DocList, DocVec
from docarray.base_doc import AnyDoc
from docarray.documents import ImageDoc, TextDoc
from docarray.documents.legacy import LegacyDocument
from docarray.proto import DocListProto, DocProto, NodeProto
from docarray.typing import (
    ID,
    AnyEmbedding,
    AnyTensor,
    AnyUrl,
    AudioNdArray,
    AudioTensor,
    ImageBytes,
    ImageNdArray,
    ImageTensor,
    ImageUrl,
    NdArray,
    NdArrayEmbedding,
    TextUrl,
    VideoNdArray,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from jina.core import codec, document_reader, document_writer
from jina.core.errors import RequestTypeError, SchemaError
from pydantic import Field, PrivateAttr, ValidationError, create_model, field_validator, model_validator

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

needs_torch = pytest.mark.skipif(torch is None, reason='torch is not installed')
CHECKED = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def same(ours: Any, theirs: Any) -> bool:
    """Returns True if two values can't be told apart: types, order of fields, content, state of documents."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, BaseDoc):
        return (
            ours.__pydantic_fields_set__ == theirs.__pydantic_fields_set__
            and same(ours.__pydantic_extra__, theirs.__pydantic_extra__)
            and same(ours.__pydantic_private__, theirs.__pydantic_private__)
            and (isinstance(ours, AnyDoc) or list(ours.__dict__) == list(theirs.__dict__))
            and all(
                same(value, theirs.__dict__[name])
                for name, value in ours.__dict__.items()
                # Ids that were not sent are made up.
                if name != 'id' or 'id' in theirs.__pydantic_fields_set__ or isinstance(ours, AnyDoc)
            )
            and ours.__dict__.keys() == theirs.__dict__.keys()
        )
    if isinstance(ours, np.ndarray):
        return (
            ours.dtype.str == theirs.dtype.str
            and ours.shape == theirs.shape
            and ours.tobytes() == theirs.tobytes()
            and ours.flags.writeable is theirs.flags.writeable
            and ours.flags.c_contiguous is theirs.flags.c_contiguous
        )
    if torch is not None and isinstance(ours, torch.Tensor):
        return ours.dtype == theirs.dtype and ours.shape == theirs.shape and bool(ours.eq(theirs).all())
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, (list, tuple)):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return bool(ours == theirs or (ours != ours and theirs != theirs))


def canonical(raw: bytes) -> bytes:
    return bytes(DocListProto.FromString(raw).SerializeToString(deterministic=True))


def outcome(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:  # noqa: BLE001
        return type(error), str(error)


def reference_decode(raw: bytes, list_type: Any) -> Any:
    return list_type.from_protobuf(DocListProto.FromString(raw))


def check_both_ways(docs: Any) -> None:
    """Compares encoding and decoding, on the compiled path, with docarray's."""
    list_type: Any = type(docs)
    theirs = docs.to_protobuf().SerializeToString()
    ours = document_writer.write_docs(docs, content=False)
    assert canonical(ours) == canonical(theirs)
    for raw in (ours, theirs):
        decoded = document_reader.read_docs(b'xy' + raw + b'z', 2, len(raw) + 2, list_type)
        assert same(decoded, reference_decode(raw, list_type))
        for message in DocListProto.FromString(raw).docs:
            # Alone, nothing is left to docarray on the quiet.
            alone = message.SerializeToString()
            assert same(document_reader.read_doc(alone, list_type.doc_type), list_type.doc_type.from_protobuf(message))
        for doc in decoded:
            alone = document_writer.write_doc(doc)
            assert DocProto.FromString(alone).SerializeToString(deterministic=True) == DocProto.FromString(
                doc.to_protobuf().SerializeToString()
            ).SerializeToString(deterministic=True)


class Color(str, enum.Enum):
    RED = 'red'
    BLUE = 'blue'


class Size(enum.IntEnum):
    S = 1
    L = 3


class Leaf(BaseDoc):
    text: str
    vector: NdArray | None = None


class Inner(BaseDoc):
    name: str = ''
    leaf: Leaf | None = None
    leaves: DocList[Leaf] = DocList[Leaf]()


TEXTS = st.text(max_size=8)  # long ones have a test of their own
INTS = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 127, 128, -1])
FLOATS = st.floats()
SHAPES = npst.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=4)
DTYPES = st.sampled_from(
    ['<f4', '<f8', '>f4', '<f2', '>i8', '<i4', '|u1', '|i1', '|b1', '<c8', '<c16', '<u2', '<U3', '|S4', '<M8[s]', '<m8[us]']
)


@st.composite
def arrays(draw: Any) -> np.ndarray[Any, Any]:
    dtype = np.dtype(draw(DTYPES))
    shape = draw(SHAPES)
    raw = draw(st.binary(min_size=8, max_size=8))
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    content = (raw * (size // 8 + 1))[:size]
    if dtype.kind == 'U':
        return np.full(shape, 'äb', dtype)
    if dtype.kind == 'b':
        content = bytes(byte & 1 for byte in content)
    array = np.frombuffer(content, dtype).reshape(shape)
    how = draw(st.sampled_from(['plain', 'fortran', 'strided', 'reversed']))
    if how == 'fortran':
        return np.asfortranarray(array)
    if how == 'strided' and array.ndim:
        return np.repeat(array, 2, axis=0)[::2]
    if how == 'reversed' and array.ndim:
        return array[::-1]
    return array.copy()


LEAVES = st.builds(Leaf, id=TEXTS, text=TEXTS, vector=st.none() | arrays())
INNERS = st.builds(
    Inner,
    name=TEXTS,
    leaf=st.none() | LEAVES,
    leaves=st.lists(LEAVES, max_size=2).map(lambda docs: DocList[Leaf](docs)),
)
PLAIN = st.none() | st.booleans() | INTS | FLOATS | TEXTS | st.binary(max_size=8)
NESTED = st.recursive(
    PLAIN | arrays() | TEXTS.map(ID),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3) | st.lists(inner, max_size=2).map(tuple)
    ),
    max_leaves=6,
)

FIELDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, TEXTS),
    (int, INTS),
    (float, FLOATS | INTS),
    (bool, st.booleans()),
    (bytes, st.binary(max_size=300)),
    (ID, TEXTS | st.integers()),
    (Optional[str], st.none() | TEXTS),  # noqa: UP045
    (float | None, st.none() | FLOATS),
    (Optional[bool], st.none() | st.booleans()),  # noqa: UP045
    (bytes | None, st.none() | st.binary(max_size=8)),
    (NdArray, arrays()),
    (NdArray | None, st.none() | arrays()),
    (NdArray[4], npst.arrays(np.float32, (4,))),
    (NdArray[2, 'x'], npst.arrays(np.int16, (2, 3))),  # noqa: F821
    (NdArray['x', ...], npst.arrays(np.int16, (2, 3, 1))),  # noqa: F821
    (AnyTensor, arrays()),
    (Optional[AnyEmbedding], st.none() | arrays()),  # noqa: UP045
    (ImageTensor, arrays()),
    (AudioTensor, arrays()),
    (ImageNdArray, arrays()),
    (NdArrayEmbedding, arrays()),
    (AudioNdArray, arrays()),
    (VideoNdArray, npst.arrays(np.uint8, (2, 2, 3))),
    (ImageBytes, st.binary(max_size=30)),
    (Optional[TextUrl], st.none() | st.sampled_from(['http://h/a.txt', 'a.txt', ''])),  # noqa: UP045
    (AnyUrl, TEXTS),
    (ImageUrl, st.sampled_from(['http://h/a.png', 'a.jpg'])),
    (Literal['a', 'b'], st.sampled_from(['a', 'b'])),
    (Literal[1, 2], st.sampled_from([1, 2])),
    (Color, st.sampled_from(Color)),
    (Size, st.sampled_from(Size)),
    (int | str, INTS | TEXTS),
    (Union[str, float, None], st.none() | FLOATS | TEXTS),  # noqa: UP007
    (Any, NESTED),
    (list, st.lists(NESTED, max_size=3)),
    (list[int], st.lists(INTS, max_size=5)),
    (List[float], st.lists(FLOATS | INTS, max_size=5)),  # noqa: UP006
    (list[str | None], st.lists(st.none() | TEXTS, max_size=5)),
    (list[list[int]], st.lists(st.lists(INTS, max_size=2), max_size=2)),
    (List[NdArray], st.lists(arrays(), max_size=2)),  # noqa: UP006
    (Set[str], st.sets(TEXTS, max_size=4)),  # noqa: UP006
    (set, st.sets(INTS, max_size=4)),
    (Tuple[int, ...], st.lists(INTS, max_size=4).map(tuple)),  # noqa: UP006
    (tuple, st.lists(PLAIN, max_size=3).map(tuple)),
    (Dict[str, Any], st.dictionaries(TEXTS, NESTED, max_size=4)),  # noqa: UP006
    (dict[str, float], st.dictionaries(TEXTS, FLOATS, max_size=4)),
    (dict, st.dictionaries(TEXTS, NESTED, max_size=3)),
    (Optional[Dict[str, int]], st.none() | st.dictionaries(TEXTS, INTS, max_size=3)),  # noqa: UP006, UP045
    (Leaf, LEAVES),
    (Leaf | None, st.none() | LEAVES),
    (Inner, INNERS),
    (DocList[Leaf], st.lists(LEAVES, max_size=3).map(lambda docs: DocList[Leaf](docs))),
    (Optional[DocList[Inner]], st.none() | st.lists(INNERS, max_size=2).map(lambda docs: DocList[Inner](docs))),  # noqa: UP045
    (TextDoc, st.builds(TextDoc, text=st.none() | TEXTS)),
    # Known to the validated plan only: constraints, and types that pydantic alone knows.
    (Tuple[int, str], st.tuples(INTS, TEXTS)),  # noqa: UP006
    (frozenset[int] | None, st.none()),
    (Dict[int, str] | None, st.none()),  # noqa: UP006
    (NdArray | set, arrays()),
]


@st.composite
def schemas(draw: Any) -> tuple[Any, Any]:
    """A document class with up to four fields, and documents of it."""
    chosen = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4))
    names = [f'f{index}' if index else 'größe' for index in range(len(chosen))]
    model = create_model('Made', __base__=BaseDoc, **{name: (field[0], ...) for name, field in zip(names, chosen, strict=True)})
    count = draw(st.integers(0, 3))
    docs = [
        model(id=draw(st.none() | TEXTS), **{name: draw(field[1]) for name, field in zip(names, chosen, strict=True)})
        for _ in range(count)
    ]
    return model, docs


@CHECKED
@given(schemas())
def test_generated_documents_are_converted_as_by_docarray(made: tuple[Any, Any]) -> None:
    model, docs = made
    check_both_ways(DocList[model](docs))


@pytest.mark.parametrize('annotation', [field[0] for field in FIELDS], ids=str)
def test_every_type_is_converted_without_docarray(annotation: Any) -> None:
    model = create_model('Made', __base__=BaseDoc, value=(annotation, ...))
    strategy = next(field[1] for field in FIELDS if field[0] is annotation)

    @settings(deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def check(value: Any) -> None:
        check_both_ways(DocList[model](([model(value=value)])))  # type: ignore[valid-type]

    check()


def is_tensor(annotation: Any) -> bool:
    return any(name in str(annotation) for name in ('Tensor', 'NdArray', 'Embedding'))


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
    if isinstance(theirs, tuple):
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
        assert canonical(document_writer.write_docs(ours, content=False)) == canonical(theirs.to_protobuf().SerializeToString())


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_messages_give_what_docarray_gives(data: Any) -> None:
    class Damaged(BaseDoc):
        text: str | None = None
        number: float = 0
        size: int = 0
        vector: NdArray | None = None
        tags: Dict[str, Any] = {}  # noqa: UP006, RUF012
        leaf: Leaf | None = None
        leaves: DocList[Leaf] | None = None

    leaf = Leaf(id='l', text='t', vector=np.arange(3))
    doc = Damaged(id='1', text='a', number=1, vector=np.ones((2, 2)), tags={'a': [1]}, leaf=leaf, leaves=DocList[Leaf]([leaf]))
    raw = bytearray(document_writer.write_docs(DocList[Damaged]([doc]), content=False))
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
    theirs = outcome(lambda: reference_decode(bytes(raw), DocList[Damaged]))
    try:
        ours: Any = document_reader.read_docs(bytes(raw), 0, len(raw), type(DocList[Damaged]()))
    except Exception:  # noqa: BLE001
        return  # docarray is asked then
    assert not isinstance(theirs, tuple), theirs
    assert same(ours, theirs)


# Values and classes with something special about them.


def round_trip(doc: BaseDoc) -> Any:
    """One document, there and back, compared with docarray at each step."""
    list_type: Any = DocList[type(doc)]  # type: ignore[misc]
    check_both_ways(list_type([doc]))
    return codec.decode_doc(codec.encode_doc(doc), type(doc))


def assert_left_to_docarray(doc: BaseDoc) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011
        document_writer.write_doc(doc)


class Anything(BaseDoc):
    value: Any = None


@pytest.mark.parametrize('dtype', ['<f4', '>f8', '|b1', '<U2', '<M8[D]', [('a', '<i4'), ('b', '>f2')]], ids=str)
@pytest.mark.parametrize('shape', [(0,), (3, 0), (), (1,), (70000,), (200, 100)])
def test_arrays_of_all_sizes(dtype: Any, shape: tuple[int, ...]) -> None:
    class Holder(BaseDoc):
        value: AnyTensor

    docs = DocList[Holder]([Holder(value=np.zeros(shape, dtype)) for _ in range(2)])
    ours = document_writer.write_docs(docs, content=False)
    assert canonical(ours) == canonical(docs.to_protobuf().SerializeToString())
    theirs = outcome(lambda: reference_decode(ours, DocList[Holder]))
    decoded = outcome(lambda: codec.decode_docs(codec.field(1, ours), DocList[Holder]))
    assert same(decoded, theirs) or (decoded[0] is SchemaError and isinstance(theirs, tuple))


def test_large_arrays_in_any_order() -> None:
    base = np.arange(40000, dtype=np.int16).reshape(200, 200)
    for array in (base, base.T, base[::2], base[:, 3:50], np.asfortranarray(base), base[::-1], base.astype('>i2')):
        doc = Anything(value=array)
        assert np.array_equal(round_trip(doc).value, array)
        assert np.array_equal(round_trip(Anything(value=NdArray._docarray_from_native(array))).value, array)


def test_arrays_of_objects_and_subclasses_are_left_to_docarray() -> None:
    assert_left_to_docarray(Anything(value=np.array([object()])))
    for array in (np.ma.masked_array([1.0, 2.0], [True, False]), np.rec.array([(1, 2.0)], dtype=[('a', '<i4'), ('b', '<f4')])):
        round_trip(Anything(value=array))


def test_arrays_are_independent_of_the_message_and_of_each_other() -> None:
    class Holder(BaseDoc):
        small: NdArray
        large: NdArray

    raw = codec.encode_docs(DocList[Holder]([Holder(small=np.zeros(3), large=np.zeros(5000)) for _ in range(2)]))
    before = bytes(raw)
    one, two = codec.decode_docs(raw, DocList[Holder])
    one.small[:] = 1
    one.large[:] = 2
    assert (two.small.sum(), two.large.sum()) == (0, 0)
    assert raw == before
    again = codec.decode_docs(codec.encode_docs(DocList[Holder]([one])), DocList[Holder])[0]
    assert (again.small.sum(), again.large.sum()) == (3, 10000)


def test_long_texts_names_and_ids() -> None:
    long_name = 'n' * 300
    model: Any = create_model('Long', __base__=BaseDoc, **{long_name: (str, ...), 'tags': (dict[str, Any], ...)})
    for size in (127, 128, 1023, 1024, 16383, 16384, 3_000_000):
        round_trip(model(id='i' * size, **{long_name: 'ä' * size}, tags={'k' * size: 'v' * size}))


@pytest.mark.parametrize('value', [2**31, -(2**31) - 1, 10**30, object(), 1j, frozenset([1]), {1: 2}, np.int64(3), '\ud800'])
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
        b"a",
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
    assert DocProto.FromString(document_writer.write_doc(Anything(value={'_hidden': 'h'}))).data['value'].dict.data['_hidden']


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


def test_documents_that_hold_themselves_are_refused() -> None:
    doc = Anything()
    doc.value = [doc]
    with pytest.raises(SchemaError):
        codec.encode_doc(doc)


def test_hostile_nesting_is_read_in_linear_time() -> None:
    class Chain(BaseDoc):
        flag: bool = False
        next: Optional['Chain'] = None  # noqa: UP037, UP045

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


# Classes that pydantic or their author has made special.


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


class Remembering(BaseDoc):
    text: str

    @cached_property
    def shout(self) -> str:
        return self.text.upper()


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
    direct = [Leaf, Inner, TextDoc, ImageDoc, Forbidding, Remembering, Box[int]]
    validated = [Checked, Private, PostInit, OwnInit, Bounded, Frozen, Stripping, Around]
    for kind in direct + validated:
        read: Any = document_reader._plan(kind).read
        assert read.__name__ == ('read_direct' if kind in direct else 'read_validated'), kind
    assert document_reader._plan(OwnReading).read is None


def test_docs_of_a_subclass_are_written_with_all_their_fields() -> None:
    class More(Leaf):
        more: int = 3

    docs = DocList[Leaf]([Leaf(text='a'), More(text='b')])
    raw = document_writer.write_docs(docs, content=False)
    assert canonical(raw) == canonical(docs.to_protobuf().SerializeToString())
    decoded = document_reader.read_docs(raw, 0, len(raw), type(docs))
    assert same(decoded, reference_decode(raw, DocList[Leaf]))
    assert [type(doc) for doc in decoded] == [Leaf, Leaf]


def test_cached_properties_travel_as_docarray_sends_them() -> None:
    doc = Remembering(text='a')
    assert doc.shout == 'A'
    assert DocProto.FromString(document_writer.write_doc(doc)) == doc.to_protobuf()
    assert same(document_reader.read_doc(document_writer.write_doc(doc), Remembering), Remembering.from_protobuf(doc.to_protobuf()))


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
    assert codec.encode_docs(Leaves([Leaf(id='1', text='a')])) == codec.encode_docs(DocList[Leaf]([Leaf(id='1', text='a')]))


def test_a_class_that_is_built_anew_is_read_anew() -> None:
    class Growing(BaseDoc):
        text: str

    raw = codec.encode_doc(Leaf(id='1', text='7'))
    assert codec.decode_doc(raw, Growing).text == '7'
    Growing.model_fields['text'].annotation = ID
    Growing.model_rebuild(force=True)
    assert type(codec.decode_doc(raw, Growing).text) is ID


def test_forward_references_are_resolved_by_the_first_document() -> None:
    class Early(BaseDoc):
        later: Optional['Later'] = None  # type: ignore[name-defined]  # noqa: F821, UP037, UP045

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
    for raw in (entry, swapped, entry + swapped, swapped + entry, entry + entry, entry + unknown, entry + extra, empty, broken, b''):
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


# Caches.


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
    sizes = [len(cache) for cache in (document_reader._plans, document_writer._plain, document_writer._writers)]
    for _ in range(5):
        references = use()
    gc.collect()
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]
    assert [len(cache) for cache in (document_reader._plans, document_writer._plain, document_writer._writers)] == sizes


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


# Memory and speed.


class Vector(BaseDoc):
    text: str
    embedding: NdArray


def test_large_tensors_are_copied_once() -> None:
    import tracemalloc

    size = 8 << 20
    docs = DocList[Vector]([Vector(text='a', embedding=np.zeros(size, np.uint8))])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        raw = codec.encode_docs(docs)
        assert tracemalloc.get_traced_memory()[1] - before < 1.1 * size
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        (decoded,) = codec.decode_docs(raw, DocList[Vector])
        assert tracemalloc.get_traced_memory()[1] - before < 1.1 * size
    finally:
        tracemalloc.stop()
    assert decoded.embedding.nbytes == size
    assert decoded.embedding.flags.writeable


def test_the_codec_is_much_faster_than_docarray() -> None:
    import timeit

    docs = DocList[Vector]([Vector(text='text', embedding=np.zeros(768, np.float32)) for _ in range(20)])
    raw = docs.to_protobuf().SerializeToString()
    content = codec.field(1, raw)

    def fastest(action: Callable[[], Any]) -> float:
        return min(timeit.repeat(action, number=3, repeat=15))

    theirs = fastest(lambda: docs.to_protobuf().SerializeToString())
    assert theirs > 3 * fastest(lambda: codec.encode_docs(docs))
    theirs = fastest(lambda: reference_decode(raw, DocList[Vector]))
    assert theirs > 3 * fastest(lambda: codec.decode_docs(content, DocList[Vector]))


# Torch.


@needs_torch
@pytest.mark.parametrize('dtype', ['float32', 'float16', 'int64', 'uint8', 'bool', 'complex64'])
@pytest.mark.parametrize('shape', [(3,), (2, 3), (), (5000, 3)])
def test_torch_tensors(dtype: str, shape: tuple[int, ...]) -> None:
    from docarray.typing import ImageTorchTensor, TorchEmbedding, TorchTensor

    class Holder(BaseDoc):
        tensor: TorchTensor
        untyped: AnyTensor
        image: ImageTorchTensor
        embedding: AnyEmbedding | None = None
        thing: Any = None
        tags: Dict[str, Any] = {}  # noqa: UP006, RUF012

    def make() -> Any:
        return torch.zeros(shape, dtype=getattr(torch, dtype))

    docs = DocList[Holder](
        [
            Holder(tensor=make(), untyped=make(), image=make(), embedding=make(), thing=make(), tags={'a': make()}),
            Holder(tensor=make().numpy(), untyped=make().numpy(), image=make().permute(*range(len(shape))[::-1]), thing=TorchEmbedding._docarray_from_native(make())),
        ]
    )
    check_both_ways(docs)
    (one, two) = codec.decode_docs(codec.encode_docs(docs), DocList[Holder])
    one.tensor.fill_(True)
    assert not bool(two.tensor.any())


@needs_torch
def test_tensors_change_the_framework_as_with_docarray() -> None:
    from docarray.typing import TorchTensor

    class Torch(BaseDoc):
        tensor: TorchTensor
        shaped: TorchTensor[2, 2]

    class Numpy(BaseDoc):
        tensor: NdArray
        shaped: NdArray[2, 2]

    ones = np.ones((2, 2), np.float32)
    for source in (Numpy(tensor=ones, shaped=ones), Torch(tensor=torch.ones(2, 2), shaped=torch.ones(2, 2))):
        raw = codec.encode_doc(source)
        for target in (Numpy, Torch):
            ours = document_reader.read_doc(raw, target)
            assert same(ours, target.from_protobuf(DocProto.FromString(raw)))
    bad = Torch(tensor=torch.ones(2, 2, dtype=torch.bfloat16), shaped=torch.ones(2, 2))
    with pytest.raises(SchemaError):
        codec.encode_doc(bad)


@needs_torch
def test_gradients_and_views() -> None:
    class Holder(BaseDoc):
        tensor: AnyTensor

    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    for tensor in (weight, weight.T, weight[:, ::2], (weight * 2)):
        doc = Holder(tensor=tensor.detach())
        check_both_ways(DocList[Holder]([doc]))
    doc = Holder(tensor=torch.zeros(2))
    doc.__dict__['tensor'] = torch.zeros(2)
    assert DocProto.FromString(document_writer.write_doc(doc)) == doc.to_protobuf()
