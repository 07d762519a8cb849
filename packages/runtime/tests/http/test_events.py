"""Streaming endpoints over HTTP: what a client may send, what ends a stream, and who waits for whom."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from docarray import BaseDoc, DocList
from jina.core.endpoints import requests
from jina.core.executor import Executor
from pydantic import BaseModel


class Text(BaseDoc):
    text: str = ''


class Taken(BaseDoc):
    parameters: str = ''


class Settings(BaseModel):
    times: int
    mark: str = ''


class Prefix(Executor):
    @requests(on='/plain')
    def prefix(self, docs: DocList[Text], **kwargs: Any) -> None:
        for doc in docs:
            doc.text = f'>{doc.text}'


class Streams(Executor):
    closed = threading.Event()
    made = 0

    @requests(on='/plain')
    async def plain(self, doc: Text, parameters: dict[str, Any], **kwargs: Any) -> AsyncIterator[Text]:
        for number in range(int(parameters.get('times', 1))):
            yield Text(text=f'{doc.text} {number} {type(parameters.get("times")).__name__}')

    @requests(on='/typed')
    async def typed(self, doc: Text, parameters: Settings, **kwargs: Any) -> AsyncIterator[Text]:
        for number in range(parameters.times):
            yield Text(text=f'{doc.text} {number}{parameters.mark}')

    @requests(on='/taken')
    async def taken(self, doc: Taken, **kwargs: Any) -> AsyncIterator[Taken]:
        yield doc

    @requests(on='/hangs')
    async def hangs(self, doc: Text, **kwargs: Any) -> AsyncIterator[Text]:
        yield doc
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.closed.set()

    @requests(on='/endless')
    async def endless(self, doc: Text, **kwargs: Any) -> AsyncIterator[Text]:
        try:
            while True:
                type(self).made += 1
                yield Text(text='x' * 10_000)
        finally:
            self.closed.set()

    @requests(on='/endless-sync')
    def endless_sync(self, doc: Text, **kwargs: Any) -> Iterator[Text]:
        try:
            while True:
                type(self).made += 1
                yield Text(text='x' * 10_000)
        finally:
            self.closed.set()


@pytest.fixture(params=['deployment', 'flow'])
async def site(sites: Any, request: pytest.FixtureRequest) -> Any:
    Streams.closed = threading.Event()
    Streams.made = 0
    return await (sites.deployment(Streams) if request.param == 'deployment' else sites.flow(Prefix, Streams))


def texts(answer: Any) -> list[str]:
    """The documents' texts in a stream, without what the first Executor of the Flow puts in front."""
    *events, end, _ = answer.body.split(b'\r\n\r\n')
    assert end == b'event: end\r\ndata:'
    return [json.loads(event.partition(b'data: ')[2])['text'].lstrip('>') for event in events]


def query(text: str, **parameters: Any) -> str:
    return f'?text={text}&parameters={quote(json.dumps(parameters))}'


async def test_parameters_by_post(site: Any) -> None:
    body = {'data': {'text': 'a'}, 'parameters': {'times': 2}}
    assert texts(await site.post('/plain', body)) == ['a 0 float', 'a 1 float']
    body = {'data': [{'text': 'a'}], 'parameters': {'times': 2, 'mark': '!'}, 'header': {'requestId': 'mine'}}
    assert texts(await site.post('/typed', body)) == ['a 0!', 'a 1!']


async def test_parameters_in_the_query(site: Any) -> None:
    assert texts(await site.get(f'/plain{query("a", times=2)}')) == ['a 0 float', 'a 1 float']
    assert texts(await site.get(f'/typed{query("a", times=1, mark="?")}')) == ['a 0?']
    assert texts(await site.get(f'/typed{query("", times=1)}', {'text': 'b'})) == ['b 0']


async def test_a_field_of_that_name_is_a_field(site: Any) -> None:
    answer = await site.get('/taken?parameters=mine')
    assert b'"parameters":"mine"' in answer.body


