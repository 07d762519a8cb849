from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any, Literal
from urllib.parse import urlencode

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.documents.legacy import LegacyDocument
from docarray.typing import AnyUrl, NdArray
from jina.core.endpoints import requests
from jina.core.errors import ConfigError, MissingExtraError
from jina.core.executor import Executor
from pydantic import BaseModel, Field

VALUES = '{ id text count ratio ok tensor item {name} items {name score} words tags link raw kind either }'


class Item(BaseDoc):
    """One thing."""

    name: str
    score: float = 0.5


class Thing(BaseDoc):
    """A thing with everything.

    More about Python.
    """

    text: str
    count: int = 3
    ratio: float | None = None
    ok: bool = True
    tensor: NdArray[3] | None = None
    item: Item | None = None
    items: DocList[Item] = DocList[Item]()
    words: list[str] = Field(default_factory=list)
    tags: dict[str, Any] = Field(default_factory=dict)
    link: AnyUrl | None = None
    raw: bytes | None = None
    kind: Literal['a', 'b'] = 'a'
    either: int | str | None = None


class Options(BaseModel):
    times: int = Field(default=1)
    suffix: str


class Things(Executor):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cancelled = asyncio.Event()

    @requests(on='/search')
    def search(self, docs: DocList[Thing], parameters: Options, **kwargs: Any) -> DocList[Thing]:
        for doc in docs:
            doc.text += parameters.suffix * parameters.times
            if doc.tensor is not None:
                doc.tensor = doc.tensor * 2
        return docs

    @requests(on='/fill')
    def fill(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[Thing]:
        return DocList[Thing](
            [
                Thing(
                    text=doc.text or '',
                    ratio=float('inf'),
                    tensor=np.array([1.0, float('nan'), 3.0]),
                    items=DocList[Item]([Item(name='x'), Item(name='y', score=2)]),
                    raw=b'\xff',
                    link='http://example.com/a',
                    either='e',
                )
                for doc in docs
            ]
        )

    @requests(on='/legacy-docs')
    def legacy(self, docs: DocList[LegacyDocument], **kwargs: Any) -> DocList[LegacyDocument]:
        for doc in docs:
            doc.matches = DocList[LegacyDocument]([LegacyDocument(text='m', embedding=np.ones(2))])
        return docs

    @requests(on='/fail')
    def fail(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        raise ValueError('no luck')

    @requests(on='/wait')
    async def wait(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return docs

    @requests(on='/stream')
    async def stream(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        yield doc


class Other(Executor):
    @requests
    def anything(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = f'{doc.text}!'
        return docs


@pytest.fixture(params=['deployment', 'flow'])
async def site(request: pytest.FixtureRequest, sites: Any) -> AsyncIterator[Any]:
    yield await getattr(sites, request.param)(Things, **({'quiet_error': True}), expose_graphql_endpoint=True)


async def ask(site: Any, query: str, **more: Any) -> Any:
    answer = await site.post('/graphql', {'query': query, **more})
    assert answer.status == 200, answer.body
    assert answer.headers['content-type'] == 'application/json'
    return answer.json()


async def test_documents_go_in_and_out_with_their_types(site: Any) -> None:
    query = '{ fill(data: {text: "a"}) ' + VALUES + '}'
    (thing,) = (await ask(site, query))['data']['fill']
    assert len(thing.pop('id')) == 32
    assert thing == {
        'text': 'a',
        'count': 3,
        'ratio': None,  # as in the JSON of HTTP: there is no infinity
        'ok': True,
        'tensor': [1.0, None, 3.0],
        'item': None,
        'items': [{'name': 'x', 'score': 0.5}, {'name': 'y', 'score': 2.0}],
        'words': [],
        'tags': {},
        'link': 'http://example.com/a',
        'raw': '/w==',
        'kind': 'a',
        'either': 'e',
    }
    given = {
        'id': 'mine',
        'text': 'q',
        'count': 7,
        'ratio': 1.5,
        'ok': False,
        'tensor': [1, 2.5, 3],
        'item': {'name': 'n'},
        'items': [{'name': 'm', 'score': 1.5}],
        'words': ['a', 'b'],
        'tags': {'a': {'b': ['c', None]}},
        'kind': 'b',
        'either': 'e',
    }
    query = 'query q($data: [ThingInput!], $o: OptionsInput) { search(data: $data, parameters: $o) ' + VALUES + '}'
    for data in (given, [given]):
        answer = await ask(site, query, variables={'data': data, 'o': {'suffix': 'x', 'times': 2}}, operationName='q')
        (thing,) = answer['data']['search']
        expected = {**given, 'text': 'qxx', 'tensor': [2.0, 5.0, 6.0], 'link': None, 'raw': None}
        assert thing == {**expected, 'item': {'name': 'n'}}


async def test_the_documented_mutation_and_query(site: Any) -> None:
    field = 'docs(data: {text: "abcd"}, execEndpoint: "/legacy-docs") { text matches { embedding } }'
    expected = {'data': {'docs': [{'text': 'abcd', 'matches': [{'embedding': [1.0, 1.0]}]}]}}
    assert await ask(site, f'mutation {{ {field} }}') == expected
    assert await ask(site, f'{{ {field} }}') == expected
    # the endpoint is /search by default; parameters are those of HTTP, and there may be no documents
    query = '{ docs(data: [{text: "a"}, {text: "b"}], parameters: {suffix: "s"}) { text count tags } }'
    expected_docs = [{'text': 'as', 'count': 3, 'tags': {}}, {'text': 'bs', 'count': 3, 'tags': {}}]
    assert await ask(site, query) == {'data': {'docs': expected_docs}}
    assert await ask(site, '{ docs(parameters: {suffix: "s"}) { id } }') == {'data': {'docs': []}}
    # several calls in one request, and what the documents of one endpoint don't have
    query = '{ a: legacy_docs(data: {text: "a"}) { text } b: docs(data: {text: "b"}, execEndpoint: "fill") { text scores } }'
    assert await ask(site, query) == {'data': {'a': [{'text': 'a'}], 'b': [{'text': 'b', 'scores': None}]}}


async def test_failures_are_graphql_errors(site: Any) -> None:
    answer = await ask(site, '{ fail(data: {text: "a"}) { id } }')
    (error,) = answer['errors']
    assert answer['data'] is None
    assert (error['message'], error['path']) == ("ValueError('no luck')", ['fail'])
    assert len(error['extensions'].pop('requestId')) == 32
    assert error['extensions'] == {'status': 499, 'exception': 'ValueError', 'executor': 'Things'}

    (error,) = (await ask(site, '{ search(data: {text: "a", kind: "z"}, parameters: {suffix: ""}) { id } }'))['errors']
    assert error['message'] == "the arguments do not fit /search: data.0.kind: Input should be 'a' or 'b'"
    assert error['extensions']['status'] == 422
    assert error['extensions']['detail'][0]['loc'] == ['body', 'data', 0, 'kind']

    (error,) = (await ask(site, '{ docs(data: {count: 1}, parameters: {suffix: ""}) { id } }'))['errors']
    assert 'text: Field required' in error['message']

    (error,) = (await ask(site, '{ docs(execEndpoint: "/nope") { id } }'))['errors']
    assert error['message'].startswith("there is no endpoint '/nope'; there are ")
    assert error['extensions'] == {'status': 404}

    for query, message in {
        '{ search(data: {text: 1}, parameters: {suffix: ""}) { id } }': 'String cannot represent a non string value: 1',
        '{ search(data: {text: "a"}) { nothing } }': "Cannot query field 'nothing' on type 'Thing'",
        '{ search(data: {text: "a", count: 1.5}) { id } }': '1.5 is no whole number',
        'query q($d: [ThingInput!]) { search(data: $d) { id } }': '',
    }.items():
        answer = await ask(site, query)
        if message:
            assert message in answer['errors'][0]['message']
        else:  # without a required parameter
            assert 'suffix' in answer['errors'][0]['message']


async def test_the_schema(sites: Any) -> None:
    site = await sites.deployment(Things, expose_graphql_endpoint=True)
    page = await site.get('/graphql', headers={'accept': 'text/html,*/*'})
    assert page.headers['content-type'] == 'text/html; charset=utf-8'
    text = page.body.decode().replace('&quot;', '"')
    assert 'http://' not in text
    assert 'https://' not in text
    for part in (
        '"""A thing with everything."""\ntype Thing {\n  id: ID\n  text: String\n  count: BigInt\n  ratio: Float\n  ok: Boolean\n'
        '  tensor: Tensor\n  item: Item\n  items: [Item!]\n  words: [String]\n  tags: JSON\n  link: String\n  raw: String\n'
        '  kind: String\n  either: JSON\n}',
        'input ThingInput {\n  id: ID\n  text: String!\n  count: BigInt\n',
        'input OptionsInput {\n  times: BigInt\n  suffix: String!\n}',
        '  chunks: [LegacyDocument!]\n  matches: [LegacyDocument!]\n',
        '"""Calls /search."""\n  search(data: [ThingInput!], parameters: OptionsInput, targetExecutor: String): [Thing!]!',
        '"""Calls any endpoint."""\n  docs(data: [DocumentInput!], execEndpoint: String! = "/search", parameters: JSON, targetExecutor: String): [Document!]!',
        '  legacy_docs(',
    ):
        assert part in text, part
    assert 'stream(' not in text, 'an endpoint that streams is for SSE and WebSocket'
    assert 'More about Python' not in text
    names = {
        item['name']
        for item in (await ask(site, '{ __schema { queryType { fields { name } } } }'))['data']['__schema'][
            'queryType'
        ]['fields']
    }
    assert names == {'docs', 'search', 'fill', 'legacy_docs', 'fail', 'wait'}
    assert '/graphql' not in (await site.get('/openapi.json')).json()['paths']


async def test_the_default_endpoint_takes_what_no_other_does(sites: Any) -> None:
    site = await sites.flow(Other, expose_graphql_endpoint=True)
    query = 'mutation { docs(data: {text: "a"}) { text } default(data: {text: "b"}) { text } }'
    assert await ask(site, query) == {'data': {'docs': [{'text': 'a!'}], 'default': [{'text': 'b!'}]}}
    assert await ask(site, '{ docs(data: {text: "a"}, targetExecutor: "nobody") { text } }') == {
        'data': {'docs': [{'text': 'a'}]}
    }


async def test_requests_that_are_not_executed(sites: Any) -> None:
    site = await sites.deployment(Things, expose_graphql_endpoint=True)
    query = '{ fill(data: {text: "a"}) { text } }'
    for body, status, message in (
        (b'', 400, 'the body can not be read as JSON'),
        (b'{"query": ', 400, 'the body can not be read as JSON'),
        (b'[' * 100_000, 400, 'the body can not be read as JSON'),
        ([], 400, 'the request has no query; send {"query": "...", "variables": {...}}'),
        ({'query': 1}, 400, 'the request has no query'),
        ({'query': ' '}, 400, 'the request has no query'),
        ({'query': query, 'variables': []}, 400, 'variables are of type list; give an object'),
        ({'query': query, 'operationName': 1}, 400, 'operationName is of type int; give a string'),
        ({'query': query, 'operationName': 'x'}, 400, "the query has no operation 'x'; name one of its operations"),
        ({'query': 'fragment a on Query { fill { id } }'}, 400, 'the query has no operation None'),
        ({'query': '{ fill('}, 400, 'Syntax Error: Expected Name, found <EOF>.'),
        ({'query': '{a' * 5_000}, 400, 'nested too deeply'),
        ({'query': '{ a(b: ' + '[' * 5_000}, 400, 'nested too deeply'),
        ({'query': '{' + 'a ' * 6_000 + '}'}, 400, 'Syntax Error: Document contains more than 5000 tokens'),
        (
            {'query': '{' + ''.join(f'a{n} ' for n in range(1_001)) + '}'},
            400,
            'selects 1001 fields, more than 1000; send',
        ),
        ({'query': '{' + 'a ' * 52 + '}'}, 400, 'the query selects 51 fields again, more than 50'),
        ({'query': '{' + '...on Query { a }' * 21 + '}'}, 400, 'the query has 21 fragments, more than 20'),
    ):
        answer = await site.post('/graphql', body)
        assert answer.status == status, answer.body
        assert message in answer.json()['errors'][0]['message']
    answer = await site.post('/graphql', {'query': query}, headers={'content-type': 'text/plain'})
    assert (answer.status, answer.json()['errors'][0]['message']) == (
        415,
        "the content type is 'text/plain'; send application/json",
    )
    assert (await site.request('PUT', '/graphql', {'query': query})).status == 405
    # by GET, as pages can without asking, queries only
    expected = {'data': {'fill': [{'text': 'a'}]}}
    assert (await site.get('/graphql?' + urlencode({'query': query}))).json() == expected
    named = 'query q($d: [TextDocInput!]) { fill(data: $d) { text } } mutation m { fill { id } }'
    variables = {'query': named, 'operationName': 'q', 'variables': '{"d": {"text": "a"}}'}
    assert (await site.get('/graphql?' + urlencode(variables))).json() == expected
    for parameters, status in (
        ({'query': named, 'operationName': 'm'}, 405),
        ({'query': 'mutation { fill { id } }'}, 405),
        ({'query': named}, 400),
        ({'query': query, 'variables': '{'}, 400),
        ({}, 400),
    ):
        assert (await site.get('/graphql?' + urlencode(parameters))).status == status
    deep: dict[str, Any] = {'text': 'x'}
    for _ in range(400):
        deep = {'matches': [deep]}
    answer = await ask(
        site, 'query q($d: [LegacyDocumentInput!]) { legacy_docs(data: $d) { id } }', variables={'d': deep}
    )
    assert 'nested too deeply' in answer['errors'][0]['message']
    amplified = '{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }'
    assert (await ask(site, amplified))['errors'][0]['message'] == 'Maximum introspection depth exceeded'
    assert await ask(site, query) == expected


async def test_who_goes_away_ends_the_work(sites: Any) -> None:
    site = await sites.deployment(Things, expose_graphql_endpoint=True)
    _, writer = await asyncio.open_connection('127.0.0.1', site.port)
    body = b'{"query": "{ wait(data: {text: \\"a\\"}) { id } }"}'
    head = 'POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n'
    writer.write((head % len(body)).encode() + body)
    await writer.drain()
    executor = site.pod.service.executor
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(executor.cancelled.wait(), 0.3)
    writer.close()
    await asyncio.wait_for(executor.cancelled.wait(), 20)


async def test_executors_that_come_later(sites: Any, free_port: int) -> None:
    site = await sites.gateway(['e1'], {'e1': [f'127.0.0.1:{free_port}']}, expose_graphql_endpoint=True)
    answer = await site.post('/graphql', {'query': '{ docs { id } }'})
    assert (answer.status, answer.json()['errors'][0]['message']) == (
        503,
        'the endpoints are not known yet, or none can be called over GraphQL; try again',
    )
    await sites.executor(Other, 'e1', port=free_port)
    for _ in range(100):
        answer = await site.post('/graphql', {'query': '{ docs(data: {text: "a"}) { text } }'})
        if answer.status == 200:
            break
        await asyncio.sleep(0.1)
    assert answer.json() == {'data': {'docs': [{'text': 'a!'}]}}


async def test_off_by_default_and_refused_where_it_can_not_be_served(
    sites: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await sites.deployment(Things)
    assert (await site.post('/graphql', {'query': '{ docs { id } }'})).status == 404
    message = "expose_graphql_endpoint is for HTTP, and the protocol is GRPC; add protocol='http'"
    with pytest.raises(ConfigError, match=message):
        await sites.deployment(Things, protocol='grpc', expose_graphql_endpoint=True)
    for name in [name for name in sys.modules if name.partition('.')[0] == 'strawberry' or '.http.graphql' in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'strawberry', None)
    with pytest.raises(MissingExtraError) as caught:
        await sites.deployment(Things, expose_graphql_endpoint=True)
    assert str(caught.value) == 'GraphQL is not installed; run: pip install "jina-runtime[graphql]"'
