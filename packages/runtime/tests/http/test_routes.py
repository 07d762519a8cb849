from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, Optional

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from jina.core.endpoints import requests
from jina.core.executor import Executor
from jina.runtime.http import events, routes
from pydantic import BaseModel


class Question(BaseDoc):
    text: str = ''
    raw: bytes = b'ab'


class Answer(BaseDoc):
    text: str
    count: int = 0
    vector: Optional[NdArray] = None  # noqa: UP045
    raw: bytes = b''


class Options(BaseModel):
    top_k: int
    prefix: str = '-'


class Service(Executor):
    @requests(on='/typed')
    def typed(self, docs: DocList[Question], parameters: Options, **kwargs: Any) -> DocList[Answer]:
        answers = [
            Answer(
                text=parameters.prefix + doc.text,
                count=parameters.top_k,
                vector=np.arange(4.0).reshape(2, 2),
                raw=doc.raw,
            )
            for doc in docs
        ]
        return DocList[Answer](answers)

    @requests(on='/one')
    def one(self, doc: Question, **kwargs: Any) -> Answer:
        return Answer(text=doc.text.upper())

    @requests(on='/mutate')
    def mutate(self, docs: DocList[Question], **kwargs: Any):
        for doc in docs:
            doc.text += '!'

    @requests(on='/results')
    def results(self, parameters: dict, **kwargs: Any) -> dict:
        return {'seen': parameters}

    @requests(on='/fail')
    async def fail(self, docs: DocList[Question], **kwargs: Any) -> DocList[Question]:
        raise ValueError('boom')

    @requests(on='no-slash')
    def no_slash(self, docs: DocList[Question], **kwargs: Any) -> DocList[Question]:
        return docs

    @requests(on='/stream')
    async def stream(self, doc: Question, **kwargs: Any) -> Answer:
        for number in range(3):
            yield Answer(text=f'{doc.text} {number}', count=number)

    @requests(on='/stream-fail')
    async def stream_fail(self, doc: Question, **kwargs: Any) -> Answer:
        if doc.text != 'at once':
            yield Answer(text='first')
        raise ValueError('later')

    @requests
    def other(self, docs: DocList[Question], **kwargs: Any) -> DocList[Question]:
        return docs


@pytest.fixture(params=['deployment', 'flow'])
async def site(request: pytest.FixtureRequest, sites: Any) -> Any:
    """The same Executor, served directly and behind a gateway."""
    if request.param == 'flow':
        return await sites.flow(Service)
    return await sites.deployment(Service, name='e1', quiet_error=True)


def is_flow(site: Any) -> bool:
    return not hasattr(site.pod.service, 'executor')


async def test_documents_and_parameters_in_and_out(site: Any) -> None:
    body = {'data': [{'id': 'a', 'text': 'x'}, {'text': 'y'}], 'parameters': {'top_k': 2}, 'unknown': 1}
    answer = await site.post('/typed', body)
    assert (answer.status, answer.headers['content-type']) == (200, 'application/json')
    response = answer.json()
    assert [doc['text'] for doc in response['data']] == ['-x', '-y']
    first = response['data'][0]
    assert (first['count'], first['vector'], first['raw']) == (2, [[0.0, 1.0], [2.0, 3.0]], 'ab')
    assert response['parameters'] == {'top_k': 2.0}
    assert ('header' in response) is is_flow(site)


async def test_a_single_document_may_be_sent(site: Any) -> None:
    answer = await site.post('/one', {'data': {'id': 'mine', 'text': 'x'}})
    response = answer.json()
    assert [doc['text'] for doc in response['data']] == ['X']
    if is_flow(site):
        assert response['header'] == {'requestId': 'mine', 'targetExecutor': ''}


@pytest.mark.parametrize('key', ['requestId', 'request_id'])
async def test_the_client_chooses_the_request_id(sites: Any, key: str) -> None:
    flow = await sites.flow(Service)
    answer = await flow.post('/one', {'data': [{'text': 'x'}, {'text': 'y'}], 'header': {key: 'rid'}})
    assert answer.json()['header']['requestId'] == 'rid'
    assert [doc['text'] for doc in answer.json()['data']] == ['X', 'Y']


