from __future__ import annotations

import asyncio
import re
from typing import Any, Optional

import pytest
from docarray import BaseDoc, DocList
from jina.core.endpoints import requests
from jina.core.environment import REPORTED
from jina.core.executor import Executor
from jina.core.version import __version__
from pydantic import BaseModel, Field


class Prompt(BaseDoc):
    """Prompt Document to be input to a Language Model"""

    text: str = Field(description='The text of the prompt', examples=['Write me a short poem'])


class Generation(BaseDoc):
    """What the model said"""

    prompt: str = Field(description='The original prompt')
    text: str = ''


class CallingParams(BaseModel):
    """Calling parameters of the LLM model"""

    num_max_tokens: int = Field(default=5000, description='The limit of tokens')


class Strict(BaseModel):
    name: str


class Llm(Executor):
    @requests(on='/generate')
    def generate(self, doc: Prompt, parameters: CallingParams, **kwargs: Any) -> Generation:
        return Generation(prompt=doc.text)

    @requests(on='/batch')
    def batch(self, docs: DocList[Prompt], parameters: Strict, **kwargs: Any) -> DocList[Generation]: ...

    @requests(on='/tokens')
    async def tokens(self, doc: Prompt, **kwargs: Any) -> Generation:
        yield Generation(prompt=doc.text)

    @requests
    def anything(self, **kwargs: Any): ...


class Judge(Executor):
    class Verdict(BaseDoc):
        good: bool = True
        score: Optional[float] = None  # noqa: UP045

    @requests(on='/generate')
    def judge(self, docs: DocList[Generation], **kwargs: Any) -> DocList[Verdict]:
        return DocList[self.Verdict]([self.Verdict(good=doc.prompt == 'p') for doc in docs])


def schema_at(openapi: dict[str, Any], path: str, part: str) -> dict[str, Any]:
    """The properties of the body or the response of an endpoint."""
    operation = openapi['paths'][path]['post']
    content = operation['requestBody'] if part == 'body' else operation['responses']['200']
    reference = content['content']['application/json']['schema']['$ref']
    found: dict[str, Any] = openapi['components']['schemas'][reference.rpartition('/')[2]]
    return found


def names_in(schema: Any) -> set[str]:
    """All models that a schema refers to."""
    return set(re.findall(r'#/components/schemas/(\w+)', str(schema)))


@pytest.mark.parametrize('kind', ['deployment', 'flow'])
async def test_openapi_describes_all_endpoints(sites: Any, kind: str) -> None:
    site = await (sites.deployment(Llm) if kind == 'deployment' else sites.flow(Llm))
    answer = await site.get('/openapi.json')
    openapi = answer.json()
    assert answer.headers['content-type'] == 'application/json'
    assert openapi['info'] | {'description': ''} == {
        'title': 'My Jina Service',
        'version': __version__,
        'description': '',
    }
    methods = {path: list(operations) for path, operations in openapi['paths'].items()}
    assert methods == {
        '/generate': ['post'],
        '/batch': ['post'],
        '/tokens': ['get', 'post'],
        '/default': ['post'],
        '/': ['get'],
        '/status': ['get'],
        '/dry_run': ['get'],
    }
    schemas = openapi['components']['schemas']
    assert schemas['Prompt']['description'] == 'Prompt Document to be input to a Language Model'
    assert schemas['Prompt']['properties']['text']['description'] == 'The text of the prompt'
    assert schemas['Prompt']['properties']['text']['examples'] == ['Write me a short poem']
    assert schemas['CallingParams']['properties']['num_max_tokens']['default'] == 5000
    body = schema_at(openapi, '/generate', 'body')
    assert body['required'] == ['data']
    assert body['properties']['data']['anyOf'][0]['$ref'].endswith('/Prompt')
    batch = schema_at(openapi, '/batch', 'body')
    assert batch['required'] == ['data', 'parameters']
    assert batch['properties']['data']['anyOf'][0]['type'] == 'array'
    assert 'Generation' in names_in(schema_at(openapi, '/generate', 'response'))
    assert ('header' in schema_at(openapi, '/generate', 'response')['properties']) is (kind == 'flow')
    for name in re.findall(r"'#/components/schemas/(\w+)'", str(openapi)):
        assert name in schemas


async def test_a_flow_takes_what_the_first_takes_and_gives_what_the_last_gives(sites: Any) -> None:
    flow = await sites.flow(Llm, Judge)
    openapi = (await flow.get('/openapi.json')).json()
    assert 'Prompt' in names_in(schema_at(openapi, '/generate', 'body'))
    assert 'Verdict' in names_in(schema_at(openapi, '/generate', 'response'))
    answer = await flow.post('/generate', {'data': {'text': 'p'}})
    assert answer.json()['data'][0]['good'] is True


