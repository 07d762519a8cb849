from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from jina.core.errors import ConfigError, ConnectError, DeadlineError, TransportError
from jina.core.wire import ENDPOINT_DISCOVERY, PROCESS_SINGLE_DATA, STREAM_DOC, EndpointsProto
from jina.runtime.connections import ConnectionSettings, PeerGroup, parse_address


class Replica:
    """A bare gRPC server that counts calls and answers as it is told."""

    def __init__(self, port: int = 0) -> None:
        self.calls = 0
        self.metadata: list[dict[str, str]] = []
        self.answer: Callable[[Any], Awaitable[bytes]] = self._ok
        self.server = grpc.aio.server(options=[('grpc.so_reuseport', 0)])
        for path, factory, method in (
            (PROCESS_SINGLE_DATA, grpc.unary_unary_rpc_method_handler, self._process),
            (ENDPOINT_DISCOVERY, grpc.unary_unary_rpc_method_handler, self._process),
            (STREAM_DOC, grpc.unary_stream_rpc_method_handler, self._stream),
        ):
            _, service, name = path.split('/')
            self.server.add_generic_rpc_handlers(
                [grpc.method_handlers_generic_handler(service, {name: factory(method)})]
            )
        self.port = self.server.add_insecure_port(f'127.0.0.1:{port}')
        self.address = f'127.0.0.1:{self.port}'

    async def _process(self, raw: bytes, context: Any) -> bytes:
        self.calls += 1
        self.metadata.append(dict(context.invocation_metadata()))
        return await self.answer(context)

    async def _stream(self, raw: bytes, context: Any) -> AsyncIterator[bytes]:
        yield await self._process(raw, context)

    async def _ok(self, context: Any) -> bytes:
        return b''


def failing(code: grpc.StatusCode) -> Callable[[Any], Awaitable[bytes]]:
    async def answer(context: Any) -> bytes:
        await context.abort(code, 'as told')
        raise AssertionError

    return answer


@pytest.fixture
async def stack() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def replica(stack: contextlib.AsyncExitStack) -> Callable[..., Awaitable[Replica]]:
    async def start(port: int = 0) -> Replica:
        one = Replica(port)
        await one.server.start()
        stack.push_async_callback(one.server.stop, None)
        return one

    return start


@pytest.fixture
def group(stack: contextlib.AsyncExitStack) -> Callable[..., PeerGroup]:
    def make(
        *addresses: str, on_return: Callable[[], None] = lambda: None, metadata: Any = None, **settings: Any
    ) -> PeerGroup:
        one = PeerGroup('enc', addresses, ConnectionSettings(**settings), metadata=metadata, on_return=on_return)
        stack.push_async_callback(one.close)
        return one

    return make


Start = Callable[..., Awaitable[Replica]]
Group = Callable[..., PeerGroup]


async def test_endpoint_and_metadata_are_sent_with_every_call(replica: Start, group: Group) -> None:
    one = await replica()
    peers = group(one.address, metadata={'authorization': 'secret'})
    await peers.process(b'', '/index', metadata=(('traceparent', 'x'),))
    assert {'endpoint': '/index', 'authorization': 'secret', 'traceparent': 'x'}.items() <= one.metadata[0].items()
    await peers.process(b'', '/größe')
    assert 'endpoint' not in one.metadata[1]
    await peers.discover()
    assert one.metadata[2]['authorization'] == 'secret'


async def test_idle_replicas_take_turns(replica: Start, group: Group) -> None:
    replicas = [await replica() for _ in range(3)]
    peers = group(*(one.address for one in replicas))
    for _ in range(9):
        await peers.process(b'', '/')
    assert [one.calls for one in replicas] == [3, 3, 3]


async def test_busy_replica_is_spared(replica: Start, group: Group) -> None:
    busy, idle = await replica(), await replica()
    release, arrived = asyncio.Event(), asyncio.Event()

    async def wait(context: Any) -> bytes:
        arrived.set()
        await release.wait()
        return b''

    busy.answer = wait
    peers = group(busy.address, idle.address)
    waiting = []
    while not arrived.is_set():
        waiting.append(asyncio.ensure_future(peers.process(b'', '/')))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(arrived.wait(), 0.2)
    before = idle.calls
    for _ in range(5):
        await peers.process(b'', '/')
    assert idle.calls == before + 5
    assert busy.calls == 1
    release.set()
    await asyncio.gather(*waiting)


@pytest.mark.parametrize(('replicas', 'retries', 'tries'), [(1, -1, 4), (2, -1, 4), (5, -1, 6), (1, 0, 1), (3, 2, 3)])
@pytest.mark.parametrize('code', [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL])
async def test_number_of_tries(
    replica: Start, group: Group, replicas: int, retries: int, tries: int, code: grpc.StatusCode
) -> None:
    servers = [await replica() for _ in range(replicas)]
    for one in servers:
        one.answer = failing(code)
    peers = group(*(one.address for one in servers), retries=retries)
    with pytest.raises(TransportError) as caught:
        await peers.process(b'', '/')
    assert sum(one.calls for one in servers) == tries
    assert max(one.calls for one in servers) - min(one.calls for one in servers) <= 1
    assert caught.value.code == code.name
    listed = ', '.join(repr(one.address) for one in servers)
    assert str(caught.value) == (
        f'as told |Gateway: Communication error with deployment enc at address(es) {{{listed}}}. '
        'Head or worker(s) may be down.'
    )


async def test_other_codes_fail_at_once(replica: Start, group: Group) -> None:
    one = await replica()
    one.answer = failing(grpc.StatusCode.RESOURCE_EXHAUSTED)
    with pytest.raises(TransportError, match=r'as told .* answered RESOURCE_EXHAUSTED') as caught:
        await group(one.address).process(b'', '/')
    assert one.calls == 1
    assert caught.value.code == 'RESOURCE_EXHAUSTED'


