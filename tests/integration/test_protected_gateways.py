"""Keys, limits and TLS of gateways that users write: applied where a server of the framework runs, else refused."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import trustme
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Executor, Flow, requests
from jina.core.errors import StartupError
from jina.serve.runtimes.gateway.http.fastapi import FastAPIBaseGateway

from tests.integration.test_gateways import Greeting


class Upper(Executor):
    @requests
    def upper(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = (doc.text or '').upper()
        return docs


class Page(FastAPIBaseGateway):
    @property
    def app(self) -> Any:
        from fastapi import FastAPI

        app = FastAPI()

        @app.get('/call')
        async def call(text: str) -> str:
            docs = await self.executor['upper'].post(inputs=TextDoc(text=text), return_type=DocList[TextDoc])
            return str(docs[0].text)

        return app


class OwnServer(Page):
    async def setup_server(self) -> None:
        await super().setup_server()


def get(url: str, context: ssl.SSLContext | None = None, **headers: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=30, context=context
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize('uses', [Page, Greeting])
def test_keys(uses: Any) -> None:
    path = '/call?text=a' if uses is Page else '/greet'
    with (
        Flow(api_key='secret-of-test', allow_origins=['http://here'])
        .config_gateway(uses=uses)
        .add(uses=Upper, name='upper') as flow
    ):
        url = f'http://127.0.0.1:{flow.port}'
        assert get(f'{url}/') == (200, {})
        status, body = get(url + path)
        assert status == 401 and 'a key is needed' in body['detail']
        assert get(url + path, authorization='Bearer wrong')[0] == 401
        assert get(url + path, authorization='Bearer secret-of-test') == (200, 'A' if uses is Page else 'hello')
        request = urllib.request.Request(f'{url}/', headers={'origin': 'http://here'})
        with urllib.request.urlopen(request) as answer:
            assert answer.headers['access-control-allow-origin'] == 'http://here'


def with_password(app: Any) -> Any:
    """Adds a path that asks for a password of its own."""
    from fastapi import Depends
    from fastapi.security import HTTPBasic

    @app.get('/own', dependencies=[Depends(HTTPBasic())])
    def own() -> str:
        return 'own'

    return app


class Described(Page):
    @property
    def app(self) -> Any:
        return with_password(super().app)


class DescribedBuiltIn(Greeting):
    @property
    def app(self) -> Any:
        return with_password(super().app)


@pytest.mark.parametrize('uses', [Described, DescribedBuiltIn])
@pytest.mark.parametrize('root', ['', '/sub'])
def test_openapi_asks_for_the_key(uses: Any, root: str) -> None:
    settings = {'root_path': root} if root else {}
    with Flow(api_key='secret-of-test').config_gateway(uses=uses, uvicorn_kwargs=settings).add(uses=Upper) as flow:
        url = f'http://127.0.0.1:{flow.port}'
        status, described = get(f'{url}/openapi.json')
        assert status == 200
        assert described['security'] == [{'bearer': []}, {'apiKey': []}]
        assert described['components']['securitySchemes'] == {
            'HTTPBasic': {'type': 'http', 'scheme': 'basic'},
            'bearer': {'type': 'http', 'scheme': 'bearer'},
            'apiKey': {'type': 'apiKey', 'in': 'header', 'name': 'X-API-Key'},
        }
        asked = described['paths']['/own']['get']['security']
        assert asked == [{'bearer': [], 'HTTPBasic': []}, {'apiKey': [], 'HTTPBasic': []}]
        for page in ('/docs', '/redoc'):
            assert b'openapi.json' in urllib.request.urlopen(f'{url}{page}').read()
        assert get(f'{url}/own')[0] == 401
        key = {'x-api-key': 'secret-of-test', 'authorization': 'Basic ' + base64.b64encode(b'a:b').decode()}
        assert get(f'{url}/own', **key) == (200, 'own')


class Undescribed(FastAPIBaseGateway):
    """What FastAPI doesn't make is no description, whatever its path."""

    @property
    def app(self) -> Any:
        from fastapi import FastAPI

        app = FastAPI(openapi_url=None)

        @app.get('/docs')
        def docs() -> str:
            return 'secrets'

        return app


def test_pages_of_the_user_ask_for_the_key() -> None:
    with Flow(api_key='secret-of-test').config_gateway(uses=Undescribed).add() as flow:
        url = f'http://127.0.0.1:{flow.port}'
        assert get(f'{url}/docs')[0] == 401
        assert get(f'{url}/docs', authorization='Bearer secret-of-test') == (200, 'secrets')


def test_tls(tmp_path: Path) -> None:
    issuer = trustme.CA()
    pair = issuer.issue_cert('localhost')
    issuer.cert_pem.write_to_path(tmp_path / 'ca.pem')
    pair.cert_chain_pems[0].write_to_path(tmp_path / 'crt.pem')
    pair.private_key_pem.write_to_path(tmp_path / 'key.pem')
    files = {'ssl_certfile': str(tmp_path / 'crt.pem'), 'ssl_keyfile': str(tmp_path / 'key.pem')}
    context = ssl.create_default_context(cafile=str(tmp_path / 'ca.pem'))
    with Flow(**files).config_gateway(uses=Page).add(uses=Upper, name='upper') as flow:
        assert flow.public_addresses[0].tls
        assert get(f'https://localhost:{flow.port}/call?text=a', context) == (200, 'A')
    with Flow(**files).config_gateway(uses='GRPCGateway').add(uses=Upper, name='upper') as flow:
        client = Client(host='localhost', port=flow.port, tls=True, ssl_cafile=str(tmp_path / 'ca.pem'))
        assert client.post('/', TextDoc(text='a'), return_type=DocList[TextDoc]).text == ['A']


@pytest.mark.parametrize(
    ('uses', 'options', 'names'),
    [
        (OwnServer, {'api_key': 'secret-of-test'}, 'api_key'),
        (OwnServer, {'max_request_bytes': 1000, 'max_concurrency': 3}, 'max_concurrency and max_request_bytes'),
        (Page, {'max_concurrency': 3}, 'max_concurrency'),
    ],
)
def test_what_nobody_applies_is_refused(uses: Any, options: Any, names: str) -> None:
    with pytest.raises(StartupError, match=f'{uses.__name__} has a server of its own, which does not apply {names}'):
        Flow().config_gateway(uses=uses, **options).start()


def test_a_key_of_the_environment_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_API_KEY', 'secret-of-test')
    with pytest.raises(StartupError, match='OwnServer has a server of its own, which does not apply api_key'):
        Flow().config_gateway(uses=OwnServer).start()
