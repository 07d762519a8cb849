"""TLS through real processes: all protocols at once, an external Executor with TLS, trust, and files that are wrong."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core import wire
from jina.core.errors import ConfigError, ConnectError
from jina.core.grpc_stream import GrpcStream
from jina.core.lane import Lane
from jina.core.request import DataRequest
from jina.runtime.connections import ConnectionSettings, PeerGroup

from tests.support.processes import free_port, peer, wait_for_port

SCHEMES = ['grpcs', 'https', 'wss']
PROGRAM = 'import sys; from jina.core.cli.main import main; sys.exit(main())'


class Upper(Executor):
    @requests
    def upper(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = (doc.text or '').upper()
        return docs

    @requests(on='/letters')
    def letters(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        for letter in doc.text or '':
            yield TextDoc(text=letter)


@dataclass
class Files:
    """PEM files: of the issuer, of a server called localhost, and of others."""

    folder: Path

    @property
    def ca(self) -> str:
        return str(self.folder / 'ca.pem')

    @property
    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials((self.folder / 'ca.pem').read_bytes())

    def pair(self, name: str = 'server') -> dict[str, Any]:
        return {'ssl_certfile': str(self.folder / f'{name}.crt'), 'ssl_keyfile': str(self.folder / f'{name}.key')}


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp('tls')
    issuer, stranger = trustme.CA(), trustme.CA()
    issuer.cert_pem.write_to_path(folder / 'ca.pem')
    stranger.cert_pem.write_to_path(folder / 'stranger.pem')
    for name in ('server', 'other'):
        certificate = issuer.issue_cert('localhost')
        certificate.private_key_pem.write_to_path(folder / f'{name}.key')
        (folder / f'{name}.crt').write_bytes(b''.join(part.bytes() for part in certificate.cert_chain_pems))
    return Files(folder)


@dataclass
class Served:
    """A Flow that speaks all protocols with TLS, in front of an external Executor that does too and one that doesn't."""

    flow: Any
    ports: dict[str, int]
    external: Any


@pytest.fixture(scope='module')
def served(files: Files) -> Iterator[Served]:
    external = Deployment(uses=Upper, name='far', quiet=True, **files.pair())
    with external:
        flow = Flow(protocol=['grpc', 'http', 'websocket'], ssl_cafile=files.ca, quiet=True, **files.pair('other'))
        flow = flow.add(name='far', external=True, tls=True, host='localhost', port=external.port)
        with flow.add(name='near') as running:
            yield Served(running, dict(zip(SCHEMES, running.port, strict=True)), external)


@pytest.mark.parametrize('scheme', SCHEMES)
def test_every_protocol_and_every_kind_of_call(served: Served, files: Files, scheme: str) -> None:
    client = Client(host=f'{scheme}://localhost:{served.ports[scheme]}', ssl_cafile=files.ca)
    assert client.post('/', TextDoc(text='a'), return_type=DocList[TextDoc]).text == ['A']
    texts = [f't{number}' for number in range(50)]
    inputs = DocList[TextDoc]([TextDoc(text=text) for text in texts])
    docs = client.post('/', inputs, request_size=3, results_in_order=True, return_type=DocList[TextDoc])
    assert docs.text == [text.upper() for text in texts]
    assert client.is_flow_ready(60)
    name = {'grpcs': 'grpc', 'https': 'http', 'wss': 'websocket'}[scheme]
    other = Client(host='127.0.0.1', port=served.ports[scheme], protocol=name, tls=True, ssl_cafile=files.ca)
    with pytest.raises(ConnectError, match=r'ssl_server_name|not valid for'):
        other.post('/', TextDoc())
    named = Client(
        host='127.0.0.1',
        port=served.ports[scheme],
        protocol=name,
        tls=True,
        ssl_cafile=files.ca,
        ssl_server_name='localhost',
    )
    assert named.post('/', TextDoc(text='b'), return_type=DocList[TextDoc]).text == ['B']

    async def ask() -> list[str]:
        asynchronous = Client(host=f'{scheme}://localhost:{served.ports[scheme]}', ssl_cafile=files.ca, asyncio=True)
        async with asynchronous:
            return [
                docs[0].text async for docs in asynchronous.post('/', TextDoc(text='c'), return_type=DocList[TextDoc])
            ]

    assert asyncio.run(ask()) == ['C']


def test_documents_stream(served: Served, files: Files) -> None:
    client = Client(host=f'grpcs://localhost:{served.external.port}', ssl_cafile=files.ca)
    letters = client.stream_doc('/letters', TextDoc(text='abc'), return_type=TextDoc)
    assert [doc.text for doc in letters] == ['a', 'b', 'c']


@pytest.mark.parametrize('scheme', SCHEMES)
def test_wrong_trust_and_wrong_protocol_get_advice(served: Served, files: Files, scheme: str) -> None:
    host = f'{scheme}://localhost:{served.ports[scheme]}'
    for cafile in (None, str(files.folder / 'stranger.pem')):
        with pytest.raises(ConnectError, match=r'nobody that is trusted has issued its certificate: give .*ssl_cafile'):
            Client(host=host, ssl_cafile=cafile).post('/', TextDoc())
    plain = host.replace('grpcs', 'grpc').replace('https', 'http').replace('wss', 'ws')
    with pytest.raises(ConnectionError, match=r'TLS|tls=True'):
        Client(host=plain).post('/', TextDoc())
    assert not Client(host=plain).is_flow_ready(20)
    with pytest.raises(ConfigError, match=r"ssl_cafile '/none.pem' can not be read: No such file"):
        Client(host=host, ssl_cafile='/none.pem').post('/', TextDoc())
    with pytest.raises(ConfigError, match=r'ssl_cafile .* holds no certificate as PEM'):
        Client(host=host, ssl_cafile=files.pair()['ssl_keyfile']).post('/', TextDoc())


