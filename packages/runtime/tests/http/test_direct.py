"""The short way of plain posts: the same answers as over ASGI, and nothing lost where the two meet on a connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.endpoints import requests
from jina.core.executor import Executor
from jina.runtime.http import direct
from jina.runtime.http.routes import Exchange

LIMIT_S = 30.0


class Echo(Executor):
    @requests(on='/echo')
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs

    @requests(on='/fail')
    def fail(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        raise ValueError('no')

    @requests(on='/größe')
    def size(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs


def post(path: str, text: str, *lines: str, version: str = '1.1') -> bytes:
    body = json.dumps({'data': [{'id': 'i', 'text': text}]}).encode()
    head = '\r\n'.join([f'POST {path} HTTP/{version}', 'host: x', f'content-length: {len(body)}', *lines])
    return head.encode() + b'\r\n\r\n' + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = await asyncio.wait_for(reader.readuntil(b'\r\n\r\n'), LIMIT_S)
    status, *lines = head.decode().strip().split('\r\n')
    headers = dict(line.split(': ', 1) for line in lines)
    body = await asyncio.wait_for(reader.readexactly(int(headers.get('content-length', 0))), LIMIT_S)
    return int(status.split()[1]), headers, body


def text_of(body: bytes) -> str:
    text: str = json.loads(body)['data'][0]['text']
    return text


@contextlib.asynccontextmanager
async def connection(site: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection('127.0.0.1', site.port)
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.fixture
def direct_answers(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Bodies of the requests that took the short way."""
    taken: list[bytes] = []

    class Noted(Exchange):
        def begin(self, raw: bytes, headers: Any) -> None:
            taken.append(raw)
            super().begin(raw, headers)

    monkeypatch.setattr(direct, 'Exchange', Noted)
    return taken


@pytest.mark.parametrize('path', ['/echo', '/fail', '/gr%C3%B6%C3%9Fe'])
async def test_both_ways_give_the_same_answer(sites: Any, path: str) -> None:
    site = await sites.deployment(Echo, quiet_error=True)
    answers = []
    async with connection(site) as (reader, writer):
        for target in (path, f'{path}?a=b'):  # a query takes the way through ASGI
            writer.write(post(target, 'x'))
            status, headers, body = await read_answer(reader)
            assert headers.pop('date')
            answers.append((status, list(headers.items()), body))
    assert answers[0] == answers[1]
    assert answers[0][0] == (499 if path == '/fail' else 200)


async def test_a_plain_post_takes_the_short_way(sites: Any, direct_answers: list[bytes]) -> None:
    site = await sites.deployment(Echo)
    async with connection(site) as (reader, writer):
        for text in ('a', 'b'):
            writer.write(post('/echo', text))
            assert text_of((await read_answer(reader))[2]) == text
        writer.write(post('/echo?', 'c'))
        assert text_of((await read_answer(reader))[2]) == 'c'
    assert [json.loads(raw)['data'][0]['text'] for raw in direct_answers] == ['a', 'b']


@pytest.mark.parametrize(
    'options',
    [{'cors': True}, {'uvicorn_kwargs': {'http': 'h11'}}, {'uvicorn_kwargs': {'limit_concurrency': 100}}],
    ids=['cors', 'h11', 'limit'],
)
async def test_what_needs_asgi_goes_through_it(
    sites: Any, direct_answers: list[bytes], options: dict[str, Any]
) -> None:
    site = await sites.deployment(Echo, **options)
    answer = await site.post('/echo', {'data': [{'text': 'x'}]}, headers={'origin': 'http://here'})
    assert answer.json()['data'][0]['text'] == 'x'
    assert ('access-control-allow-origin' in answer.headers) is ('cors' in options)
    assert direct_answers == []


async def test_requests_sent_ahead_are_answered_in_order(sites: Any) -> None:
    site = await sites.deployment(Echo)
    expected = ['a', 'b', 'c', 'd', 'e']
    paths = ['/echo', '/echo', '/echo?', '/echo', '/echo?']
    async with connection(site) as (reader, writer):
        writer.write(b''.join(post(path, text) for path, text in zip(paths, expected, strict=True)))
        assert [text_of((await read_answer(reader))[2]) for _ in expected] == expected


@pytest.mark.parametrize(('lines', 'version'), [(('connection: close',), '1.1'), ((), '1.0')])
async def test_a_connection_that_should_close_closes(sites: Any, lines: tuple[str, ...], version: str) -> None:
    site = await sites.deployment(Echo)
    async with connection(site) as (reader, writer):
        writer.write(post('/echo', 'x', *lines, version=version))
        _, headers, body = await read_answer(reader)
        assert (headers.get('connection', 'close'), text_of(body)) == ('close', 'x')
        assert await asyncio.wait_for(reader.read(), LIMIT_S) == b''


async def test_a_client_may_ask_whether_to_continue(sites: Any) -> None:
    site = await sites.deployment(Echo)
    head, _, body = post('/echo', 'x', 'expect: 100-continue').partition(b'\r\n\r\n')
    async with connection(site) as (reader, writer):
        writer.write(head + b'\r\n\r\n')
        assert (await read_answer(reader))[0] == 100
        writer.write(body)
        assert text_of((await read_answer(reader))[2]) == 'x'


@pytest.mark.parametrize('size', [0, 10, 3_000_000])
async def test_bodies_in_pieces(sites: Any, direct_answers: list[bytes], size: int) -> None:
    site = await sites.deployment(Echo)
    raw = post('/echo', 'x' * size)
    async with connection(site) as (reader, writer):
        for part in (raw[:20], raw[20:100], raw[100:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        assert text_of((await read_answer(reader))[2]) == 'x' * size
    assert len(direct_answers) == 1


async def test_nonsense_after_a_request_ends_the_connection(sites: Any) -> None:
    site = await sites.deployment(Echo)
    async with connection(site) as (reader, writer):
        writer.write(post('/echo', 'x'))
        assert (await read_answer(reader))[0] == 200
        writer.write(b'nonsense\r\n\r\n')
        assert (await read_answer(reader))[0] == 400
        assert await asyncio.wait_for(reader.read(), LIMIT_S) == b''


async def test_a_request_whose_body_is_still_coming_is_answered_before_the_end(sites: Any) -> None:
    site = await sites.deployment(Echo)
    raw = post('/echo', 'x')
    async with connection(site) as (reader, writer):
        writer.write(raw[:-5])
        await until(lambda: _uploads(site))
        stopping = asyncio.ensure_future(site.pod.stop(LIMIT_S))
        await asyncio.sleep(0)
        writer.write(raw[-5:])
        _, headers, body = await read_answer(reader)
        assert text_of(body) == 'x'
        assert headers.get('connection', 'close') == 'close'
        await stopping


def _uploads(site: Any) -> bool:
    """Tells whether a connection of the server is in the middle of a body."""
    state = site.pod._servers[0]._server.server_state
    return any(connection._handler is not None for connection in state.connections)


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 - uvicorn's state has no event
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), LIMIT_S)
