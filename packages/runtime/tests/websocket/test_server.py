from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.config import DeploymentOptions
from jina.core.endpoints import requests
from jina.core.errors import ConfigError, PortInUseError
from jina.core.executor import Executor
from jina.core.wire import StatusProto
from jina.runtime.process import PodServer
from jina.runtime.websocket.conversation import close_reason
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory


class Echo(Executor):
    opened: asyncio.Event
    begun: asyncio.Event

    @requests(on='/echo')
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs

    @requests(on='/hold')
    async def hold(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        self.begun.set()
        await self.opened.wait()
        return docs


@pytest.fixture(autouse=True)
def fresh() -> None:
    Echo.opened, Echo.begun = asyncio.Event(), asyncio.Event()


async def get(port: int, path: str, method: str = 'GET') -> tuple[int, dict[str, str], Any]:
    def ask() -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), json.loads(response.read())
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def start(**options: Any) -> PodServer:
    pod = PodServer(DeploymentOptions(**{'uses': Echo, 'protocol': 'websocket', 'host': '127.0.0.1', **options}))
    try:
        await pod.start()
    finally:
        await pod.stop(0)
    return pod


async def test_three_protocols_have_a_port_each(sites: Any) -> None:
    pod = PodServer(DeploymentOptions(uses=Echo, protocol=['grpc', 'http', 'websocket'], host='127.0.0.1'))
    addresses = await pod.start()
    sites.stack.push_async_callback(pod.stop, 0)
    assert len({address.port for address in addresses}) == 3
    assert [str(address).partition(':')[0] for address in addresses] == ['grpc', 'http', 'ws']


async def test_a_given_port_is_used_and_one_that_is_taken_refused(sites: Any, free_port: int) -> None:
    site = await sites.deployment(Echo, port=free_port)
    assert site.port == free_port
    with pytest.raises(PortInUseError, match=f'port {free_port} is taken'):
        await start(port=free_port)


async def test_health_and_status(sites: Any) -> None:
    site = await sites.flow(Echo)
    status, headers, body = await get(site.port, '/')
    assert (status, body) == (200, {})
    assert headers['Content-Type'] == 'application/json'
    assert 'Access-Control-Allow-Origin' not in headers
    _, _, info = await get(site.port, '/status')
    assert info['jina']['python']
    assert info['envs']['JINA_LOG_LEVEL']
    _, _, dry = await get(site.port, '/dry_run?x=1')
    assert dry == {'code': 0, 'description': '', 'exception': None}


async def test_versions_and_environment_are_left_out(sites: Any) -> None:
    site = await sites.deployment(Echo, no_debug_endpoints=True)
    status, _, body = await get(site.port, '/status')
    assert status == 426 and 'jina' not in body
    assert (await get(site.port, '/'))[0] == 200


async def test_pages_of_other_origins_may_read_the_status_with_cors(sites: Any) -> None:
    site = await sites.deployment(Echo, cors=True)
    _, headers, _ = await get(site.port, '/status')
    assert headers['Access-Control-Allow-Origin'] == '*'


async def test_other_paths_say_what_the_port_speaks(sites: Any) -> None:
    site = await sites.deployment(Echo)
    status, headers, body = await get(site.port, '/openapi.json')
    assert (status, headers['Upgrade']) == (426, 'websocket')
    assert "use Client(protocol='websocket')" in body['detail']
    with pytest.raises(InvalidStatus) as refused:
        async with site.connect(path='/elsewhere'):
            pass
    assert refused.value.response.status_code == 404


async def test_dry_run_over_a_websocket(sites: Any) -> None:
    site = await sites.flow(Echo)
    async with site.connect('bytes', '/dry_run') as connection:
        assert await connection.recv() == b''
        with pytest.raises(ConnectionClosed):
            await connection.recv()
    async with site.connect('json', '/dry_run') as connection:
        assert await connection.recv() == '{}'


async def test_dry_run_with_an_executor_that_is_gone(sites: Any, free_port: int) -> None:
    site = await sites.gateway({'e1': [f'127.0.0.1:{free_port}']}, timeout_ctrl=500, retries=0)
    async with site.connect('bytes', '/dry_run') as connection:
        status = StatusProto.FromString(await connection.recv())
        assert status.code == StatusProto.ERROR
        assert status.description
    async with site.connect('json', '/dry_run') as connection:
        assert json.loads(await connection.recv())['code'] == 1
    assert (await get(site.port, '/dry_run'))[2]['code'] == 1