@pytest.mark.parametrize(
    ('method', 'path', 'body', 'place'),
    [
        ('POST', '/plain', {'data': []}, ['body', 'data']),
        ('POST', '/plain', {'data': [{}, {}]}, ['body', 'data']),
        ('POST', '/plain', {'data': {'text': [1]}}, ['body', 'data', 'text']),
        ('POST', '/plain', None, ['body']),
        ('GET', '/plain?text=a&parameters=1', None, ['query', 'parameters']),
        ('GET', '/plain?text=a&parameters={', None, ['query', 'parameters']),
    ],
)
async def test_what_does_not_fit_is_422(site: Any, method: str, path: str, body: Any, place: list[str]) -> None:
    answer = await site.request(method, path, body)
    assert answer.status == 422, answer.body
    assert answer.json()['detail'][0]['loc'][: len(place)] == place


async def test_an_executor_checks_its_parameters_model(sites: Any) -> None:
    site = await sites.deployment(Streams)
    for method, path, body, place in (
        ('POST', '/typed', {'data': {'text': 'a'}, 'parameters': {'times': 'x'}}, ['body', 'parameters', 'times']),
        ('GET', f'/typed{query("a", times="x")}', None, ['query', 'parameters', 'times']),
        ('GET', '/typed?text=a', None, ['query', 'parameters', 'times']),
    ):
        answer = await site.request(method, path, body)
        assert (answer.status, answer.json()['detail'][0]['loc']) == (422, place)


async def begin(site: Any, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Begins a stream and returns after its first event."""
    reader, writer = await asyncio.open_connection('127.0.0.1', site.port)
    writer.write(f'GET {path}?text=x HTTP/1.1\r\nhost: x\r\n\r\n'.encode())
    await asyncio.wait_for(reader.readuntil(b'event: update'), 10)
    return reader, writer


@pytest.mark.parametrize('path', ['/hangs', '/endless', '/endless-sync'])
async def test_a_client_that_leaves_ends_the_generator(site: Any, path: str) -> None:
    _, writer = await begin(site, path)
    assert not Streams.closed.is_set()
    writer.transport.abort()
    assert await asyncio.to_thread(Streams.closed.wait, 20)
    assert (await site.get('/')).status == 200


@pytest.mark.parametrize('path', ['/endless', '/endless-sync'])
async def test_a_slow_reader_holds_the_generator_back(site: Any, path: str) -> None:
    _, writer = await begin(site, path)
    before = 0
    while Streams.made != before:
        before = Streams.made
        await asyncio.sleep(0.5)  # long enough for some more, if nothing held them back
    # What the sockets and gRPC take, a few MB in all; without a bound it would be thousands a second.
    assert before < 3000
    writer.transport.abort()
    assert await asyncio.to_thread(Streams.closed.wait, 20)


async def test_a_quick_generator_leaves_others_their_turn(sites: Any) -> None:
    """It never waits for anything itself."""
    site = await sites.deployment(Streams)
    reader, writer = await begin(site, '/endless')

    async def read() -> None:
        while await reader.read(1 << 16):
            pass

    reading = asyncio.create_task(read())
    for _ in range(5):
        assert (await site.get('/')).status == 200
    writer.transport.abort()
    reading.cancel()
    await asyncio.wait((reading,))


async def test_an_item_is_sent_before_the_next_is_made(sites: Any) -> None:
    resume = threading.Event()

    class Blocks(Executor):
        @requests(on='/blocks')
        async def blocks(self, doc: Text, **kwargs: Any) -> AsyncIterator[Text]:
            yield doc
            yield doc
            resume.wait(10)  # a model that computes without giving the event loop a turn
            yield doc

    site = await sites.deployment(Blocks)
    timer = threading.Timer(10, resume.set)
    received = await asyncio.to_thread(_read_two_events, site.port, resume)
    timer.cancel()
    assert received == 2


def _read_two_events(port: int, resume: threading.Event) -> int:
    """Reads in a thread, since the server in this process blocks the loop; counts events before it goes on."""
    import socket

    with socket.create_connection(('127.0.0.1', port), timeout=8) as connection:
        connection.sendall(b'GET /blocks?text=x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
        received = b''
        while received.count(b'event: update') < 2:
            received += connection.recv(1 << 16)
        blocked = not resume.is_set()
        resume.set()
        while connection.recv(1 << 16):
            pass
    return received.count(b'event: update') if blocked else 0


async def test_pages_of_other_origins(sites: Any) -> None:
    site = await sites.deployment(Streams, cors=True)
    answer = await site.get('/plain?text=a', headers={'origin': 'http://elsewhere'})
    assert answer.headers['access-control-allow-origin'] == 'http://elsewhere'
    assert texts(answer) == ['a 0 NoneType']
