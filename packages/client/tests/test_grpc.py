"""What only gRPC has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.client import Client
from jina.core.errors import ConfigError, ConnectError, DeadlineError, RemoteError, TransportError

Texts = Callable[..., Any]


@pytest.fixture
def client(wire_server: Any) -> Iterator[Any]:
    with Client(host='localhost', port=wire_server.port) as client:
        yield client


def test_several_requests_take_a_stream_and_one_a_unary_call(client: Any, wire_server: Any, texts: Texts) -> None:
    client.post('/echo', texts('a', 'b'), request_size=1)
    client.post('/echo', texts('a', 'b'))
    client.post('/echo', texts('a', 'b'), request_size=1, stream=False)
    client.post('/echo', iter(texts('a')))
    assert wire_server.methods == ['stream', 'unary', 'unary', 'unary', 'stream']


def test_the_server_is_told_the_prefetch_and_never_asked_for_the_order(
    client: Any, wire_server: Any, texts: Texts
) -> None:
    client.post('/echo', texts('a', 'b'), request_size=1)
    client.post('/echo', texts('a', 'b'), request_size=1, prefetch=5, results_in_order=True)
    silent, told = wire_server.metadata
    assert '__prefetch__' not in silent and told['__prefetch__'] == '5'
    # the Client keeps the order; a busy server of the original may hang when it has to
    assert '__results_in_order__' not in silent and '__results_in_order__' not in told


def test_a_stream_that_ends_before_the_inputs_is_no_success(client: Any, wire_server: Any, texts: Texts) -> None:
    def inputs() -> Iterator[TextDoc]:
        for _ in range(200):
            yield TextDoc(text='a')
            time.sleep(0.005)  # the server leaves while requests are still made

    with pytest.raises(TransportError, match='the server ended the stream'):
        client.post('/leave', inputs, request_size=1)


def test_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        port = unused.getsockname()[1]
    with pytest.raises(ConnectError, match=f'UNAVAILABLE from grpc://localhost:{port}.*nothing listens on port {port}'):
        Client(host='localhost', port=port).post('/echo')


def test_the_server_may_come_later_or_again(client: Any, wire_server: Any) -> None:
    assert len(client.post('/echo')) == 0
    wire_server.restart()
    assert len(client.post('/echo', max_attempts=3, initial_backoff=0.1)) == 0
    wire_server._thread.call(wire_server._server.stop(None))
    with pytest.raises(TransportError):
        client.post('/echo')
    wire_server._thread.call(wire_server._start(wire_server.port))
    assert len(client.post('/echo')) == 0


def test_a_gateway_that_lost_an_executor(client: Any, texts: Texts) -> None:
    for stream in (True, False):
        with pytest.raises(ConnectionError, match='Communication error with deployment e1') as caught:
            client.post('/down', texts('a', 'b'), request_size=1, stream=stream)
        assert not isinstance(caught.value, ConnectError)
        assert caught.value.code == 'UNAVAILABLE'


@pytest.mark.parametrize('size', [1, 2])
def test_a_deadline(client: Any, texts: Texts, size: int) -> None:
    with pytest.raises(DeadlineError, match='DEADLINE_EXCEEDED'):
        client.post('/slow', texts('a', 'b'), request_size=size, timeout=0.1, parameters={'delay_s': 5})
    with pytest.raises(ConfigError, match='timeout is -1'):
        client.post('/echo', timeout=-1)


def test_a_broken_stream_sends_only_what_is_unanswered(client: Any, wire_server: Any) -> None:
    """The generator is read once; an outage in the middle loses and repeats nothing that was answered."""

    def gone_in_between() -> Iterator[TextDoc]:
        for number in range(6):
            if number == 3:
                wire_server.outages = 2
            yield TextDoc(text=str(number))

    docs = client.post(
        '/echo',
        gone_in_between,
        request_size=1,
        prefetch=1,
        max_attempts=4,
        initial_backoff=0.01,
        return_type=DocList[TextDoc],
    )
    assert docs.text == [str(number) for number in range(6)]
    assert sorted(request.docs[0].text for request in wire_server.requests) == [str(number) for number in range(6)]
    assert len(wire_server.methods) == 3


@pytest.mark.parametrize('name', ['Gzip', 'gzip', 'DEFLATE', 'NoCompression', None])
def test_compression(client: Any, texts: Texts, name: str | None) -> None:
    assert client.post('/echo', texts('a' * 1000), compression=name, return_type=TextDoc).text == 'a' * 1000


def test_unknown_compression(client: Any) -> None:
    with pytest.raises(ConfigError, match="compression is 'zip'"):
        client.post('/echo', compression='zip')


def test_channel_options_override_the_defaults(wire_server: Any, texts: Texts) -> None:
    limited = Client(
        host='localhost', port=wire_server.port, grpc_channel_options={'grpc.max_receive_message_length': 100}
    )
    with pytest.raises(TransportError, match='RESOURCE_EXHAUSTED'):
        limited.post('/echo', texts('a' * 1000))
    assert Client(host='localhost', port=wire_server.port).post('/echo', texts('a' * 5_000_000), return_type=TextDoc)


def test_a_failed_stream_of_documents(client: Any) -> None:
    docs = client.stream_doc('/fail', TextDoc(text='a'), return_type=TextDoc, parameters={'count': 1})
    assert next(docs).text == 'a 0'
    with pytest.raises(RemoteError, match='boom'):
        next(docs)


def test_tls(wire_server: Any, texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / 'key.pem', tmp_path / 'certificate.pem'
    command = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost']
    files = ['-keyout', str(key), '-out', str(certificate), '-addext', 'subjectAltName=DNS:localhost']
    try:
        subprocess.run([*command, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip('needs the openssl command')
    port = wire_server.secure(grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())]))
    with pytest.raises(ConnectError, match='TLS failed'):
        Client(host=f'grpcs://localhost:{port}').post('/echo')
    with pytest.raises(ConnectError, match='does not use TLS'):
        Client(host='localhost', port=wire_server.port, tls=True).post('/echo')
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            'from docarray.documents import TextDoc; from jina.client import Client;'
            f'print(Client(host="grpcs://localhost:{port}").post("/echo", TextDoc(text="safe"), return_type=TextDoc).text)',
        ],
        env={**os.environ, 'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH': str(certificate)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == 'safe\n', done.stderr
