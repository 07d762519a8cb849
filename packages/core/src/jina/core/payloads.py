"""Serialised requests that aren't one ``bytes`` object: large ones exist once in a process, and are copied for nothing.

Where such a payload meets code that insists on ``bytes`` (gRPC's unary calls, users), ``bytes(payload)`` makes them.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias, cast

from jina.core import memory_file
from jina.core.errors import RequestTypeError
from jina.core.protobuf_bytes import read_varint

__all__ = [
    'LONG',
    'Assembly',
    'Buffer',
    'Message',
    'Payload',
    'Spliced',
    'as_bytes',
    'coalesced',
    'in_pieces',
    'pieces_of',
    'without_front',
    'written',
]

HUGE: Final = 1 << 22
"""Bytes from which on fresh memory costs more than it takes to do without it."""
LONG: Final = 1 << 13
"""From so many bytes on, a piece of a message is written by itself faster than it is copied to others."""
_ALIGNMENT: Final = 64
_NODE: Final = 0x32
"""Tag of the field of a node that holds a tensor."""
_BELOW_NODE: Final = 2
"""Messages between that and the content of the tensor."""
_DEPTH: Final = 64
"""Messages within each other that are looked through for a tensor."""

Buffer: TypeAlias = 'bytes | bytearray | memoryview'


class Message(bytearray):
    """A message in memory of its own, which what is decoded from it may keep and write to.

    It reads as ``bytes`` do: its slices are ``bytes``, which can be keys.
    """

    def __getitem__(self, key: Any) -> Any:
        return bytes(memoryview(self)[key]) if isinstance(key, slice) else super().__getitem__(key)


class Spliced:
    """A message in two pieces that don't lie side by side.

    Args:
        front: What stands in front.
        owner: What holds the rest, and ends with it.
        start: Where the rest begins in it.
    """

    __slots__ = ('front', 'owner', 'start')

    def __init__(self, front: bytes, owner: bytes, start: int) -> None:
        self.front = front
        self.owner = owner
        self.start = start

    @property
    def back(self) -> memoryview:
        """The rest."""
        return memoryview(self.owner)[self.start :]

    def __len__(self) -> int:
        return len(self.front) + len(self.owner) - self.start

    def __bytes__(self) -> bytes:
        return b''.join((self.front, self.back))


Payload: TypeAlias = 'bytes | Spliced'
"""A ``Message`` and a ``MappedMessage`` count as ``bytes``."""


def as_bytes(payload: Payload) -> bytes:
    """Returns a payload as one ``bytes`` object: the same, if it is one."""
    return payload if type(payload) is bytes else bytes(payload)


def pieces_of(payload: Payload) -> tuple[Buffer, ...]:
    """Returns the pieces of a payload, which are no copies."""
    return (payload.front, payload.back) if type(payload) is Spliced else (cast('bytes', payload),)


def in_pieces(message: Payload | Sequence[Buffer]) -> Sequence[Buffer]:
    """Returns the pieces of a message, which may be given in pieces already."""
    return message if type(message) in (tuple, list) else pieces_of(message)  # type: ignore[return-value, arg-type]


def without_front(payload: Payload, size: int) -> Payload:
    """Returns a payload without its first bytes; a ``Message`` loses them itself, which is no copy."""
    message: Any = payload
    if isinstance(message, Spliced):
        return Spliced(message.front[size:], message.owner, message.start)
    if type(message) is not Message:
        return cast('bytes', message[size:])
    del message[:size]
    return payload


def coalesced(pieces: Iterable[Buffer]) -> list[Buffer]:
    """Returns pieces as they are best written: short neighbours as one, long ones without a copy."""
    found: list[Buffer] = []
    short: list[Buffer] = []
    for piece in pieces:
        if len(piece) < LONG:
            short.append(piece)
            continue
        if short:
            found.append(b''.join(short))
            short = []
        found.append(piece)
    if short:
        found.append(b''.join(short))
    return found


def written(parts: Sequence[Any], front: bytes) -> Payload | None:
    """Writes the pieces of a large message to a memory file, so that neighbours need no copy of it.

    The content of its first large tensor comes to lie at the beginning of a page.

    Args:
        parts: The pieces.
        front: What stands before them, outside of the file.

    Returns:
        None if there are no memory files here.
    """
    before = 0
    for part in parts:
        if len(part) >= HUGE:
            break
        before += len(part)
    pad = -before % mmap.PAGESIZE
    try:
        return Spliced(front, cast('bytes', memory_file.write([bytes(pad), *parts])), pad)
    except OSError:
        return None


class Assembly:
    """Puts a message together from parts as they come; each part may be forgotten at once.

    The content of its first large tensor comes to lie where processors like it, so that an array can be a mere view.

    Args:
        first: The first part.
        skipped: Where the message begins in it.
    """

    __slots__ = ('_memory', '_pad')

    def __init__(self, first: Buffer, skipped: int = 0) -> None:
        self._pad = -_tensor_at(first, skipped) % _ALIGNMENT
        self._memory = Message(self._pad)
        self._memory += first

    def __len__(self) -> int:
        return len(self._memory) - self._pad

    def add(self, part: Buffer) -> None:
        """Appends a part."""
        self._memory += part

    def finish(self) -> bytes:
        """Returns the ``Message``; nothing can be added any more."""
        memory = self._memory
        del memory[: self._pad]  # moves a pointer, not the message
        return cast('bytes', memory)


def _tensor_at(start: Buffer, position: int) -> int:
    """Returns where the content of a tensor begins that reaches beyond the start of a message; 0 if there is none."""
    data = cast('bytes', start)
    end = len(start)
    below = -1
    try:
        for _ in range(_DEPTH):
            tag = data[position]
            size, begin = read_varint(data, position + 1)
            if begin + size <= end:
                position = begin + size  # wholly in this part: too small to matter
                continue
            position = begin
            if tag == _NODE:
                below = 0
            elif below >= 0:
                below += 1
                if below == _BELOW_NODE:
                    return position
    except (IndexError, RequestTypeError):
        pass
    return 0
