"""Documents to the bytes of docarray's messages (``DocListProto``, ``DocProto``), without building the messages.

docarray encodes a field by the value that it holds, not by its annotation, and so does this module: each class of values
has a writer, found by its exact type and resolved once. A writer appends the bytes of a ``NodeProto`` to a list of parts
and returns their number; what must stand in front of them (tags and lengths) is filled in afterwards, and one join
makes the message. Large tensors are parts themselves, so their content is copied once, by the join.

Whatever is not known here is encoded by docarray, value by value. If anything fails, the
caller lets docarray encode the whole, so that its errors are the ones that users see.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import numpy as np
from docarray import BaseDoc, DocList
from docarray.array.any_array import AnyDocArray
from docarray.base_doc.base_node import BaseNode
from docarray.base_doc.doc import BaseDocWithoutId
from docarray.base_doc.mixins import IOMixin
from docarray.base_doc.mixins.io import _type_to_protobuf
from docarray.typing import ID, AnyUrl, AudioNdArray, ImageNdArray, NdArray, NdArrayEmbedding
from docarray.typing.bytes.base_bytes import BaseBytes
from docarray.typing.proto_register import _PROTO_TYPE_NAME_TO_CLASS
from docarray.typing.tensor.abstract_tensor import AbstractTensor
from pydantic import BaseModel

from jina.core.protobuf_bytes import field, field_head, size_bytes, varint
from jina.core.weak_types import TypeCache

Parts = list[Any]
"""Pieces of the message in order: bytes, and arrays that give theirs."""

Writer = Callable[[Any, Parts, int], int]
"""Takes a value, the parts to append to, and the depth of documents and containers; returns the number of bytes."""

Frame = tuple[bytes, bytes, int]
"""What stands before and after a content, and the size of the whole."""

MAX_DEPTH: Final = 20
"""Documents and containers within each other; protobuf refuses messages within messages at five times as many."""

_CACHE_SIZE: Final = 4096
_LONG: Final = 1024
_LARGE: Final = 1 << 14
"""Bytes from which on a copy costs more than the exporting of a buffer."""

_writers: Final[TypeCache[Writer]] = TypeCache()
_known: Final = _writers.facts
_plain: Final[TypeCache[bool]] = TypeCache()
_frames: Final[dict[tuple[Any, ...], Frame]] = {}
_array_kinds: Final = frozenset({np.ndarray, NdArray, NdArrayEmbedding, ImageNdArray, AudioNdArray})
_field_heads: Final[dict[tuple[str, int], bytes]] = {}
_message_heads: Final[dict[int, bytes]] = {}
_key_heads: Final[dict[tuple[str, int], bytes]] = {}
_pack_double: Final = struct.Struct('<Bd').pack
_TEXTS: Final = tuple(field_head(1, size) for size in range(128))
_ID_TAIL: Final = field(13, b'id')
_BOOLS: Final = {False: b'\x20\x00', True: b'\x20\x01'}


def docs_parts(docs: DocList[Any]) -> tuple[Parts, int]:
    """Returns the pieces of documents as a ``DocListProto``, after an empty one, and their size.

    Raises:
        NotImplementedError: docarray has to do it.
        Exception: A value can't be encoded; docarray's own error is better.
    """
    if not _is_plain_list(type(docs)):
        raise NotImplementedError
    parts: Parts = [b'']
    return parts, _write_documents(docs, parts, 0)


def write_docs(docs: DocList[Any], front: Callable[[int], bytes] | None = None) -> bytes:
    """Returns documents as a ``DocListProto``.

    Args:
        docs: The documents.
        front: Takes the size of the list in bytes and returns what to put in front of it.

    Raises:
        NotImplementedError: docarray has to do it.
        Exception: A value can't be encoded; docarray's own error is better.
    """
    parts, size = docs_parts(docs)
    if front is not None:
        parts[0] = front(size)
    return b''.join(parts)


def write_doc(doc: BaseDoc) -> bytes:
    """Returns a document as a ``DocProto``.

    Raises:
        NotImplementedError: docarray has to do it.
        Exception: A value can't be encoded; docarray's own error is better.
    """
    if not _is_plain_doc(type(doc)):
        raise NotImplementedError
    parts: Parts = []
    _write_fields(doc, parts, 0)
    return b''.join(parts)


def _is_plain_doc(kind: type) -> bool:
    """Returns True for documents that docarray encodes by its own methods, field by field."""
    known = _plain.get(kind)
    if known is None:
        methods: Any = kind
        known = _plain.put(
            kind,
            issubclass(kind, BaseDocWithoutId)
            and methods.to_protobuf is IOMixin.to_protobuf
            and methods._to_node_protobuf is IOMixin._to_node_protobuf
            and methods.__iter__ is BaseModel.__iter__
            and methods.__getattribute__ is object.__getattribute__,
        )
    return known


def _is_plain_list(kind: type) -> bool:
    """Returns True for document lists that docarray encodes by its own methods, document by document."""
    known = _plain.get(kind)
    if known is None:
        methods: Any = kind
        known = _plain.put(
            kind,
            issubclass(kind, DocList)
            and methods.to_protobuf is DocList.to_protobuf
            and methods._to_node_protobuf is AnyDocArray._to_node_protobuf,
        )
    return known


def _write_documents(docs: Iterable[Any], parts: Parts, depth: int) -> int:
    total = 0
    kind = None
    for doc in docs:
        if type(doc) is not kind:
            kind = type(doc)
            if not _is_plain_doc(kind):
                raise NotImplementedError
        place = len(parts)
        parts.append(b'')
        size = _write_fields(doc, parts, depth)
        head = _message_heads.get(size) or _message_head(size)
        parts[place] = head
        total += size + len(head)
    return total


def _message_head(size: int) -> bytes:
    """Returns what stands in front of a message in field 1."""
    head = b'\n' + size_bytes(size)
    if len(_message_heads) < _CACHE_SIZE:
        _message_heads[size] = head
    return head


def _write_fields(doc: Any, parts: Parts, depth: int) -> int:
    """Writes the fields of a document as the entries of the map in a ``DocProto``.

    Texts and arrays, the most common values, are written here: a call for each would cost as much as its work. What
    stands around their content depends on few facts, which ``_frames`` remembers.
    """
    if depth > MAX_DEPTH:
        raise NotImplementedError
    total = 0
    for name, value in doc.__dict__.items():
        kind = type(value)
        if kind is ID or kind is str:
            raw = value.encode()
            frame = _frames.get((name, kind, len(raw))) or _text_frame(name, kind, len(raw))
        elif kind in _array_kinds:
            frame = _frames.get((name, kind, value.shape, value.dtype)) or _named_array_frame(name, kind, value)
            raw = value.tobytes() if frame[2] < _LARGE else _content(value)
        else:
            nothing = _field_heads.get((name, 0)) if value is None else None
            if nothing is None:
                total += _write_field(name, value, parts, depth)
            else:
                parts.append(nothing)
                total += len(nothing)
            continue
        head, foot, size = frame
        if size:
            parts += (head, raw, foot) if foot else (head, raw)
            total += size
    extra = doc.__pydantic_extra__
    return total + _write_entries(extra, parts, depth) if extra else total


def _write_field(name: str, value: Any, parts: Parts, depth: int) -> int:
    place = len(parts)
    parts.append(b'')
    write = _known.get(id(type(value))) or writer_of(type(value))
    size = write(value, parts, depth)
    head = _field_heads.get((name, size))
    if head is None:
        if name.startswith('_'):
            del parts[place:]
            return 0
        head = _remember(_field_heads, name, size)
    parts[place] = head
    return size + len(head)


def _text_frame(name: str, kind: type, size: int) -> Frame:
    """Returns what surrounds a text of ``size`` bytes, from the head of its field to the end of its node."""
    tail = _ID_TAIL if kind is ID else b''
    head = field_head(1, size)
    return _frame((name, kind, size), head, tail, len(head) + size + len(tail))


def _named_array_frame(name: str, kind: Any, value: Any) -> Frame:
    tail = field(13, (kind if issubclass(kind, NdArray) else NdArray)._proto_type_name.encode())
    return _frame((name, kind, value.shape, value.dtype), *_array_frame(value.shape, value.dtype, tail))


def _frame(key: tuple[Any, ...], head: bytes, foot: bytes, size: int) -> Frame:
    name: str = key[0]
    if name.startswith('_'):
        return b'', b'', 0  # docarray leaves out what a document has beside its fields under such names
    front = _entry_head(name, size)
    frame = front + head, foot, len(front) + size
    if len(_frames) >= _CACHE_SIZE:
        _frames.clear()
    if len(front) < _LONG and (len(key) > 3 or key[2] < _LONG):
        _frames[key] = frame
    return frame


def _write_entries(values: Any, parts: Parts, depth: int) -> int:
    """Writes a dict as the entries of a map."""
    total = 0
    for name, value in values.items():
        if type(name) is not str:
            raise NotImplementedError
        place = len(parts)
        parts.append(b'')
        write = _known.get(id(type(value))) or writer_of(type(value))
        size = write(value, parts, depth)
        head = _key_heads.get((name, size)) or _remember(_key_heads, name, size)
        parts[place] = head
        total += size + len(head)
    return total


def _remember(heads: dict[tuple[str, int], bytes], name: str, size: int) -> bytes:
    """Returns what stands in front of the node of a map entry, and keeps it while there is room."""
    head = _entry_head(name, size)
    if len(heads) >= _CACHE_SIZE:
        heads.clear()
    if len(name) < _LONG:
        heads[name, size] = head
    return head


def _entry_head(name: str, size: int) -> bytes:
    inner = field(1, name.encode()) + field_head(2, size)
    return field_head(1, len(inner) + size) + inner


def writer_of(kind: type) -> Writer:
    """Returns the writer for values of a class."""
    return _writers.get(kind) or _writers.put(kind, _resolve(kind))


def _resolve(kind: type) -> Writer:
    methods: Any = kind
    if issubclass(kind, BaseNode):
        return _resolve_node(kind, methods._to_node_protobuf)
    torch_tensor = _PROTO_TYPE_NAME_TO_CLASS.get('torch_tensor')
    foreign = tuple(base for base in (np.ndarray, torch_tensor and torch_tensor.__mro__[1]) if base)
    if kind is np.ndarray:
        return _array_writer('ndarray')
    if not issubclass(kind, foreign):
        # docarray asks in this order, and takes the first that fits.
        for base, writer in _BASIC:
            if issubclass(kind, base):
                return writer
    return _write_as_docarray


def _resolve_node(kind: Any, method: Any) -> Writer:
    name = getattr(kind, '_proto_type_name', None)
    if issubclass(kind, BaseDocWithoutId):
        return _write_document if _is_plain_doc(kind) else _write_as_docarray
    if issubclass(kind, DocList):
        return _write_document_list if _is_plain_list(kind) else _write_as_docarray
    if not isinstance(name, str):
        return _write_as_docarray
    if method is AbstractTensor._to_node_protobuf:
        if kind.to_protobuf is NdArray.to_protobuf:
            return _array_writer(name)
        torch_tensor: Any = _PROTO_TYPE_NAME_TO_CLASS.get('torch_tensor')
        if torch_tensor is not None and kind.to_protobuf is torch_tensor.to_protobuf:
            return _torch_writer(name)
    elif issubclass(kind, str) and method in (ID._to_node_protobuf, AnyUrl._to_node_protobuf):
        # A URL goes through str(), which a subclass may have changed.
        if kind.__str__ is str.__str__:
            return _text_writer(name)
    elif issubclass(kind, bytes) and method is BaseBytes._to_node_protobuf:
        return _bytes_writer(field(13, name.encode()))
    return _write_as_docarray


def _write_as_docarray(value: Any, parts: Parts, depth: int) -> int:
    raw = _type_to_protobuf(value).SerializeToString()
    parts.append(raw)
    return len(raw)


def _write_text(value: str, parts: Parts, depth: int) -> int:
    raw = str.encode(value)
    size = len(raw)
    if size < 128:
        parts.append(_TEXTS[size] + raw)
        return size + 2
    head = field_head(1, size)
    parts.append(head)
    parts.append(raw)
    return size + len(head)


def _text_writer(name: str) -> Writer:
    """Returns a writer for texts with a type name."""
    tail = field(13, name.encode())
    extra = len(tail) + 2

    def write_typed_text(value: str, parts: Parts, depth: int) -> int:
        raw = str.encode(value)
        size = len(raw)
        if size < 128:
            parts.append(_TEXTS[size] + raw + tail)
            return size + extra
        head = field_head(1, size)
        parts += (head, raw, tail)
        return size + len(head) + len(tail)

    return write_typed_text


def _bytes_writer(tail: bytes) -> Writer:
    def write_bytes(value: bytes, parts: Parts, depth: int) -> int:
        head = field_head(5, len(value))
        parts += (head, value, tail)
        return len(value) + len(head) + len(tail)

    return write_bytes


def _write_bool(value: bool, parts: Parts, depth: int) -> int:
    parts.append(_BOOLS[value])
    return 2


def _write_int(value: int, parts: Parts, depth: int) -> int:
    if not -0x80000000 <= value <= 0x7FFFFFFF:
        raise NotImplementedError
    number = int(value)
    raw = b'\x10' + (size_bytes(number) if number >= 0 else varint(number + (1 << 64)))
    parts.append(raw)
    return len(raw)


def _write_float(value: float, parts: Parts, depth: int) -> int:
    parts.append(_pack_double(0x19, value))
    return 9


def _write_nothing(value: None, parts: Parts, depth: int) -> int:
    return 0


def _write_document(value: Any, parts: Parts, depth: int) -> int:
    place = len(parts)
    parts.append(b'')
    size = _write_fields(value, parts, depth + 1)
    parts[place] = head = field_head(7, size)
    return size + len(head)


def _write_document_list(value: Any, parts: Parts, depth: int) -> int:
    place = len(parts)
    parts.append(b'')
    size = _write_documents(value, parts, depth + 1)
    parts[place] = head = field_head(8, size)
    return size + len(head)


def _sequence_writer(number: int) -> Writer:
    def write_sequence(value: Iterable[Any], parts: Parts, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise NotImplementedError
        start = len(parts)
        parts.append(b'')
        total = 0
        for item in value:
            place = len(parts)
            parts.append(b'')
            write = _known.get(id(type(item))) or writer_of(type(item))
            size = write(item, parts, depth + 1)
            parts[place] = head = _message_heads.get(size) or _message_head(size)
            total += size + len(head)
        parts[start] = head = field_head(number, total)
        return total + len(head)

    return write_sequence


def _write_dict(value: Any, parts: Parts, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise NotImplementedError
    place = len(parts)
    parts.append(b'')
    size = _write_entries(value, parts, depth + 1)
    parts[place] = head = field_head(12, size)
    return size + len(head)


def _array_writer(name: str) -> Writer:
    """Returns a writer for numpy arrays.

    What surrounds the content of an array depends on shape and dtype only, and is kept.
    """
    tail = field(13, name.encode())
    frames: dict[tuple[Any, Any], Frame] = {}

    def write_array(value: Any, parts: Parts, depth: int) -> int:
        shape = value.shape
        dtype = value.dtype
        frame = frames.get((shape, dtype))
        if frame is None:
            if len(frames) >= _CACHE_SIZE:
                frames.clear()
            frames[shape, dtype] = frame = _array_frame(shape, dtype, tail)
        head, foot, size = frame
        parts += (head, _content(value), foot)
        return size

    return write_array


def _content(value: Any) -> Any:
    """Returns the bytes of an array in C order, or of a large one an array over them."""
    if value.nbytes >= _LARGE and value.flags.c_contiguous:
        return value.reshape(-1).view(np.uint8)
    return value.tobytes()


def _array_frame(shape: tuple[int, ...], dtype: np.dtype[Any], tail: bytes) -> Frame:
    """Returns what stands before and after the content of an array in its node, and the size of the node."""
    if dtype.hasobject:
        raise NotImplementedError  # docarray sends the addresses of the objects, which only it may answer for
    content = dtype.itemsize
    for length in shape:
        if length > 0xFFFFFFFF:
            raise NotImplementedError
        content *= length
    facts = field(3, dtype.str.encode())
    if shape:
        facts = field(2, b''.join(size_bytes(length) for length in shape)) + facts
    head = field_head(1, content) if content else b''
    dense = len(head) + content + len(facts)
    head = field_head(1, dense) + head
    head = field_head(6, len(head) + content + len(facts)) + head
    foot = facts + tail
    return head, foot, len(head) + content + len(foot)


def _torch_writer(name: str) -> Writer:
    write_array = _array_writer(name)

    def write_tensor(value: Any, parts: Parts, depth: int) -> int:
        return write_array(value.detach().cpu().numpy(), parts, depth)

    return write_tensor


_BASIC: Final[tuple[tuple[type, Writer], ...]] = (
    (str, _write_text),
    (bool, _write_bool),
    (int, _write_int),
    (float, _write_float),
    (bytes, _bytes_writer(b'')),
    (list, _sequence_writer(9)),
    (set, _sequence_writer(10)),
    (tuple, _sequence_writer(11)),
    (dict, _write_dict),
    (type(None), _write_nothing),
)

for _kind in (str, bool, int, float, bytes, list, set, tuple, dict, type(None), np.ndarray, ID, NdArray):
    writer_of(cast('type', _kind))
