"""``jina dashboard`` beside a real Flow, in a real browser."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from docarray import BaseDoc, DocList
from jina import Client, Deployment, Executor, Flow, requests
from jina.client.dashboard.scraping import Process
from jina.core.errors import RemoteError
from pydantic import BaseModel
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.browser import WAIT_S, Browser, browser
from tests.support.processes import free_port

pytestmark = pytest.mark.timeout(240)

JINA = Path(sys.executable).with_name('jina')


class Saying(BaseDoc):
    text: str
    times: int = 1


class Tone(BaseModel):
    mark: str = '!'


class Crier(Executor):
    @requests(on='/cry')
    def cry(self, docs: DocList[Saying], parameters: Tone, **kwargs: Any) -> DocList[Saying]:
        for doc in docs:
            doc.text = doc.text.upper() * doc.times + parameters.mark
        return docs

    @requests(on='/fail')
    def fail(self, **kwargs: Any) -> None:
        raise ValueError('not today')


class Teller(Executor):
    @requests(on='/cry')
    def cry(self, docs: DocList[Saying], **kwargs: Any) -> DocList[Saying]:
        return docs

    @requests(on='/words')
    async def words(self, doc: Saying, **kwargs: Any) -> Saying:
        for word in doc.text.split():
            yield Saying(text=word)


@contextlib.contextmanager
def shown(*arguments: str, key: str | None = None) -> Iterator[str]:
    """Runs ``jina dashboard``, with a key for the server; gives the URL that it prints."""
    command = [str(JINA), 'dashboard', *arguments, '--port', '0']
    env = {**os.environ, **({} if key is None else {'JINA_API_KEY': key})}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        url = re.search(r'http://127\.0\.0\.1:\d+/', line)
        assert url is not None, line
        yield url.group()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope='module')
def ports() -> list[int]:
    return [free_port() for _ in range(4)]


@pytest.fixture(scope='module')
def flow(ports: list[int]) -> Iterator[Flow]:
    flow = (
        Flow(monitoring=True, port_monitoring=ports[0], quiet=True)
        .add(uses=Crier, name='crier', replicas=2, port_monitoring=[ports[1], ports[3]], quiet_error=True)
        .add(uses=Teller, name='teller', port_monitoring=ports[2])
    )
    with flow:
        yield flow


@pytest.fixture(scope='module')
def page(flow: Flow, ports: list[int]) -> Iterator[tuple[Browser, str]]:
    metrics = [argument for port in ports for argument in ('--metrics', f'127.0.0.1:{port}')]
    with shown(f'grpc://127.0.0.1:{flow.port}', *metrics) as url, browser() as opened:
        opened.open(url)
        yield opened, url


@contextlib.contextmanager
def load(flow: Flow) -> Iterator[None]:
    """Sends requests all the time; each fourth fails."""
    over = threading.Event()

    def send() -> None:
        with Client(port=flow.port) as client:
            docs = DocList[Saying]([Saying(text='a')])
            while not over.is_set():
                for endpoint in ('/cry', '/cry', '/cry', '/fail'):
                    with contextlib.suppress(RemoteError):
                        client.post(endpoint, docs, return_type=DocList[Saying])
                time.sleep(0.02)  # leaves the machine to the browser

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def overviews(url: str, number: int) -> None:
    """Returns when the dashboard has asked the processes so many times again."""
    told: list[Any] = []
    while len(told) <= number:
        with urllib.request.urlopen(f'{url}api/overview', timeout=30) as answer:
            asked = json.load(answer)['asked']
        if asked not in told:
            told.append(asked)
        time.sleep(0.05)


def choose(opened: Browser, endpoint: str) -> None:
    opened.click(f'#endpoint option[value="{endpoint}"]')


def fill(opened: Browser, selector: str, text: str) -> None:
    field = opened.find(selector)
    field.clear()
    field.send_keys(text)


def test_the_graph(page: tuple[Browser, str]) -> None:
    opened, url = page
    opened.find('#ready.good', text='ready')
    for name in ('gateway', 'crier', 'teller'):
        opened.find(f'#graph [data-node="{name}"]', text=name)
    edges = opened.run(
        "done([...document.querySelectorAll('#graph .edge')].map((e) => [e.dataset.from, e.dataset.to]))"
    )
    assert edges == [['gateway', 'crier'], ['crier', 'teller'], ['teller', 'response']]
    assert {urlsplit(asked).netloc for asked in opened.requested()} == {urlsplit(url).netloc}


def test_figures_under_load(page: tuple[Browser, str], flow: Flow) -> None:
    opened, _ = page

    def figures(name: str) -> list[str]:
        script = f"done([...document.querySelectorAll('#executors [data-node={name}] td')].map((e) => e.textContent))"
        return list(opened.run(script))

    def busy(_: object) -> bool:
        """All figures of the failing Executor are there: name, requests, errors, all errors, percentiles, queue."""
        cells = figures('crier')[1:7]
        return all(cell not in ('–', '0') for cell in cells)

    with load(flow):
        WebDriverWait(opened.driver, WAIT_S).until(busy, f'no figures: {figures("crier")}')
        crier, teller = figures('crier'), figures('teller')
        assert opened.find('#rate').text.endswith('/s')
    p50, p95, p99 = map(float, crier[4:7])
    assert 0 < p50 <= p95 <= p99
    assert float(crier[1]) > float(crier[2]) > 0
    assert int(crier[3]) > 0
    assert teller[3] == '0'  # it never failed
    assert crier[8].count('under way') == 2
    assert opened.find('#errors').text != '0'


def test_the_playground_sends_a_form(page: tuple[Browser, str]) -> None:
    opened, _ = page
    choose(opened, '/cry')
    fill(opened, '#doc-text', 'ho')
    fill(opened, '#doc-times', '2')
    fill(opened, '#param-mark', '?')
    opened.click('#send')
    assert json.loads(opened.find('#answer', text='HOHO?').text)['times'] == 2


def test_the_playground_sends_json(page: tuple[Browser, str]) -> None:
    opened, _ = page
    choose(opened, '/words')  # an endpoint that is chosen begins with an example
    choose(opened, '/cry')
    opened.click('#as-json')
    assert json.loads(opened.find('#data').get_attribute('value') or '') == [{'text': '', 'times': 1}]
    assert json.loads(opened.find('#parameters').get_attribute('value') or '') == {'mark': '!'}
    fill(opened, '#data', '[{"text": "one"}, {"text": "two"}]')
    fill(opened, '#parameters', '')
    opened.click('#send')
    assert 'TWO!' in opened.find('#answer', text='ONE!').text
    fill(opened, '#data', '{"times": 3}')
    opened.click('#send')
    opened.find('#call-error', text='text: Field required')
    opened.click('#as-form')


def test_the_playground_shows_errors_and_streams(page: tuple[Browser, str]) -> None:
    opened, _ = page
    choose(opened, '/fail')
    opened.click('#send')
    opened.find('#call-error', text='not today')
    choose(opened, '/words')
    fill(opened, '#doc-text', 'one two three')
    opened.click('#send')
    opened.find('#took', text='3 documents')
    assert opened.find('#answer').text.count('"text"') == 3


@pytest.mark.parametrize(
    ('headers', 'status'),
    [
        ({'Origin': 'http://evil.example'}, 403),
        ({'Host': 'evil.example'}, 403),
        ({'Content-Type': 'text/plain'}, 415),
        ({}, 200),
    ],
)
def test_other_origins_are_refused(page: tuple[Browser, str], headers: dict[str, str], status: int) -> None:
    connection = http.client.HTTPConnection(urlsplit(page[1]).netloc, timeout=30)
    body = json.dumps({'endpoint': '/cry', 'data': {'text': 'a'}})
    connection.request('POST', '/api/call', body, {'Content-Type': 'application/json', **headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == status, text
    assert ('"A!"' in text) == (status == 200)


def test_watching_makes_no_requests(flow: Flow, ports: list[int], page: tuple[Browser, str]) -> None:
    seen = Process(f'127.0.0.1:{ports[2]}')
    for _ in range(2):
        seen.scrape()
        overviews(page[1], 3)
    seen.scrape()
    assert seen.window.latest('jina_successful_requests_total')
    assert seen.window.growth('jina_successful_requests_total', 60) == 0


def test_without_metrics_the_page_says_what_to_switch_on(page: tuple[Browser, str]) -> None:
    with Flow(quiet=True).add(name='passing') as plain, shown(f'grpc://127.0.0.1:{plain.port}') as url:
        page[0].open(url)
        page[0].find('#notes', text='monitoring=True')
        page[0].find('#graph [data-node="passing"]', text='passing')


def test_without_addresses_it_asks_the_processes_where_their_metrics_are(flow: Flow, page: tuple[Browser, str]) -> None:
    with shown(f'grpc://127.0.0.1:{flow.port}') as url, load(flow):
        page[0].open(url)
        page[0].find('#executors [data-node="crier"]', text='under way')
        with urllib.request.urlopen(f'{url}api/overview', timeout=30) as answer:
            told = {one['name'] for one in json.load(answer)['metrics']}
    assert told == {'gateway/rep-0', 'crier/rep-0', 'crier/rep-1', 'teller/rep-0'}


def test_an_executor_that_is_gone(page: tuple[Browser, str]) -> None:
    opened, _ = page
    with Deployment(uses=Teller, quiet=True) as far:
        flow = Flow(quiet=True).add(name='far', host=f'grpc://127.0.0.1:{far.port}', external=True)
        with flow, shown(f'grpc://127.0.0.1:{flow.port}') as url:
            opened.open(url)
            opened.find('#ready.good')
            far.close()
            opened.find('#ready.bad', text='not ready')
            opened.find('#failure', text='far')
            opened.find('#graph .node.failing', text='far')
            opened.find('#executors [data-node="far"]', text='down')


def test_an_executor_without_a_gateway(page: tuple[Browser, str]) -> None:
    opened, _ = page
    port = free_port()
    with (
        Deployment(
            uses=Teller, quiet=True, monitoring=True, port_monitoring=port, api_key='a-key-of-the-server'
        ) as alone,
        shown(f'grpc://127.0.0.1:{alone.port}', '--metrics', f'localhost:{port}', key='a-key-of-the-server') as url,
    ):
        opened.open(url)
        opened.find('#ready.good')
        fill(opened, '#doc-text', 'hum')
        opened.click('#send')
        opened.find('#answer', text='hum')
        assert len(opened.driver.find_elements(By.CSS_SELECTOR, '#graph .node')) == 1
        opened.find('#executors [data-node="server"]', text='executor/rep-0')


def test_a_server_that_is_gone(page: tuple[Browser, str]) -> None:
    with shown(f'grpc://127.0.0.1:{free_port()}') as url:
        page[0].open(url)
        page[0].find('#ready', text='not ready')
        page[0].find('#failure', text='check the host')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['http://127.0.0.1:1'], 'give the gRPC port as grpc://host:port'),
        (['grpc://127.0.0.1'], 'give the gRPC port as grpc://host:port'),
        (['grpc://127.0.0.1:1', '--metrics', 'localhost'], 'give host:port'),
        (['grpc://127.0.0.1:1', '--host', '203.0.113.1'], 'can not be served on'),
    ],
)
def test_wrong_addresses(arguments: list[str], message: str) -> None:
    done = subprocess.run([str(JINA), 'dashboard', *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