async def test_title_and_description(sites: Any) -> None:
    site = await sites.deployment(Llm, title='Mine', description='What it does')
    info = (await site.get('/openapi.json')).json()['info']
    assert (info['title'], info['description']) == ('Mine', 'What it does')
    assert b'<title>Mine - Swagger UI</title>' in (await site.get('/docs')).body


async def test_the_documentation_needs_nothing_from_the_internet(sites: Any) -> None:
    site = await sites.deployment(Llm)
    for page in ('/docs', '/redoc'):
        answer = await site.get(page)
        assert answer.status == 200
        assert answer.headers['content-type'].startswith('text/html')
        references = re.findall(rb'(?:src|href)="([^"]+)"', answer.body)
        assert references
        for reference in references:
            assert reference.startswith(b'/static-offline-docs/')
            assert (await site.get(reference.decode())).status == 200


@pytest.mark.parametrize('kind', ['deployment', 'flow'])
async def test_health_and_status(sites: Any, kind: str) -> None:
    site = await (sites.deployment(Llm) if kind == 'deployment' else sites.flow(Llm))
    assert (await site.get('/')).json() == {}
    status = (await site.get('/status')).json()
    assert list(status['envs']) == list(REPORTED)
    assert status['jina']['jina'] == __version__
    assert all(isinstance(value, str) for value in [*status['jina'].values(), *status['envs'].values()])


async def test_dry_run_contacts_the_executors(sites: Any) -> None:
    flow = await sites.flow(Llm, retries=0)
    assert (await flow.get('/dry_run')).json() == {'code': 0, 'description': '', 'exception': None}
    await sites.executors[0].pod.stop(0.1)
    answer = await flow.get('/dry_run')
    assert answer.status == 200
    assert answer.json()['code'] == 1
    assert 'deployment e1' in answer.json()['description']
    assert answer.json()['exception']['name'] == 'InternalNetworkError'


async def test_an_endpoint_may_have_the_name_of_a_page(sites: Any) -> None:
    class Own(Executor):
        @requests(on='/status')
        def status(self, docs: DocList[Prompt], **kwargs: Any) -> DocList[Prompt]:
            return docs

        @requests(on='/dry_run')
        async def stream(self, doc: Prompt, **kwargs: Any) -> Prompt:
            yield doc

        @requests(on='/')
        def root(self, docs: DocList[Prompt], **kwargs: Any) -> DocList[Prompt]:
            return docs

    site = await sites.deployment(Own)
    assert (await site.post('/status', {'data': [{'text': 'x'}]})).json()['data'][0]['text'] == 'x'
    assert b'event: update' in (await site.get('/dry_run', {'text': 'x'})).body
    assert (await site.post('/', {'data': [{'text': 'x'}]})).json()['data'][0]['text'] == 'x'
    assert (await site.get('/')).json() == {}
    assert (await site.get('/status')).json()['jina']['jina'] == __version__


async def test_cors_is_off_unless_asked_for(sites: Any) -> None:
    origin = {'origin': 'http://elsewhere'}
    preflight = {**origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-mine'}
    closed = await sites.deployment(Llm)
    answer = await closed.post('/generate', {'data': {'text': 'x'}}, headers=origin)
    assert 'access-control-allow-origin' not in answer.headers
    for site in (await sites.deployment(Llm, cors=True), await sites.flow(Llm, cors=True)):
        answer = await site.post('/generate', {'data': {'text': 'x'}}, headers=origin)
        assert answer.status == 200
        assert answer.headers['access-control-allow-origin'] == 'http://elsewhere'
        assert answer.headers['access-control-allow-credentials'] == 'true'
        answer = await site.request('OPTIONS', '/generate', headers=preflight)
        assert answer.status == 200
        assert 'POST' in answer.headers['access-control-allow-methods']
        assert answer.headers['access-control-allow-headers'] == 'x-mine'


async def test_endpoints_of_an_executor_that_comes_later(sites: Any, free_port: int) -> None:
    gateway = await sites.gateway(['e1'], {'e1': [f'127.0.0.1:{free_port}']}, retries=0)
    assert (await gateway.get('/')).status == 200
    answer = await gateway.post('/generate', {'data': {'text': 'x'}})
    assert answer.status == 503
    assert 'not every Executor has answered' in answer.json()['header']['status']['description']
    await sites.executor(Llm, 'e1', port=free_port)

    async def answered() -> None:
        while (await gateway.post('/generate', {'data': {'text': 'x'}})).status != 200:  # waits for the discovery
            pass

    await asyncio.wait_for(answered(), 15)
    assert '/generate' in (await gateway.get('/openapi.json')).json()['paths']


async def test_an_executor_without_endpoints_passes_documents_on(sites: Any) -> None:
    for site in (await sites.deployment('BaseExecutor'), await sites.flow('BaseExecutor')):
        answer = await site.post('/default', {'data': [{'text': 'x'}]})
        assert answer.json()['data'][0]['text'] == 'x'
