"""Clients that nobody wrote for this framework: curl, Node, and a gRPC client that knows what reflection tells it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from docarray import BaseDoc, DocList
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from jina import Client, Executor, Flow, requests

from tests.support.requirements import missing, require_program


class Text(BaseDoc):
    text: str = ''


class Finder(Executor):
    @requests(on='/search')
    def search(self, docs: DocList[Text], parameters: dict[str, Any], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text = f'found {doc.text}{parameters.get("param1", "")}'
        return docs

    @requests(on='/words')
    async def words(self, doc: Text, **kwargs: Any) -> Text:
        for word in doc.text.split():
            yield Text(text=word)

    @requests(on='/fail')
    def fail(self, **kwargs: Any) -> None:
        raise ValueError('boom')

    @requests
    def otherwise(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text += '?'
        return docs


@pytest.fixture(scope='module')
def flow() -> Iterator[Flow]:
    flow = Flow(protocol=['http', 'websocket', 'grpc'], quiet_error=True).add(uses=Finder, name='finder')
    with flow.expose_endpoint('/fail', http_path='/broken', methods=['PUT'], tags=['broken']):
        yield flow


@pytest.fixture(scope='module')
def http_port(flow: Flow) -> int:
    port: int = flow.port[0]
    return port


# curl


def curl(*arguments: str) -> tuple[int, Any]:
    """Runs curl and returns status and body, parsed if it is JSON."""
    program = require_program('curl', package='curl')
    command = [program, '--silent', '--show-error', '--max-time', '60', '--write-out', '\n%{http_code}', *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    body, _, status = done.stdout.rpartition('\n')
    try:
        return int(status), json.loads(body)
    except ValueError:
        return int(status), body


@pytest.mark.parametrize(
    ('path', 'body', 'texts'),
    [
        ('/post', '{"data": [{"text": "hello world"}],"execEndpoint": "/search"}', ['found hello world']),
        ('/search', '{"data": [{"text": "hello world"}]}', ['found hello world']),
        ('/search', '{"data": {"text": "a"}, "parameters": {"param1": "!"}}', ['found a!']),
        ('/index', '{"data": [{"text": "hello"}, {"text": "world"}]}', ['hello?', 'world?']),
        ('/post', '{"execEndpoint": "/index", "data": [{"text": "a"}], "targetExecutor": "finder"}', ['a?']),
        ('/post', '{"execEndpoint": "/index", "data": [{"text": "a"}], "targetExecutor": "other"}', ['a']),
        ('/post', '{"execEndpoint": "/index"}', []),
        ('/post', '{"data": {"docs": [{"text": "a"}]}, "header": {"exec_endpoint": "/search"}}', ['found a']),
        ('/default', '{"data": [{"text": "a"}], "header": {"request_id": "mine"}}', ['a?']),
    ],
)
def test_curl_sends_the_documented_bodies(http_port: int, path: str, body: str, texts: list[str]) -> None:
    status, answer = curl(
        *('--request', 'POST', f'http://localhost:{http_port}{path}'),
        *('--header', 'Content-Type: application/json', '-d', body),
    )
    assert (status, [doc['text'] for doc in answer['data']]) == (200, texts)
    assert {'requestId', 'targetExecutor'} <= answer['header'].keys()


def test_the_documented_answer(http_port: int) -> None:
    body = '{"data": [{"text": "hello"}], "execEndpoint": "/search", "parameters": {"param1": 1}}'
    _, answer = curl(f'http://localhost:{http_port}/post', '--json', body)
    assert answer.keys() == {'data', 'routes', 'parameters', 'header'}
    assert answer['header'].keys() == {'requestId', 'execEndpoint', 'targetExecutor'}
    assert [route['executor'] for route in answer['routes']] == ['gateway', 'finder']
    for route in answer['routes']:
        begin, end = (datetime.fromisoformat(route[name]) for name in ('startTime', 'endTime'))
        assert begin <= end and str(begin.tzinfo) == 'UTC'


def test_curl_reads_pages_streams_and_errors(http_port: int) -> None:
    base = f'http://localhost:{http_port}'
    assert curl(base) == (200, {})
    assert curl(f'{base}/dry_run')[1]['code'] == 0
    assert curl(f'{base}/status')[1].keys() == {'jina', 'envs'}
    assert curl(f'{base}/broken', '-X', 'PUT', '--json', '{"data": []}') == (499, {'detail': "ValueError('boom')"})
    status, stream = curl(f'{base}/words?text=one%20two')
    assert (status, stream.count('event: update\ndata: {'), stream.count('event: end')) == (200, 2, 1)
    assert curl(f'{base}/search', '--json', '{"data": [{"text": 3}]}')[1]['detail'][0]['loc'][-1] == 'text'
    assert curl(f'{base}/search', '-d', '{"data": []}')[0] == 415
    assert curl(f'{base}/search', '-X', 'PUT')[0] == 405
    status, compressed = curl(f'{base}/search', '--compressed', '--json', '{"data": [{"text": "a"}]}')
    assert (status, compressed['data'][0]['text']) == (200, 'found a')


def test_our_client_finds_what_has_moved(http_port: int) -> None:
    client = Client(port=http_port, protocol='http')
    assert client.post('/index', Text(text='a'), return_type=Text).text == 'a?'
    assert client.post('/anything/else', Text(text='a'), return_type=Text).text == 'a?'
    with pytest.raises(Exception, match='boom'):
        client.post('/fail', Text(text='a'))


# Node

SCRIPT = """
const [base, socketPort] = [`http://localhost:${process.argv[2]}`, process.argv[3]]
const json = {'Content-Type': 'application/json'}

