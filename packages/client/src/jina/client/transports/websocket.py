"""WebSocket: a connection per call, on which all its requests travel side by side; kept for the next call."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, Literal, cast

from jina.client.results import error_of
from jina.client.transports.base import CallOptions, RequestSource, Transport, exchange_one_by_one
from jina.client.trust import SYSTEM_TRUST, TlsTrust, trust_hint
from jina.core.config import PodAddress
from jina.core.document_stream import stream_item, stream_message
from jina.core.errors import (
    AccessError,
    ClientError,
    ConnectError,
    DeadlineError,
    MissingExtraError,
    OverloadError,
    ServerError,
    TransportError,
)
from jina.core.gathering import GatheringTransport
from jina.core.request import DataRequest, Response, SingleDocumentRequest
from jina.core.status import StatusMessage
from jina.core.wire import LEAVING, MESSAGE_BYTES

try:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import (
        ConnectionClosed,
        InvalidMessage,
        InvalidStatus,
        WebSocketException,
    )
    from websockets.frames import CloseCode
    from websockets.protocol import State
    from websockets.typing import Subprotocol
except ImportError as _error:  # pragma: no cover - depends on the environment
    raise MissingExtraError('the WebSocket client', install='jina-client[websocket]') from _error

__all__ = ['WebSocketTransport']

_BYTES: Final = Subprotocol('bytes')
_CONNECT_LIMIT_S: Final = 20.0
_CLOSE_LIMIT_S: Final = 2.0
_WRITE_LIMIT: Final = 1 << 18
_IDLE: Final = 16
"""Connections that are kept for later calls."""
_MOST_LEFT: Final = 5
"""So many servers in a row may leave before one of them answers; what they haven't begun is no attempt."""
_Metadata = tuple[tuple[str, str], ...]


class _LeftError(TransportError):
    """The server leaves, and has answered all that it had begun: what is unanswered may go to who takes its place."""


