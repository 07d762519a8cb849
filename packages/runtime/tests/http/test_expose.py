"""``expose_endpoints``: settings of routes, carried out and described."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.routing import APIRoute
from jina.core.config import RouteOptions
from jina.core.endpoints import requests
from jina.core.executor import Executor
from pydantic import BaseModel
from starlette.responses import PlainTextResponse


class Text(BaseDoc):
    text: str
    size: int = 0


class Mine(Executor):
    @requests(on='/foo')
    def foo(self, docs: DocList[Text], parameters: dict[str, Any], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text = f'foo {doc.text}{parameters.get("mark", "")}'
        return docs

    @requests(on='/bar')
    def bar(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        raise ValueError('boom')

    @requests(on='/words')
    async def words(self, doc: Text, **kwargs: Any) -> Text:
        for word in doc.text.split():
            yield Text(text=word)


class Anything(Executor):
    @requests
    def anything(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return docs


BODY = {'data': [{'id': 'i', 'text': 'a'}]}


def operation(openapi: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = openapi['paths'][path][method]
    return found


async def test_path_methods_and_description(sites: Any) -> None:
    exposed = {
        '/foo': {
            'http_path': 'v1/foo',
            'methods': ['put', 'PATCH'],
            'summary': 'my endpoint',
            'description': 'It does *foo*.',
            'tags': ['fine-tuning'],
            'deprecated': True,
            'operation_id': 'foo_it',
            'response_description': 'What foo made',
            'responses': {'418': {'description': 'a teapot'}},
            'openapi_extra': {'x-mine': 1},
            'status_code': 201,
        },
        '/bar': {'include_in_schema': False},
    }
    for site in (
        await sites.deployment(Mine, expose_endpoints=exposed),
        await sites.flow(Mine, expose_endpoints=exposed),
    ):
        answer = await site.request('PUT', '/v1/foo', BODY)
        assert (answer.status, answer.json()['data'][0]['text']) == (201, 'foo a')
        assert (await site.request('PATCH', '/v1/foo', BODY)).status == 201
        assert (await site.post('/v1/foo', BODY)).status == 405
        assert (await site.post('/foo', BODY)).status == 404
        assert (await site.post('/bar', BODY)).status == 499
        openapi = (await site.get('/openapi.json')).json()
        put = operation(openapi, 'put', '/v1/foo')
        assert (put['summary'], put['description'], put['tags']) == ('my endpoint', 'It does *foo*.', ['fine-tuning'])
        assert (put['deprecated'], put['x-mine'], put['operationId']) == (True, 1, 'foo_it')
        assert operation(openapi, 'patch', '/v1/foo')['operationId'] == 'foo_it_patch'
        assert put['responses']['201']['description'] == 'What foo made'
        assert {'418', '499', '503'} < put['responses'].keys() and '200' not in put['responses']
        assert '/bar' not in openapi['paths'] and '/foo' not in openapi['paths']


async def test_documents_in_the_query(sites: Any) -> None:
    site = await sites.deployment(Mine, expose_endpoints={'/foo': {'methods': ['GET', 'POST']}})
    answer = await site.get('/foo?text=a+b&size=3&parameters=%7B%22mark%22:%22!%22%7D')
    assert (answer.status, answer.json()['data'][0]['text'], answer.json()['data'][0]['size']) == (200, 'foo a b!', 3)
    assert (await site.get('/foo', {'text': 'x'})).json()['data'][0]['text'] == 'foo x'
    assert (await site.post('/foo', BODY)).json()['data'][0]['text'] == 'foo a'
    for path, place in (('/foo?size=3', ['query', 'text']), ('/foo?text=a&size=x', ['query', 'size'])):
        answer = await site.get(path)
        assert (answer.status, answer.json()['detail'][0]['loc']) == (422, place)
    described = operation((await site.get('/openapi.json')).json(), 'get', '/foo')
    assert [parameter['name'] for parameter in described['parameters']] == ['id', 'text', 'size', 'parameters']
    assert [parameter['required'] for parameter in described['parameters']] == [False, True, False, False]


async def test_streams(sites: Any, capsys: pytest.CaptureFixture[str]) -> None:
    site = await sites.deployment(Mine, expose_endpoints={'/words': {'http_path': '/w', 'status_code': 202}})
    answer = await site.get('/w?text=a+b')
    assert (answer.status, answer.body.count(b'event: update')) == (202, 2)
    assert (await site.post('/w', {'data': {'text': 'a b'}})).body.count(b'event: update') == 2
    openapi = (await site.get('/openapi.json')).json()
    assert 'text/event-stream' in operation(openapi, 'get', '/w')['responses']['202']['content']
    assert not capsys.readouterr().out.count('WARNING')
    options = {'methods': ['PUT'], 'response_model_exclude_none': True}
    put = await sites.deployment(Mine, expose_endpoints={'/words': options})
    assert "'/words' streams, so response_model_exclude_none can not change its answer" in capsys.readouterr().out
    assert (await put.request('PUT', '/words', {'data': {'text': 'a b'}})).body.count(b'event: update') == 2
    assert (await put.get('/words?text=a')).status == 405


async def known_token(x_token: str = Header()) -> None:
    if x_token != 'secret':
        raise HTTPException(401, 'wrong token')


async def test_dependencies_run_before_the_endpoint(sites: Any) -> None:
    exposed = {name: {'dependencies': [Depends(known_token)]} for name in ('/foo', '/words')}
    for site in (
        await sites.deployment(Mine, expose_endpoints=exposed),
        await sites.flow(Mine, expose_endpoints=exposed),
    ):
        assert (await site.post('/foo', BODY)).status == 422  # the header is missing
        answer = await site.post('/foo', BODY, headers={'x-token': 'guess'})
        assert (answer.status, answer.json()) == (401, {'detail': 'wrong token'})
        answer = await site.post('/foo', BODY, headers={'x-token': 'secret'})
        assert (answer.status, answer.json()['data'][0]['text']) == (200, 'foo a')
        assert (await site.get('/words?text=a')).status == 422
        answer = await site.get('/words?text=a+b', headers={'x-token': 'secret'})
        assert answer.body.count(b'event: update') == 2
        answer = await site.post('/post', {**BODY, 'execEndpoint': '/foo'})
        assert (answer.status, answer.json()['detail'][0]['loc']) == (422, ['body', 'execEndpoint'])
        parameters = operation((await site.get('/openapi.json')).json(), 'post', '/foo')['parameters']
        assert [parameter['name'] for parameter in parameters] == ['x-token']


async def test_dependencies_of_the_default_endpoint_are_for_all(sites: Any) -> None:
    site = await sites.deployment(Anything, expose_endpoints={'/default': {'dependencies': [Depends(known_token)]}})
    assert (await site.post('/default', BODY, headers={'x-token': 'secret'})).status == 200
    assert (await site.post('/default', BODY)).status == 422
    assert (await site.post('/index', BODY)).status == 404
    assert (await site.post('/post', {**BODY, 'execEndpoint': '/index'})).status == 422


@pytest.mark.parametrize(
    ('options', 'document'),
    [
        ({'response_model_include': {'data': {'__all__': ['text']}}}, {'text': 'foo a'}),
        ({'response_model_exclude': {'data': {'__all__': ['id']}}}, {'text': 'foo a', 'size': 0}),
        ({'response_model_exclude_defaults': True}, {'id': 'i', 'text': 'foo a'}),
        ({'response_model_exclude_none': True, 'status_code': 202}, {'id': 'i', 'text': 'foo a', 'size': 0}),
    ],
)
async def test_parts_of_the_answer(sites: Any, options: dict[str, Any], document: dict[str, Any]) -> None:
    site = await sites.deployment(Mine, expose_endpoints={'/foo': options})
    answer = await site.post('/foo', BODY)
    assert answer.status == options.get('status_code', 200)
    assert answer.json()['data'] == [document]
    assert (await site.post('/foo', {})).json()['detail'][0]['loc'] == ['body', 'data']
    assert (await site.post('/foo', BODY, headers={'content-type': 'text/plain'})).status == 415


async def test_a_client_that_goes_away_ends_the_work(sites: Any) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    class Slow(Executor):
        @requests(on='/slow')
        async def slow(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return docs

    site = await sites.deployment(Slow, expose_endpoints={'/slow': {'response_model_exclude_none': True}})
    _, writer = await asyncio.open_connection('127.0.0.1', site.port)
    writer.write(b'POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\n{"data":[]}')
    await asyncio.wait_for(started.wait(), 20)
    writer.close()
    await asyncio.wait_for(ended.wait(), 20)
    assert (await site.get('/')).status == 200


async def test_model_class_callbacks_and_ids(sites: Any) -> None:
    class Shout(PlainTextResponse):
        def render(self, content: Any) -> bytes:
            return f'{content["count"]}!'.encode()

    class Counted(BaseModel):
        data: list[Any]
        count: int = 7

    called = APIRoute('/called', lambda: None, methods=['POST'], name='called')
    options = {
        'response_model': Counted,
        'response_class': Shout,
        'callbacks': [called],
        'generate_unique_id_function': lambda route: f'id-of-{route.name}',
        'name': 'counted',
    }
    site = await sites.deployment(
        Mine, quiet_error=True, expose_endpoints={'/foo': options, '/bar': {'response_class': Shout}}
    )
    answer = await site.post('/foo', BODY)
    assert (answer.headers['content-type'], answer.body) == ('text/plain; charset=utf-8', b'7!')
    described = operation((await site.get('/openapi.json')).json(), 'post', '/foo')
    assert (described['operationId'], list(described['callbacks'])) == ('id-of-counted', ['called'])
    assert 'text/plain' in described['responses']['200']['content']
    failed = await site.post('/bar', BODY)
    assert (failed.status, failed.json()) == (499, {'detail': "ValueError('boom')"})


async def test_an_endpoint_that_nobody_has(sites: Any, capsys: pytest.CaptureFixture[str]) -> None:
    site = await sites.deployment(Mine, expose_endpoints={'/fooo': {'summary': 'x'}})
    assert "expose_endpoints: there is no endpoint '/fooo'; did you mean '/foo'?" in capsys.readouterr().out
    assert (await site.post('/fooo', BODY)).status == 404


async def test_the_default_endpoint_answers_for_exposed_ones(sites: Any) -> None:
    site = await sites.deployment(Anything, expose_endpoints={'/mine': {'http_path': '/v2/mine'}, '/other': None})
    for path in ('/v2/mine', '/other'):
        assert (await site.post(path, BODY)).json()['data'][0]['text'] == 'a'


def test_every_argument_of_fastapis_routes_is_known() -> None:
    arguments = {*inspect.signature(FastAPI.add_api_route).parameters, *inspect.signature(APIRoute).parameters}
    ours = {'self', 'path', 'endpoint', 'dependency_overrides_provider'}
    assert arguments - ours <= set(RouteOptions.model_fields)
