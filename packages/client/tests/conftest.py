"""Real servers that speak the wire by hand, so that these tests need nothing above the client."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from jina.core import wire
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.status import StatusMessage


class ServerThread:
    """An event loop in a thread, for one server."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


class Behaviour:
    """What both servers do with a request, and what they saw."""

    def __init__(self) -> None:
        self.requests: list[DataRequest] = []
        self.methods: list[str] = []
        self.metadata: list[dict[str, str]] = []
        self.arrivals: list[float] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.outages = 0
        self.ready = True
        self.note = ''
        self._changed = threading.Condition()

    async def answer(self, request: DataRequest) -> DataRequest:
        self.requests.append(request)
        self._count(1)
        try:
            return await self._work(request)
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._changed:
            self.in_flight += change
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self._changed.notify_all()

    def note_arrival(self, metadata: dict[str, str]) -> None:
        """Records what came with a request, and when."""
        self.metadata.append(metadata)
        self.arrivals.append(time.perf_counter())

    def wait_for_in_flight(self, count: int) -> None:
        """Waits until this many requests are being worked on."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.in_flight == count, timeout=10)

    async def _work(self, request: DataRequest) -> DataRequest:
        route = request.add_route('gateway')
        if request.exec_endpoint == '/slow':
            await asyncio.sleep(request.parameters.get('delay_s', 0.02))
        elif request.exec_endpoint == '/shuffle':
            await asyncio.sleep(0.02 * (3 - len(self.requests) % 4))
        elif request.exec_endpoint == '/fail' and any(getattr(doc, 'text', '') == 'bad' for doc in request.docs):
            request.add_exception(ValueError('boom'), 'MyExecutor')
        elif request.exec_endpoint == '/results':
            request.parameters = {**request.parameters, '__results__': {'exec/rep-0': {'docs': len(request.docs)}}}
        route.end_time.GetCurrentTime()
        if self.note:
            request.status.description = self.note
        return request


class WireServer(Behaviour):
    """A gRPC server with the RPCs that a client uses. It never orders responses."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = ServerThread()
        self.port = self._thread.call(self._start())

    async def _start(self, port: int = 0, credentials: Any = None) -> int:
        self._server = grpc.aio.server(options=wire.merge_grpc_options({}))
        for path, handler in {
            wire.PROCESS_SINGLE_DATA: grpc.unary_unary_rpc_method_handler(self._single),
            wire.CALL: grpc.stream_stream_rpc_method_handler(self._call),
            wire.STREAM_DOC: grpc.unary_stream_rpc_method_handler(self._stream_doc),
            wire.DRY_RUN: grpc.unary_unary_rpc_method_handler(self._dry_run),
            '/grpc.health.v1.Health/Check': grpc.unary_unary_rpc_method_handler(self._health),
        }.items():
            _, service, method = path.split('/')
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        if credentials is None:
            bound = self._server.add_insecure_port(f'127.0.0.1:{port}')
        else:
            bound = self._server.add_secure_port(f'127.0.0.1:{port}', credentials)
        await self._server.start()
        return bound

    async def _single(self, raw: bytes, context: Any) -> bytes:
        self._note('unary', context)
        await self._fail_if_down(context)
        return (await self._checked(DataRequest.from_bytes(raw), context)).to_bytes()

    async def _call(self, requests: AsyncIterator[bytes], context: Any) -> None:
        self._note('stream', context)
        tasks: set[asyncio.Task[None]] = set()
        one_write = asyncio.Lock()

        async def serve(request: DataRequest) -> None:
            answer = await self._checked(request, context)
            async with one_write:
                await context.write(answer.to_bytes())

        try:
            async for raw in requests:
                await self._fail_if_down(context)
                tasks.add(asyncio.create_task(serve(request := DataRequest.from_bytes(raw))))
                if request.exec_endpoint == '/leave':
                    break
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _checked(self, request: DataRequest, context: Any) -> DataRequest:
        if request.exec_endpoint == '/down':
            await context.abort(grpc.StatusCode.UNAVAILABLE, 'refused |Gateway: Communication error with deployment e1')
        return await self.answer(request)

    async def _stream_doc(self, raw: bytes, context: Any) -> AsyncIterator[bytes]:
        self._note('stream_doc', context)
        request = SingleDocumentRequest.from_bytes(raw)
        for number in range(int(request.parameters.get('count', 3))):
            response = SingleDocumentRequest()
            response.document = type(request.document)(
                **{**request.document.model_dump(), 'text': f'{request.document.text} {number}'}
            )
            yield response.to_bytes()
        if request.exec_endpoint == '/fail':
            response = SingleDocumentRequest()
            response.add_exception(ValueError('boom'), 'MyExecutor')
            yield response.to_bytes()

    async def _dry_run(self, raw: bytes, context: Any) -> bytes:
        status = StatusMessage()
        if not self.ready:
            status.set_exception(ConnectionError('executor0 is gone'))
        return status.to_bytes()

    async def _health(self, raw: bytes, context: Any) -> bytes:
        return b'\x08\x01' if self.ready else b'\x08\x02'

    async def _fail_if_down(self, context: Any) -> None:
        if self.outages > 0:
            self.outages -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, 'a short outage')

    def _note(self, method: str, context: Any) -> None:
        self.methods.append(method)
        self.note_arrival({key: value for key, value in context.invocation_metadata()})

    def restart(self) -> None:
        """Ends the server and starts one on the same port."""
        self._thread.call(self._server.stop(None))
        self._thread.call(self._start(self.port))

    def secure(self, credentials: grpc.ServerCredentials) -> int:
        """Starts another server with TLS and returns its port."""
        first = self._server
        port = self._thread.call(self._start(0, credentials))
        self._secure, self._server = self._server, first
        return port

    def stop(self) -> None:
        self._thread.call(self._server.stop(None))
        if hasattr(self, '_secure'):
            self._thread.call(self._secure.stop(None))
        self._thread.end()


