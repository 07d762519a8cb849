"""Custom gateways in their process: the life of the object, health, ports, and what is wrong with a class."""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
import uvicorn
from docarray import DocList
from docarray.documents import TextDoc
from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse
from jina.core.config import GatewayOptions, PodAddress, build
from jina.core.endpoints import requests
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError, NotStartedError, PortInUseError, StartupError
from jina.core.executor import Executor
from jina.core.logging.logger import JinaLogger
from jina.runtime.gateways.base import Gateway
from jina.runtime.gateways.built_in import GRPCGateway, HTTPGateway, WebSocketGateway
from jina.runtime.gateways.fastapi import FastAPIBaseGateway
from jina.runtime.gateways.health import probe_of
from jina.runtime.grpcio_server import GrpcioMethods
from jina.runtime.health import Health, ServingStatus
from jina.runtime.process import PodServer
from jina.runtime.streamer import GatewayStreamer

Flow = Callable[..., Any]


class Upper(Executor):
    @requests
    def upper(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = (doc.text or '').upper()
        return docs

    @requests(on='/fail')
    def fail(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        raise ValueError('boom')

    @requests(on='/slow')
    async def slow(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        await asyncio.sleep(0.3)
        return docs


class OwnServer(Gateway):
    """As the documentation writes it, with uvicorn."""

    seen: dict[str, Any]

    def __init__(self, word: str = 'none', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.word = word
        type(self).seen = {**vars(self)}

    async def setup_server(self) -> None:
        app = FastAPI()

        @app.get('/')
        def health() -> dict[str, str]:
            return {}

        @app.get('/say')
        async def say(text: str) -> str:
            docs = DocList[TextDoc]([TextDoc(text=text)])
            async for result in self.streamer.stream_docs(
                docs=docs, exec_endpoint='/slow', return_type=DocList[TextDoc]
            ):
                return f'{result[0].text} {self.word}'
            raise AssertionError

        self.server = uvicorn.Server(uvicorn.Config(app, host=self.host, port=self.port, log_level='error', ws='none'))

    async def run_server(self) -> None:
        await self.server.serve()

    async def shutdown(self) -> None:
        self.server.should_exit = True
        await self.server.shutdown()


async def get(port: int, path: str, **kwargs: Any) -> tuple[int, Any]:
    url = f'http://127.0.0.1:{port}{path}'
    async with aiohttp.ClientSession() as session, session.get(url, **kwargs) as response:
        text = await response.text()
        return response.status, await response.json() if response.content_type == 'application/json' else text


def port_of(running: Any) -> int:
    return int(running.address.rpartition(':')[2])


async def test_life_of_a_gateway_with_its_own_server(cluster: Any) -> None:
    running = await cluster.flow(Upper, uses=OwnServer, uses_with={'word': 'word'}, protocol='http', name='mine')
    port = port_of(running)
    seen = OwnServer.seen
    assert (seen['name'], seen['word'], seen['host'], seen['port'], seen['ports']) == (
        'mine',
        'word',
        '127.0.0.1',
        port,
        [port],
    )
    assert seen['protocols'] == [ProtocolType.HTTP]
    assert isinstance(seen['logger'], JinaLogger) and isinstance(seen['streamer'], GatewayStreamer)
    assert list(seen['executor']) == ['e1']
    assert isinstance(seen['runtime_args'], argparse.Namespace)
    assert (seen['runtime_args'].port, seen['runtime_args'].prefetch) == ([port], 1000)
    assert GatewayStreamer.get_streamer() is seen['streamer']
    slow = asyncio.create_task(get(port, '/say', params={'text': 'a'}))
    await asyncio.sleep(0.1)
    await running.pod.stop(5)
    assert await slow == (200, 'a word')  # what was under way is answered
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(port, '/')


class Page(FastAPIBaseGateway):
    @property
    def app(self) -> FastAPI:
        app = FastAPI(title='mine')

        @app.get('/{endpoint}')
        async def call(endpoint: str) -> list[str | None]:
            docs = await self.executor['e1'].post(
                on=f'/{endpoint}', inputs=TextDoc(text='a'), return_type=DocList[TextDoc]
            )
            return docs.text  # type: ignore[no-any-return,union-attr]

        return app


async def test_fastapi_gateway(cluster: Any) -> None:
    running = await cluster.flow(
        Upper, uses=Page, title='theirs', cors=True, uvicorn_kwargs={'headers': [('x-more', 'yes')]}
    )
    port = port_of(running)
    assert await get(port, '/') == (200, {})
    assert await get(port, '/upper') == (200, ['A'])
    assert await get(port, '/fail') == (499, {'detail': "ValueError('boom')"})
    assert (await get(port, '/openapi.json'))[1]['info']['title'] == 'theirs'
    headers = {'Origin': 'http://else.where'}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f'http://127.0.0.1:{port}/', headers=headers) as response,
    ):
        assert response.headers['access-control-allow-origin'] == 'http://else.where'
        assert response.headers['x-more'] == 'yes'
    await cluster.running[0].pod.stop(0)
    status, body = await get(port, '/upper')
    assert status == 503 and 'Communication error with deployment e1' in body['detail']


class OwnHandlers(FastAPIBaseGateway):
    @property
    def app(self) -> FastAPI:
        app = FastAPI()

        @app.exception_handler(Exception)
        async def handle(request: Request, error: Exception) -> JSONResponse:
            return JSONResponse({'mine': type(error).__name__}, 418)

        @app.get('/')
        async def home() -> str:
            return 'home'

        @app.get('/fail')
        async def fail() -> None:
            await self.executor['e1'].post(on='/fail', inputs=TextDoc())

        return app


async def test_an_application_keeps_what_it_does_itself(cluster: Any) -> None:
    running = await cluster.flow(Upper, uses=OwnHandlers)
    assert await get(port_of(running), '/') == (200, 'home')
    assert await get(port_of(running), '/fail') == (418, {'mine': 'RemoteError'})


class Talks(FastAPIBaseGateway):
    @property
    def app(self) -> FastAPI:
        app = FastAPI()

        @app.websocket('/talk')
        async def talk(socket: WebSocket) -> None:
            await socket.accept()
            async for text in socket.iter_text():
                docs = await self.executor['e1'].post(inputs=TextDoc(text=text), return_type=DocList[TextDoc])
                await socket.send_text(docs[0].text)

        return app


@pytest.mark.filterwarnings('ignore::DeprecationWarning')  # uvicorn's older servers for WebSockets
async def test_websocket_routes_of_an_application(cluster: Any) -> None:
    port = port_of(await cluster.flow(Upper, uses=Talks, protocol='websocket'))
    async with aiohttp.ClientSession() as session, session.ws_connect(f'ws://127.0.0.1:{port}/talk') as socket:
        await socket.send_str('a')
        assert await socket.receive_str(timeout=20) == 'A'


class Extended(HTTPGateway):
    @property
    def app(self) -> FastAPI:
        app: FastAPI = super().app

        @app.get('/extra')
        async def extra() -> str:
            return 'more'

        @app.middleware('http')
        async def mark(request: Request, call_next: Any) -> Any:
            response = await call_next(request)
            response.headers['x-mark'] = 'seen'
            return response

        return app


@pytest.mark.parametrize('uses', ['HTTPGateway', Extended])
async def test_built_in_http_gateway(cluster: Any, uses: Any) -> None:
    port = port_of(await cluster.flow(Upper, uses=uses))
    url = f'http://127.0.0.1:{port}/default'
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={'data': [{'text': 'a'}]}) as response,
    ):
        assert (await response.json())['data'][0]['text'] == 'A'
        assert response.headers.get('x-mark') == (None if uses == 'HTTPGateway' else 'seen')
    if uses is Extended:
        assert await get(port, '/extra') == (200, 'more')
        assert {'/extra', '/default'} <= (await get(port, '/openapi.json'))[1]['paths'].keys()