const post = async (path, body, method = 'POST') => {
  const response = await fetch(base + path, {method, headers: json, body: JSON.stringify(body)})
  return [response.status, await response.json()]
}

const events = async (path) => {
  const response = await fetch(base + path)
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body) text += decoder.decode(chunk, {stream: true})
  const blocks = text.split('\\r\\n\\r\\n').filter((block) => block.startsWith('event: update'))
  return blocks.map((block) => JSON.parse(block.slice(block.indexOf('data: ') + 6)).text)
}

const talk = () => new Promise((resolve) => {
  const answers = []
  const socket = new WebSocket(`ws://localhost:${socketPort}`)
  socket.onopen = () => {
    socket.send(JSON.stringify({execEndpoint: '/search', data: [{text: 'a'}], parameters: {param1: '!'}}))
    socket.send('{}')
  }
  socket.onmessage = (event) => answers.push(JSON.parse(event.data).data[0].text)
  socket.onclose = (event) => resolve([event.code, answers])
})

console.log(JSON.stringify({
  search: await post('/search', {data: [{text: 'hello world'}]}),
  post: await post('/post', {data: [{text: 'hello world'}], execEndpoint: '/search'}),
  update: await post('/update', {data: [{text: 'a'}]}, 'PUT'),
  nowhere: await post('/serch', {data: []}),
  events: await events('/words?text=one+two+three'),
  socket: await talk(),
}))
"""


def test_node(flow: Flow, tmp_path: Path) -> None:
    node = require_program('node', package='nodejs')
    version = subprocess.run([node, '--version'], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip('v').partition('.')[0]) < 20:
        missing(f'node {version.strip()} has no WebSocket')
    (tmp_path / 'client.mjs').write_text(SCRIPT)
    ports = [str(port) for port in flow.port[:2]]
    command = [node, '--experimental-websocket', str(tmp_path / 'client.mjs'), *ports]
    seen = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout)
    for name in ('search', 'post'):
        status, answer = seen[name]
        assert (status, answer['data'][0]['text']) == (200, 'found hello world')
    assert seen['update'][1]['data'][0]['text'] == 'a?'
    assert seen['nowhere'] == [404, {'detail': "there is no route '/serch'; did you mean '/search'?"}]
    assert seen['events'] == ['one', 'two', 'three']
    assert seen['socket'] == [1000, ['found a!']]


# gRPC with reflection alone


class Stranger:
    """A gRPC client without any proto file but that of reflection, which is the same for all servers.

    Args:
        target: ``host:port``.
        version: ``v1`` or ``v1alpha``.
    """

    def __init__(self, target: str, version: str) -> None:
        self.channel = grpc.insecure_channel(target)
        self._method = f'/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo'
        self.pool = descriptor_pool.DescriptorPool()

    def _ask(self, field: int, text: str) -> list[tuple[int, bytes]]:
        """Sends one question and returns the fields of the answer by number."""
        question = bytes([field << 3 | 2, len(text)]) + text.encode()
        answers = self.channel.stream_stream(self._method)(iter([question]), timeout=60)
        return _fields(next(answers))

    def services(self) -> list[str]:
        (listing,) = [value for number, value in self._ask(7, '') if number == 6]
        return [dict(_fields(service))[1].decode() for _, service in _fields(listing)]

    def service(self, name: str) -> ServiceDescriptor:
        (files,) = [value for number, value in self._ask(4, name) if number == 4]
        waiting = [FileDescriptorProto.FromString(raw) for _, raw in _fields(files)]
        while waiting:
            names = {file.name for file in waiting}
            for file in [one for one in waiting if not names & set(one.dependency)]:
                self.pool.Add(file)
                waiting.remove(file)
        return self.pool.FindServiceByName(name)

    def call(self, service: str, method: str, *requests: dict[str, Any], metadata: Any = ()) -> list[dict[str, Any]]:
        """Calls a method with messages made of JSON; returns the answers as JSON, as grpcurl prints them."""
        described = self.service(service).methods_by_name[method]
        taken = message_factory.GetMessageClass(described.input_type)
        given = message_factory.GetMessageClass(described.output_type)
        kinds = ('unary', 'stream')
        multi = getattr(
            self.channel,
            f'{kinds[described.client_streaming]}_{kinds[described.server_streaming]}',
        )(
            f'/{service}/{method}',
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=given.FromString,
        )
        messages = [json_format.ParseDict(request, taken(), descriptor_pool=self.pool) for request in requests]
        answer = multi(iter(messages) if described.client_streaming else messages[0], timeout=60, metadata=metadata)
        found = list(answer) if described.server_streaming else [answer]
        return [json_format.MessageToDict(message, descriptor_pool=self.pool) for message in found]


def _fields(raw: bytes) -> list[tuple[int, bytes]]:
    """Cuts a message whose fields are all texts, bytes and messages."""
    found = []
    place = 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = raw[place]
            place += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    while place < len(raw):
        key = number()
        assert key & 7 == 2, 'a field that is no text'
        size = number()
        found.append((key >> 3, raw[place : place + size]))
        place += size
    return found


@pytest.fixture(params=['v1', 'v1alpha'])
def stranger(flow: Flow, request: pytest.FixtureRequest) -> Iterator[Stranger]:
    stranger = Stranger(f'localhost:{flow.port[2]}', request.param)
    yield stranger
    stranger.channel.close()


def document(text: str) -> dict[str, Any]:
    """A document as the protobuf contract has it, in JSON."""
    return {'data': {'text': {'text': text}}}


def test_reflection_is_enough_to_call_everything(stranger: Stranger) -> None:
    services = stranger.services()
    assert {'jina.JinaRPC', 'jina.JinaSingleDataRequestRPC', 'jina.JinaInfoRPC'} <= {*services}
    for service in (*services, 'grpc.health.v1.Health'):
        assert stranger.service(service).methods
    request = {
        'header': {'requestId': 'mine', 'execEndpoint': '/search'},
        'parameters': {'param1': '!'},
        'data': {'docs': {'docs': [document('a')]}},
    }
    (answer,) = stranger.call('jina.JinaRPC', 'Call', request)
    assert answer['header']['requestId'] == 'mine'
    assert answer['data']['docs']['docs'][0]['data']['text']['text'] == 'found a!'
    many = stranger.call('jina.JinaRPC', 'Call', request, request, request)
    assert len(many) == 3
    (answer,) = stranger.call('jina.JinaSingleDataRequestRPC', 'process_single_data', request)
    assert [route['executor'] for route in answer['routes']] == ['gateway', 'finder']
    (answer,) = stranger.call('jina.JinaInfoRPC', '_status', {})
    assert answer['jina']['jina'] and answer['envs']
    (answer,) = stranger.call('jina.JinaGatewayDryRunRPC', 'dry_run', {})
    assert answer.get('code', 'SUCCESS') == 'SUCCESS'
    (answer,) = stranger.call('grpc.health.v1.Health', 'Check', {})
    assert answer == {'status': 'SERVING'}
    (answer,) = stranger.call('jina.JinaDiscoverEndpointsRPC', 'endpoint_discovery', {})
    assert {'/search', '/words', '/fail', '/default'} <= set(answer['endpoints'])
    single = {'header': {'execEndpoint': '/words'}, 'document': document('one two')}
    answers = stranger.call('jina.JinaSingleDocumentRequestRPC', 'stream_doc', single)
    texts = [one['document']['data']['text']['text'] for one in answers if one.get('document', {}).get('data')]
    assert texts[:2] == ['one', 'two']
