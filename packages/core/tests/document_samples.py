"""Documents of many kinds, and comparisons of what the codec does with docarray's own conversion."""


# ruff: noqa: UP006, UP007, UP035, UP045 - the forms of annotations are what is tested

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Dict, List, Literal, Optional, Set, Tuple, Union

import numpy as np
from docarray import BaseDoc, DocList
from docarray.base_doc import AnyDoc
from docarray.documents import TextDoc
from docarray.proto import DocListProto, DocProto
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
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from jina.core import codec, document_reader, document_writer
from pydantic import create_model

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]


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
    except Exception as error:
        return type(error), str(error)


def reference_decode(raw: bytes, list_type: Any) -> Any:
    return list_type.from_protobuf(DocListProto.FromString(raw))


def check_both_ways(docs: Any) -> None:
    """Compares encoding and decoding, on the compiled path, with docarray's."""
    list_type: Any = type(docs)
    theirs = docs.to_protobuf().SerializeToString()
    ours = document_writer.write_docs(docs)
    assert canonical(ours) == canonical(theirs)
    for raw in (ours, theirs):
        decoded = document_reader.read_docs(b'xy' + raw + b'z', 2, len(raw) + 2, list_type)
        assert same(decoded, reference_decode(raw, list_type))
        # The second time, documents are read by the skeletons of the first.
        again = document_reader.read_docs(raw + raw, 0, 2 * len(raw), list_type)
        assert same(again, reference_decode(raw + raw, list_type))
        for message in DocListProto.FromString(raw).docs:
            # Alone, nothing is left to docarray on the quiet.
            alone = message.SerializeToString()
            assert same(document_reader.read_doc(alone, list_type.doc_type), list_type.doc_type.from_protobuf(message))
        for doc in decoded:
            alone = document_writer.write_doc(doc)
            assert DocProto.FromString(alone).SerializeToString(deterministic=True) == DocProto.FromString(
                doc.to_protobuf().SerializeToString()
            ).SerializeToString(deterministic=True)


def round_trip(doc: BaseDoc) -> Any:
    """One document, there and back, compared with docarray at each step."""
    list_type: Any = DocList[type(doc)]  # type: ignore[misc]
    check_both_ways(list_type([doc]))
    return codec.decode_doc(codec.encode_doc(doc), type(doc))


def is_tensor(annotation: Any) -> bool:
    return any(name in str(annotation) for name in ('Tensor', 'NdArray', 'Embedding'))


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


class Anything(BaseDoc):
    value: Any = None


TEXTS = st.text(max_size=8)  # long ones have a test of their own


INTS = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 127, 128, -1])


FLOATS = st.floats()


SHAPES = npst.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=4)


DTYPES = st.sampled_from(
    [
        '<f4',
        '<f8',
        '>f4',
        '<f2',
        '>i8',
        '<i4',
        '|u1',
        '|i1',
        '|b1',
        '<c8',
        '<c16',
        '<u2',
        '<U3',
        '|S4',
        '<M8[s]',
        '<m8[us]',
    ]
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
    (Optional[str], st.none() | TEXTS),
    (float | None, st.none() | FLOATS),
    (Optional[bool], st.none() | st.booleans()),
    (bytes | None, st.none() | st.binary(max_size=8)),
    (NdArray, arrays()),
    (NdArray | None, st.none() | arrays()),
    (NdArray[4], npst.arrays(np.float32, (4,))),
    (NdArray[2, 'x'], npst.arrays(np.int16, (2, 3))),
    (NdArray['x', ...], npst.arrays(np.int16, (2, 3, 1))),
    (AnyTensor, arrays()),
    (Optional[AnyEmbedding], st.none() | arrays()),
    (ImageTensor, arrays()),
    (AudioTensor, arrays()),
    (ImageNdArray, arrays()),
    (NdArrayEmbedding, arrays()),
    (AudioNdArray, arrays()),
    (VideoNdArray, npst.arrays(np.uint8, (2, 2, 3))),
    (ImageBytes, st.binary(max_size=30)),
    (Optional[TextUrl], st.none() | st.sampled_from(['http://h/a.txt', 'a.txt', ''])),
    (AnyUrl, TEXTS),
    (ImageUrl, st.sampled_from(['http://h/a.png', 'a.jpg'])),
    (Literal['a', 'b'], st.sampled_from(['a', 'b'])),
    (Literal[1, 2], st.sampled_from([1, 2])),
    (Color, st.sampled_from(Color)),
    (Size, st.sampled_from(Size)),
    (int | str, INTS | TEXTS),
    (Union[str, float, None], st.none() | FLOATS | TEXTS),
    (Any, NESTED),
    (list, st.lists(NESTED, max_size=3)),
    (list[int], st.lists(INTS, max_size=5)),
    (List[float], st.lists(FLOATS | INTS, max_size=5)),
    (list[str | None], st.lists(st.none() | TEXTS, max_size=5)),
    (list[list[int]], st.lists(st.lists(INTS, max_size=2), max_size=2)),
    (List[NdArray], st.lists(arrays(), max_size=2)),
    (Set[str], st.sets(TEXTS, max_size=4)),
    (set, st.sets(INTS, max_size=4)),
    (Tuple[int, ...], st.lists(INTS, max_size=4).map(tuple)),
    (tuple, st.lists(PLAIN, max_size=3).map(tuple)),
    (Dict[str, Any], st.dictionaries(TEXTS, NESTED, max_size=4)),
    (dict[str, float], st.dictionaries(TEXTS, FLOATS, max_size=4)),
    (dict, st.dictionaries(TEXTS, NESTED, max_size=3)),
    (Optional[Dict[str, int]], st.none() | st.dictionaries(TEXTS, INTS, max_size=3)),
    (Leaf, LEAVES),
    (Leaf | None, st.none() | LEAVES),
    (Inner, INNERS),
    (DocList[Leaf], st.lists(LEAVES, max_size=3).map(lambda docs: DocList[Leaf](docs))),
    (Optional[DocList[Inner]], st.none() | st.lists(INNERS, max_size=2).map(lambda docs: DocList[Inner](docs))),
    (TextDoc, st.builds(TextDoc, text=st.none() | TEXTS)),
    # Known to the validated plan only: constraints, and types that pydantic alone knows.
    (Tuple[int, str], st.tuples(INTS, TEXTS)),
    (frozenset[int] | None, st.none()),
    (Dict[int, str] | None, st.none()),
    (NdArray | set, arrays()),
]


@st.composite
def schemas(draw: Any) -> tuple[Any, Any]:
    """A document class with up to four fields, and documents of it."""
    chosen = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4))
    names = [f'f{index}' if index else 'größe' for index in range(len(chosen))]
    model = create_model(
        'Made', __base__=BaseDoc, **{name: (field[0], ...) for name, field in zip(names, chosen, strict=True)}
    )
    count = draw(st.integers(0, 3))
    docs = [
        model(id=draw(st.none() | TEXTS), **{name: draw(field[1]) for name, field in zip(names, chosen, strict=True)})
        for _ in range(count)
    ]
    return model, docs