async def test_documents_that_the_method_changed_keep_all_fields(site: Any) -> None:
    (doc,) = (await site.post('/mutate', {'data': [{'id': 'i', 'text': 'x'}]})).json()['data']
    assert doc == {'id': 'i', 'text': 'x!', 'raw': 'ab'}


async def test_results_and_numbers_are_the_same_as_over_grpc(site: Any) -> None:
    answer = await site.post('/results', {'data': [], 'parameters': {'k': [1, {'z': True}], 'e1__own': 2}})
    parameters = answer.json()['parameters']
    assert parameters['__results__'] == {'e1/rep-0': {'seen': {'k': [1.0, {'z': True}], 'own': 2.0}}}
    assert b'"own":2.0' in answer.body


async def test_an_executor_error_is_499(site: Any) -> None:
    answer = await site.post('/fail', {'data': [{'text': 'x'}]})
    assert (answer.status, answer.json()) == (499, {'detail': "ValueError('boom')"})


async def test_endpoints_without_slash_and_the_default(site: Any) -> None:
    assert (await site.post('/no-slash', {'data': []})).status == 200
    assert (await site.post('/default', {'data': [{'text': 'x'}]})).json()['data'][0]['text'] == 'x'


@pytest.mark.parametrize(
    ('body', 'location', 'kind'),
    [
        ({'date': []}, ['body', 'data'], 'missing'),
        ({'data': [{'text': [3]}], 'parameters': {'top_k': 1}}, ['body', 'data', 0, 'text'], 'string_type'),
        ({'data': {'text': 3}, 'parameters': {'top_k': 1}}, ['body', 'data', 'text'], 'string_type'),
        ({'data': 3, 'parameters': {'top_k': 1}}, ['body', 'data'], 'list_type'),
        ({'data': [], 'parameters': 3}, ['body', 'parameters'], 'dict_type'),
        ({'data': [], 'parameters': {'top_k': 10**400}}, ['body', 'parameters'], 'float_type'),
        ({'data': [], 'header': {'requestId': 3}}, ['body', 'header', 'requestId'], 'string_type'),
        (b'{bad', ['body'], 'json_invalid'),
        (b'', ['body'], 'missing'),
        (b'[]', ['body'], 'dict_type'),
    ],
)
async def test_a_bad_body_is_422_and_names_the_field(sites: Any, body: Any, location: list[Any], kind: str) -> None:
    for site in (await sites.deployment(Service), await sites.flow(Service)):
        answer = await site.post('/typed', body)
        assert answer.status == 422
        (detail,) = answer.json()['detail']
        assert (detail['loc'], detail['type']) == (location, kind)


async def test_parameters_that_do_not_fit_the_model(sites: Any) -> None:
    deployment = await sites.deployment(Service, name='e1')
    answer = await deployment.post('/typed', {'data': []})
    assert answer.status == 422
    assert [detail['loc'] for detail in answer.json()['detail']] == [['body', 'parameters', 'top_k']]
    assert (await deployment.post('/typed', {'data': [], 'parameters': {'e1__top_k': 1}})).status == 200
    flow = await sites.flow(Service)
    answer = await flow.post('/typed', {'data': [], 'parameters': {'top_k': 'x'}})
    assert answer.status == 499
    assert 'top_k' in answer.json()['detail']


async def test_unknown_paths_and_methods(site: Any) -> None:
    assert (await site.post('/nowhere', {'data': []})).status == 404
    assert (await site.get('/typed')).status == 405
    assert (await site.request('PUT', '/stream', {'data': []})).status == 405
    assert (await site.request('PUT', '/typed', {'data': []})).status == 405


