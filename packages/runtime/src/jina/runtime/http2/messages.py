"""Messages of gRPC in the bytes of a stream: five bytes with flag and length, then the message."""

from __future__ import annotations

import zlib
from collections import deque
from struct import Struct
from typing import Any, Final

from jina.core.calls import StatusCode
from jina.core.payloads import HUGE, LONG, Assembly, Buffer

PREFIX: Final = Struct('>BI')
PREFIX_BYTES: Final = PREFIX.size

_PLACE_BYTES: Final = 48
_GZIP_BITS: Final = 16 + zlib.MAX_WBITS
_BITS: Final = {'gzip': _GZIP_BITS, 'deflate': zlib.MAX_WBITS}


class CallFault(Exception):
    """What ends a call, and only this one.

    Args:
        status: The status of the call.
        message: What is wrong.
    """

    def __init__(self, status: StatusCode, message: str) -> None:
        super().__init__(message)
        self.status = status


def too_long(size: int, most: int) -> str:
    """Returns what is said of a message that this side doesn't send, in the words of gRPC."""
    return f'Sent message larger than max ({size} vs. {most})'


class MessageReader:
    """Puts the messages of one stream together.

    Args:
        most: Bytes that a message may have.
        encoding: The header ``grpc-encoding``.

    Attributes:
        messages: Those that are complete.
        missing: Bytes that the message under way still needs; 0 if none is.
        size: Bytes of ``messages``, each with its place in memory: those that are empty count too.
    """

    __slots__ = ('_assembly', '_encoding', '_front', '_most', '_packed', '_parts', 'messages', 'missing', 'size')

    def __init__(self, most: int, encoding: str) -> None:
        self.messages: deque[bytes] = deque()
        self.missing = 0
        self.size = 0
        self._most = most
        self._encoding = encoding
        self._front = b''
        self._packed = False
        self._parts: list[Buffer] = []
        self._assembly: Assembly | None = None

    @property
    def is_between(self) -> bool:
        """Whether no message is under way."""
        return not self.missing and not self._front

    def feed(self, data: bytes, position: int, end: int) -> None:
        """Takes the next bytes of the stream.

        Args:
            data: Holds them.
            position: Where they begin.
            end: Where they end.

        Raises:
            CallFault: A message is too long, or can't be read.
        """
        while position < end:
            if not self.missing:
                wanted = PREFIX_BYTES - len(self._front)
                self._front += data[position : min(position + wanted, end)]
                position += wanted
                if position > end:
                    return
                self._begin()
                if self.missing:
                    continue
                self._finish(b'')
                continue
            taken = min(self.missing, end - position)
            part: Buffer = data
            if taken >= LONG and taken < len(data):
                part = memoryview(data)[position : position + taken]
            elif taken < len(data):
                part = data[position : position + taken]
            position += taken
            self.missing -= taken
            self._add(part)

    def _begin(self) -> None:
        flag, size = PREFIX.unpack(self._front)
        self._front = b''
        if flag > 1:
            raise CallFault(StatusCode.INTERNAL, f'a message begins with {flag} instead of 0 or 1')
        if flag and self._encoding not in _BITS:
            status, what = StatusCode.UNIMPLEMENTED, f'not {self._encoding!r}'
            if self._encoding == 'identity':
                status, what = StatusCode.INTERNAL, 'none is named'
            raise CallFault(status, f'a message is compressed; the server reads gzip and deflate, and {what}')
        if size > self._most:
            raise CallFault(
                StatusCode.RESOURCE_EXHAUSTED, f'Received message larger than max ({size} vs. {self._most})'
            )
        self._packed = bool(flag)
        self.missing = size

    def _add(self, part: Buffer) -> None:
        if not self.missing and not self._parts and self._assembly is None:
            self._finish(bytes(part))
            return
        if self._assembly is not None:
            self._assembly.add(part)
        elif not self._parts and not self._packed and self.missing >= HUGE:
            self._assembly = Assembly(part)
        else:
            self._parts.append(part)
        if not self.missing:
            assembly, self._assembly = self._assembly, None
            parts, self._parts = self._parts, []
            self._finish(b''.join(parts) if assembly is None else assembly.finish())

    def _finish(self, message: bytes) -> None:
        if self._packed:
            message = unpacked(message, self._encoding, self._most)
        self.messages.append(message)
        self.size += len(message) + _PLACE_BYTES

    def take(self) -> bytes:
        """Returns the next complete message."""
        message = self.messages.popleft()
        self.size -= len(message) + _PLACE_BYTES
        return message


def unpacked(message: bytes, encoding: str, most: int) -> bytes:
    """Returns what was compressed.

    Args:
        message: The compressed message.
        encoding: ``gzip`` or ``deflate``.
        most: Bytes that the result may have.

    Raises:
        CallFault: It can't be read, or the result has more bytes.
    """
    reader: Any = zlib.decompressobj(_BITS[encoding])
    try:
        found: bytes = reader.decompress(message, most + 1)
    except zlib.error as error:
        raise CallFault(StatusCode.INTERNAL, f'a message cannot be decompressed: {error}') from None
    if len(found) > most:
        raise CallFault(StatusCode.RESOURCE_EXHAUSTED, f'Received message larger than max (over {most} vs. {most})')
    if not reader.eof:
        raise CallFault(StatusCode.INTERNAL, 'a compressed message ends too early')
    return found