@pytest.mark.parametrize('subprotocol', ['bytes', 'json'])
async def test_a_network_failure_ends_the_connection_with_the_reason(
    sites: Any, message_of: Any, subprotocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site = await sites.flow(Echo, retries=0)
    message = message_of('/echo', 'a') if subprotocol == 'bytes' else '{"execEndpoint": "/echo", "data": []}'
    async with site.connect(subprotocol) as connection:
        await connection.send(message)
        await connection.recv()
        await sites.executors[0].pod.stop(0)
        await connection.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    close = closed.value.rcvd
    assert close is not None
    assert close.code == 1011
    assert 'e1' in close.reason
    assert len(close.reason.encode()) <= 123


def test_reasons_fit_into_a_close_frame() -> None:
    assert close_reason('short') == 'short'
    long = close_reason('ä' * 100)
    assert len(long.encode()) <= 123
    assert long.endswith('ä…')


async def test_stopping_answers_what_was_read(sites: Any, message_of: Any, texts_of: Any) -> None:
    site = await sites.deployment(Echo)
    async with site.connect() as connection:
        await connection.send(message_of('/hold', 'a'))
        await Echo.begun.wait()
        stopping = asyncio.create_task(site.pod.stop(20))
        with pytest.raises(OSError):
            while True:
                _, writer = await asyncio.open_connection('127.0.0.1', site.port)
                writer.close()
                await writer.wait_closed()
        Echo.opened.set()
        assert texts_of(await connection.recv()) == ['a']
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
        await stopping
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert 'shutting down' in closed.value.rcvd.reason


async def test_stopping_cuts_off_what_takes_too_long(sites: Any, message_of: Any) -> None:
    site = await sites.deployment(Echo)
    async with site.connect() as connection:
        await connection.send(message_of('/hold', 'a'))
        await Echo.begun.wait()
        await site.pod.stop(0.1)
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert 'too long' in closed.value.rcvd.reason


async def test_stopping_does_not_wait_for_what_was_not_read(sites: Any, message_of: Any) -> None:
    site = await sites.flow(Echo, prefetch=1)
    async with site.connect(write_limit=1 << 16) as connection:
        large = message_of('/hold', 'x' * 500_000)

        async def flood() -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await connection.send(large)

        flooding = asyncio.create_task(flood())
        await Echo.begun.wait()
        Echo.opened.set()
        began = asyncio.get_running_loop().time()
        await site.pod.stop(30)
        # without reading on, the server would wait 10 s for the client's consent
        assert asyncio.get_running_loop().time() - began < 8
        await flooding


async def test_stopping_does_not_wait_for_silent_connections(sites: Any) -> None:
    site = await sites.deployment(Echo)
    with socket.create_connection(('127.0.0.1', site.port)) as silent:
        silent.sendall(b'GET / HTTP/1.1\r\n')
        async with site.connect():
            await asyncio.wait_for(site.pod.stop(0.1), 20)


async def test_other_protocols_on_the_port_do_no_harm(sites: Any, message_of: Any, texts_of: Any) -> None:
    site = await sites.deployment(Echo)
    for noise in (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', b'\x16\x03\x01\x02\x00\x01', b'POST / HTTP/1.1\r\n\r\n'):
        reader, writer = await asyncio.open_connection('127.0.0.1', site.port)
        writer.write(noise)
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    async with site.connect() as connection:
        await connection.send(message_of('/echo', 'a'))
        assert texts_of(await connection.recv()) == ['a']


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'ws_maxsize': 3}, "WebSocket server has no setting 'ws_maxsize'; did you mean 'ws_max_size'?"),
        ({'loop': 'asyncio'}, "WebSocket server has no setting 'loop'"),
    ],
)
async def test_wrong_settings(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace('?', r'\?')):
        await start(uvicorn_kwargs=kwargs)


async def test_settings_of_the_http_server_beside_it() -> None:
    await start(
        protocol=['http', 'websocket'], uvicorn_kwargs={'http': 'h11', 'h11_max_incomplete_event_size': 1 << 16}
    )


async def test_the_size_of_messages_is_limited(sites: Any, message_of: Any) -> None:
    site = await sites.deployment(Echo, uvicorn_kwargs={'ws_max_size': 1000})
    async with site.connect() as connection:
        await connection.send(message_of('/echo', 'x' * 2000))
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None or closed.value.sent is not None


async def test_compression_is_offered_on_request(sites: Any, message_of: Any, texts_of: Any) -> None:
    site = await sites.deployment(Echo, uvicorn_kwargs={'ws_per_message_deflate': True})
    async with site.connect(extensions=None) as plain:
        assert not plain.protocol.extensions
    async with site.connect(extensions=[ClientPerMessageDeflateFactory()]) as connection:
        assert connection.protocol.extensions
        await connection.send(message_of('/echo', 'x' * 10_000))
        assert texts_of(await connection.recv()) == ['x' * 10_000]


async def test_no_more_is_read_while_the_client_does_not(sites: Any, message_of: Any, texts_of: Any) -> None:
    site = await sites.deployment(Echo)
    large = message_of('/echo', 'x' * 1_000_000)
    async with site.connect(max_queue=1, write_limit=1 << 16) as connection:
        sent = 0
        with pytest.raises(asyncio.TimeoutError):
            for _ in range(200):
                await asyncio.wait_for(connection.send(large), 3)
                sent += 1
        assert 5 < sent < 150
        connection.transport.abort()
