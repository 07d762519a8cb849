"""Keys through real processes: on every protocol and every way, open health, and no trace of the keys."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core import wire
from jina.core.errors import AccessError, ConfigError
from jina.core.request import DataRequest, SingleDocumentRequest

from tests.support.processes import Peer, free_port, peer, wait_for_port

KEYS = ['first-key-4711', 'second-key-4712']
SCHEMES = ['grpc', 'http', 'ws']
PROGRAM = 'import sys; from jina.core.cli.main import main; sys.exit(main())'
FLOW = """
jtype: Flow
gateway:
  protocol: [grpc, http, websocket]
  port: {ports}
  api_key: ['{key}']
  allow_origins: [https://good.example]
executors:
  - uses: Upper
    py_modules: executor.py
"""
EXECUTOR = """
from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests


class Upper(Executor):
    @requests
    def upper(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = doc.text.upper()
        return docs

    @requests(on='/letters')
    def letters(self, doc: TextDoc, **kwargs) -> TextDoc:
        for letter in doc.text:
            yield TextDoc(text=letter)
"""


@dataclass
class Served:
    """A Flow of the command line: one key in YAML, one in a file."""

    process: Peer
    ports: dict[str, int]

    def host(self, scheme: str) -> str:
        return f'{scheme}://localhost:{self.ports[scheme]}'

    def url(self, path: str, scheme: str = 'http') -> str:
        return f'http://localhost:{self.ports[scheme]}{path}'


@pytest.fixture(scope='module')
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp('keys')
    ports = [free_port() for _ in SCHEMES]
    (folder / 'executor.py').write_text(EXECUTOR)
    (folder / 'keys.txt').write_text(f'{KEYS[1]}\n')
    flow = FLOW.format(ports=ports, key=KEYS[0]).replace('  allow_', '  api_key_file: keys.txt\n  allow_')
    (folder / 'flow.yml').write_text(flow)
    # The variable is for servers without the option: Executors inside of the Flow must not ask the gateway for it.
    env = {'JINA_API_KEY': 'third-key-4713', 'JINA_LOG_LEVEL': 'DEBUG'}
    with peer([sys.executable, '-c', PROGRAM, 'flow', '--uses', 'flow.yml'], cwd=folder, env=env) as process:
        for port in ports:
            wait_for_port(port, timeout_s=90)
        yield Served(process, dict(zip(SCHEMES, ports, strict=True)))


@pytest.mark.parametrize('scheme', SCHEMES)
def test_a_call_needs_a_key(served: Served, scheme: str) -> None:
    host = served.host(scheme)
    inputs = DocList[TextDoc]([TextDoc(text='a')] * 5)
    for key in KEYS:
        client = Client(host=host, api_key=key)
        assert client.post('/', inputs[:1], return_type=DocList[TextDoc]).text == ['A']
        assert client.post('/', inputs, request_size=1, return_type=DocList[TextDoc]).text == ['A'] * 5
        assert [doc.text for doc in client.stream_doc('/letters', TextDoc(text='ab'), return_type=TextDoc)] == [
            'a',
            'b',
        ]
        assert client.is_flow_ready(60)
        header = {'Authorization': f'Bearer {key}'}
        plain = Client(host=host)
        assert plain.post('/', inputs[:1], headers=header, return_type=DocList[TextDoc]).text == ['A']
        assert len(plain.post('/', inputs, request_size=1, headers={'X-API-Key': key})) == 5
    for key, message in (
        (None, 'a key is needed'),
        ('wrong', 'the key is wrong'),
        ('third-key-4713', 'the key is wrong'),
    ):
        client = Client(host=host, api_key=key)
        for call in (
            lambda client=client: client.post('/', inputs[:1]),
            lambda client=client: client.post('/', inputs, request_size=1),
            lambda client=client: client.post('/', inputs, request_size=1, stream=False, max_attempts=3),
            lambda client=client: list(client.stream_doc('/letters', TextDoc(text='a'))),
        ):
            with pytest.raises(AccessError, match=message):
                call()
        assert not client.is_flow_ready(60)


def test_every_grpc_method_but_health_and_reflection_asks(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    request = DataRequest()
    request.docs = DocList[TextDoc]([TextDoc(text='a')])
    single = SingleDocumentRequest()
    single.document = TextDoc(text='a')
    raw = request.to_bytes()
    with grpc.insecure_channel(f'localhost:{served.ports["grpc"]}') as channel:

        def call(method: str, metadata: Any = ()) -> None:
            if method in (wire.CALL,):
                list(channel.stream_stream(method)(iter([raw]), metadata=metadata, timeout=60))
            elif method == wire.STREAM_DOC:
                list(channel.unary_stream(method)(single.to_bytes(), metadata=metadata, timeout=60))
            else:
                sent = b'' if method in (wire.STATUS, wire.DRY_RUN, wire.ENDPOINT_DISCOVERY) else raw
                channel.unary_unary(method)(sent, metadata=metadata, timeout=60)

        methods = (wire.PROCESS_SINGLE_DATA, wire.CALL, wire.STATUS, wire.DRY_RUN, wire.ENDPOINT_DISCOVERY)
        for method in (*methods, wire.STREAM_DOC):
            for metadata in ((), (('authorization', 'Bearer no'),), (('authorization', f'Basic {KEYS[0]}'),)):
                with pytest.raises(grpc.RpcError) as caught:
                    call(method, metadata)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, method  # type: ignore[attr-defined]
        for method in methods:
            call(method, (('authorization', f'bearer {KEYS[1]}'),))
        assert channel.unary_unary('/grpc.health.v1.Health/Check')(b'', timeout=60) == b'\x08\x01'
        reflect = channel.stream_stream('/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo')
        assert list(reflect(iter([b'\x3a\x01*']), timeout=60))
    monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    docs = Client(host=served.host('grpc'), api_key=KEYS[0]).post('/', [TextDoc(text='a')] * 3, request_size=1)
    assert len(docs) == 3


def status_of(url: str, data: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    sent = {name.replace('_', '-'): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, {'content-type': 'application/json', **sent})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_http_paths(served: Served) -> None:
    for path in ('/', '/docs', '/redoc', '/openapi.json', '/static-offline-docs/swagger-ui.css'):
        assert status_of(served.url(path))[0] == 200, path
    for path, data in (('/status', None), ('/dry_run', None), ('/default', b'{"data":[]}'), ('/', b'{}'), ('/x', None)):
        status, headers, body = status_of(served.url(path), data)
        assert (status, headers['www-authenticate']) == (401, 'Bearer'), path
        assert 'a key is needed' in json.loads(body)['detail']
    key = {'X_API_Key': KEYS[0]}
    assert status_of(served.url('/default'), b'{"data":[{"text":"a"}]}', **key)[0] == 200
    status = status_of(served.url('/status'), **key)[2].decode()
    assert not any(name in status for name in ('4711', '4712', '4713', 'JINA_API_KEY'))
    described = json.loads(status_of(served.url('/openapi.json'))[2])
    assert described['security'] == [{'bearer': []}, {'apiKey': []}]
    assert described['components']['securitySchemes']['bearer'] == {'type': 'http', 'scheme': 'bearer'}
    for path, code in (('/', 200), ('/status', 401), ('/dry_run', 401)):
        assert status_of(served.url(path, 'ws'))[0] == code
        assert status_of(served.url(path, 'ws'), **key)[0] == 200


def test_browsers(served: Served) -> None:
    good, bad = 'https://good.example', 'https://bad.example'
    key = {'X_API_Key': KEYS[0]}
    ask = {'Access_Control_Request_Method': 'POST', 'Access_Control_Request_Headers': 'authorization'}
    for origin, allowed in ((good, good), (bad, None)):
        headers = status_of(served.url('/default'), b'{"data":[]}', Origin=origin, **key)[1]
        assert headers.get('access-control-allow-origin') == allowed
        request = urllib.request.Request(served.url('/default'), headers={'Origin': origin}, method='OPTIONS')
        for name, value in ask.items():
            request.add_header(name.replace('_', '-'), value)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                assert origin == good and 'authorization' in response.headers['access-control-allow-headers'].lower()
        except urllib.error.HTTPError as error:
            assert origin == bad and error.code == 400
        assert status_of(served.url('/', 'ws'), Origin=origin)[1].get('Access-Control-Allow-Origin') == allowed

    async def connect(*protocols: str, **headers: str) -> int:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(served.url('/', 'ws'), protocols=protocols, headers=headers) as socket:
                    assert socket.protocol == 'json'
                    await socket.send_json({'data': [{'text': 'a'}], 'execEndpoint': '/'})
                    assert (await socket.receive_json())['data'][0]['text'] == 'A'
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    bearer = 'bearer.' + base64.urlsafe_b64encode(KEYS[1].encode()).decode().rstrip('=')
    assert asyncio.run(connect('json', bearer, Origin=good)) == 101  # all that a browser can send
    assert asyncio.run(connect('json', bearer)) == 101
    assert asyncio.run(connect('json', bearer, Origin=bad)) == 403
    assert asyncio.run(connect('json', 'bearer.%%%', Origin=good)) == 401
    assert asyncio.run(connect('json', Origin=good)) == 401


def test_ping(served: Served) -> None:
    def ping(target: str, scheme: str, **env: str) -> int:
        command = [sys.executable, '-c', PROGRAM, 'ping', target, served.host(scheme), '--timeout', '30000']
        return subprocess.run(command, env=env, timeout=120, capture_output=True).returncode

    assert ping('gateway', 'grpc') == 0
    assert ping('flow', 'http', JINA_API_KEY=KEYS[0]) == 0
    assert ping('flow', 'grpc') == 1


def test_no_process_shows_a_key(served: Served) -> None:
    members = served.process.members()
    assert len(members) >= 4
    for pid in members:
        for name in ('cmdline', 'comm'):
            assert b'4711' not in Path(f'/proc/{pid}/{name}').read_bytes()
    stdout = served.process.process.stdout
    assert stdout is not None
    os.set_blocking(stdout.fileno(), False)
    log = (os.read(stdout.fileno(), 1_000_000)).decode() + served.process.log(last_bytes=1_000_000)
    assert 'ready' in log
    assert not any(number in log for number in ('4711', '4712', '4713'))


class Plain(Executor):
    @requests
    def same(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs


@pytest.mark.parametrize('replicas', [1, 2])
def test_the_variable_protects_a_deployment_and_a_flow_calls_it_with_metadata(
    replicas: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('JINA_API_KEY', KEYS[0])
    with Deployment(uses=Plain, replicas=replicas, quiet=True) as deployment:
        assert len(deployment.post('/', TextDoc())) == 1
        with pytest.raises(AccessError):
            Client(port=deployment.port).post('/', TextDoc())
        monkeypatch.delenv('JINA_API_KEY')
        flow = Flow(quiet=True).add(
            external=True, port=deployment.port, grpc_metadata={'authorization': f'Bearer {KEYS[0]}'}
        )
        with flow:
            assert len(flow.post('/', [TextDoc()] * 3, request_size=1)) == 3
            assert flow.is_flow_ready(60)


def test_inside_a_flow_there_are_no_keys() -> None:
    with pytest.raises(ConfigError, match='api_key is for the server that clients reach; traffic inside a Flow'):
        Flow().add(api_key='x')
    with pytest.raises(ConfigError, match='send a key to an external Executor by grpc_metadata'):
        Flow().add(external=True, host='localhost', port=1, api_key='x')