async def test_dead_replica_is_passed_by_and_comes_back(replica: Start, group: Group) -> None:
    dead, alive = await replica(), await replica()
    returned = asyncio.Event()
    peers = group(dead.address, alive.address, on_return=returned.set)
    await dead.server.stop(None)
    for _ in range(6):
        await peers.process(b'', '/')
    assert alive.calls == 6
    again = await replica(dead.port)
    await asyncio.wait_for(returned.wait(), 5)
    for _ in range(4):
        await peers.process(b'', '/')
    assert again.calls == 2


async def test_nothing_answers(group: Group, replica: Start) -> None:
    one = await replica()
    await one.server.stop(None)
    peers = group(one.address)
    with pytest.raises(ConnectError, match='Communication error with deployment enc'):
        await peers.process(b'', '/')
    with pytest.raises(ConnectError):
        await peers.discover(timeout=1)
    with pytest.raises(ConnectError):
        async for _ in peers.stream_doc(b'', '/'):
            raise AssertionError


async def test_time_limit_of_a_try_and_of_the_caller(replica: Start, group: Group) -> None:
    one = await replica()

    async def hang(context: Any) -> bytes:
        await asyncio.Event().wait()
        return b''

    one.answer = hang
    with pytest.raises(DeadlineError) as caught:
        await group(one.address, timeout=0.05, retries=1).process(b'', '/')
    assert one.calls == 2
    assert caught.value.code == 'DEADLINE_EXCEEDED'
    with pytest.raises(DeadlineError):
        await asyncio.wait_for(group(one.address).process(b'', '/', timeout=0.05), 2)
    assert one.calls == 3


async def test_stream_moves_on_only_before_the_first_response(replica: Start, group: Group) -> None:
    dead, alive = await replica(), await replica()
    await dead.server.stop(None)
    peers = group(dead.address, alive.address)
    for _ in range(3):
        assert [raw async for raw in peers.stream_doc(b'', '/')] == [b'']
    assert alive.calls == 3


async def test_discovery_is_parsed(replica: Start, group: Group) -> None:
    one = await replica()

    async def answer(context: Any) -> bytes:
        return EndpointsProto(endpoints=['/a']).SerializeToString()

    one.answer = answer
    assert list((await group(one.address).discover()).endpoints) == ['/a']


@pytest.mark.parametrize(
    ('address', 'expected'),
    [
        ('127.0.0.1:80', ('127.0.0.1:80', False)),
        ('grpc://host:1234', ('host:1234', False)),
        ('grpcs://host:1234', ('host:1234', True)),
        ('https://host', ('host:443', True)),
        ('[::1]:99', ('[::1]:99', False)),
    ],
)
def test_addresses(address: str, expected: tuple[str, bool]) -> None:
    assert parse_address(address) == expected


def test_wrong_addresses() -> None:
    with pytest.raises(ConfigError):
        parse_address('ftp://host:1')
    with pytest.raises(ConfigError, match='no address'):
        PeerGroup('enc', [], ConnectionSettings())


TLS_CALL = """
import asyncio, sys, grpc, grpc.aio
from jina.core.wire import PROCESS_SINGLE_DATA
from jina.runtime.connections import ConnectionSettings, PeerGroup

async def answer(raw, context):
    return raw + dict(context.invocation_metadata())['authorization'].encode()

async def main(key, certificate):
    server = grpc.aio.server()
    _, service, name = PROCESS_SINGLE_DATA.split('/')
    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {name: handler})])
    pair = (open(key, 'rb').read(), open(certificate, 'rb').read())
    port = server.add_secure_port('127.0.0.1:0', grpc.ssl_server_credentials([pair]))
    await server.start()
    group = PeerGroup('enc', [f'grpcs://localhost:{port}'], ConnectionSettings(), metadata={'authorization': 'token'})
    print((await group.process(b'secret ', '/')).decode())
    await group.close()
    await server.stop(None)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.skipif(shutil.which('openssl') is None, reason='openssl makes the certificate')
def test_tls_to_an_external_executor(tmp_path: Path) -> None:
    key, certificate = tmp_path / 'key.pem', tmp_path / 'certificate.pem'
    command = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=localhost']
    names = ['-addext', 'subjectAltName=DNS:localhost']
    subprocess.run([*command, *names, '-keyout', key, '-out', certificate], check=True, capture_output=True)
    # gRPC reads the trusted roots once per process.
    environment = {**os.environ, 'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH': str(certificate)}
    done = subprocess.run(
        [sys.executable, '-c', TLS_CALL, key, certificate], env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.stdout == 'secret token\n', done.stderr


@pytest.mark.parametrize(
    ('settings', 'variables', 'kind'),
    [
        ({}, {}, 'Http2Channel'),
        ({'channel_options': {'grpc.keepalive_time_ms': 1000}}, {}, 'Http2Channel'),
        ({'channel_options': {'grpc.primary_user_agent': 'me'}}, {}, 'GrpcChannel'),
        ({'channel_options': {'grpc.enable_http_proxy': 1}}, {}, 'GrpcChannel'),
        ({'compression': 'Gzip'}, {}, 'GrpcChannel'),
        ({}, {'JINA_DISABLE_HTTP2_CLIENT': ''}, 'GrpcChannel'),
    ],
)
async def test_whose_channels_are_used(
    settings: Any,
    variables: dict[str, str],
    kind: str,
    replica: Start,
    group: Group,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    one = await replica()
    peers = group(one.address, **settings)
    assert type(peers._peers[0]._channel).__name__ == kind
    await peers.process(b'', '/')
    assert one.calls == 1