@pytest.mark.parametrize(
    ('method', 'path', 'body'),
    [
        ('GET', '/stream?text=q', None),
        ('GET', '/stream', {'text': 'q'}),
        ('POST', '/stream', {'data': {'text': 'q'}}),
        ('POST', '/stream', {'data': [{'text': 'q'}]}),
    ],
)
async def test_a_streaming_endpoint_sends_events(site: Any, method: str, path: str, body: Any) -> None:
    answer = await site.request(method, path, body)
    assert (answer.status, answer.headers['content-type']) == (200, 'text/event-stream; charset=utf-8')
    assert (answer.headers['cache-control'], answer.headers['x-accel-buffering']) == ('no-cache', 'no')
    *events, end, rest = answer.body.split(b'\r\n\r\n')
    assert (end, rest) == (b'event: end\r\ndata:', b'')
    texts = []
    for event in events:
        name, data = event.split(b'\r\n')
        assert name == b'event: update'
        texts.append(json.loads(data.removeprefix(b'data: '))['text'])
    assert texts == ['q 0', 'q 1', 'q 2']


async def test_a_stream_that_fails_says_so(site: Any) -> None:
    answer = await site.get('/stream-fail', {'text': 'x'})
    first, error, rest = answer.body.split(b'\r\n\r\n')
    assert first.startswith(b'event: update')
    assert (error, rest) == (b'event: error\r\ndata: {"detail":"ValueError(\'later\')"}', b'')
    answer = await site.get('/stream-fail', {'text': 'at once'})
    assert (answer.status, answer.json()) == (499, {'detail': "ValueError('later')"})


async def test_a_stream_with_a_bad_document_is_422(site: Any) -> None:
    answer = await site.get('/stream', {'text': [1]})
    assert (answer.status, answer.json()['detail'][0]['loc']) == (422, ['body', 'text'])


