"""Readers of single values: from the bytes of docarray's ``NodeProto`` to what a field of a document holds.

A reader takes the data, the position and the end of a node, and the depth of documents and containers, and returns the
value. It knows the one form in which encoders write a value (fields in order, each once, numbers as short as they can
be); for anything else, and for whatever doesn't fit the field, it raises, and docarray decides about the document.

There are two sorts. The *typed* ones of ``typed_reader`` give what pydantic's validation makes of a value of the
expected kind. ``read_raw`` gives the value as docarray passes it to the validation.
"""

from __future__ import annotations

import enum
import struct
import typing
from collections.abc import Callable
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from docarray.typing import ID, AnyUrl
from docarray.typing.bytes.base_bytes import BaseBytes
from docarray.typing.proto_register import _PROTO_TYPE_NAME_TO_CLASS
from docarray.typing.tensor.abstract_tensor import AbstractTensor

from jina.core.protobuf_bytes import UNUSUAL, entries, field, items, payload, read_varint, whole
from jina.core.skeletons import Convert, Locate
from jina.core.tensor_readers import Reader, read_raw_tensor, same_methods, tensor_locator, tensor_reader

MAX_DEPTH: Final = 20
"""Documents and containers within each other; protobuf refuses messages within messages at five times as many."""

_NONE: Final = type(None)
_ID_TAIL: Final = field(13, b'id')
_LARGE: Final = 1 << 14
_double: Final = struct.Struct('<d').unpack_from


def typed_reader(annotation: Any, *, nested: Callable[[Any], Reader | None]) -> Reader | None:
    """Returns the reader for a field, or None if only pydantic knows what becomes of a value.

    Args:
        annotation: Of the field.
        nested: Gives the reader for documents and document lists, or None.
    """
    nullable = False
    origin = get_origin(annotation)
    if origin is Union or origin is UnionType:
        members = get_args(annotation)
        if len(members) != 2 or members[1] is not _NONE:
            return _union_reader(members)
        annotation, nullable = members[0], True
        origin = get_origin(annotation)
    if annotation is Any or annotation is object:
        return read_raw
    reader = _leaf_reader(annotation, nullable)
    if reader is not None:
        return reader
    reader = nested(annotation) or _container_reader(annotation, origin, nested)
    return _optional(reader) if reader is not None and nullable else reader


def locator(annotation: Any, read: Reader) -> Locate:
    """Returns what finds the content in a node of a field.

    Args:
        annotation: Of the field.
        read: The reader for the field.
    """
    if read is _read_text:
        return _locate_text
    if read is _read_id:
        return _locate_id
    if isinstance(annotation, type) and not get_origin(annotation) and issubclass(annotation, AbstractTensor):
        locate_tensor = tensor_locator(annotation)
        if locate_tensor is not None:
            return locate_tensor

    def locate_node(data: bytes, position: int, stop: int) -> tuple[int, int, Convert]:
        return position, stop, lambda node: read(node, 0, len(node), 0)

    return locate_node


def _locate_text(data: bytes, position: int, stop: int) -> tuple[int, int, Convert]:
    return whole(data, position, stop, 10), stop, bytes.decode


def _locate_id(data: bytes, position: int, stop: int) -> tuple[int, int, Convert]:
    start, end = payload(data, position, stop, 10)
    if end != stop and data[end:stop] != _ID_TAIL:
        raise ValueError(UNUSUAL)
    return start, end, lambda content: ID(content.decode())


def _leaf_reader(annotation: Any, nullable: bool) -> Reader | None:
    if annotation is str:
        return _read_optional_text if nullable else _read_text
    if annotation is ID:
        return _read_optional_id if nullable else _read_id
    simple = _SIMPLE.get(annotation) if isinstance(annotation, type) and annotation in _SIMPLE_KINDS else None
    if simple is None and get_origin(annotation) is Literal:
        simple = _choice_reader({choice: choice for choice in get_args(annotation)})
    if simple is None and isinstance(annotation, type) and not get_origin(annotation):
        simple = _class_reader(annotation)
    return _optional(simple) if simple is not None and nullable else simple


