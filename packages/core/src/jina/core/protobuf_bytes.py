"""Protobuf messages as bytes: the few parts of the wire format that documents are scanned and written with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jina.core.errors import RequestTypeError

LENGTH_DELIMITED: Final = 2
_FIXED_SIZES: Final = {1: 8, 5: 4}
_TABLE_SIZE: Final = 1024


UNUSUAL: Final = 'the message is not in the one form that is read by hand, or does not fit'
"""What a reader says when protobuf and docarray have to look at a message."""


def varint(number: int) -> bytes:
    """Returns a number of at least 0 as a varint."""
    result = bytearray()
    while number > 0x7F:
        result.append((number & 0x7F) | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


_VARINTS: Final = tuple(varint(number) for number in range(_TABLE_SIZE))


def size_bytes(size: int) -> bytes:
    """Returns the length of a length-delimited field as a varint; from a table for short ones."""
    if size < _TABLE_SIZE:
        return _VARINTS[size]
    if size < 1 << 14:
        return b'%c%c' % (size & 0x7F | 0x80, size >> 7)
    if size < 1 << 21:
        return b'%c%c%c' % (size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14)
    return varint(size)


def field(number: int, value: bytes) -> bytes:
    """Returns a length-delimited field on the wire."""
    return field_head(number, len(value)) + value


def field_head(number: int, size: int) -> bytes:
    """Returns what stands in front of the value of a length-delimited field; ``number`` is at most 15."""
    return _VARINTS[(number << 3) | LENGTH_DELIMITED] + size_bytes(size)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Reads a varint.

    Returns:
        The number, and the position after it.

    Raises:
        RequestTypeError: It has more than 64 bits.
        IndexError: The data ends within it.
    """
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise RequestTypeError('the data of the request is no protobuf message: a number is too long')


def payload(data: bytes, position: int, stop: int, tag: int) -> tuple[int, int]:
    """Returns the bounds of the content of a length-delimited field that must begin at a position.

    Raises:
        ValueError: Something else is there.
    """
    if position >= stop or data[position] != tag:
        raise ValueError(UNUSUAL)
    size, start = read_varint(data, position + 1)
    end = start + size
    if end > stop:
        raise ValueError(UNUSUAL)
    return start, end


def whole(data: bytes, position: int, stop: int, tag: int) -> int:
    """Returns where the content of a length-delimited field begins that must reach exactly to ``stop``.

    Raises:
        ValueError: Something else is there.
    """
    start, end = payload(data, position, stop, tag)
    if end != stop:
        raise ValueError(UNUSUAL)
    return start


def items(data: bytes, position: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yields the bounds of the messages in field 1, of which alone a message must consist.

    Raises:
        ValueError: There is something else.
    """
    while position < stop:
        start, position = payload(data, position, stop, 10)
        yield start, position


def entries(data: bytes, position: int, stop: int) -> Iterator[tuple[str, int, int]]:
    """Yields key and bounds of the value of each entry of a map in field 1, of which alone a message must consist.

    Raises:
        ValueError: There is something else.
    """
    for inner, end in items(data, position, stop):
        start, cut = payload(data, inner, end, 10)
        yield data[start:cut].decode(), whole(data, cut, end, 18), end


def fields(data: bytes, *, scalars: bool = False) -> Iterator[tuple[int, bytes]]:
    """Yields number and value of each length-delimited field; of others the number and no bytes, if asked for.

    Raises:
        RequestTypeError: The bytes are no protobuf message.
    """
    position, end = 0, len(data)
    try:
        while position < end:
            tag = data[position]
            position += 1
            if tag > 0x7F:
                tag, position = read_varint(data, position - 1)
            kind = tag & 7
            if kind == LENGTH_DELIMITED:
                size = data[position]
                position += 1
                if size > 0x7F:
                    size, position = read_varint(data, position - 1)
                if position + size > end:
                    raise RequestTypeError(f'the data of the request is cut off: {end} of {position + size} bytes')
                yield tag >> 3, data[position : position + size]
                position += size
            elif kind == 0:
                _, position = read_varint(data, position)
                if scalars:
                    yield tag >> 3, b''
            elif kind in _FIXED_SIZES:
                position += _FIXED_SIZES[kind]
                if scalars:
                    yield tag >> 3, b''
            else:
                raise RequestTypeError(f'the data of the request is no protobuf message: wire type {kind}')
    except IndexError:
        raise RequestTypeError(f'the data of the request is cut off after {end} bytes') from None


def find_last_field(data: bytes, number: int) -> int | None:
    """Returns where the value of a length-delimited field begins that a message ends with, and that occurs only there.

    None if there is no such field, or if the message isn't in the plain form that encoders write.
    """
    position, end = 0, len(data)
    try:
        while position < end:
            tag = data[position]
            size, start = read_varint(data, position + 1)
            if tag & 7 != LENGTH_DELIMITED or tag > 0x7F or start - position != 1 + len(size_bytes(size)):
                return None
            position = start + size
            if tag >> 3 == number:
                return start if position == end else None
    except (IndexError, RequestTypeError):
        return None
    return None
