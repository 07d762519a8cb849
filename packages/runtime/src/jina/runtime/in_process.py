"""A gRPC channel without gRPC: calls the handlers of a server in the same event loop, with the bytes that would travel.

Everything on both sides is what runs on a real connection: the transport of the client, the connections of a gateway,
the fast lane, the server's handlers and the service behind them. Only HTTP/2 and the socket are missing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from jina.core.calls import EOF, StatusCode
from jina.core.config import ExecutorOptions, GatewayOptions
from jina.runtime.grpc_server import GrpcServer
from jina.runtime.health import ServingStatus
from jina.runtime.process import PodServer

_GRPC_EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined,unused-ignore]
_MESSAGES_AHEAD: Final = 1
_Metadata = Sequence[tuple[str, str]]


class InProcessPod:
    """A worker or a gateway that listens nowhere. Use it inside a running event loop.

    Args:
        options: Options of an Executor, or of a gateway.
        channels: Channels to Executors by their address, for a gateway; all others are connected as usual.

    Attributes:
        channel: Leads to its server.
    """

    channel: InProcessChannel

    def __init__(
        self, options: ExecutorOptions | GatewayOptions, channels: dict[str, InProcessChannel] | None = None
    ) -> None:
        self._options = options
        self._pod = PodServer(options, open_channel=(channels or {}).get)

    @property
    def service(self) -> Any:
        """The ``WorkerService`` or ``GatewayService``."""
        return self._pod.service

    async def start(self) -> None:
        """Loads the service and serves it.

        Raises:
            JinaError: A configuration is wrong, or the graph doesn't fit together.
            Exception: What the Executor's ``__init__`` or ``warm_up`` raises.
        """
        await self._pod.load()
        options = self._options
        self._server = GrpcServer(
            self._pod.service, prefetch=options.prefetch if isinstance(options, GatewayOptions) else 1000
        )
        self._server.health.set(ServingStatus.SERVING)
        self.channel = InProcessChannel(self._server)
        self._ended = asyncio.create_task(self._end())

    async def stop(self) -> None:
        """Cancels what is in flight and closes the service."""
        self._ended.cancel()
        await self.channel.close()
        await self._server.stop()
        await self._pod.stop(0)

    async def _end(self) -> None:
        """After an exception of ``exit_on_exceptions`` nobody answers any more."""
        await self._pod.ended.wait()
        self.channel.down = True


class InProcessChannel:
    """Has what clients and gateways use of a ``grpc.aio.Channel``.

    Args:
        server: The server; it needn't listen.

    Attributes:
        down: True refuses all calls as if nobody listened.
    """

    def __init__(self, server: GrpcServer) -> None:
        self.down = False
        self._server = server
        self._methods: dict[str, Any] = {}
        self._streams: set[_StreamCall] = set()

    def unary_unary(self, method: str) -> Callable[..., Awaitable[bytes]]:
        """Returns what makes calls with one message each way."""

        async def call(raw: bytes, *, timeout: float | None = None, metadata: _Metadata = (), **_: Any) -> bytes:
            context = _Context(metadata, timeout)
            return await _as_rpc(lambda: self._method(method).answer(raw, context), timeout)  # type: ignore[no-any-return]

        return call

    def unary_stream(self, method: str) -> Callable[..., _StreamCall]:
        """Returns what makes calls with one request and many responses."""

        def call(raw: bytes, *, timeout: float | None = None, metadata: _Metadata = (), **_: Any) -> _StreamCall:
            async def serve(context: _StreamContext) -> None:
                await self._method(method).answer(raw, context)

            return self._stream(serve, timeout, metadata)

        return call

    def stream_stream(self, method: str) -> Callable[..., _StreamCall]:
        """Returns what makes calls with many messages each way."""

        def call(*, timeout: float | None = None, metadata: _Metadata = (), **_: Any) -> _StreamCall:
            async def serve(context: _StreamContext) -> None:
                await self._method(method).answer(context.requests(), context)

            return self._stream(serve, timeout, metadata)

        return call

    async def channel_ready(self) -> None:
        """Returns when there is a connection; without a server, never."""
        if self.down:
            await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Cancels the calls in flight."""
        streams = tuple(self._streams)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*(stream.ended() for stream in streams))

    def _method(self, name: str) -> Any:
        if self.down:
            raise _Aborted(StatusCode.UNAVAILABLE, 'failed to connect: the server has ended')
        found = self._methods.get(name)
        if found is None:
            details = _CallDetails(name)
            candidates = (methods.find(details) for methods in self._server.methods)
            found = next((one for one in candidates if one is not None), None)
            if found is None:
                raise _Aborted(StatusCode.UNIMPLEMENTED, 'Method not found!')
            self._methods[name] = found
        return found

    def _stream(
        self, serve: Callable[[_StreamContext], Awaitable[None]], timeout: float | None, metadata: _Metadata
    ) -> _StreamCall:
        call = _StreamCall(serve, timeout, metadata)
        self._streams.add(call)
        call.task.add_done_callback(lambda _: self._streams.discard(call))
        return call