def _class_reader(kind: Any) -> Reader | None:
    if issubclass(kind, AbstractTensor):
        return tensor_reader(kind)
    if issubclass(kind, enum.Enum) and not hasattr(kind, '__get_pydantic_core_schema__'):
        # Only members that are texts or integers themselves have a form on the wire.
        return _choice_reader({member.value: member for member in kind}) if issubclass(kind, (str, int)) else None
    if issubclass(kind, AnyUrl) and kind.__get_pydantic_core_schema__ is AnyUrl.__get_pydantic_core_schema__:
        return _url_reader(kind)
    if issubclass(kind, BaseBytes) and same_methods(
        kind, BaseBytes, '_docarray_validate', '__get_pydantic_core_schema__'
    ):
        return _bytes_reader(kind)
    return None


def _optional(read: Reader) -> Reader:
    def read_optional(data: bytes, position: int, stop: int, depth: int) -> Any:
        return None if position == stop else read(data, position, stop, depth)

    return read_optional


def _read_text(data: bytes, position: int, stop: int, depth: int) -> str:
    size = stop - position - 2
    if 0 <= size < 128 and data[position] == 10 and data[position + 1] == size:
        return data[position + 2 : stop].decode()
    return data[whole(data, position, stop, 10) : stop].decode()


def _read_optional_text(data: bytes, position: int, stop: int, depth: int) -> str | None:
    return None if position == stop else _read_text(data, position, stop, depth)


def _read_id(data: bytes, position: int, stop: int, depth: int) -> ID:
    size = stop - position - 6
    if 0 <= size < 128 and data[position] == 10 and data[position + 1] == size and data[stop - 4 : stop] == _ID_TAIL:
        return ID(data[position + 2 : stop - 4].decode())
    start, end = payload(data, position, stop, 10)
    if end != stop and data[end:stop] != _ID_TAIL:
        raise ValueError(UNUSUAL)
    return ID(data[start:end].decode())


def _read_optional_id(data: bytes, position: int, stop: int, depth: int) -> ID | None:
    return None if position == stop else _read_id(data, position, stop, depth)


def _read_int(data: bytes, position: int, stop: int, depth: int) -> int:
    if position >= stop or data[position] != 16:
        raise ValueError(UNUSUAL)
    number, end = read_varint(data, position + 1)
    if number >> 63:
        number -= 1 << 64
    if end != stop or not -0x80000000 <= number <= 0x7FFFFFFF:
        raise ValueError(UNUSUAL)
    return number


def _read_float(data: bytes, position: int, stop: int, depth: int) -> float:
    if stop - position == 9 and data[position] == 25:
        return _double(data, position + 1)[0]  # type: ignore[no-any-return]
    return float(_read_int(data, position, stop, depth))


def _read_raw_float(data: bytes, position: int, stop: int, depth: int) -> float:
    if stop - position != 9:
        raise ValueError(UNUSUAL)
    return _double(data, position + 1)[0]  # type: ignore[no-any-return]


def _read_bool(data: bytes, position: int, stop: int, depth: int) -> bool:
    if stop - position == 2 and data[position] == 32 and data[position + 1] < 2:
        return data[position + 1] == 1
    raise ValueError(UNUSUAL)


def _read_bytes(data: bytes, position: int, stop: int, depth: int) -> bytes:
    return data[whole(data, position, stop, 42) : stop]


def _bytes_reader(kind: Any) -> Reader:
    tail = field(13, kind._proto_type_name.encode())

    def read_typed_bytes(data: bytes, position: int, stop: int, depth: int) -> Any:
        start, end = payload(data, position, stop, 42)
        if end != stop and data[end:stop] != tail:
            raise ValueError(UNUSUAL)
        return kind(memoryview(data)[start:end] if end - start > _LARGE else data[start:end])

    return read_typed_bytes


def _url_reader(kind: Any) -> Reader:
    tail = field(13, kind._proto_type_name.encode())

    def read_url(data: bytes, position: int, stop: int, depth: int) -> Any:
        start, end = payload(data, position, stop, 10)
        if end != stop and data[end:stop] != tail:
            raise ValueError(UNUSUAL)
        return kind._docarray_validate(data[start:end].decode(), None)

    return read_url


def _choice_reader(choices: dict[Any, Any]) -> Reader | None:
    """Returns the reader for one of some texts, or one of some integers."""
    kinds = {type(value) for value in choices}
    for kind, read in ((str, _read_text), (int, _read_int)):
        if kinds == {kind}:
            return lambda data, position, stop, depth: choices[read(data, position, stop, depth)]
    return None


