"""Dynamic batching through processes of their own: all ways to configure it, over all transports."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

import grpc
import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import AnyEmbedding, AnyTensor
from jina import Client, Deployment, Executor, Flow, dynamic_batching, requests
from jina.core import wire
from jina.core.errors import DeadlineError, DocumentErrors, RemoteError, StartupError
from jina.core.request import DataRequest

from tests.support.processes import free_port, peer, wait_for_port

NEVER = 600_000
"""A timeout in ms that no test waits for."""
SETTINGS = {'/sizes': {'preferred_batch_size': 4, 'timeout': NEVER}}


class Text(BaseDoc):
    text: str = ''


Texts = DocList[Text]


class Plain(Executor):
    """Says in each document how many were in its call."""

    @requests(on='/sizes')
    def sizes(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text = f'{doc.text}:{len(docs)}'
        return docs


class Batched(Plain):
    @dynamic_batching(preferred_batch_size=4, timeout=NEVER)
    @requests(on='/sizes')
    def sizes(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return super().sizes(docs)

    @requests(on='/async')
    @dynamic_batching(preferred_batch_size=4, timeout=NEVER)
    async def sizes_async(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        await asyncio.sleep(0)
        return DocList[Text]([Text(text=f'{doc.text}:{len(docs)}') for doc in docs])

    @requests(on='/soon')
    @dynamic_batching(preferred_batch_size=100, timeout=100)
    def soon(self, docs: DocList[Text], **kwargs: Any) -> None:
        docs.text = [f'{text}!' for text in docs.text]

    @requests(on='/picky')
    @dynamic_batching(preferred_batch_size=2, timeout=NEVER)
    def picky(self, docs: DocList[Text], parameters: dict[str, Any], **kwargs: Any) -> None:
        bad = {i: ValueError(f'{doc.text} is bad') for i, doc in enumerate(docs) if doc.text.startswith('bad')}
        if bad and parameters.get('alone'):
            raise DocumentErrors(bad)
        if bad:
            raise ValueError('boom')


def post_all(port: int, endpoint: str, texts: list[str], protocol: str = 'grpc', **options: Any) -> list[list[str]]:
    """Sends each text with a request of its own, all at the same time."""

    def post(text: str) -> list[str]:
        client = Client(port=port, protocol=protocol)
        found = client.post(endpoint, Texts([Text(text=text)]), return_type=Texts, **options)
        return [doc.text for doc in found]

    with ThreadPoolExecutor(len(texts)) as pool:
        return list(pool.map(post, texts))


def single_request(text: str, **parameters: Any) -> bytes:
    made = DataRequest()
    made.exec_endpoint = '/sizes'
    made.docs = Texts([Text(text=text)])
    made.parameters = parameters
    return made.to_bytes()


def texts_of(raw: bytes) -> list[str]:
    response = DataRequest.from_bytes(raw)
    assert not response.is_error, response.status.description
    response.document_array_cls = Texts
    return list(response.docs.text)


class Vector(BaseDoc):
    tensor: Optional[AnyTensor[4]] = None  # noqa: UP045 - the spelling of the documentation
    embedding: Optional[AnyEmbedding[4]] = None  # noqa: UP045


class Model(Executor):
    """As the documentation writes it: columns in, a column out, no return."""

    @requests(on='/bar')
    @dynamic_batching(preferred_batch_size=3, timeout=100)
    def embed(self, docs: DocList[Vector], **kwargs: Any) -> DocList[Vector]:  # type: ignore[return]
        assert len(docs) <= 3
        docs.embedding = np.stack(docs.tensor) + 1


@pytest.fixture(scope='module')
def batched() -> Iterator[Deployment]:
    with Deployment(uses=Batched, protocol=['grpc', 'http']) as deployment:
        yield deployment


def ports(deployment: Deployment) -> dict[str, int]:
    return dict(zip(('grpc', 'http'), deployment.port, strict=True))


@pytest.mark.parametrize('endpoint', ['/sizes', '/async'])
@pytest.mark.parametrize('protocol', ['grpc', 'http'])
def test_requests_of_different_clients_share_a_call(batched: Deployment, protocol: str, endpoint: str) -> None:
    answers = post_all(ports(batched)[protocol], endpoint, list('abcdefgh'), protocol)
    assert answers == [[f'{text}:4'] for text in 'abcdefgh']


@pytest.mark.parametrize('stream', [True, False])
def test_requests_of_one_client_share_calls(batched: Deployment, stream: bool) -> None:
    sent = Texts([Text(text=str(i)) for i in range(40)])
    found = Client(port=ports(batched)['grpc']).post(
        '/sizes', sent, return_type=Texts, request_size=1, stream=stream, results_in_order=True
    )
    assert found.text == [f'{i}:4' for i in range(40)]


def test_http_and_grpc_share_a_call(batched: Deployment) -> None:
    with ThreadPoolExecutor(2) as pool:
        parts = [
            pool.submit(post_all, port, '/sizes', [protocol + '1', protocol + '2'], protocol)
            for protocol, port in ports(batched).items()
        ]
        assert [part.result() for part in parts] == [[['grpc1:4'], ['grpc2:4']], [['http1:4'], ['http2:4']]]


def test_plain_calls_and_the_stream_of_the_original_share_calls(batched: Deployment) -> None:
    with grpc.insecure_channel(f'127.0.0.1:{ports(batched)["grpc"]}') as channel:
        calls = [channel.unary_unary(wire.PROCESS_SINGLE_DATA).future(single_request(t), timeout=60) for t in 'ab']
        stream = channel.stream_stream(wire.CALL)(iter([single_request('c'), single_request('d')]), timeout=60)
        assert sorted(text for raw in stream for text in texts_of(raw)) == ['c:4', 'd:4']
        assert [texts_of(call.result()) for call in calls] == [['a:4'], ['b:4']]


def test_the_window_ends_the_wait(batched: Deployment) -> None:
    assert post_all(ports(batched)['grpc'], '/soon', ['a', 'b']) == [['a!'], ['b!']]


def test_a_failed_batch_and_a_bad_document(batched: Deployment) -> None:
    port = ports(batched)['grpc']

    def outcome(text: str, parameters: dict[str, Any]) -> str:
        try:
            return (
                Client(port=port)
                .post('/picky', Texts([Text(text=text)]), return_type=Texts, parameters=parameters)[0]
                .text
            )
        except RemoteError as error:
            return f'{error.name} {error.remote_args[0]}'

    for alone, expected in ((True, ['a', 'ValueError bad is bad']), (False, ['ValueError boom'] * 2)):
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(outcome, ['a', 'bad'], [{'alone': alone}] * 2)) == expected


def test_a_bad_document_over_http_has_the_usual_status(batched: Deployment) -> None:
    def send(text: str) -> tuple[int, str]:
        body = json.dumps({'data': [{'text': text}], 'parameters': {'alone': True}}).encode()
        request = urllib.request.Request(
            f'http://127.0.0.1:{ports(batched)["http"]}/picky', body, headers={'content-type': 'application/json'}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response)['data'][0]['text']
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)['detail']

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(send, ['a', 'bad'])) == [(200, 'a'), (499, "ValueError('bad is bad')")]


def test_a_deadline_takes_a_request_out_of_the_line(batched: Deployment) -> None:
    port = ports(batched)['grpc']
    with pytest.raises(DeadlineError):
        Client(port=port).post('/sizes', Texts([Text(text='late')]), return_type=Texts, timeout=0.3)
    assert post_all(port, '/sizes', list('abcd')) == [[f'{text}:4'] for text in 'abcd']


def test_columns_are_assigned_and_each_request_gets_its_own_documents() -> None:
    def ask(port: int, size: int, first: int) -> None:
        docs = DocList[Vector]([Vector(tensor=np.full(4, first + number)) for number in range(size)])
        found = Client(port=port).post('/bar', docs, return_type=DocList[Vector])
        assert [doc.id for doc in found] == [doc.id for doc in docs]
        assert [doc.embedding.tolist() for doc in found] == [[first + number + 1] * 4 for number in range(size)]

    with Deployment(uses=Model) as deployment, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda size: ask(deployment.port, size, 10 * size), [1, 2, 3, 8])) == [None] * 4


def test_a_big_request_is_split_unless_everything_is_flushed() -> None:
    for flush_all, expected in ((False, ['4'] * 8 + ['2'] * 2), (True, ['10'] * 10)):
        settings = {'/sizes': {**SETTINGS['/sizes'], 'flush_all': flush_all}}
        with Deployment(uses=Plain, uses_dynamic_batching=settings) as deployment:
            found = deployment.post('/sizes', Texts([Text(text='') for _ in range(10)]), return_type=Texts)
        assert [doc.text.removeprefix(':') for doc in found] == expected


def test_uses_dynamic_batching_of_a_deployment() -> None:
    with Deployment(uses=Plain, uses_dynamic_batching=SETTINGS) as deployment:
        assert post_all(deployment.port, '/sizes', list('abcd')) == [[f'{text}:4'] for text in 'abcd']


def test_a_function_travels_to_the_process_of_the_executor() -> None:
    settings = {
        'sizes': {
            'preferred_batch_size': 6,
            'timeout': NEVER,
            'use_custom_metric': True,
            'custom_metric': lambda doc: len(doc.text),
        }
    }
    with Deployment(uses=Plain, uses_dynamic_batching=settings) as deployment:
        assert post_all(deployment.port, '/sizes', ['aaa', 'bbb']) == [['aaa:2'], ['bbb:2']]


@pytest.mark.parametrize('protocol', ['grpc', 'http'])
def test_a_flow_with_an_override_of_one_value(protocol: str) -> None:
    flow = Flow(protocol=protocol).add(uses=Batched, uses_dynamic_batching={'/sizes': {'preferred_batch_size': 2}})
    flow = flow.add(uses=Plain, uses_dynamic_batching=SETTINGS)
    with flow:
        answers = post_all(flow.port, '/sizes', list('abcd'), protocol)
        assert answers == [[f'{text}:2:4'] for text in 'abcd']


FILES = {
    'batch_words.py': """
