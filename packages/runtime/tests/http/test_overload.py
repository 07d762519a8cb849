"""A server at its limit over HTTP: what is refused, and that a stream keeps its place."""

from __future__ import annotations

import asyncio
from typing import Any

from docarray import DocList
from docarray.documents import TextDoc
from jina.core.endpoints import requests
from jina.core.executor import Executor

BODY = b'{"data":[{"text":"a"}]}'


class Talker(Executor):
    @requests(on='/echo')
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs

    @requests(on='/talk')
    async def talk(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        yield TextDoc(text='first')
        await asyncio.Event().wait()


async def test_a_full_server_refuses_requests_and_streams(sites: Any) -> None:
    site = await sites.deployment(Talker, max_concurrency=1, max_queue=0)
    assert (await site.post('/echo', BODY)).status == 200
    reader, writer = await asyncio.open_connection('127.0.0.1', site.port)
    writer.write(b'GET /talk?text=x HTTP/1.1\r\nhost: x\r\n\r\n')
    await asyncio.wait_for(reader.readuntil(b'"first"'), 20)
    for answer in (
        await site.post('/echo', BODY),  # without ASGI
        await site.post('/echo?x=1', BODY),  # by ASGI
        await site.get('/talk?text=y'),
    ):
        assert answer.status == 503 and answer.headers['retry-after'] == '1'
        assert 'executor/rep-0 works at its limit of 1 requests, and 0 more wait' in answer.json()['detail']
    assert (await site.get('/')).status == 200
    writer.close()  # whoever goes gives its place back
    admission = site.pod._admission
    free = asyncio.Event()
    admission.when_room(free.set)
    if admission.is_full:
        await asyncio.wait_for(free.wait(), 20)
    assert (await site.post('/echo', BODY)).status == 200


async def test_bodies_that_do_not_fit_take_no_place(sites: Any) -> None:
    site = await sites.deployment(Talker, max_concurrency=1, max_queue=0)
    for _ in range(3):
        assert (await site.post('/echo', b'{"data":[{"text":1}]}')).status == 422
    assert (await site.post('/echo', BODY)).status == 200