@pytest.mark.parametrize('uses', ['GRPCGateway', GRPCGateway, 'jina.serve.runtimes.gateway.grpc.gateway.GRPCGateway'])
async def test_built_in_grpc_gateway(cluster: Any, uses: Any) -> None:
    running = await cluster.flow(Upper, uses=uses)
    response = await cluster.post(running.address, '/', 'a')
    assert response.docs.text == ['A']


async def test_built_in_composite_and_websocket_gateways(cluster: Any) -> None:
    running = await cluster.flow(Upper, uses='CompositeGateway', protocol=['grpc', 'http', 'websocket'])
    ports = running.pod._custom._context.options.port
    assert (await cluster.post(running.address, '/', 'a')).docs.text == ['A']
    assert await get(ports[1], '/') == await get(ports[2], '/') == (200, {})
    alone = await cluster.flow(Upper, uses=WebSocketGateway)
    assert await get(port_of(alone), '/') == (200, {})


class GrpcServer(Gateway):
    """With a health service, on two ports: gRPC and HTTP."""

    status = ServingStatus.SERVING

    async def setup_server(self) -> None:
        self.server = grpc.aio.server()
        self.health = Health([])
        self.server.add_generic_rpc_handlers((GrpcioMethods([self.health.methods()]),))
        self.server.add_insecure_port(f'{self.host}:{self.port}')
        self.http = await asyncio.start_server(self.answer, self.host, self.ports[1])

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'\r\n\r\n')
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
        writer.close()

    async def run_server(self) -> None:
        await self.server.start()
        self.health.set(self.status)
        await self.server.wait_for_termination()

    async def shutdown(self) -> None:
        self.http.close()
        await self.server.stop(1)