from docarray import BaseDoc, DocList
from jina import Executor, requests


class Text(BaseDoc):
    text: str = ''


class Words(Executor):
    @requests(on='/sizes')
    def sizes(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text = f'{doc.text}:{len(docs)}'
""",
    'config.yml': """
jtype: Words
py_modules: [batch_words.py]
KEY:
  /sizes: {preferred_batch_size: 2, timeout: 600000}
""",
    'flow.yml': """
jtype: Flow
executors:
  - name: words
    uses: config.yml
    uses_dynamic_batching:
      /sizes: {preferred_batch_size: 4}
""",
}


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    key = getattr(request, 'param', 'dynamic_batching')
    for name, text in FILES.items():
        (tmp_path / name).write_text(text.replace('KEY', key))
    return tmp_path


@pytest.mark.parametrize('folder', ['dynamic_batching', 'uses_dynamic_batching'], indirect=True)
def test_the_section_of_the_executors_yaml(folder: Path) -> None:
    with Deployment(uses=str(folder / 'config.yml')) as deployment:
        assert post_all(deployment.port, '/sizes', list('ab')) == [['a:2'], ['b:2']]


def test_a_flows_yaml_overrides_the_executors(folder: Path) -> None:
    with Flow.load_config(str(folder / 'flow.yml')) as flow:
        assert post_all(flow.port, '/sizes', list('abcd')) == [[f'{text}:4'] for text in 'abcd']


def test_the_command_line_overrides_and_a_stop_answers_what_waits(folder: Path) -> None:
    port = free_port()
    program = 'import sys; from jina.core.cli.main import main; sys.exit(main())'
    settings = json.dumps({'/sizes': {'preferred_batch_size': 3}})
    options = ['--uses', 'config.yml', '--port', str(port), '--uses-dynamic-batching', settings]
    with peer([sys.executable, '-c', program, 'executor', *options], cwd=folder) as server:
        wait_for_port(port, timeout_s=90)
        with grpc.insecure_channel(f'127.0.0.1:{port}') as channel:
            call = channel.unary_unary(wire.PROCESS_SINGLE_DATA)
            waiting = call.future(single_request('waits', kind=1), timeout=90)
            # they came later on the same connection: when they are answered, the first one is in its line
            others = [call.future(single_request(text, kind=2), timeout=90) for text in 'abc']
            assert [texts_of(other.result()) for other in others] == [['a:3'], ['b:3'], ['c:3']]
            assert not waiting.done()
            server.process.terminate()
            assert texts_of(waiting.result()) == ['waits:1']
        assert server.process.wait(60) == 0, server.log()


def test_a_method_with_one_doc_is_refused_at_the_start() -> None:
    class OneByOne(Executor):
        @requests(on='/one')
        @dynamic_batching(preferred_batch_size=2)
        def one(self, doc: Text, **kwargs: Any) -> Text:
            return doc

    with pytest.raises(StartupError, match=r'OneByOne.one has dynamic batching and takes one doc per call'):
        Deployment(uses=OneByOne).start()
