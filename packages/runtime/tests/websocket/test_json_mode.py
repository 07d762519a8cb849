from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.typing import NdArray
from jina.core.config import ExecutorOptions
from jina.core.endpoints import requests
from jina.core.executor import Executor
from pydantic import BaseModel
from websockets.exceptions import ConnectionClosed


class Prompt(BaseDoc):
    text: str
    vector: NdArray | None = None


class Settings(BaseModel):
    top_k: int


class Speaker(Executor):
    @requests(on='/upper')
    def upper(self, docs: DocList[Prompt], parameters: dict[str, Any], **kwargs: Any) -> DocList[Prompt]:
        for doc in docs:
            doc.text = doc.text.upper() + str(parameters.get('mark', ''))
        return docs

    @requests(on='/count')
    def count(self, docs: DocList[Prompt], **kwargs: Any) -> Any:
        return {'count': len(docs)}

    @requests(on='/say')
    async def say(self, doc: Prompt, parameters: dict[str, Any], **kwargs: Any) -> Prompt:
        for word in doc.text.split():
            yield Prompt(text=word)
        if parameters.get('fail'):
            raise ValueError('lost for words')

    @requests(on='/fail')
    def fail(self, docs: DocList[Prompt], **kwargs: Any) -> DocList[Prompt]:
        raise ValueError('boom')

    @requests(on='/strict')
    def strict(self, docs: DocList[Prompt], parameters: Settings, **kwargs: Any) -> DocList[Prompt]:
        return docs


@pytest.fixture(params=['deployment', 'flow'])
async def site(request: pytest.FixtureRequest, sites: Any) -> Any:
    return await getattr(sites, request.param)(Speaker)


async def test_the_shape_of_an_answer(site: Any) -> None:
    answer = await site.ask_json(
        {
            'header': {'requestId': 'mine'},
            'execEndpoint': '/upper',
            'data': [{'text': 'a', 'vector': [1, 2.5]}, {'text': 'b'}],
            'parameters': {'mark': '?'},
        }
    )
    assert list(answer) == ['header', 'parameters', 'routes', 'data']
    assert answer['header'] == {'requestId': 'mine', 'execEndpoint': '/upper', 'targetExecutor': ''}
    assert [(doc['text'], doc['vector']) for doc in answer['data']] == [('A?', [1.0, 2.5]), ('B?', None)]
    assert answer['parameters']['mark'] == '?'
    assert answer['routes'][0]['executor'] in ('gateway', 'executor')


async def test_times_of_a_route(sites: Any) -> None:
    site = await sites.flow(Speaker)
    for _ in range(5):  # the first one goes another way: the fast lane is still being opened
        answer = await site.ask_json({'execEndpoint': '/upper', 'data': {'text': 'a'}})
        assert answer['routes'][0]['executor'] == 'gateway' and len(answer['routes']) == 2
        for route in answer['routes']:
            assert datetime.fromisoformat(route['startTime']) <= datetime.fromisoformat(route['endTime'])


async def test_without_a_subprotocol_it_is_json(site: Any) -> None:
    async with site.connect(None) as connection:
        await connection.send('{"execEndpoint": "/upper", "data": [{"text": "a"}]}')
        answer = await connection.recv()
    assert isinstance(answer, str)
    assert json.loads(answer)['data'][0]['text'] == 'A'


async def test_subprotocols_that_nobody_knows(site: Any) -> None:
    async with site.connect('graphql-ws') as connection:
        assert connection.subprotocol is None


@pytest.mark.parametrize('name', ['execEndpoint', 'exec_endpoint'])
async def test_names_in_both_spellings(site: Any, name: str) -> None:
    answer = await site.ask_json({name: '/count', 'data': [{'text': 'a'}], 'header': {'request_id': 'x'}})
    (result,) = answer['parameters']['__results__'].values()
    assert result == {'count': 1.0}
    assert answer['header']['requestId'] == 'x'


async def test_a_request_without_documents(site: Any) -> None:
    answer = await site.ask_json({'execEndpoint': '/count'})
    assert list(answer['parameters']['__results__'].values()) == [{'count': 0.0}]
    assert len(answer['header']['requestId']) == 32


async def test_an_empty_object_ends_the_connection(site: Any) -> None:
    async with site.connect('json') as connection:
        await connection.send('{"execEndpoint": "/upper", "data": [{"text": "a"}]}')
        await connection.send('{ }')
        await connection.recv()
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


async def test_many_requests_are_answered_by_their_ids(site: Any) -> None:
    async with site.connect('json') as connection:
        for number in range(50):
            message = {'execEndpoint': '/upper', 'data': {'text': f'n{number}'}, 'header': {'requestId': str(number)}}
            await connection.send(json.dumps(message))
        answers = [json.loads(await connection.recv()) for _ in range(50)]
    assert {answer['header']['requestId']: answer['data'][0]['text'] for answer in answers} == {
        str(number): f'N{number}' for number in range(50)
    }