STREAMS = {
    '/generate': b'event: end\r\n\r\n',
    '/large': b'event: end\r\n\r\n',
    '/cut': b'',
    '/broken': b'event: error\r\ndata: {"detail": "ValueError(\'no more\')"}\r\n\r\n',
}
"""Streaming endpoints of the HTTP server, and how their streams end."""


class HttpServer(Behaviour):
    """An HTTP server with the routes that a client uses."""

    def __init__(self) -> None:
        super().__init__()
        self.paths = {'/echo', '/slow', '/shuffle', '/fail', '/results'}
        self.hits: list[str] = []
        self.status: dict[str, int] = {}
        self._thread = ServerThread()
        self.port = self._thread.call(self._start())

    async def _start(self) -> int:
        from aiohttp import web

        app = web.Application()
        app.router.add_route('*', '/{path:.*}', self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, '127.0.0.1', 0)
        await site.start()
        return self._runner.addresses[0][1]

    async def _handle(self, request: Any) -> Any:
        from aiohttp import web

        path = request.path
        self.hits.append(f'{request.method} {path}')
        self.note_arrival({key.lower(): value for key, value in request.headers.items()})
        if self.outages > 0:
            self.outages -= 1
            return web.json_response({'detail': 'a short outage'}, status=503)
        if path in self.status:
            return web.json_response({'detail': 'refused'}, status=self.status[path])
        if path == '/openapi.json':
            streaming = {'get': {'responses': {'200': {'content': {'text/event-stream': {}}}}}, 'post': {}}
            paths = {path: {'post': {}} for path in self.paths} | dict.fromkeys(STREAMS, streaming)
            return web.json_response({'paths': paths})
        if path == '/':
            return web.json_response({})
        if path == '/dry_run':
            return web.json_response({'code': 0 if self.ready else 1, 'description': '' if self.ready else 'gone'})
        if request.method == 'GET':
            return await self._stream(request)
        if path in STREAMS:  # as with the original, documents come by GET alone
            return web.json_response({'detail': 'Method Not Allowed'}, status=405)
        if path not in self.paths:
            return web.json_response({'detail': 'Not Found'}, status=404)
        return await self._post(request)

    async def _post(self, request: Any) -> Any:
        from aiohttp import web
        from docarray import DocList
        from docarray.documents import TextDoc

        body = await request.json()
        data = DataRequest()
        data.exec_endpoint = body['header']['exec_endpoint']
        data.target_executor = body.get('target_executor', '')
        data.parameters = body['parameters']
        data.docs = DocList[TextDoc]([TextDoc(**doc) for doc in body['data']])
        answer = await self.answer(data)
        if answer.is_error:
            return web.json_response({'detail': answer.status.description}, status=499)
        return web.json_response(
            {'data': json.loads(answer.docs.to_json()), 'parameters': answer.parameters, 'header': {}}
        )

    async def _stream(self, request: Any) -> Any:
        from aiohttp import web

        if request.path not in STREAMS:
            return web.json_response({'detail': 'Method Not Allowed'}, status=405)
        document = await request.json()
        answer = web.StreamResponse(headers={'Content-Type': 'text/event-stream'})
        await answer.prepare(request)
        size = 300_000 if request.path == '/large' else 1
        for number in range(3):
            text = f'{document["text"]} {number}' * size
            await answer.write(f': ping\r\nevent: update\r\ndata: {{"text": "{text}"}}\r\n\r\n'.encode())
        await answer.write(STREAMS[request.path])
        return answer

    def stop(self) -> None:
        self._thread.call(self._runner.cleanup())
        self._thread.end()


