"""Limits of HTTP connections: long heads and bodies, and clients that take their time."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.config import DeploymentOptions
from jina.core.endpoints import requests
from jina.core.errors import ConfigError
from jina.core.executor import Executor
from jina.runtime.http.bounds import Bounds
from jina.runtime.process import PodServer


class Echo(Executor):
    @requests(on='/echo')
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs


HEAD = b'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
BODY = b'{"data":[{"text":"a"}]}'
PARSERS = pytest.mark.parametrize('parser', ['httptools', 'h11'])


async def talk(site: Any, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Sends the parts with pauses between them, and returns all that comes until the server ends the connection."""
    reader, writer = await asyncio.open_connection('127.0.0.1', site.port)
    everything = asyncio.ensure_future(reader.read())
    try:
        for part in parts:
            if everything.done():
                break
            writer.write(part)
            await writer.drain()
            await asyncio.wait((everything,), timeout=pause_s)
        return await asyncio.wait_for(everything, 60)
    finally:
        writer.close()


def message(length: int) -> bytes:
    return HEAD + b'content-length: %d\r\n\r\n' % length


@PARSERS
@pytest.mark.parametrize('path', [b'/echo', b'/echo?x=1'], ids=['direct', 'asgi'])
async def test_a_long_body_is_refused_before_it_is_read(sites: Any, path: bytes, parser: str) -> None:
    site = await sites.deployment(Echo, max_request_bytes=1000, uvicorn_kwargs={'http': parser})
    text = 'y' * (1000 - len(b'{"data":[{"text":""}]}'))
    body = json.dumps({'data': [{'text': text}]}, separators=(',', ':'))
    assert len(body) == 1000
    assert (await site.post('/echo', body.encode())).status == 200
    for extra in (b'', b'expect: 100-continue\r\n'):
        head = message(1001).replace(b'/echo', path).replace(b'\r\n\r\n', b'\r\n' + extra + b'\r\n')
        answer = await talk(site, head)
        assert answer.startswith(b'HTTP/1.1 413 ')
        assert b'max_request_bytes' in answer and b'connection: close' in answer
    chunked = HEAD.replace(b'/echo', path) + b'transfer-encoding: chunked\r\n\r\n'
    assert (await talk(site, chunked, *[b'200\r\n' + b'z' * 512 + b'\r\n'] * 8)).startswith(b'HTTP/1.1 413 ')
    answer = await site.post('/echo', b'{"data":[{"text":"' + b'x' * 5_000_000 + b'"}]}')  # who sends on hears it too
    assert answer.status == 413
    assert (await site.post('/echo', BODY)).status == 200


@PARSERS
async def test_a_refused_request_ends_those_behind_it(sites: Any, parser: str) -> None:
    site = await sites.deployment(Echo, max_request_bytes=1000, uvicorn_kwargs={'http': parser})
    good = message(len(BODY)) + BODY
    answer = await talk(site, good, message(2000) + b'x' * 2000 + good + good, pause_s=0.5)
    assert answer.count(b'HTTP/1.1 200') == 1 and answer.count(b'HTTP/1.1 413') == 1 and answer.count(b'HTTP/') == 2