def _union_reader(members: tuple[Any, ...]) -> Reader | None:
    """Returns the reader for one of several plain types: pydantic prefers the one that a value has already."""
    if not all(isinstance(member, type) and member in _SIMPLE_KINDS | {str, _NONE} for member in members):
        return None
    kinds = frozenset(members)

    def read_union(data: bytes, position: int, stop: int, depth: int) -> Any:
        value = read_raw(data, position, stop, depth)
        if type(value) not in kinds:
            raise ValueError(UNUSUAL)
        return value

    return read_union


def _container_reader(annotation: Any, origin: Any, nested: Callable[[Any], Reader | None]) -> Reader | None:
    kind = origin or annotation
    if kind not in _CONTAINERS:
        return None
    arguments = get_args(annotation)
    if not arguments and annotation not in _BARE:
        return None
    if kind is dict:
        if arguments and arguments[0] not in (str, Any):
            return None
        arguments = arguments[1:]
    elif kind is tuple and arguments:
        if len(arguments) != 2 or arguments[1] is not Ellipsis:
            return None
        arguments = arguments[:1]
    # docarray finds the class of documents in containers by ways of its own, so it may go them.
    read = typed_reader(arguments[0], nested=_no_documents) if arguments else read_raw
    if read is None:
        return None
    return _dict_reader(read) if kind is dict else _sequence_reader(kind, _CONTAINERS[kind], read)


def _no_documents(annotation: Any) -> None:
    return None


def _sequence_reader(kind: Any, tag: int, read: Reader) -> Reader:
    def read_sequence(data: bytes, position: int, stop: int, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(UNUSUAL)
        position = whole(data, position, stop, tag)
        return kind([read(data, start, end, depth + 1) for start, end in items(data, position, stop)])

    return read_sequence


def _dict_reader(read: Reader) -> Reader:
    def read_dict(data: bytes, position: int, stop: int, depth: int) -> dict[str, Any]:
        if depth > MAX_DEPTH:
            raise ValueError(UNUSUAL)
        position = whole(data, position, stop, 98)
        return {key: read(data, start, end, depth + 1) for key, start, end in entries(data, position, stop)}

    return read_dict


def read_raw(data: bytes, position: int, stop: int, depth: int) -> Any:
    """Reads a value of any kind except documents and their lists, as docarray does before the validation."""
    if position == stop:
        return None
    return _RAW[data[position]](data, position, stop, depth)


def _read_raw_text(data: bytes, position: int, stop: int, depth: int) -> Any:
    start, end = payload(data, position, stop, 10)
    text = data[start:end].decode()
    if end == stop:
        return text
    kind = _tagged(data, end, stop)
    if kind is ID:
        return ID(text)
    if issubclass(kind, AnyUrl) and kind.__get_pydantic_core_schema__ is AnyUrl.__get_pydantic_core_schema__:
        return kind._docarray_validate(text, None)
    raise ValueError(UNUSUAL)


def _read_raw_bytes(data: bytes, position: int, stop: int, depth: int) -> Any:
    start, end = payload(data, position, stop, 42)
    if end == stop:
        return data[start:end]
    kind = _tagged(data, end, stop)
    if issubclass(kind, BaseBytes) and same_methods(
        kind, BaseBytes, '_docarray_validate', '__get_pydantic_core_schema__'
    ):
        return kind(data[start:end])
    raise ValueError(UNUSUAL)


def _tagged(data: bytes, position: int, stop: int) -> Any:
    """Returns the class that docarray has registered for the type name in field 13."""
    return _PROTO_TYPE_NAME_TO_CLASS[data[whole(data, position, stop, 106) : stop].decode()]


_SIMPLE: Final[dict[type, Reader]] = {int: _read_int, float: _read_float, bool: _read_bool, bytes: _read_bytes}
_SIMPLE_KINDS: Final = frozenset(_SIMPLE)
_CONTAINERS: Final[dict[Any, int]] = {list: 74, set: 82, tuple: 90, dict: 98}
_BARE: Final = (list, set, tuple, dict, typing.List, typing.Set, typing.Tuple, typing.Dict)  # noqa: UP006 - what annotations may hold
_RAW: Final[dict[int, Reader]] = {
    10: _read_raw_text,
    16: _read_int,
    25: _read_raw_float,
    32: _read_bool,
    42: _read_raw_bytes,
    50: read_raw_tensor,
    74: _sequence_reader(list, 74, read_raw),
    82: _sequence_reader(set, 82, read_raw),
    90: _sequence_reader(tuple, 90, read_raw),
    98: _dict_reader(read_raw),
}