async def test_a_silent_stream_is_kept_alive(sites: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, 'PING_INTERVAL_S', 0.05)
    resume = asyncio.Event()

    class Slow(Executor):
        @requests(on='/slow')
        async def slow(self, doc: Question, **kwargs: Any) -> Question:
            await resume.wait()
            yield Question(text='done')

    site = await sites.deployment(Slow)
    reader, writer = await asyncio.open_connection('127.0.0.1', site.port)
    writer.write(b'GET /slow?text=x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    await asyncio.wait_for(reader.readuntil(b': ping - '), 10)
    resume.set()
    rest = await asyncio.wait_for(reader.read(), 10)
    assert b'"text":"done"' in rest
    assert b'event: end' in rest
    writer.close()


@pytest.mark.parametrize(
    ('streaming', 'behind_gateway', 'http'),
    [(True, False, 'auto'), (False, False, 'auto'), (False, True, 'auto'), (False, False, 'h11')],
)
async def test_a_client_that_goes_away_cancels_its_request(
    sites: Any, streaming: bool, behind_gateway: bool, http: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, '_WATCH_AFTER_S', 0.0)
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    class Waits(Executor):
        @requests(on='/wait')
        async def wait(self, docs: DocList[Question], **kwargs: Any) -> DocList[Question]:
            await wait()

        @requests(on='/stream')
        async def stream(self, doc: Question, **kwargs: Any) -> Question:
            await wait()
            yield Question()

    site = await (sites.flow if behind_gateway else sites.deployment)(Waits, uvicorn_kwargs={'http': http})
    _, writer = await asyncio.open_connection('127.0.0.1', site.port)
    if streaming:
        writer.write(b'GET /stream?text=x HTTP/1.1\r\nhost: x\r\n\r\n')
    else:
        writer.write(b'POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\n{"data":[]}')
    await asyncio.wait_for(started.wait(), 10)
    writer.close()
    await asyncio.wait_for(cancelled.wait(), 10)
    assert (await site.get('/')).status == 200


async def test_a_body_in_pieces_is_read_whole(sites: Any) -> None:
    site = await sites.deployment(Service)
    text = 'x' * 300_000
    answer = await site.post('/one', {'data': [{'text': text}]})
    assert answer.json()['data'][0]['text'] == text.upper()


async def test_a_client_that_leaves_in_the_middle_of_its_body_does_no_harm(sites: Any) -> None:
    site = await sites.deployment(Service)
    with socket.create_connection(('127.0.0.1', site.port)) as connection:
        connection.sendall(b'POST /one HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{"data"')
    assert (await site.post('/one', {'data': []})).status == 200


async def test_a_dead_executor_is_503_with_the_message(sites: Any) -> None:
    flow = await sites.flow(Service, retries=0)
    await sites.executors[0].pod.stop(0.1)
    answer = await flow.post('/one', {'data': [{'text': 'x'}], 'header': {'requestId': 'rid'}})
    response = answer.json()
    assert answer.status == 503
    assert 'Communication error with deployment e1' in response['header']['status']['description']
    assert response['detail'] == response['header']['status']['description']
    assert (response['header']['requestId'], response['header']['status']['code']) == ('rid', 1)


async def test_a_replica_that_dies_leaves_its_requests_to_the_others(sites: Any) -> None:
    release, all_begun = asyncio.Event(), asyncio.Event()
    begun: list[str] = []
    texts = [str(number) for number in range(4)]  # no more than threads in the smallest pool

    class Waits(Executor):
        @requests(on='/wait')
        async def wait(self, docs: DocList[Question], **kwargs: Any) -> DocList[Question]:
            begun.append(docs[0].text)
            if set(begun) == set(texts):
                all_begun.set()
            await release.wait()
            return docs

    replicas = [await sites.executor(Waits, 'e1') for _ in range(2)]
    flow = await sites.gateway(['e1'], {'e1': [f'127.0.0.1:{replica.port}' for replica in replicas]})
    release.set()
    for _ in range(4):  # from now on both replicas have an open lane
        assert (await flow.post('/wait', {'data': [{'text': ''}]})).status == 200
    release.clear()
    begun.clear()
    calls = [asyncio.ensure_future(flow.post('/wait', {'data': [{'text': text}]})) for text in texts]
    await asyncio.wait_for(all_begun.wait(), 20)
    await replicas[0].pod.stop(0)
    release.set()
    answers = [(await call).json()['data'][0]['text'] for call in calls]
    assert answers == texts
    assert len(begun) > len(texts)


async def test_executors_without_the_fast_lane_take_turns(sites: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Names(Executor):
        @requests(on='/name')
        def name_it(self, docs: DocList[Question], **kwargs: Any) -> DocList[Question]:
            return DocList[Question]([Question(text=self.runtime_args.name)])

    monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    replicas = [await sites.executor(Names, 'e1', replica_id=number) for number in range(2)]
    monkeypatch.delenv('JINA_DISABLE_FAST_LANE')
    flow = await sites.gateway(['e1'], {'e1': [f'127.0.0.1:{replica.port}' for replica in replicas]})
    answers = await asyncio.gather(*(flow.post('/name', {'data': [{}]}) for _ in range(4)))
    assert {answer.status for answer in answers} == {200}
    names = [(await flow.post('/name', {'data': [{}]})).json()['data'][0]['text'] for _ in range(4)]
    assert names[0] != names[1]
    assert names[:2] == names[2:]


async def test_an_executor_that_takes_too_long_is_504(sites: Any) -> None:
    class Slow(Executor):
        @requests(on='/slow')
        async def slow(self, docs: DocList[Question], **kwargs: Any) -> DocList[Question]:
            await asyncio.sleep(5)

    flow = await sites.flow(Slow, retries=0, timeout_send=100)
    answer = await flow.post('/slow', {'data': [{'text': 'x'}]})
    assert answer.status == 504
    assert 'deployment e1' in answer.json()['header']['status']['description']


async def test_a_target_executor_skips_the_others(sites: Any) -> None:
    class Marks(Executor):
        @requests(on='/mark')
        def mark(self, docs: DocList[Question], **kwargs: Any) -> DocList[Question]:
            for doc in docs:
                doc.text += self.runtime_args.name

    flow = await sites.flow(Marks, Marks)
    for body in ({'header': {'targetExecutor': 'e2'}}, {'target_executor': 'e2'}):
        answer = await flow.post('/mark', {'data': [{'text': ''}], **body})
        assert answer.json()['data'][0]['text'] == 'e2/rep-0'
    assert (await flow.post('/mark', {'data': [{'text': ''}]})).json()['data'][0]['text'] == 'e1/rep-0e2/rep-0'
