"""A client that isn't understood at a port says what the port really speaks."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from docarray.documents import TextDoc
from jina.client import Client
from jina.client.port_probe import Finding, probe_port
from jina.core.enums import ProtocolType
from jina.core.errors import ConnectError

# Before 3.11 TLS transports of asyncio whose handshake failed don't know that they are closed.
pytestmark = (
    [pytest.mark.filterwarnings('ignore:unclosed transport:ResourceWarning')] if sys.version_info < (3, 11) else []
)
SCHEMES = ['grpc', 'http', 'ws', 'grpcs', 'https', 'wss']
NAMES = {'grpc': 'gRPC', 'http': 'HTTP', 'ws': 'WebSocket'}


@pytest.fixture(scope='module')
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key, and a certificate that nobody trusts."""
    folder = tmp_path_factory.mktemp('certificate')
    key, certificate = folder / 'key.pem', folder / 'certificate.pem'
    command = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost']
    try:
        subprocess.run([*command, '-keyout', key, '-out', certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip('needs the openssl command')
    return key, certificate


@pytest.fixture
def ports(wire_server: Any, http_server: Any, socket_server: Any, certificate: tuple[Path, Path]) -> Iterator[Any]:
    """A port of each scheme."""
    from aiohttp import web
    from websockets.asyncio.server import serve

    key, chain = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    secure = wire_server.secure(grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())]))

    async def https() -> Any:
        site = web.TCPSite(http_server._runner, '127.0.0.1', 0, ssl_context=context)
        await site.start()
        return site._server.sockets[0].getsockname()[1]

    async def wss() -> Any:
        return await serve(socket_server._converse, '127.0.0.1', 0, ssl=context)

    secure_sockets = socket_server._thread.call(wss())
    yield {
        'grpc': wire_server.port,
        'http': http_server.port,
        'ws': socket_server.port,
        'grpcs': secure,
        'https': http_server._thread.call(https()),
        'wss': next(iter(secure_sockets.sockets)).getsockname()[1],
    }

    async def end() -> None:
        secure_sockets.close()
        await secure_sockets.wait_closed()

    socket_server._thread.call(end())
    gc.collect()  # here, and not in a later test, if something warns of what is not closed


def advice_for(asked: str, real: str, port: int) -> str:
    plain, wanted = real.removesuffix('s') if real != 'ws' else 'ws', asked.removesuffix('s') if asked != 'ws' else 'ws'
    use = f"use Client(host='{real}://localhost:{port}')"
    if plain != wanted:
        return f'port {port} speaks {NAMES[plain]}{" with TLS" if real != plain else ""}, not {NAMES[wanted]}: {use}'
    return f'the server {f"uses TLS for {NAMES[plain]}" if real != plain else "does not use TLS"}: {use}'


def test_every_client_at_every_port(ports: dict[str, int]) -> None:
    for asked in SCHEMES:
        for real in SCHEMES:
            if asked == real:
                continue
            port = ports[real]
            with Client(host=f'{asked}://localhost:{port}') as client, pytest.raises(ConnectError) as caught:
                client.post('/echo')
            assert caught.value.hint == advice_for(asked, real, port), (asked, real)
            assert str(caught.value).count(caught.value.hint) == 1


async def test_streams_and_asynchronous_clients_say_it_too(ports: dict[str, int]) -> None:
    for asked, real in (('grpc', 'ws'), ('http', 'grpc'), ('ws', 'http')):
        port = ports[real]
        async with Client(host=f'{asked}://localhost:{port}', asyncio=True) as client:
            for call in (client.post('/echo'), client.stream_doc('/generate', TextDoc(text='a'))):
                with pytest.raises(ConnectError) as caught:
                    async for _ in call:
                        pass
                assert caught.value.hint == advice_for(asked, real, port), (asked, real)


@pytest.mark.parametrize('scheme', ['grpcs', 'https', 'wss'])
def test_a_certificate_that_nobody_trusts(ports: dict[str, int], scheme: str) -> None:
    with pytest.raises(
        ConnectError, match=r'TLS.* nobody that is trusted has issued its certificate: give .* ssl_cafile'
    ):
        Client(host=f'{scheme}://localhost:{ports[scheme]}').post('/echo')


@pytest.mark.parametrize('scheme', SCHEMES)
def test_nothing_listens(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        port = unused.getsockname()[1]
        with pytest.raises(ConnectError, match=f'nothing listens on port {port} of localhost: start the server'):
            Client(host=f'{scheme}://localhost:{port}').post('/echo')


async def test_what_says_nothing_is_not_judged() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'220 mail.example ESMTP\r\n')
        await reader.read()
        writer.close()

    for behaviour in (silent, rude):
        async with await asyncio.start_server(behaviour, '127.0.0.1', 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert await probe_port('127.0.0.1', port, 0.2) == Finding(True)
            assert Finding(True).advice(Client(host=f'grpc://127.0.0.1:{port}').address) == ''
    assert Finding(True, ProtocolType.HTTP).advice(Client(host='http://a:1').address) == ''
