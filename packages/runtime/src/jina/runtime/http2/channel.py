"""A channel of gRPC without encryption: a connection that is made when it is needed, and made anew when it is lost.

It is a ``GrpcChannel`` for those who use it, without grpcio.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from jina.core.calls import CallError, StatusCode
from jina.core.payloads import Buffer, Payload
from jina.core.version import __version__
from jina.runtime.group import Metadata
from jina.runtime.http2.client_call import ClientCall, check_size
from jina.runtime.http2.client_connection import ClientConnection
from jina.runtime.http2.client_settings import ClientSettings
from jina.runtime.http2.head import encoded_metadata
from jina.runtime.http2.hpack import literal

__all__ = ['Http2Channel']

_CONNECT_S: Final = 20.0
_BACKOFF_FACTOR: Final = 1.6
_FAILURES: Final = (OSError, CallError, asyncio.TimeoutError, ValueError, OverflowError)
"""Why there may be no connection; the last two come from hosts and ports that can't be."""
_KEPT: Final = 64
"""Different metadata that is remembered: what the client says of itself comes again and again, traces don't."""
_BEFORE_PATH: Final = b'\x83\x86'
"""``:method POST`` and ``:scheme http``, by the numbers of the static table."""
_REST: Final = b''.join(
    (
        literal(b'te', b'trailers'),
        literal(b'content-type', b'application/grpc'),
        literal(b'grpc-accept-encoding', b'identity, deflate, gzip'),
        literal(b'user-agent', f'jina-serve/{__version__}'.encode()),
    )
)
_UNITS: Final = ((1e-3, 'm'), (1.0, 'S'), (60.0, 'M'), (3600.0, 'H'))
_MOST_DIGITS: Final = 99_999_999