def test_the_client_of_the_flow_trusts_it(served: Served) -> None:
    assert served.flow.post('/', TextDoc(text='x'), return_type=DocList[TextDoc]).text == ['X']
    assert served.flow.is_flow_ready(60)
    assert served.external.post('/', TextDoc(text='y'), return_type=DocList[TextDoc]).text == ['Y']


async def test_traffic_inside_is_plain_and_the_fast_lane_goes_through_tls(served: Served, files: Files) -> None:
    request = DataRequest()
    request.exec_endpoint = '/'
    request.docs = DocList[TextDoc]([TextDoc(text='x')])
    inside, outside = f'127.0.0.1:{served.flow["near"].ports[0]}', f'grpcs://localhost:{served.external.port}'
    for address in (inside, outside):
        group = PeerGroup('e', [address], ConnectionSettings(cafile=files.ca))
        answers = await asyncio.gather(*(group.process(request.to_bytes(), '/') for _ in range(20)))
        assert len(answers) == 20 and not group._peers[0]._lane.missing
        await group.close()
    async with grpc.aio.secure_channel(f'localhost:{served.external.port}', files.credentials) as channel:
        lane = Lane(GrpcStream(channel.stream_stream(wire.FAST_LANE)()))
        lane.send(request.to_bytes())
        while not await lane.receive():
            continue
        assert lane.proven and lane.door == ''  # who asks for TLS is not shown a way around it
        await lane.close()


@pytest.mark.parametrize('scheme', SCHEMES)
def test_ping(served: Served, files: Files, scheme: str) -> None:
    address = f'{scheme}://localhost:{served.ports[scheme]}'
    trusted = {'SSL_CERT_FILE': files.ca, 'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH': files.ca}

    def ping(*arguments: str, **env: str) -> int:
        command = [sys.executable, '-c', PROGRAM, 'ping', *arguments, '--timeout', '30000']
        return subprocess.run(command, env={**env}, timeout=120, capture_output=True).returncode

    assert ping('flow', address, **trusted) == 0  # what users of the original do
    assert ping('gateway', address, '--ssl-cafile', files.ca) == 0
    assert ping('gateway', address) == 1


def test_foreign_clients(served: Served, files: Files) -> None:
    context = ssl.create_default_context(cafile=files.ca)
    for path in ('/', '/status', '/dry_run'):
        for scheme in ('https', 'wss'):
            url = f'https://localhost:{served.ports[scheme]}{path}'
            with urllib.request.urlopen(url, timeout=60, context=context) as response:
                assert isinstance(json.load(response), dict)
    with grpc.secure_channel(f'localhost:{served.ports["grpcs"]}', files.credentials) as channel:
        assert channel.unary_unary('/grpc.health.v1.Health/Check')(b'', timeout=60) == b'\x08\x01'
        status = wire.StatusProto.FromString(channel.unary_unary(wire.DRY_RUN)(b'', timeout=60))
        assert status.code == status.SUCCESS


def wrong_files(files: Files) -> list[tuple[dict[str, Any], str]]:
    key, certificate = files.pair()['ssl_keyfile'], files.pair()['ssl_certfile']
    empty = files.folder / 'empty.pem'
    empty.write_text('-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n')
    return [
        ({'ssl_keyfile': key}, f'ssl_keyfile is {key} and ssl_certfile is not given; TLS needs both'),
        ({'ssl_certfile': 'x.crt', 'ssl_keyfile': key}, r"ssl_certfile 'x.crt' can not be read: No such file"),
        ({'ssl_certfile': certificate, 'ssl_keyfile': 'x.key'}, r"ssl_keyfile 'x.key' can not be read: No such file"),
        ({'ssl_certfile': key, 'ssl_keyfile': certificate}, f"ssl_certfile '{key}' holds no certificate as PEM"),
        (
            {'ssl_certfile': certificate, 'ssl_keyfile': files.pair('other')['ssl_keyfile']},
            rf"the key in ssl_keyfile '.*other.key' does not belong to the certificate in ssl_certfile '{certificate}'",
        ),
        ({'ssl_certfile': str(empty), 'ssl_keyfile': key}, 'can not be used'),
    ]


@pytest.mark.parametrize('kind', [Flow, Deployment])
def test_wrong_files_are_refused_before_anything_starts(files: Files, kind: Any) -> None:
    for options, message in wrong_files(files):
        with pytest.raises(ConfigError, match=message):
            served = kind(protocol=['grpc', 'http'], **options)
            with served:
                pass
        if 'is not given' not in message:
            assert served.num_pods == 0


def test_only_the_public_server_has_tls(files: Files) -> None:
    with pytest.raises(
        ConfigError, match='ssl_certfile is for the server that clients reach; traffic inside a Flow stays'
    ):
        Flow().add(**files.pair())


@pytest.mark.parametrize('command', ['executor', 'deployment'])
def test_the_command_line(files: Files, command: str, tmp_path: Path) -> None:
    port = free_port()
    pair = [f'--{name.replace("_", "-")}={value}' for name, value in files.pair().items()]
    with peer([sys.executable, '-c', PROGRAM, command, '--port', str(port), *pair], cwd=tmp_path):
        wait_for_port(port, timeout_s=90)
        client = Client(host=f'grpcs://localhost:{port}', ssl_cafile=files.ca)
        assert client.is_deployment_ready(60)
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, command, *pair[:1]], cwd=tmp_path, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 1 and 'ssl_keyfile is not given' in done.stderr
