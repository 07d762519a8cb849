from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from jina.core.calls import StatusCode
from jina.core.errors import JinaError
from jina.runtime.http2.server import Http2Server
from jina.runtime.http2.settings import Settings
from jina.runtime.methods import Method, MethodTable
from jina.runtime.unary_method import Reply, UnaryMethod

LIMIT = 1 << 31


class Methods:
    """What the server of these tests offers, and what happened there."""

    def __init__(self) -> None:
        self.begun: asyncio.Event = asyncio.Event()
        self.cancelled: asyncio.Event = asyncio.Event()
        self.go: asyncio.Event = asyncio.Event()
        self.written = 0
        self.taken = 0
        self.metadata: Any = None
        self.timeout: float | None = None

    def table(self) -> MethodTable:
        return MethodTable(
            {
                '/test.Service/Direct': UnaryMethod(self._direct),
                '/test.Service/Hold': UnaryMethod(self._hold),
                '/test.Service/Refuse': UnaryMethod(self._refuse),
                '/test.Service/Large': UnaryMethod(self._large),
                '/test.Service/Echo': Method(self._echo),
                '/test.Service/Fail': Method(self._fail),
                '/test.Service/Abort': Method(self._abort),
                '/test.Service/Wait': Method(self._wait),
                '/test.Service/Count': Method(self._count, response_streaming=True),
                '/test.Service/Endless': Method(self._endless, response_streaming=True),
                '/test.Service/Talk': Method(self._talk, request_streaming=True, response_streaming=True),
                '/test.Service/Sum': Method(self._sum, request_streaming=True),
                '/test.Service/Slow': Method(self._slow, request_streaming=True),
            },
        )

    def _direct(self, raw: bytes, reply: Reply, *, metadata: Any, timeout: float | None) -> None:
        self.metadata, self.timeout = metadata, timeout
        reply(raw, None, (('told', 'yes'),) if raw == b'tell' else ())

    def _hold(self, raw: bytes, reply: Reply, *, metadata: Any, timeout: float | None) -> Callable[[], object]:
        self.begun.set()
        task = asyncio.ensure_future(self.go.wait())
        task.add_done_callback(lambda done: None if done.cancelled() else reply(raw))

        def cancel() -> None:
            task.cancel()
            self.cancelled.set()

        return cancel

    def _large(self, raw: bytes, reply: Reply, *, metadata: Any, timeout: float | None) -> None:
        reply(b'x' * int(raw))

    def _refuse(self, raw: bytes, reply: Reply, *, metadata: Any, timeout: float | None) -> None:
        reply(b'', JinaError('nö, 100 %'), (('why', 'because'),))

    async def _echo(self, raw: bytes, context: Any) -> bytes:
        self.metadata = context.invocation_metadata()
        context.set_trailing_metadata((('peer', context.peer()), ('raw-bin', b'\x00\xff')))
        return raw

    async def _fail(self, raw: bytes, context: Any) -> bytes:
        raise ValueError('boom')

    async def _abort(self, raw: bytes, context: Any) -> bytes:
        await context.abort(StatusCode.DATA_LOSS, 'gone', (('left', '0'),))
        raise AssertionError

    async def _wait(self, raw: bytes, context: Any) -> bytes:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return raw

    async def _count(self, raw: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(int(raw)):
            yield str(number).encode()

    async def _endless(self, raw: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                self.written += 1
                yield raw
        finally:
            self.cancelled.set()

    async def _talk(self, messages: AsyncIterator[bytes], context: Any) -> None:
        async for message in messages:
            await context.write(message)

    async def _sum(self, messages: AsyncIterator[bytes], context: Any) -> bytes:
        return str(sum([len(message) async for message in messages])).encode()

    async def _slow(self, messages: AsyncIterator[bytes], context: Any) -> bytes:
        async for _ in messages:
            self.taken += 1
            self.begun.set()
            await self.go.wait()
        return str(self.taken).encode()


class Serving:
    """A server that listens.

    Attributes:
        port: Where.
        methods: What it offers.
        server: The server.
    """

    def __init__(self, server: Http2Server, methods: Methods, port: int) -> None:
        self.server = server
        self.methods = methods
        self.port = port

    @property
    def address(self) -> str:
        return f'127.0.0.1:{self.port}'

    def channel(self, *options: tuple[str, Any], **settings: Any) -> grpc.aio.Channel:
        chosen = (
            ('grpc.use_local_subchannel_pool', 1),
            ('grpc.enable_http_proxy', 0),
            ('grpc.max_receive_message_length', -1),
            *options,
        )
        return grpc.aio.insecure_channel(self.address, options=chosen, **settings)


Serve = Callable[..., Any]


@pytest.fixture
def make_methods() -> Callable[[], Methods]:
    """Makes what another server of a test offers."""
    return Methods


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts servers; each takes fields of ``Settings``."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**settings: Any) -> Serving:
            server = Http2Server(Settings(**{'receive': LIMIT, 'send': LIMIT, **settings}))
            methods = Methods()
            server.add_methods((methods.table(),))
            port = server.bind('127.0.0.1', 0, 'test')
            await server.start()
            stack.push_async_callback(server.stop, None)
            return Serving(server, methods, port)

        yield start
