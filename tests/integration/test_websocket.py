"""WebSocket through real processes: Python and YAML, the command line, replicas, signals, streams, a foreign client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import ConnectError, RemoteError, TransportError

from tests.support.processes import free_port, peer, wait_for_port
from tests.support.requirements import missing, require_program


class Talker(Executor):
    @requests(on='/upper')
    def upper(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = (doc.text or '').upper()
        return docs

    @requests(on='/words')
    def words(self, doc: TextDoc, parameters: dict[str, Any], **kwargs: Any) -> TextDoc:
        for _ in range(int(parameters.get('times', 1))):
            for word in (doc.text or '').split():
                yield TextDoc(text=word)

    @requests(on='/fail')
    def fail(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        raise ValueError('boom')

    @requests(on='/pid')
    def pid(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = str(os.getpid())
        return docs


@pytest.fixture(scope='module', params=['deployment', 'replicas', 'flow'])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    served = {
        'deployment': lambda: Deployment(uses=Talker, protocol='websocket'),
        'replicas': lambda: Deployment(uses=Talker, protocol='websocket', replicas=2),
        'flow': lambda: Flow(protocol='websocket').add(uses=Talker),
    }[request.param]()
    with served:
        assert served.protocol == 'WEBSOCKET'
        yield served.port


@pytest.fixture
def client(port: int) -> Client:
    return Client(host=f'ws://localhost:{port}')


def test_documents(client: Any) -> None:
    texts = [f'text {number}' for number in range(500)]
    inputs = DocList[TextDoc]([TextDoc(text=text) for text in texts])
    docs = client.post('/upper', inputs, request_size=7, results_in_order=True, return_type=DocList[TextDoc])
    assert docs.text == [text.upper() for text in texts]


def test_streams(client: Any) -> None:
    docs = client.stream_doc('/words', TextDoc(text='one two'), parameters={'times': 500}, return_type=TextDoc)
    assert [doc.text for doc in docs] == ['one', 'two'] * 500


def test_failures_and_readiness(client: Any) -> None:
    with pytest.raises(RemoteError, match='boom'):
        client.post('/fail', TextDoc())
    assert client.is_flow_ready()
    assert client.is_deployment_ready()


def test_pages(port: int) -> None:
    with urllib.request.urlopen(f'http://localhost:{port}/status', timeout=30) as answer:
        assert json.load(answer)['jina']['python']


def test_requests_are_spread_over_replicas() -> None:
    with Deployment(uses=Talker, protocol='websocket', replicas=2) as deployment:
        inputs = DocList[TextDoc]([TextDoc() for _ in range(64)])
        docs = deployment.post('/pid', inputs, request_size=1, return_type=DocList[TextDoc])
    assert len(set(docs.text)) == 2


def test_replicas_that_share_the_port() -> None:
    with Deployment(uses=Talker, protocol='websocket', replicas=2, include_gateway=False) as deployment:
        assert deployment.post('/upper', TextDoc(text='a'), return_type=TextDoc).text == 'A'


def test_three_protocols_at_once_answer_alike() -> None:
    with Flow(protocol=['grpc', 'http', 'websocket']).add(uses=Talker) as flow:
        for protocol, port in zip(('grpc', 'http', 'websocket'), flow.port, strict=True):
            client = Client(port=port, protocol=protocol)
            assert client.post('/upper', TextDoc(text='a'), return_type=TextDoc).text == 'A'
            assert [doc.text for doc in client.stream_doc('/words', TextDoc(text='a b'), return_type=TextDoc)] == [
                'a',
                'b',
            ]


def test_yaml(tmp_path: Path) -> None:
    file = tmp_path / 'flow.yml'
    file.write_text('jtype: Flow\ngateway:\n  protocol: websocket\nexecutors:\n  - uses: Talker\n')
    with Flow.load_config(str(file)) as flow:
        assert flow.post('/upper', TextDoc(text='a'), return_type=TextDoc).text == 'A'


def test_command_line() -> None:
    port, jina = free_port(), Path(sys.executable).parent / 'jina'
    with peer([jina, 'executor', '--port', str(port), '--protocol', 'websocket']):
        wait_for_port(port, timeout_s=60)
        assert Client(host=f'ws://localhost:{port}').post('/', TextDoc(text='a'), return_type=TextDoc).text == 'a'
        assert subprocess.run([jina, 'ping', 'executor', f'ws://localhost:{port}'], timeout=60).returncode == 0


@pytest.mark.parametrize(
    ('served', 'called', 'advice'),
    [
        ('websocket', 'http', "use Client(host='ws://"),
        ('http', 'websocket', "use Client(host='http://"),
        ('grpc', 'websocket', "use Client(host='grpc://"),
    ],
)
def test_the_wrong_protocol_is_named(served: str, called: str, advice: str) -> None:
    with Deployment(uses=Talker, protocol=served) as deployment, pytest.raises(ConnectError) as refused:
        Client(port=deployment.port, protocol=called).post('/upper', TextDoc(text='a'))
    assert advice in str(refused.value)


def test_grpc_at_the_port_fails_soon() -> None:
    with Deployment(uses=Talker, protocol='websocket') as deployment, pytest.raises(TransportError):
        Client(port=deployment.port).post('/upper', TextDoc(text='a'), timeout=20)


SCRIPT = """
const socket = new WebSocket(`ws://localhost:${process.argv[2]}`, 'json')
const answers = []
socket.onopen = () => {
  for (let i = 0; i < 20; i++)
    socket.send(JSON.stringify({execEndpoint: '/upper', data: {text: `n${i}`}, header: {requestId: `${i}`}}))
  socket.send(JSON.stringify({execEndpoint: '/words', data: {text: 'one two'}, header: {requestId: 'words'}}))
  socket.send('{}')
}
socket.onmessage = (event) => answers.push(JSON.parse(event.data))
socket.onclose = (event) => console.log(JSON.stringify({code: event.code, protocol: socket.protocol, answers}))
"""


def test_a_javascript_client(port: int, tmp_path: Path) -> None:
    node = require_program('node', package='nodejs')
    version = subprocess.run([node, '--version'], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip('v').partition('.')[0]) < 20:
        missing(f'node {version.strip()} has no WebSocket')
    (tmp_path / 'client.mjs').write_text(SCRIPT)
    command = [node, '--experimental-websocket', str(tmp_path / 'client.mjs'), str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    seen = json.loads(done.stdout)
    assert (seen['code'], seen['protocol']) == (1000, 'json')
    texts = {answer['header']['requestId']: answer['data'] for answer in seen['answers']}
    assert [texts[str(number)][0]['text'] for number in range(20)] == [f'N{number}' for number in range(20)]
    stream = [answer for answer in seen['answers'] if answer['header']['requestId'] == 'words']
    assert [[doc['text'] for doc in answer['data']] for answer in stream] == [['one'], ['two'], []]