@pytest.mark.parametrize(
    ('message', 'location', 'text'),
    [
        ('nonsense', ['body'], 'JSON decode error'),
        ('[1]', ['body'], 'should be an object'),
        ({'execEndpoint': '/upper', 'data': [{'text': 1}]}, ['body', 'data', 0, 'text'], 'valid string'),
        ({'execEndpoint': '/upper', 'data': 5}, ['body', 'data'], 'list of documents or a document'),
        ({'execEndpoint': '/say', 'data': []}, ['body', 'data'], 'one document'),
    ],
)
async def test_a_message_that_does_not_fit(site: Any, message: Any, location: list[Any], text: str) -> None:
    async with site.connect('json') as connection:
        await connection.send(message if isinstance(message, str) else json.dumps(message))
        answer = json.loads(await connection.recv())
        assert answer['header']['status']['code'] == 1
        assert answer['detail'][0]['loc'] == location
        assert text in answer['detail'][0]['msg']
        await connection.send('{"execEndpoint": "/upper", "data": [{"text": "a"}]}')
        assert json.loads(await connection.recv())['data'][0]['text'] == 'A'


async def test_a_tensor_that_is_none(sites: Any) -> None:
    class Any_(Executor):
        @requests(on='/any')
        def any(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
            return docs

    site = await sites.deployment(Any_)
    answer = await site.ask_json({'execEndpoint': '/any', 'data': [{'embedding': {'a': 1}}]})
    assert answer['detail'][0]['loc'] == ['body', 'data']
    assert 'numpy.ndarray' in answer['detail'][0]['msg']


async def test_parameters_that_do_not_fit(sites: Any) -> None:
    site = await sites.deployment(Speaker)
    answer = await site.ask_json({'execEndpoint': '/strict', 'data': [{'text': 'a'}]})
    assert answer['detail'][0]['loc'] == ['body', 'parameters', 'top_k']


async def test_an_endpoint_that_is_not_there(site: Any) -> None:
    answer = await site.ask_json({'execEndpoint': '/uper', 'data': []})
    assert answer['detail'] == "there is no endpoint '/uper'; did you mean '/upper'?"
    assert answer['header']['status']['exception']['name'] == 'UnknownEndpointError'
    assert 'there are' in (await site.ask_json({'execEndpoint': '/x9'}))['detail']


async def test_endpoints_that_are_not_known_yet(sites: Any, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('jina.runtime.websocket.json_mode._DISCOVERY_WAIT_S', 0.2)
    site = await sites.gateway({'e1': [f'127.0.0.1:{free_port}']})
    answer = await site.ask_json({'execEndpoint': '/upper', 'header': {'requestId': 'x'}})
    assert 'not known yet' in answer['detail']
    assert answer['header']['requestId'] == 'x'


async def test_a_failed_executor(site: Any) -> None:
    answer = await site.ask_json({'execEndpoint': '/fail', 'data': [{'text': 'a'}], 'header': {'requestId': 'x'}})
    assert answer['detail'] == "ValueError('boom')"
    status = answer['header']['status']
    assert (status['code'], status['exception']['name'], status['exception']['executor']) == (
        1,
        'ValueError',
        'Speaker',
    )
    assert answer['data'] == []


async def test_a_streaming_endpoint_streams(site: Any) -> None:
    async with site.connect('json') as connection:
        await connection.send('{"execEndpoint": "/say", "data": {"text": "one two"}, "header": {"requestId": "x"}}')
        answers = [json.loads(await connection.recv()) for _ in range(3)]
    assert [[doc['text'] for doc in answer['data']] for answer in answers] == [['one'], ['two'], []]
    assert [answer['parameters'] for answer in answers] == [
        {'__stream__': 'more'},
        {'__stream__': 'more'},
        {'__stream__': 'end'},
    ]
    assert {answer['header']['requestId'] for answer in answers} == {'x'}


async def test_a_stream_that_fails(site: Any) -> None:
    async with site.connect('json') as connection:
        message = {'execEndpoint': '/say', 'data': [{'text': 'one'}], 'parameters': {'fail': True}}
        await connection.send(json.dumps(message))
        await connection.recv()
        last = json.loads(await connection.recv())
    assert last['detail'] == "ValueError('lost for words')"
    assert last['parameters'] == {'__stream__': 'end'}
    assert last['header']['status']['code'] == 1


async def test_deep_and_large_json(site: Any) -> None:
    deep = '{"execEndpoint": "/upper", "data": ' + '[' * 100_000 + ']' * 100_000 + '}'
    assert (await site.ask_json(deep))['detail']
    # parameters have less room on the wire; the other requests of the connection are not concerned
    nested = '{"a":' * 40 + '1' + '}' * 40
    async with site.connect('json') as connection:
        await connection.send('{"execEndpoint": "/upper", "data": [], "parameters": ' + nested + '}')
        await connection.send('{"execEndpoint": "/upper", "data": [{"text": "a"}]}')
        answers = [json.loads(await connection.recv()) for _ in range(2)]
    assert [doc['text'] for answer in answers for doc in answer['data']] == ['A']
    for detail in (answer['detail'] for answer in answers if 'detail' in answer):
        assert 'is nested deeper than 30 levels' in detail
    wide = await site.ask_json({'execEndpoint': '/upper', 'data': [{'text': 'x' * 3_000_000}]})
    assert len(wide['data'][0]['text']) == 3_000_000


async def test_endpoints_appear_when_the_executor_does(sites: Any, free_port: int) -> None:
    site = await sites.gateway({'e1': [f'127.0.0.1:{free_port}']})
    await sites._start(ExecutorOptions(uses=Speaker, name='e1', host='127.0.0.1', port=free_port))
    async with site.connect('json') as connection:
        while True:
            await connection.send('{"execEndpoint": "/upper", "data": [{"text": "a"}]}')
            answer = json.loads(await connection.recv())
            if answer['data']:
                break
            assert 'not known yet' in answer['detail']
            await asyncio.sleep(0.1)
    assert answer['data'][0]['text'] == 'A'
