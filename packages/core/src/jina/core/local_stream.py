"""A stream of frames between two processes of one user on one machine, without gRPC: over a Unix socket.

A message of gRPC costs a process more than most requests do. So a server that is asked for the fast lane from its own
machine says in its hello at which *door* it listens too: an abstract Unix socket, of which no file is left behind, with a
name that nobody guesses. Who finds that door stands in the same network namespace, and the frames go there from then on.

On the socket each frame has its length before it; a length of 0 says that no frame follows.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, cast

from jina.core.calls import EOF
from jina.core.payloads import LONG, Message, coalesced

__all__ = ['LocalStream', 'is_loopback', 'listen', 'may_enter', 'open_door']

_NAME: Final = re.compile(r'jina-lane-(\d{1,5})-[0-9a-f]{32}')
_LENGTH: Final = Struct('<I')
_LENGTH_SIZE: Final = _LENGTH.size
_LONGEST: Final = 1 << 23
"""No frame is longer, see ``frames``: what says so is no stream of ours, and gets no memory for it."""
_BUFFER_BYTES: Final = 1 << 16
"""So much is read at once, unless a frame is longer."""
_UNREAD_BYTES: Final = 1 << 20
"""No more is read from the socket while this much waits to be taken."""
_UNWRITTEN_BYTES: Final = 1 << 20
"""Writers wait while this much waits for the other side."""
_CONNECT_S: Final = 2.0
_LOOPBACK: Final = ('127.', 'localhost:', '[::1]:', '[::ffff:127.', '0.0.0.0:', '[::]:')
_CREDENTIALS: Final = Struct('3i')


class LocalStream(asyncio.BufferedProtocol):
    """One end. It has those methods of a gRPC stream that lanes use.

    Args:
        on_made: Called when there is a connection.
        on_lost: Called when there is none any more.
    """

    gathers = False
    """A frame costs so little here that a side need not wait for more to send, see ``frames.GATHER_FROM``."""

    def __init__(
        self, on_made: Callable[[LocalStream], None] | None = None, on_lost: Callable[[], None] | None = None
    ) -> None:
        self._on_made = on_made
        self._on_lost = on_lost
        self._transport: Any = None
        self._frames: deque[bytes] = deque()
        self._unread = 0
        self._reading = True
        self._cancelled = False
        self._ended = False
        self._lost = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._writable = True
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._filled = 0
        self._large: memoryview | None = None
        self._large_filled = 0

    def is_stranger(self) -> bool:
        """Tells whether another user is on the other side."""
        return _is_stranger(self._transport.get_extra_info('socket'))

    @property
    def process(self) -> int | None:
        """Id of the process on the other side; None if it can't be seen from here."""
        return _credentials(self._transport.get_extra_info('socket'))[0] or None

    # What lanes use.

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns none: each request carries its own."""
        return ()

    async def read(self) -> Any:
        """Returns the next frame, ``EOF`` after the last one.

        Raises:
            asyncio.CancelledError: This side cancelled the stream.
        """
        frames = self._frames
        while not frames:
            if self._cancelled:
                raise asyncio.CancelledError
            if self._ended:
                return EOF
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        frame = frames.popleft()
        self._unread -= len(frame)
        if not self._reading and self._unread <= _UNREAD_BYTES:
            self._reading = True
            self._transport.resume_reading()
        return frame

    async def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Sends a frame, given in pieces; waits while the other side is behind.

        Raises:
            asyncio.InvalidStateError: There is no connection any more.
        """
        if self._transport.is_closing():
            raise asyncio.InvalidStateError('the connection is closed')
        first = pieces[0]
        if len(pieces) == 1 and len(first) < LONG:
            self._transport.write(_LENGTH.pack(len(first)) + first)
        else:
            # Not writelines, which does not tell of a full buffer (pause_writing) in asyncio of Python 3.12.
            for piece in coalesced((_LENGTH.pack(sum(map(len, pieces))), *pieces)):
                self._transport.write(piece)
        while not self._writable:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    async def done_writing(self) -> None:
        """Says that no frame follows."""
        if not self._transport.is_closing():
            self._transport.write(_LENGTH.pack(0))

    def cancel(self) -> None:
        """Ends the stream at once."""
        self._cancelled = True
        self._frames.clear()
        self._end()
        if self._transport is not None and not self._lost:
            self._transport.abort()

    async def close(self) -> None:
        """Ends the stream, and returns when what was written is sent."""
        self._transport.close()
        while not self._lost:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    # What the event loop calls.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(_UNWRITTEN_BYTES)
        if self._on_made is not None:
            self._on_made(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._end()
        self._lost = self._writable = True
        _set(self._writer)
        on_lost, self._on_lost, self._on_made = self._on_lost, None, None
        if on_lost is not None:
            on_lost()

    def eof_received(self) -> bool:
        return False  # the other side is gone: it says so in a frame when it only has nothing more to send

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        _set(self._writer)

    def get_buffer(self, _: int) -> memoryview:
        if self._large is not None:
            return self._large[self._large_filled :]
        return self._buffer[self._filled :]

    def buffer_updated(self, size: int) -> None:
        if self._large is None:
            self._filled += size
            self._take_all()
            return
        self._large_filled += size
        if self._large_filled == len(self._large):
            frame, self._large = self._large.obj, None
            self._add(cast('bytes', frame))

    def _take_all(self) -> None:
        """Takes the frames that are whole, and leaves the beginning of the next one at the start of the buffer."""
        buffer, position, filled = self._buffer, 0, self._filled
        while filled - position >= _LENGTH_SIZE:
            (size,) = _LENGTH.unpack_from(buffer, position)
            start = position + _LENGTH_SIZE
            if size == 0:
                self._end()
                return
            if filled - start < size:
                if size > _LONGEST:
                    self.cancel()
                    return
                if size > _BUFFER_BYTES - _LENGTH_SIZE:
                    self._large = memoryview(Message(size))
                    self._large_filled = filled - start
                    self._large[: self._large_filled] = buffer[start:filled]
                    position = filled
                break
            position = start + size
            self._add(bytes(buffer[start:position]))
        rest = filled - position
        if rest and position:
            buffer[:rest] = bytes(buffer[position:filled])
        self._filled = rest

    def _add(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._unread += len(frame)
        if self._reading and self._unread > _UNREAD_BYTES:
            self._reading = False
            self._transport.pause_reading()
        _set(self._reader)

    def _end(self) -> None:
        self._ended = True
        _set(self._reader)


def listen(port: int) -> tuple[str, socket.socket] | None:
    """Makes the socket behind a door; None where there are no abstract Unix sockets.

    Args:
        port: Where the server listens for gRPC. Who wanted another port reached it through a proxy, and stays there.

    Returns:
        The name of the door, and the socket.
    """
    if not sys.platform.startswith('linux'):
        return None
    name = f'jina-lane-{port}-{os.urandom(16).hex()}'
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(f'\0{name}')
        listener.listen(100)
        listener.setblocking(False)
    except OSError:
        listener.close()
        return None
    return name, listener


def is_loopback(address: str) -> bool:
    """Tells whether ``host:port`` is on this machine for certain."""
    return address.startswith(_LOOPBACK)


def may_enter(name: str, address: str) -> bool:
    """Tells whether a client may try a door.

    Args:
        name: What the server calls it.
        address: ``host:port`` under which the client asked for the server.
    """
    found = _NAME.fullmatch(name)
    return found is not None and is_loopback(address) and address.rpartition(':')[2] == found[1]


async def open_door(name: str) -> LocalStream | None:
    """Connects to a door; None if it isn't there, as on another machine or in another container."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await asyncio.wait_for(loop.sock_connect(connection, f'\0{name}'), _CONNECT_S)
        if _is_stranger(connection):
            raise PermissionError(name)
        _, stream = await loop.create_unix_connection(LocalStream, sock=connection)
    except (OSError, asyncio.TimeoutError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return stream


def _is_stranger(connection: Any) -> bool:
    _, user = _credentials(connection)
    return user != os.geteuid()


def _credentials(connection: Any) -> tuple[int, int]:
    """Returns the ids of the process on the other side and of its user."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _ = _CREDENTIALS.unpack(raw)
    return process, user


def _set(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