class _Connection(ClientConnection):
    """A connection that writes the requests of one turn of the event loop together."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(GatheringTransport(cast('asyncio.Transport', transport)))


class WebSocketTransport(Transport):
    """Connections to one server.

    Args:
        address: The server.
        headers: Headers of every connection.
        trust: Which certificate it trusts.
        proxy: Go through the proxy that the environment names.
    """

    def __init__(
        self,
        address: PodAddress,
        headers: _Metadata = (),
        trust: TlsTrust = SYSTEM_TRUST,
        *,
        proxy: bool = False,
    ) -> None:
        self.address = address
        self._base = f'ws{"s" if address.tls else ""}://{address.target}'
        self._headers = headers
        self._tls: dict[str, Any] = (
            {'ssl': trust.context(), 'server_hostname': trust.server_name or address.host} if address.tls else {}
        )
        self._proxy: Literal[True] | None = True if proxy else None
        self._idle: list[tuple[_Metadata, _Line]] = []
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(line.close() for _, line in idle))

    async def abandon(self) -> None:
        self._closed = True
        idle, self._idle = self._idle, []
        for _, line in idle:
            await line.abort()

    async def exchange(self, source: RequestSource, options: CallOptions) -> AsyncGenerator[list[Response], None]:
        call = _Call(self, options)
        try:
            async with aclosing(exchange_one_by_one(call.send, source, options)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            await call.end()

    async def take_line(self, options: CallOptions) -> _Line:
        """Returns a connection that nobody else uses: one that was kept, or a new one.

        Raises:
            TransportError: No server answers, or none for WebSocket.
        """
        for entry in tuple(self._idle):
            metadata, line = entry
            if not line.is_open:
                self._idle.remove(entry)
            elif metadata == options.metadata:
                self._idle.remove(entry)
                return line
        connection = await self._connect('/', options.metadata, options.timeout_s)
        return _Line(connection, self.address)

    async def give_back(self, line: _Line, metadata: _Metadata) -> None:
        """Keeps a connection for later calls, or closes it: the server then ends its work on what is unanswered."""
        if line.is_clean and not self._closed and len(self._idle) < _IDLE:
            self._idle.append((metadata, line))
        else:
            await line.close()

    async def _connect(self, path: str, metadata: _Metadata, timeout_s: float | None) -> ClientConnection:
        try:
            return await connect(
                self._base + path,
                subprotocols=[_BYTES],
                additional_headers=[*self._headers, *metadata],
                compression=None,
                proxy=self._proxy,
                open_timeout=min(timeout_s or _CONNECT_LIMIT_S, _CONNECT_LIMIT_S),
                close_timeout=_CLOSE_LIMIT_S,
                ping_timeout=None,  # who reads slowly doesn't see the answers to its pings
                max_size=MESSAGE_BYTES,
                write_limit=_WRITE_LIMIT,
                create_connection=_Connection,
                **self._tls,
            )
        except (OSError, asyncio.TimeoutError, EOFError, WebSocketException) as error:
            raise self._translate(error) from error

    def _translate(self, error: Exception) -> TransportError | AccessError:
        """Returns our error for a connection that could not be opened."""
        address, port = self.address, self.address.port
        if isinstance(error, ssl.SSLError) or (address.tls and isinstance(error, ConnectionResetError)):
            return ConnectError(
                f'TLS with {address} failed: {error or "the server ended the connection"}',
                hint=trust_hint(error, address.host),
            )
        if isinstance(error, TimeoutError | asyncio.TimeoutError):
            return DeadlineError(f'no answer from {address} in time', hint='raise the timeout of post')
        if isinstance(error, OSError):
            return ConnectError(
                f'no WebSocket server answers at {address}: {error}',
                hint=f'start the server, or correct host and port ({port})',
            )
        if isinstance(error, InvalidStatus):
            status = error.response.status_code
            if status == 401:
                detail = (error.response.body or b'').decode(errors='replace')
                return AccessError(f'the server at {address} refused the connection: {detail}')
            if status == 503:
                kind = _LeftError if LEAVING.encode() in (error.response.body or b'') else TransportError
                return kind(f'the server at {address} {LEAVING}')
            return ConnectError(
                f'the server at {address} answered {status} instead of opening a WebSocket',
                hint='is this the right port?',
            )
        if isinstance(error, InvalidMessage | EOFError):
            return ConnectError(f'the server at {address} did not answer in HTTP: {error}', hint='was it stopped?')
        return ConnectError(f'the server at {address} opened no WebSocket: {error}', hint='is this the right port?')

    async def stream_doc(
        self, request: SingleDocumentRequest, options: CallOptions
    ) -> AsyncGenerator[SingleDocumentRequest, None]:
        started, left = False, 0
        while True:
            try:
                async with aclosing(self._stream_doc(request, options)) as items:
                    async for item in items:
                        started = True
                        yield item
                return
            except _LeftError:
                if started or left == _MOST_LEFT:
                    raise
                left += 1

    async def _stream_doc(
        self, request: SingleDocumentRequest, options: CallOptions
    ) -> AsyncGenerator[SingleDocumentRequest, None]:
        connection = await self._connect('/', options.metadata, options.timeout_s)
        deadline = _Deadline(options.timeout_s, self.address)
        ended = False
        try:
            await connection.send(stream_message(request))
            while not ended:
                response = Response.from_bytes(_binary(await deadline.wait(connection.recv())))
                if response.is_error:
                    raise error_of(response)
                item = stream_item(response)
                if item is not None:
                    yield item
                ended = item is None
        except ConnectionClosed as error:
            raise closed_error(error, self.address) from error
        finally:
            if ended:
                await connection.close()
            else:
                connection.transport.abort()  # the server notices at once, and ends the stream
                await connection.wait_closed()

    async def check_health(self, timeout_s: float | None) -> None:
        connection = await self._connect('/', (), timeout_s)
        await connection.close()

    async def dry_run(self, timeout_s: float | None) -> None:
        connection = await self._connect('/dry_run', (), timeout_s)
        try:
            answer = _binary(await _Deadline(timeout_s, self.address).wait(connection.recv()))
        except ConnectionClosed as error:
            raise closed_error(error, self.address) from error
        finally:
            await connection.close()
        status = StatusMessage.from_bytes(answer)
        if not status.is_ok():
            raise ServerError(f'the server at {self.address} is not ready: {status.proto.description}')


class _Line:
    """A connection and the requests that wait for their answers on it.

    Args:
        connection: The connection.
        address: Where it leads.
    """

    def __init__(self, connection: ClientConnection, address: PodAddress) -> None:
        self._connection = connection
        self._address = address
        self._waiting: dict[str, asyncio.Future[Response]] = {}
        self._left = False
        self._error: Exception | None = None
        self._reader = asyncio.create_task(self._read())

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._error is None and self._connection.state is State.OPEN

    @property
    def is_clean(self) -> bool:
        """Whether it is open and no answer may still come."""
        return self.is_open and not (self._waiting or self._left)

    async def request(self, request_id: str, raw: bytes) -> Response:
        """Sends a request and returns its response.

        Raises:
            TransportError: The connection broke, or the server ended it.
            ClientError: The server took it for no request.
        """
        if self._error is not None:
            raise self._error
        answer = self._waiting[request_id] = asyncio.get_running_loop().create_future()
        try:
            await self._connection.send(raw)
            response: Response = await answer
            return response
        except ConnectionClosed as error:
            raise closed_error(error, self._address) from error
        finally:
            if self._waiting.pop(request_id, None) is not None:
                self._left = True
            if answer.done() and not answer.cancelled():
                answer.exception()  # retrieved, also where the sending failed first

    async def _read(self) -> None:
        try:
            while True:
                response = Response.from_bytes(_binary(await self._connection.recv()))
                answer = self._waiting.pop(self._id_of(response), None)
                if answer is not None and not answer.done():
                    answer.set_result(response)
        except ConnectionClosed as error:
            self._break(closed_error(error, self._address))
        except Exception as error:  # noqa: BLE001 - every request that waits gets it
            self._break(error)
            self._connection.transport.abort()

    def _id_of(self, response: Response) -> str:
        """Returns the id of the request that a response belongs to."""
        request_id = response.request_id
        if request_id not in self._waiting and self._waiting and not self._left:
            # A server that invents ids answers in order, as far as anyone can know.
            return next(iter(self._waiting))
        return request_id

    def _break(self, error: Exception) -> None:
        self._error = error
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(error)

    async def close(self) -> None:
        """Closes the connection; what waits fails."""
        self._reader.cancel()
        await asyncio.wait((self._reader,))
        self._break(TransportError(f'the connection to {self._address} was closed'))
        if self._left:
            await self.abort()
        else:
            await self._connection.close()

    async def abort(self) -> None:
        """Ends the connection at once, without a word to the server."""
        self._reader.cancel()
        self._connection.transport.abort()
        await self._connection.wait_closed()


class _Call:
    """The requests of one call, all on one connection; if it breaks, those that are tried again share the next one.

    Args:
        transport: Has the connections.
        options: How the requests travel.
    """

    def __init__(self, transport: WebSocketTransport, options: CallOptions) -> None:
        self._transport = transport
        self._options = options
        self._line: _Line | None = None
        self._opening = asyncio.Lock()

    async def send(self, request: DataRequest) -> Response:
        """Sends a request, again if the network fails and there are attempts left; returns the response."""
        raw, request_id = request.to_bytes(), request.request_id
        retry = self._options.retry
        attempt, left = 1, 0
        while True:
            try:
                return _accepted(await self._try(request_id, raw))
            except TransportError as error:
                if isinstance(error, _LeftError) and left < _MOST_LEFT:
                    left += 1
                    continue
                if attempt >= retry.max_attempts:
                    raise
            await retry.pause(attempt)
            attempt += 1

    async def _try(self, request_id: str, raw: bytes) -> Response:
        line = self._line
        if line is None or not line.is_open:
            line = await self._open()
        answer = line.request(request_id, raw)
        if self._options.timeout_s is None:
            return await answer
        response: Response = await _Deadline(self._options.timeout_s, self._transport.address).wait(answer)
        return response

    async def _open(self) -> _Line:
        async with self._opening:
            if self._line is not None and self._line.is_open:
                return self._line
            broken, self._line = self._line, None
            if broken is not None:
                await broken.close()
            self._line = await self._transport.take_line(self._options)
            return self._line

    async def end(self) -> None:
        """Gives the connection back."""
        line, self._line = self._line, None
        if line is not None:
            await self._transport.give_back(line, self._options.metadata)


def _accepted(response: Response) -> Response:
    """Returns a response, unless it says that an Executor didn't take the request on.

    Raises:
        OverloadError: It says so.
    """
    if response.is_error and response.status.exception.name == OverloadError.__name__:
        raise OverloadError(response.status.description)
    return response


class _Deadline:
    """A limit for several waits together.

    Args:
        limit_s: Seconds; None for no limit.
        address: Who is waited for.
    """

    def __init__(self, limit_s: float | None, address: PodAddress) -> None:
        self._address = address
        self._until = None if limit_s is None else asyncio.get_running_loop().time() + limit_s

    async def wait(self, work: Any) -> Any:
        """Awaits something.

        Raises:
            DeadlineError: The time is over.
        """
        if self._until is None:
            return await work
        try:
            return await asyncio.wait_for(work, max(0.0, self._until - asyncio.get_running_loop().time()))
        except asyncio.TimeoutError as error:
            raise DeadlineError(f'no answer from {self._address} in time', hint='raise the timeout of post') from error


def closed_error(error: ConnectionClosed, address: PodAddress) -> TransportError | ClientError:
    """Returns our error for a connection that ended while something was expected of it."""
    close = error.rcvd
    if close is None:
        return TransportError(f'the connection to {address} broke: {error}', hint='was the server stopped?')
    message = f'the server at {address} closed the connection ({close.code}): {close.reason or "no reason given"}'
    if close.code == CloseCode.MESSAGE_TOO_BIG:
        return ClientError(message, hint='send fewer documents in a request (a smaller request_size)')
    if close.code in (CloseCode.INVALID_DATA, CloseCode.UNSUPPORTED_DATA):
        return ClientError(message, hint='does the server speak the same protocol?')
    has_left = close.code == CloseCode.GOING_AWAY and close.reason.endswith(LEAVING)
    return _LeftError(message) if has_left or close.code == CloseCode.SERVICE_RESTART else TransportError(message)


def _binary(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message