@PARSERS
async def test_long_headers_are_refused(sites: Any, parser: str) -> None:
    site = await sites.deployment(Echo, max_header_bytes=2000, uvicorn_kwargs={'http': parser})
    whole = b'content-length: %d\r\n\r\n' % len(BODY) + BODY
    for size in (1800, 3000):
        fit = size < 2000
        head = HEAD + b'x-long: ' + b'h' * size + b'\r\n'
        for parts in ([head + whole], [head[: size // 2], head[size // 2 :], whole]):
            closing = b'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n' if fit else b''
            answer = await talk(site, *parts, closing, pause_s=0.1)
            assert answer.startswith(b'HTTP/1.1 200 ' if fit else b'HTTP/1.1 431 ')
    endless = await talk(site, b'GET /' + b'a' * 1500, *[b'b' * 1500] * 5, pause_s=0.05)
    assert endless.startswith(b'HTTP/1.1 431 ')


@PARSERS
async def test_a_large_body_in_pieces_does_not_count_as_headers(sites: Any, parser: str) -> None:
    site = await sites.deployment(Echo, max_header_bytes=1024, uvicorn_kwargs={'http': parser})
    body = json.dumps({'data': [{'text': 'y' * 300_000}]}).encode()
    parts = [message(len(body)) + body + HEAD[:40], HEAD[40:] + b'content-length: %d\r\n\r\n' % len(BODY) + BODY]
    closing = b'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'
    assert (await talk(site, *parts, closing, pause_s=0.3)).count(b'HTTP/1.1 200') == 3


@PARSERS
async def test_slow_clients_are_parted_from(sites: Any, parser: str) -> None:
    site = await sites.deployment(
        Echo, timeout_headers=400, timeout_body=400, uvicorn_kwargs={'timeout_keep_alive': 60, 'http': parser}
    )
    begin = time.monotonic()
    silent, drip, body, stray = await asyncio.gather(
        talk(site),
        talk(site, *[bytes([byte]) for byte in HEAD], pause_s=0.1),
        talk(site, message(500), *[b'x'] * 30, pause_s=0.1),
        talk(site, message(len(BODY)) + BODY, *[b'\r\n'] * 30, pause_s=0.1),
    )
    assert silent == b''
    assert drip.startswith(b'HTTP/1.1 408 ')
    assert body.startswith(b'HTTP/1.1 408 ')
    assert stray.startswith(b'HTTP/1.1 200 ')
    assert time.monotonic() - begin < 30
    assert (await site.post('/echo', BODY)).status == 200


@PARSERS
async def test_who_sends_fast_enough_has_time(sites: Any, parser: str) -> None:
    site = await sites.deployment(Echo, timeout_headers=400, timeout_body=400, uvicorn_kwargs={'http': parser})
    piece = b'y' * 2000
    body = b'{"data":[{"text":"' + piece * 12 + b'"}]}'
    closing = b'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'
    parts = [body[start : start + 2000] for start in range(0, len(body), 2000)]
    answer = await talk(site, message(len(body)), *parts, closing, pause_s=0.15)
    assert answer.count(b'HTTP/1.1 200') == 2


@PARSERS
async def test_slow_work_is_no_slow_client(sites: Any, parser: str) -> None:
    class Slow(Executor):
        @requests(on='/echo')
        async def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
            await asyncio.sleep(1.5)
            return docs

    site = await sites.deployment(Slow, timeout_headers=200, timeout_body=200, uvicorn_kwargs={'http': parser})
    assert (await site.post('/echo', BODY)).status == 200
    assert (await site.post('/echo?x=1', BODY)).status == 200


@PARSERS
async def test_a_body_behind_its_answer(sites: Any, parser: str) -> None:
    """The answer has gone out before the body is found too long, or too slow: there is no second one."""
    limits = {'max_request_bytes': 1000, 'timeout_body': 400}
    site = await sites.deployment(Echo, uvicorn_kwargs={'http': parser}, **limits)
    nowhere = HEAD.replace(b'/echo', b'/nowhere')
    chunk = b'200\r\n' + b'z' * 512 + b'\r\n'
    long, slow = await asyncio.gather(
        talk(site, nowhere + b'transfer-encoding: chunked\r\n\r\n', *[chunk] * 8, pause_s=0.1),
        talk(site, nowhere + b'content-length: 900\r\n\r\n', *[b'x'] * 30, pause_s=0.1),
    )
    for answer in (long, slow):
        assert answer.startswith(b'HTTP/1.1 404 ') and answer.count(b'HTTP/1.1') == 1
    assert (await talk(site, message(500), pause_s=0.1)).startswith(b'HTTP/1.1 408 ')  # the check goes on
    assert (await site.post('/echo', BODY)).status == 200


@PARSERS
async def test_a_refused_head_request_has_no_body(sites: Any, parser: str) -> None:
    site = await sites.deployment(Echo, max_request_bytes=1000, uvicorn_kwargs={'http': parser})
    answer = await talk(site, message(2000).replace(b'POST', b'HEAD'))
    assert answer.startswith(b'HTTP/1.1 413 ') and answer.endswith(b'\r\n\r\n')


def test_defaults_are_on() -> None:
    assert Bounds.of(DeploymentOptions()) == Bounds(65536, None, 20.0, 20.0)
    assert Bounds.of(DeploymentOptions(timeout_headers=-1, timeout_body=-1)).sweep_s is None


async def test_a_parser_of_the_user_has_no_limits() -> None:
    own = 'uvicorn.protocols.http.h11_impl:H11Protocol'
    for name in ('max_request_bytes', 'max_header_bytes', 'timeout_headers', 'timeout_body'):
        options = DeploymentOptions(uses=Echo, protocol='http', uvicorn_kwargs={'http': own}, **{name: 1234})
        with pytest.raises(ConfigError, match=f'for which {name} means nothing'):
            await PodServer(options).start()