class SocketServer(Behaviour):
    """A WebSocket server that answers requests as they are ready, and streams."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.left: list[str] = []
        self.messages: list[bytes] = []
        self.close = (1011, 'a short outage')
        self._thread = ServerThread()
        self.port = self._thread.call(self._start())

    async def _start(self, port: int = 0) -> int:
        from websockets.asyncio.server import serve

        self._server = await serve(
            self._converse, '127.0.0.1', port, subprotocols=['json', 'bytes'], max_size=None, compression=None
        )
        return next(iter(self._server.sockets)).getsockname()[1]

    async def _converse(self, connection: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        assert connection.subprotocol == 'bytes'
        self.opened.append(connection.request.path)
        self.note_arrival({key.lower(): value for key, value in connection.request.headers.raw_items()})
        tasks: set[asyncio.Task[None]] = set()
        try:
            if connection.request.path == '/dry_run':
                status = StatusMessage()
                if not self.ready:
                    status.set_exception(ConnectionError('executor0 is gone'))
                await connection.send(status.to_bytes())
                return
            async for message in connection:
                self.messages.append(message)
                if self.outages > 0:
                    self.outages -= 1
                    await connection.close(*self.close)
                    return
                tasks.add(asyncio.create_task(self._serve(connection, DataRequest.from_bytes(message))))
        except ConnectionClosed:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, connection: Any, request: DataRequest) -> None:
        from jina.core.document_stream import STREAM_KEY, StreamWriter
        from websockets.exceptions import ConnectionClosed

        if request.exec_endpoint == '/down':
            await connection.close(1011, 'Communication error with deployment e1')
        elif not request.parameters.get(STREAM_KEY) or request.exec_endpoint == '/echo':
            await connection.send((await self.answer(request)).to_bytes())
        else:
            writer = StreamWriter(request.header)
            (document,) = request.docs
            try:
                await asyncio.sleep(request.parameters.get('delay_s', 0))
                for number in range(int(request.parameters.get('count', 3))):
                    item = SingleDocumentRequest()
                    fields = {**document.model_dump(), 'text': f'{document.text} {number}'}
                    item.document = type(document)(**fields)
                    await connection.send(writer.item(item.raw_document))
            except (asyncio.CancelledError, ConnectionClosed):
                self.left.append(request.exec_endpoint)
                raise
            if request.exec_endpoint == '/fail':
                request.add_exception(ValueError('boom'), 'MyExecutor')
            await connection.send(writer.end(request.status if request.is_error else None))

    def restart(self) -> None:
        """Ends the server and starts one on the same port."""
        self._thread.call(self._end())
        self._thread.call(self._start(self.port))

    async def _end(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    def stop(self) -> None:
        self._thread.call(self._end())
        self._thread.end()


@pytest.fixture
def wire_server() -> Iterator[WireServer]:
    server = WireServer()
    yield server
    server.stop()


@pytest.fixture
def http_server() -> Iterator[HttpServer]:
    pytest.importorskip('aiohttp')
    server = HttpServer()
    yield server
    server.stop()


@pytest.fixture
def socket_server() -> Iterator[SocketServer]:
    pytest.importorskip('websockets')
    server = SocketServer()
    yield server
    server.stop()


@pytest.fixture(params=['wire_server', 'http_server', 'socket_server'])
def server(request: pytest.FixtureRequest) -> Behaviour:
    """The servers of all protocols, one after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def options(server: Any) -> dict[str, Any]:
    """Options of a client for ``server``."""
    protocol = {WireServer: 'grpc', HttpServer: 'http', SocketServer: 'websocket'}[type(server)]
    return {'host': 'localhost', 'port': server.port, 'protocol': protocol}


@pytest.fixture
def texts() -> Callable[..., Any]:
    """Makes a list of text documents."""
    from docarray import DocList
    from docarray.documents import TextDoc

    return lambda *words: DocList[TextDoc]([TextDoc(text=str(word)) for word in words])
