"""``/post``, and the traditional routes."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina.core.endpoints import requests
from jina.core.executor import Executor


class Text(BaseDoc):
    text: str


class Other(BaseDoc):
    number: int


class Named(Executor):
    @requests(on='/upper')
    def upper(self, docs: DocList[Text], parameters: dict[str, Any], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text = doc.text.upper() + str(parameters.get('mark', ''))
        return docs

    @requests(on='/double')
    def double(self, docs: DocList[Other], **kwargs: Any) -> DocList[Other]:
        for doc in docs:
            doc.number *= 2
        return docs

    @requests(on='/words')
    async def words(self, doc: Text, **kwargs: Any) -> Text:
        for word in doc.text.split():
            yield Text(text=word)

    @requests(on='/fail')
    def fail(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        raise ValueError('boom')


class Anything(Named):
    @requests(on='/search')
    def search(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return DocList[Text]([Text(text='searched')])

    @requests
    def otherwise(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text += '?'
        return docs


@pytest.fixture(params=['deployment', 'flow'])
def serve(request: pytest.FixtureRequest, sites: Any) -> Any:
    """Serves an Executor by itself or in a Flow."""

    async def served(uses: Any, **options: Any) -> Any:
        if request.param == 'deployment':
            return await sites.deployment(uses, quiet_error=True, **options)
        return await sites.flow(uses, **options)

    return served


async def test_the_shape_of_requests_and_answers(serve: Any) -> None:
    site = await serve(Named)
    answer = await site.post(
        '/post', {'data': [{'text': 'a'}], 'execEndpoint': '/upper', 'parameters': {'mark': '!', 'size': 3}}
    )
    assert answer.status == 200
    body = answer.json()
    assert list(body) == ['header', 'parameters', 'routes', 'data']
    assert [doc['text'] for doc in body['data']] == ['A!']
    assert body['parameters'] == {'mark': '!', 'size': 3.0}
    assert body['header'] == {'requestId': body['header']['requestId'], 'execEndpoint': '/upper', 'targetExecutor': ''}
    assert len(body['header']['requestId']) == 32
    names = [route['executor'] for route in body['routes']]
    assert names[-1] in ('executor', 'e1')
    if names[0] == 'gateway':
        assert datetime.fromisoformat(body['routes'][0]['startTime']).utcoffset() is not None


@pytest.mark.parametrize(
    ('body', 'texts'),
    [
        ({'data': {'text': 'a'}, 'exec_endpoint': '/upper'}, ['A']),
        ({'data': {'docs': [{'text': 'a'}, {'text': 'b'}]}, 'execEndpoint': '/upper'}, ['A', 'B']),
        ({'data': [{'text': 'a'}], 'header': {'execEndpoint': '/upper'}}, ['A']),
        ({'data': [{'text': 'a'}], 'header': {'exec_endpoint': '/upper'}}, ['A']),
        ({'data': [{'text': 'a'}], 'execEndpoint': 'upper'}, ['A']),
        ({'execEndpoint': '/upper'}, []),
        ({'data': None, 'execEndpoint': '/upper', 'parameters': None}, []),
        ({'data': [{'text': '\ud83d\ude00 ß'}], 'execEndpoint': '/upper'}, ['😀 SS']),
    ],
)
async def test_spellings(sites: Any, body: dict[str, Any], texts: list[str]) -> None:
    site = await sites.deployment(Named)
    answer = await site.post('/post', body)
    assert answer.status == 200, answer.body
    assert [doc['text'] for doc in answer.json()['data']] == texts


async def test_ids_and_targets_in_both_spellings(sites: Any) -> None:
    flow = await sites.flow(Named)
    for header in ({'requestId': 'mine', 'targetExecutor': 'e1'}, {'request_id': 'mine', 'target_executor': 'e1'}):
        for path, more in (('/post', {'execEndpoint': '/upper'}), ('/upper', {})):
            answer = (await flow.post(path, {'data': [{'text': 'a'}], 'header': header, **more})).json()
            assert (answer['header']['requestId'], answer['data'][0]['text']) == ('mine', 'A')
    for spelling in ('targetExecutor', 'target_executor'):
        for more in ({spelling: 'nobody'}, {'header': {spelling: 'nobody'}}):
            for path in ('/post', '/upper'):
                answer = await flow.post(path, {'data': [{'text': 'a'}], 'execEndpoint': '/upper', **more})
                assert answer.json()['data'][0]['text'] == 'a'


async def test_failures_name_what_is_wrong(serve: Any) -> None:
    site = await serve(Named)
    answer = await site.post('/post', {'data': [{'text': 'a'}], 'execEndpoint': '/uper'})
    assert (answer.status, answer.json()) == (404, {'detail': "there is no endpoint '/uper'; did you mean '/upper'?"})
    answer = await site.post('/post', {'data': []})
    assert answer.status == 404
    assert "there is no endpoint '/'; there are /double, /fail, /upper, /words" in answer.json()['detail']
    answer = await site.post('/post', {'data': [{'number': 'x'}], 'execEndpoint': '/double'})
    assert answer.status == 422
    assert answer.json()['detail'][0]['loc'] == ['body', 'data', 0, 'number']
    answer = await site.post('/post', {'data': [], 'execEndpoint': 7})
    assert (answer.status, answer.json()['detail'][0]['loc']) == (422, ['body', 'execEndpoint'])
    answer = await site.post('/post', {'data': {'text': 'a b'}, 'execEndpoint': '/words'})
    assert (answer.status, answer.json()['detail'][0]['loc']) == (422, ['body', 'execEndpoint'])
    assert 'streams' in answer.json()['detail'][0]['msg']
    for raw, kind in ((b'{"data":', 'json_invalid'), (b'', 'json_invalid'), (b'[]', 'dict_type')):
        answer = await site.post('/post', raw)
        assert (answer.status, answer.json()['detail'][0]['type']) == (422, kind)
    answer = await site.post('/post', {'data': [{'text': 'a'}], 'execEndpoint': '/fail'})
    assert (answer.status, answer.json()) == (499, {'detail': "ValueError('boom')"})


@pytest.mark.parametrize(
    ('raw', 'status'),
    [
        (b'{"data": [], "execEndpoint": "/\\ud800"}', 422),
        (b'{"data": [], "execEndpoint": "/\xff"}', 422),
        (b'{"data": [], "execEndpoint": "/' + b'x' * (1 << 20) + b'"}', 404),
        (b'{"data": ' + b'[' * 100_000, 422),
        (b'{"execEndpoint": "/upper", "parameters": {"a": NaN, "b": 1e400, "c": 123456789012345678901234567890}}', 200),
        (b'{"execEndpoint": "/upper", "data": {"docs": 3}}', 422),
        (b'{"execEndpoint": "/upper", "header": [1]}', 422),
    ],
)
async def test_hostile_bodies(sites: Any, raw: bytes, status: int) -> None:
    site = await sites.deployment(Named)
    answer = await site.post('/post', raw)
    assert answer.status == status, answer.body[:200]
    assert len(answer.body) < 5000
    assert (await site.get('/')).status == 200


async def test_an_endpoint_that_comes_later(sites: Any, free_port: int) -> None:
    flow = await sites.gateway(['e1'], {'e1': [f'127.0.0.1:{free_port}']}, retries=0)
    body = {'data': [{'text': 'a'}], 'execEndpoint': '/upper'}
    assert (await flow.post('/post', body)).status == 503
    await sites.executor(Named, 'e1', port=free_port)

    async def answered() -> None:
        while (await flow.post('/post', body)).status != 200:  # waits for the discovery
            pass

    await asyncio.wait_for(answered(), 15)


async def test_traditional_routes(serve: Any) -> None:
    site = await serve(Anything)
    for method, path, text in (
        ('POST', '/index', 'a?'),
        ('POST', '/search', 'searched'),
        ('PUT', '/update', 'a?'),
        ('POST', '/update', 'a?'),
        ('DELETE', '/delete', 'a?'),
        ('POST', '/post', 'a?'),
    ):
        answer = await site.request(method, path, {'data': [{'text': 'a'}]})
        assert (answer.status, answer.json()['data'][0]['text']) == (200, text), path
    answer = await site.request('DELETE', '/index', {'data': [{'text': 'a'}]})
    assert (answer.status, answer.headers['allow']) == (405, 'POST')
    assert answer.json()['detail'] == "'/index' takes POST, not DELETE"


async def test_traditional_routes_need_somebody_who_answers(serve: Any) -> None:
    site = await serve(Named)
    for path in ('/index', '/search', '/update', '/delete'):
        answer = await site.post(path, {'data': [{'text': 'a'}]})
        assert answer.status == 404
        assert answer.json()['detail'].startswith(f'there is no route {path!r}; ')
    assert not {'/index', '/search', '/update', '/delete'} & (await site.get('/openapi.json')).json()['paths'].keys()


async def test_routes_are_left_out(serve: Any) -> None:
    site = await serve(Anything, no_debug_endpoints=True, no_crud_endpoints=True)
    for method, path in (('POST', '/post'), ('GET', '/status'), ('POST', '/index'), ('POST', '/search')):
        assert (await site.request(method, path, {'data': [{'text': 'a'}]})).status == 404, path
    assert sorted((await site.get('/openapi.json')).json()['paths']) == [
        *('/', '/default', '/double', '/dry_run', '/fail', '/upper', '/words'),
    ]
    assert (await site.get('/dry_run')).json()['code'] == 0


async def test_what_is_left_out_can_be_exposed(serve: Any) -> None:
    site = await serve(Anything, no_crud_endpoints=True, expose_endpoints={'/search': {}})
    assert (await site.post('/search', {'data': []})).json()['data'][0]['text'] == 'searched'
    assert (await site.post('/index', {'data': []})).status == 404


async def test_an_endpoint_named_post(serve: Any) -> None:
    class Posts(Executor):
        @requests(on='/post')
        def post(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
            return DocList[Text]([Text(text='own')])

    site = await serve(Posts)
    assert (await site.post('/post', {'data': []})).json()['data'][0]['text'] == 'own'
    operation = (await site.get('/openapi.json')).json()['paths']['/post']['post']
    assert operation['operationId'] == 'post_post_post'


async def test_openapi(serve: Any) -> None:
    openapi = (await (await serve(Named)).get('/openapi.json')).json()
    operation = openapi['paths']['/post']['post']
    assert {'200', '404', '415', '422', '499', '503', '504'} == operation['responses'].keys()
    schemas = openapi['components']['schemas']
    assert schemas['PostRequest']['properties'].keys() == {
        *('execEndpoint', 'data', 'parameters', 'targetExecutor', 'header'),
    }
    assert schemas['PostResponse']['required'] == ['header', 'parameters', 'routes', 'data']


@pytest.mark.parametrize(
    ('content_type', 'status'),
    [
        ('application/json', 200),
        ('application/json; charset=utf-8', 200),
        ('Application/JSON', 200),
        ('application/vnd.mine+json', 200),
        ('text/plain', 415),
        ('application/x-www-form-urlencoded', 415),
        ('multipart/form-data; boundary=x', 415),
        ('application/jsonl', 415),
    ],
)
async def test_bodies_are_declared_as_json(sites: Any, content_type: str, status: int) -> None:
    site = await sites.deployment(Named)
    for path in ('/upper', '/post', '/upper?x=y'):
        answer = await site.post(path, {'data': [], 'execEndpoint': '/upper'}, headers={'content-type': content_type})
        assert answer.status == status, path
        if status == 415:
            assert answer.json()['detail'].startswith(f"the body is '{content_type.partition(';')[0]}'; send JSON")
    if status == 415:
        assert (await site.get('/words?text=a', headers={'content-type': content_type})).status == 200  # no body


async def test_unknown_paths_and_methods(serve: Any) -> None:
    site = await serve(Named)
    answer = await site.post('/uper', {'data': []})
    assert (answer.status, answer.json()) == (404, {'detail': "there is no route '/uper'; did you mean '/upper'?"})
    answer = await site.get('/nowhere/else')
    assert answer.status == 404 and '/upper' in answer.json()['detail']
    answer = await site.request('PUT', '/words', {'data': {'text': 'a'}})
    assert (answer.status, answer.headers['allow']) == (405, 'GET, POST')
    answer = await site.post('/status', {})
    assert (answer.status, answer.headers['allow']) == (405, 'GET')
    answer = await site.post('/upper/', {'data': []})
    assert (answer.status, answer.headers['location'].endswith('/upper')) == (307, True)


@pytest.mark.parametrize(('encoding', 'status'), [('identity', 200), ('gzip', 415), ('x, br', 415)])
async def test_compressed_bodies_are_refused(sites: Any, encoding: str, status: int) -> None:
    site = await sites.deployment(Named)
    for path in ('/upper', '/post', '/upper?x=y'):
        answer = await site.post(path, {'data': [], 'execEndpoint': '/upper'}, headers={'content-encoding': encoding})
        assert answer.status == status, path
        if status == 415:
            assert answer.json() == {'detail': f'the body has the content-encoding {encoding!r}; send it as it is'}