@dataclass(frozen=True)
class _CallDetails:
    """What is asked for of a call that begins."""

    method: str
    invocation_metadata: _Metadata = ()


class _Aborted(Exception):
    """A handler ended its call with a status."""

    def __init__(self, code: StatusCode, details: str) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


async def _as_rpc(work: Callable[[], Awaitable[Any]], timeout: float | None) -> Any:
    """Awaits what a handler does; what it raises becomes what a gRPC client would see."""
    try:
        return await asyncio.wait_for(work(), timeout)
    except _Aborted as error:
        code, details = error.code, error.details
    except asyncio.TimeoutError:
        code, details = StatusCode.DEADLINE_EXCEEDED, 'Deadline Exceeded'
    except Exception as error:  # noqa: BLE001 - as gRPC's own server reports it
        code, details = StatusCode.UNKNOWN, f'Unexpected {type(error)}: {error}'
    raise grpc.aio.AioRpcError(code.to_grpc(), grpc.aio.Metadata(), grpc.aio.Metadata(), details, None)


class _Context:
    """The ``Context`` of a method, as far as one with a message each way needs it."""

    def __init__(self, metadata: _Metadata, timeout: float | None) -> None:
        self._metadata = tuple(metadata or ())
        self._deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout

    def invocation_metadata(self) -> _Metadata:
        return self._metadata

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - asyncio.get_running_loop().time())

    def set_trailing_metadata(self, _: _Metadata) -> None:
        """Nobody reads them here."""

    async def abort(self, code: StatusCode, details: str = '') -> NoReturn:
        raise _Aborted(code, details)


class _Pipe:
    """Messages in one direction; a writer waits while the reader is behind, as on a connection."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._ended = False
        self._changed = asyncio.Event()

    async def put(self, message: bytes) -> None:
        while len(self._messages) >= _MESSAGES_AHEAD and not self._ended:
            await self._wait()
        if self._ended:
            raise asyncio.InvalidStateError('the call is over')
        self._messages.append(message)
        self._changed.set()

    async def get(self) -> Any:
        """Returns the next message, ``EOF`` after the last one."""
        while not self._messages:
            if self._ended:
                return EOF
            await self._wait()
        message = self._messages.popleft()
        self._changed.set()
        return message

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _StreamContext(_Context):
    """The server's side of a call with streams."""

    def __init__(self, metadata: _Metadata, timeout: float | None, sent: _Pipe, received: _Pipe) -> None:
        super().__init__(metadata, timeout)
        self._sent = sent
        self._received = received

    async def read(self) -> Any:
        return await self._sent.get()

    async def write(self, message: bytes) -> None:
        await self._received.put(message)

    async def requests(self) -> AsyncIterator[bytes]:
        while (message := await self.read()) is not EOF:
            yield message


class _StreamCall:
    """The client's side of a call with streams."""

    def __init__(
        self, serve: Callable[[_StreamContext], Awaitable[None]], timeout: float | None, metadata: _Metadata
    ) -> None:
        self._sent, self._received = _Pipe(), _Pipe()
        context = _StreamContext(metadata, timeout, self._sent, self._received)
        self.task = asyncio.ensure_future(_as_rpc(lambda: serve(context), timeout))
        self.task.add_done_callback(self._over)

    async def write(self, message: bytes) -> None:
        await self._sent.put(message)

    async def done_writing(self) -> None:
        self._sent.end()

    async def read(self) -> Any:
        """Returns the next message, ``grpc.aio.EOF`` at the end.

        Raises:
            grpc.aio.AioRpcError: The call failed.
            asyncio.CancelledError: This side cancelled it.
        """
        message = await self._received.get()
        if message is EOF:
            await self.task
            return _GRPC_EOF
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.read()) is not _GRPC_EOF:
            yield message

    def cancel(self) -> bool:
        return self.task.cancel()

    async def ended(self) -> None:
        """Returns when the server has noticed the end."""
        await asyncio.wait((self.task,))

    def _over(self, task: asyncio.Future[Any]) -> None:
        self._sent.end()
        self._received.end()
        if not task.cancelled():
            task.exception()  # retrieved: who reads gets it, and nobody has to read