class Http2Channel:
    """Makes calls.

    Args:
        address: ``host:port``.
        settings: What the channel does.
    """

    def __init__(self, address: str, settings: ClientSettings) -> None:
        self.address = address
        self._settings = settings
        host, _, port = address.rpartition(':')
        self._host, self._port = host.removeprefix('[').removesuffix(']'), int(port)
        self._authority = literal(b':authority', address.encode())
        self._paths: dict[str, bytes] = {}
        self._metadata: dict[Metadata, bytes] = {}
        self._connection: ClientConnection | None = None
        self._connections: set[ClientConnection] = set()
        self._connecting: asyncio.Task[ClientConnection] | None = None
        self._backoff_s = settings.backoff_s
        self._again_at = 0.0
        self._failure = ''
        self._lost: asyncio.Future[None] | None = None
        self._is_closed = False

    def unary(self, path: str) -> Callable[..., Any]:
        """Returns a coroutine function that sends a message and returns the answer, see ``GrpcChannel.unary``."""

        async def ask(raw: Payload, *, timeout: float | None = None, metadata: Metadata = ()) -> bytes:
            check_size(len(raw), self._settings.send)
            call = self._begin_now(path, timeout, metadata) or await self._begin(path, timeout, metadata)
            try:
                call.send(raw, last=True)
                del raw  # a large one goes when it is written, unless the caller keeps it
                return await call.answer()
            finally:
                call.cancel()  # nothing happens to a call that is over

        return ask

    def responses(self, path: str) -> Callable[..., ClientCall | LateCall]:
        """Returns what sends a message and returns the stream of its responses."""

        def begin(raw: bytes, *, timeout: float | None = None, metadata: Metadata = ()) -> ClientCall | LateCall:
            call = self._begin_now(path, timeout, metadata)
            if call is None:
                return LateCall(partial(self._begin, path, timeout, metadata), raw)
            _send_only(call, raw)
            return call

        return begin

    def stream(self, path: str, metadata: Metadata) -> Callable[[], ClientCall | LateCall]:
        """Returns what begins a stream in both directions."""
        begin = partial(self._begin, path, None, metadata)
        return lambda: self._begin_now(path, None, metadata) or LateCall(begin)

    async def ready(self) -> None:
        """Returns when there is a connection."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(CallError):
                await self._usable()
                return
            if self._is_closed:
                raise asyncio.CancelledError
            await asyncio.sleep(max(0.0, self._again_at - loop.time()))

    async def lost(self) -> None:
        """Returns when there is no connection any more; at once if there is none."""
        if self._connection is not None:
            if self._lost is None:
                self._lost = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._lost)

    async def close(self) -> None:
        """Closes the channel; its calls are cancelled."""
        self._is_closed = True
        connecting, self._connecting = self._connecting, None
        if connecting is not None and not connecting.done():
            connecting.cancel()
            await asyncio.wait((connecting,))
        for connection in tuple(self._connections):
            connection.close()
        self._connections.clear()

    def _begin_now(
        self, path: str, timeout: float | None, metadata: Metadata, *, waited: bool = False
    ) -> ClientCall | None:
        """Begins a call, if there is a connection with room for it, and nobody waits for that longer."""
        connection = self._connection
        if connection is None or connection.is_full or (connection.has_queue and not waited):
            return None
        block = self._before(path)
        if metadata:
            block += self._encoded(metadata)
        if timeout is not None:
            block += literal(b'grpc-timeout', written_timeout(timeout))
        return connection.begin(block, timeout)

    async def _begin(self, path: str, timeout: float | None, metadata: Metadata) -> ClientCall:
        """Begins a call as soon as that is possible.

        Raises:
            CallError: There is no connection, or none with room for it in time.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            left = None if deadline is None else deadline - loop.time()
            try:
                await asyncio.wait_for(self._room(), left)
            except asyncio.TimeoutError:
                raise CallError(StatusCode.DEADLINE_EXCEEDED, 'Deadline Exceeded') from None
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                raise CallError(StatusCode.DEADLINE_EXCEEDED, 'Deadline Exceeded')
            call = self._begin_now(path, left, metadata, waited=True)
            if call is not None:
                return call

    def _before(self, path: str) -> bytes:
        """Returns the headers that all calls of a method have."""
        block = self._paths.get(path)
        if block is None:
            block = b''.join((_BEFORE_PATH, literal(b':path', path.encode()), self._authority, _REST))
            self._paths[path] = block
        return block

    def _encoded(self, metadata: Metadata) -> bytes:
        block = self._metadata.get(metadata)
        if block is None:
            if len(self._metadata) >= _KEPT:
                self._metadata.clear()
            block = b''.join(literal(*header) for header in encoded_metadata(metadata))
            self._metadata[metadata] = block
        return block

    async def _room(self) -> None:
        """Returns when a call may perhaps begin."""
        await (await self._usable()).place()

    async def _usable(self) -> ClientConnection:
        """Returns the connection; makes one if there is none.

        Raises:
            CallError: The server can't be reached, or couldn't a moment ago.
        """
        if self._connection is not None:
            return self._connection
        if self._is_closed:
            raise CallError(StatusCode.CANCELLED, 'the channel is closed')
        loop = asyncio.get_running_loop()
        if loop.time() < self._again_at:
            raise CallError(StatusCode.UNAVAILABLE, self._failure)
        if self._connecting is None:
            self._connecting = loop.create_task(self._connect())
            self._connecting.add_done_callback(self._connected)
        connecting = self._connecting
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            if self._is_closed and connecting.cancelled():
                raise CallError(StatusCode.CANCELLED, 'the channel is closed') from None
            raise

    async def _connect(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        connection = ClientConnection(self.address, self._settings, self._leave)

        async def connect() -> None:
            await loop.create_connection(lambda: connection, self._host, self._port)
            self._connections.add(connection)
            await connection.ready
            if not connection.is_open:
                raise CallError(StatusCode.UNAVAILABLE, 'it takes no calls')

        try:
            await asyncio.wait_for(connect(), _CONNECT_S)
        except _FAILURES as error:
            connection.close()
            said = error.details() if isinstance(error, CallError) else str(error) or f'no answer in {_CONNECT_S:.0f} s'
            # The words of grpcio.
            self._failure = f'failed to connect to all addresses; last error: {self.address}: {said}'
            self._again_at = loop.time() + self._backoff_s
            self._backoff_s = min(self._backoff_s * _BACKOFF_FACTOR, self._settings.most_backoff_s)
            raise CallError(StatusCode.UNAVAILABLE, self._failure) from error
        self._backoff_s = self._settings.backoff_s
        self._connection = connection
        return connection

    def _connected(self, task: asyncio.Task[ClientConnection]) -> None:
        self._connecting = None
        _retrieve(task)

    def _leave(self, connection: ClientConnection) -> None:
        """A connection is lost, or takes no more calls."""
        if connection.is_gone:
            self._connections.discard(connection)
        if self._connection is connection:
            self._connection = None
            lost, self._lost = self._lost, None
            if lost is not None and not lost.done():
                lost.set_result(None)


class LateCall:
    """A call that begins when there is a connection.

    Args:
        begin: Begins it.
        raw: Its only message; None if others are written later.
    """

    __slots__ = ('_call', '_cancelled', '_task')

    gathers = False

    def __init__(self, begin: Callable[[], Awaitable[ClientCall]], raw: bytes | None = None) -> None:
        self._call: ClientCall | None = None
        self._cancelled = False
        self._task = asyncio.ensure_future(self._run(begin, raw))
        self._task.add_done_callback(_retrieve)

    async def read(self) -> Any:
        """Returns the next message, see ``ClientCall``."""
        call = self._call or await self._begun()
        return await call.read()

    async def write(self, message: Payload | Sequence[Buffer]) -> None:
        """Sends a message, see ``ClientCall``."""
        call = self._call or await self._begun()
        await call.write(message)

    async def done_writing(self) -> None:
        """Says that no message follows."""
        call = self._call or await self._begun()
        await call.done_writing()

    def cancel(self) -> None:
        """Ends the call at once."""
        self._cancelled = True
        if self._call is not None:
            self._call.cancel()
        else:
            self._task.cancel()

    async def _begun(self) -> ClientCall:
        return await asyncio.shield(self._task)

    async def _run(self, begin: Callable[[], Awaitable[ClientCall]], raw: bytes | None) -> ClientCall:
        call = await begin()
        if self._cancelled:
            call.cancel()
        elif raw is not None:
            _send_only(call, raw)
        self._call = call
        return call


def _send_only(call: ClientCall, raw: bytes) -> None:
    """Sends the only message of a call; whoever reads is told if that is not possible."""
    with contextlib.suppress(CallError):
        call.send(raw, last=True)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Has nobody told of an exception that nobody waits for."""
    if not task.cancelled():
        task.exception()


def written_timeout(seconds: float) -> bytes:
    """Returns a time as the header ``grpc-timeout`` has it: at most eight digits and a unit."""
    for unit, letter in _UNITS:
        count = max(1, -int(-seconds // unit))
        if count <= _MOST_DIGITS:
            return f'{count}{letter}'.encode()
    return f'{_MOST_DIGITS}H'.encode()
