"""The servers' pages and protocols in a real browser: Swagger UI, Redoc, WebSocket and server-sent events."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from docarray import BaseDoc, DocList
from jina import Deployment, Executor, requests
from pydantic import BaseModel, Field

from tests.support.browser import Browser, browser


class Prompt(BaseDoc):
    """What somebody says."""

    text: str = Field(description='The words', examples=['good morning'])
    times: int = 1


class Options(BaseModel):
    mark: str = Field('!', description='What is put behind')


class Announcer(Executor):
    @requests(on='/shout')
    def shout(self, docs: DocList[Prompt], parameters: Options, **kwargs: Any) -> DocList[Prompt]:
        for doc in docs:
            doc.text = doc.text.upper() + parameters.mark
        return docs

    @requests(on='/words')
    async def words(self, doc: Prompt, **kwargs: Any) -> Prompt:
        for word in doc.text.split():
            yield Prompt(text=word)


@pytest.fixture(scope='module')
def announcer() -> Iterator[Deployment]:
    deployment = Deployment(uses=Announcer, protocol=['http', 'websocket'], cors=True, title='Announcer', quiet=True)
    with deployment.expose_endpoint('/shout', summary='Say it loud', tags=['voice']):
        yield deployment


@pytest.fixture(scope='module')
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def page(tmp_path: Path, chromium: Browser) -> Iterator[Browser]:
    """The browser on a page of another origin than the servers'."""
    (tmp_path / 'index.html').write_text('<!doctype html><title>elsewhere</title>')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        chromium.open(f'http://127.0.0.1:{server.server_port}/index.html')
        yield chromium
    finally:
        server.shutdown()
        server.server_close()


def test_swagger_ui_sends_a_request(announcer: Deployment, chromium: Browser) -> None:
    port = announcer.port[0]
    chromium.requested()
    chromium.open(f'http://localhost:{port}/docs')
    assert chromium.driver.title == 'Announcer - Swagger UI'
    chromium.find('.opblock-tag', text='voice')
    chromium.click('#operations-voice-post_shout_post .opblock-summary-control', text='Say it loud')
    chromium.click('#operations-voice-post_shout_post .try-out__btn', text='Try it out')
    body = json.loads(chromium.find('#operations-voice-post_shout_post textarea').get_attribute('value') or '')
    assert body['data'][0]['text'] == 'good morning'  # the example of the field
    assert body['header'] == {'requestId': 'my-request'}  # and no target that doesn't exist
    chromium.click('#operations-voice-post_shout_post .execute', text='Execute')
    chromium.find('.live-responses-table .response-col_status', text='200')
    answer = chromium.find('.live-responses-table .response-col_description .highlight-code', text='GOOD MORNING')
    assert '"data"' in answer.text
    hosts = {urlsplit(url).netloc for url in chromium.requested()}
    assert hosts == {f'localhost:{port}'}


def test_swagger_ui_sends_a_query(announcer: Deployment, chromium: Browser) -> None:
    chromium.open(f'http://localhost:{announcer.port[0]}/docs')
    operation = '#operations-default-streaming_get_words_get'
    chromium.click(f'{operation} .opblock-summary-control')
    chromium.click(f'{operation} .try-out__btn', text='Try it out')
    field = chromium.find(f'{operation} tr[data-param-name="text"] input')
    field.clear()
    field.send_keys('one two')
    chromium.click(f'{operation} .execute', text='Execute')
    chromium.find(f'{operation} .live-responses-table .response-col_status', text='200')
    answer = chromium.find(
        f'{operation} .live-responses-table .response-col_description .highlight-code', text='event: end'
    )
    assert answer.text.count('event: update') == 2


def test_swagger_ui_authorizes(chromium: Browser) -> None:
    key = 'a-key-for-browsers'
    with Deployment(uses=Announcer, protocol='http', api_key=key, quiet=True) as closed:
        chromium.requested()
        chromium.open(f'http://localhost:{closed.port}/docs')
        operation = '#operations-default-post_shout_post'
        chromium.click(f'{operation} .opblock-summary-control')
        chromium.click(f'{operation} .try-out__btn', text='Try it out')
        chromium.click(f'{operation} .execute', text='Execute')
        chromium.find(f'{operation} .live-responses-table .response-col_status', text='401')
        chromium.find(f'{operation} .live-responses-table', text='a key is needed')
        for number, field in enumerate(('#auth-bearer-value', '#api_key_value'), 1):
            form = f'.modal-ux-content .auth-container:nth-child({number})'
            chromium.click('.scheme-container .btn.authorize', text='Authorize')
            chromium.find(f'{form} {field}').send_keys(key)
            chromium.click(f'{form} .btn.authorize', text='Authorize')
            chromium.find(f'{form} .btn', text='Logout')
            chromium.click(f'{form} .btn-done', text='Close')
            chromium.click(f'{operation} .btn-clear', text='Clear')
            chromium.click(f'{operation} .execute', text='Execute')
            chromium.find(f'{operation} .live-responses-table .response-col_status', text='200')
            chromium.find(f'{operation} .live-responses-table', text='GOOD MORNING')
            chromium.click('.scheme-container .btn.authorize', text='Authorize')
            chromium.click(f'{form} .btn', text='Logout')
            chromium.click(f'{form} .btn-done', text='Close')
            chromium.click(f'{operation} .btn-clear', text='Clear')
            chromium.click(f'{operation} .execute', text='Execute')
            chromium.find(f'{operation} .live-responses-table .response-col_status', text='401')
        assert {urlsplit(url).netloc for url in chromium.requested()} == {f'localhost:{closed.port}'}