async def test_several_ports_and_protocols(cluster: Any) -> None:
    running = await cluster.flow(Upper, uses=GrpcServer, protocol=['grpc', 'http'])
    first, second = running.pod._custom._context.options.port
    assert port_of(running) == first
    assert await get(second, '/') == (200, 'ok')


class Base(Gateway):
    """Does nothing until it is stopped."""

    async def setup_server(self) -> None:
        self.stopped = asyncio.Event()

    async def run_server(self) -> None:
        await self.stopped.wait()

    async def shutdown(self) -> None:
        self.stopped.set()


class NoRun(Gateway):
    async def setup_server(self) -> None: ...
    async def shutdown(self) -> None: ...


class SyncSetup(Base):
    def setup_server(self) -> None: ...  # type: ignore[override]


class NoKwargs(Base):
    def __init__(self, word: str = '') -> None:
        super().__init__()


class NeedsWord(Base):
    def __init__(self, word: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class SetupFails(Base):
    async def setup_server(self) -> None:
        raise RuntimeError('no database')


class RunFails(Base):
    async def run_server(self) -> None:
        raise RuntimeError('no luck')


class EndsEarly(Base):
    async def run_server(self) -> None:
        return


class Exits(Base):
    async def run_server(self) -> None:
        raise SystemExit(3)


class Answers404(OwnServer):
    async def setup_server(self) -> None:
        self.server = uvicorn.Server(
            uvicorn.Config(FastAPI(), host=self.host, port=self.port, log_level='error', ws='none')
        )


class NoHealthService(Base):
    async def setup_server(self) -> None:
        self.server = grpc.aio.server()
        self.server.add_insecure_port(f'{self.host}:{self.port}')

    async def run_server(self) -> None:
        await self.server.start()
        await self.server.wait_for_termination()

    async def shutdown(self) -> None:
        await self.server.stop(0)


class NoApp(FastAPIBaseGateway):
    pass


class AppIsNone(FastAPIBaseGateway):
    @property
    def app(self) -> Any:
        FastAPI()


class AppIsMethod(FastAPIBaseGateway):
    def app(self) -> Any:  # type: ignore[override]
        return FastAPI()


class AppIsDict(FastAPIBaseGateway):
    @property
    def app(self) -> Any:
        return {}


class AppIsWsgi(FastAPIBaseGateway):
    @property
    def app(self) -> Any:
        return lambda environ, start_response: [b'']


class AppFails(FastAPIBaseGateway):
    @property
    def app(self) -> Any:
        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            raise RuntimeError('no disk')
            yield

        return FastAPI(lifespan=lifespan)


HTTP = {'protocol': 'http'}
WRONG = [
    (NoRun, {}, ConfigError, 'NoRun.run_server is missing; a gateway implements `async def` setup_server, run_server'),
    (SyncSetup, {}, ConfigError, 'SyncSetup.setup_server is no `async def` method'),
    (NoKwargs, {}, ConfigError, r"NoKwargs.__init__\(self, word: 'str' = ''\) -> 'None' takes no \*\*kwargs; add"),
    (NeedsWord, {}, ConfigError, "NeedsWord.__init__ needs the argument 'word'; give it: uses_with="),
    (Base, {'uses_with': {'wrod': 1}}, ConfigError, r"uses_with\['wrod'\]: Base.__init__ takes no argument 'wrod'"),
    (Executor, {}, ConfigError, 'is no gateway; derive the class from jina.Gateway'),
    (7, {}, ConfigError, 'uses=7 is no gateway; give a class'),
    (SetupFails, {}, RuntimeError, 'no database'),
    (RunFails, {}, RuntimeError, 'no luck'),
    (EndsEarly, {}, StartupError, 'EndsEarly.run_server returned before the gateway was ready'),
    (Exits, {}, StartupError, r'Exits.run_server ended with SystemExit\(3\)'),
    (Answers404, HTTP, StartupError, 'Answers404 answers GET / with status 404; a gateway has to answer 200'),
    (NoHealthService, {}, StartupError, 'NoHealthService has no health service on port'),
    (NoApp, {}, ConfigError, 'NoApp.app is missing; define the property app'),
    (AppIsNone, {}, ConfigError, 'AppIsNone.app is None; end the property with `return app`'),
    (AppIsMethod, {}, ConfigError, 'AppIsMethod.app is a method; put @property above it'),
    (AppIsDict, {}, ConfigError, 'AppIsDict.app is a dict, which is no ASGI application'),
    (AppIsWsgi, {}, ConfigError, r'AppIsWsgi.app is a function, which does not take \(scope, receive, send\)'),
    (AppFails, {}, StartupError, 'the HTTP server did not start; see its log above'),
    (
        Page,
        {'protocol': 'grpc'},
        ConfigError,
        "Page speaks http or websocket, and its protocol is 'grpc'; give protocol=",
    ),
    (
        Page,
        {'protocol': ['http', 'websocket']},
        ConfigError,
        'Page serves one port, and its protocols are HTTP, WEBSOCKET',
    ),
    (Page, {'uvicorn_kwargs': {'lop': 'x'}}, ConfigError, "uvicorn has no setting 'lop'; did you mean 'loop'?"),
]


@pytest.mark.parametrize(
    ('uses', 'options', 'kind', 'message'), WRONG, ids=lambda value: getattr(value, '__name__', '')
)
async def test_what_is_wrong_is_said_at_the_start(uses: Any, options: Any, kind: Any, message: str) -> None:
    values = {'uses': uses, 'host': '127.0.0.1', 'log_config': 'quiet', **options}
    pod = PodServer(build(GatewayOptions, values))
    with pytest.raises(kind, match=message):
        await asyncio.wait_for(pod.start(), 30)


async def test_wrong_protocol_of_a_server_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('jina.runtime.gateways.health._FOREIGN_S', 0.2)
    for uses, protocol, other in ((OwnServer, ['grpc'], 'http'), (GrpcServer, ['http', 'grpc'], 'grpc')):
        values = {'uses': uses, 'host': '127.0.0.1', 'log_config': 'quiet', 'protocol': protocol}
        with pytest.raises(
            StartupError, match=f"give the protocol that it speaks there, for example protocol='{other}'"
        ):
            await asyncio.wait_for(PodServer(build(GatewayOptions, values)).start(), 30)


@pytest.mark.parametrize('protocol', [ProtocolType.HTTP, ProtocolType.GRPC])
async def test_a_server_that_should_encrypt_and_does_not(
    protocol: ProtocolType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('jina.runtime.gateways.health._FOREIGN_S', 0.0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'plain')
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, '127.0.0.1', 0)
    probe = probe_of(PodAddress(protocol, '0.0.0.0', server.sockets[0].getsockname()[1], tls=True), 'Mine')
    assert (await probe.check()).startswith('the port answers, but not with TLS (')
    with pytest.raises(StartupError, match=r'Mine does not encrypt on port \d+, and ssl_certfile is given'):
        await probe.check()
    server.close()


async def test_ports_that_are_taken() -> None:
    class Second(OwnServer):
        """Binds a port of its own choice."""

        async def setup_server(self) -> None:
            await super().setup_server()
            self.server = uvicorn.Server(
                uvicorn.Config(FastAPI(), host=self.host, port=taken, log_level='critical', ws='none')
            )

    with socket.create_server(('127.0.0.1', 0)) as server:
        taken = server.getsockname()[1]
        values: dict[str, Any] = {'host': '127.0.0.1', 'log_config': 'quiet', 'protocol': 'http'}
        with pytest.raises(PortInUseError, match=f'port {taken} is taken by another process'):
            await PodServer(build(GatewayOptions, {**values, 'uses': OwnServer, 'port': taken})).start()
        with pytest.raises(
            StartupError, match=r'Second.run_server ended with SystemExit\(\d\); see the log of its server'
        ):
            await PodServer(build(GatewayOptions, {**values, 'uses': Second})).start()


class Shares(OwnServer):
    async def run_server(self) -> None:
        await self.server.serve(sockets=[self.listen()])


async def test_replicas_share_ports() -> None:
    values: dict[str, Any] = {'host': '127.0.0.1', 'log_config': 'quiet', 'protocol': 'http', 'replicas': 2}
    for uses in (Shares, OwnServer):
        first = PodServer(build(GatewayOptions, {**values, 'uses': uses}))
        (address,) = await first.start()
        second = PodServer(build(GatewayOptions, {**values, 'uses': uses, 'replica_id': 1, 'port': address.port}))
        if uses is Shares:
            assert (await second.start())[0].port == address.port
            await second.stop(1)
        else:
            with pytest.raises(StartupError, match=f'OwnServer does not share port {address.port} with .* self.listen'):
                await second.start()
        await first.stop(1)


async def test_a_gateway_that_ends_later_ends_its_process(wait_for: Any) -> None:
    class Stops(OwnServer):
        async def run_server(self) -> None:
            asyncio.get_running_loop().call_later(0.2, setattr, self.server, 'should_exit', True)
            await super().run_server()

    pod = PodServer(build(GatewayOptions, {'uses': Stops, 'host': '127.0.0.1', 'log_config': 'quiet', **HTTP}))
    await pod.start()
    await asyncio.wait_for(pod.ended.wait(), 20)
    assert pod.exit_code == 1
    await pod.stop(1)


async def test_a_gateway_made_by_hand(wait_for: Any) -> None:
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
    gateway = OwnServer('x', runtime_args={'port': port, 'host': '127.0.0.1', 'not_an_option': 1}, name='n')
    await gateway.setup_server()
    running = asyncio.create_task(gateway.run_server())
    await wait_for(lambda: gateway.server.started)
    assert await get(port, '/') == (200, {})
    await gateway.shutdown()
    await running
    assert repr(gateway) == "<OwnServer name='n'>"
    assert (gateway.word, gateway.ports, list(gateway.executor)) == ('x', [port], [])
    with pytest.raises(NotStartedError, match='made by hand has no server of the framework; start it by Flow'):
        await Page().setup_server()


def test_router_is_an_application_too() -> None:
    router = APIRouter()
    assert Page(runtime_args={})._checked(router) is router