def test_redoc_renders(announcer: Deployment, chromium: Browser) -> None:
    port = announcer.port[0]
    chromium.requested()
    chromium.open(f'http://localhost:{port}/redoc')
    chromium.find('h1', text='Announcer')
    operation = '[data-section-id$="operation/post_shout_post"]'
    chromium.find(operation, text='Say it loud')
    chromium.click(f'{operation} button[aria-label="expand parameters"]')
    chromium.find(operation, text='What is put behind')
    assert {urlsplit(url).netloc for url in chromium.requested()} == {f'localhost:{port}'}


def test_a_websocket(announcer: Deployment, page: Browser) -> None:
    seen = page.run(
        """
        const socket = new WebSocket(`ws://localhost:${arguments[0]}`, 'json')
        const answers = []
        socket.onopen = () => {
          for (let i = 0; i < 20; i++)
            socket.send(JSON.stringify({execEndpoint: '/shout', data: {text: `n${i}`}, header: {requestId: `${i}`}}))
          socket.send(JSON.stringify({execEndpoint: '/words', data: {text: 'one two'}, header: {requestId: 'words'}}))
          socket.send(JSON.stringify({execEndpoint: '/nowhere', data: [], header: {requestId: 'lost'}}))
          socket.send('{}')
        }
        socket.onmessage = (event) => answers.push(JSON.parse(event.data))
        socket.onclose = (event) => done({code: event.code, protocol: socket.protocol, answers})
        """,
        announcer.port[1],
    )
    assert (seen['code'], seen['protocol']) == (1000, 'json')
    by_id = {answer['header']['requestId']: answer for answer in seen['answers']}
    assert [by_id[str(number)]['data'][0]['text'] for number in range(20)] == [f'N{number}!' for number in range(20)]
    words = [answer['data'] for answer in seen['answers'] if answer['header']['requestId'] == 'words']
    assert [[doc['text'] for doc in docs] for docs in words] == [['one'], ['two'], []]
    assert 'there is no endpoint' in by_id['lost']['detail']


def test_server_sent_events_from_another_origin(announcer: Deployment, page: Browser) -> None:
    seen = page.run(
        """
        const source = new EventSource(`http://localhost:${arguments[0]}/words?text=one+two+three`)
        const texts = []
        source.addEventListener('update', (event) => texts.push(JSON.parse(event.data).text))
        source.addEventListener('end', () => { source.close(); done(texts) })
        source.onerror = () => { source.close(); done('error') }
        """,
        announcer.port[0],
    )
    assert seen == ['one', 'two', 'three']


def test_fetch_from_another_origin(announcer: Deployment, page: Browser) -> None:
    script = """
        const [port, type] = arguments
        fetch(`http://localhost:${port}/post`, {
          method: 'POST',
          headers: {'Content-Type': type},
          body: JSON.stringify({execEndpoint: '/shout', data: [{text: 'hi'}], parameters: {mark: '?'}})
        }).then(async (response) => done([response.status, await response.json()]), (error) => done([0, `${error}`]))
        """
    status, answer = page.run(script, announcer.port[0], 'application/json')
    assert (status, answer['data'][0]['text']) == (200, 'HI?')
    assert answer.keys() == {'header', 'parameters', 'routes', 'data'}
    status, answer = page.run(script, announcer.port[0], 'text/plain')  # what pages may send without asking
    assert status == 415


def test_without_cors_other_origins_see_nothing(page: Browser) -> None:
    with Deployment(uses=Announcer, protocol='http', quiet=True) as closed:
        seen = page.run(
            """
            fetch(`http://localhost:${arguments[0]}/shout`, {
              method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{"data": {"text": "hi"}}'
            }).then(() => done('seen'), () => done('refused'))
            """,
            closed.port,
        )
    assert seen == 'refused'
