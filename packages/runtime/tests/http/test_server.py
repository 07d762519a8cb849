from __future__ import annotations

import asyncio
import http.client
import signal
import socket
import time
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.config import DeploymentOptions
from jina.core.endpoints import requests
from jina.core.errors import PortInUseError, StartupError
from jina.core.executor import Executor
from jina.runtime.process import PodServer


class Echo(Executor):
    @requests(on='/echo')
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs


async def start(**options: Any) -> None:
    pod = PodServer(DeploymentOptions(**{'uses': Echo, 'protocol': 'http', 'host': '127.0.0.1', **options}))
    try:
        await pod.start()
    finally:
        await pod.stop(0)


async def test_several_protocols_have_a_port_each(sites: Any) -> None:
    pod = PodServer(DeploymentOptions(uses=Echo, protocol=['grpc', 'http'], host='127.0.0.1'))
    grpc_address, http_address = await pod.start()
    sites.stack.push_async_callback(pod.stop, 0)
    assert grpc_address.port != http_address.port
    assert (str(http_address)).startswith('http://127.0.0.1:')


async def test_a_given_port_is_used_and_one_that_is_taken_refused(sites: Any, free_port: int) -> None:
    site = await sites.deployment(Echo, port=free_port)
    assert site.port == free_port
    assert (await site.get('/')).status == 200
    with pytest.raises(PortInUseError, match=f'port {free_port} is taken'):
        await start(port=free_port)


async def test_free_ports_come_from_the_range_of_the_environment(
    sites: Any, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('JINA_RANDOM_PORT_MIN', str(free_port))
    monkeypatch.setenv('JINA_RANDOM_PORT_MAX', str(free_port))
    assert (await sites.deployment(Echo)).port == free_port
    with pytest.raises(PortInUseError, match='with all others up to'):
        await start()


async def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(StartupError, match=r'can not listen on 203.0.113.1:0'):
        await start(host='203.0.113.1')


async def test_signal_handlers_stay_as_they_are(sites: Any) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    await sites.deployment(Echo)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_a_connection_serves_many_requests(sites: Any) -> None:
    site = await sites.deployment(Echo)

    def talk() -> list[int]:
        connection = http.client.HTTPConnection('127.0.0.1', site.port, timeout=10)
        statuses = []
        for _ in range(3):
            connection.request('POST', '/echo', b'{"data":[]}')
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        connection.close()
        return statuses

    assert await asyncio.to_thread(talk) == [200, 200, 200]


async def refused(port: int) -> None:
    """Waits until new connections are refused."""
    while True:
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
        except OSError:
            return
        await asyncio.sleep(0.01)


async def test_requests_in_flight_are_answered_before_the_end(sites: Any) -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    class Slow(Executor):
        @requests(on='/slow')
        async def slow(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
            started.set()
            await finish.wait()
            return docs

    site = await sites.deployment(Slow)
    request = asyncio.ensure_future(site.post('/slow', {'data': [{'text': 'x'}]}))
    await asyncio.wait_for(started.wait(), 10)
    stopping = asyncio.ensure_future(site.pod.stop(5))
    await asyncio.wait_for(refused(site.port), 5)
    finish.set()
    assert (await request).status == 200
    await stopping


async def test_requests_that_take_too_long_are_cut_off(sites: Any) -> None:
    started = asyncio.Event()

    class Hangs(Executor):
        @requests(on='/hang')
        async def hang(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
            started.set()
            await asyncio.Event().wait()

    site = await sites.deployment(Hangs)
    request = asyncio.ensure_future(site.post('/hang', {'data': []}))
    await asyncio.wait_for(started.wait(), 10)
    begin = time.perf_counter()
    await site.pod.stop(0.3)
    assert time.perf_counter() - begin < 20
    answer = await request
    assert answer.status == 503
    assert answer.json()['detail'] == 'the server is stopping and the request took too long; send it again'


async def test_streams_that_take_too_long_are_cut_off(sites: Any) -> None:
    class Endless(Executor):
        @requests(on='/endless')
        async def endless(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
            yield TextDoc(text='first')
            await asyncio.Event().wait()

    site = await sites.deployment(Endless)
    reader, writer = await asyncio.open_connection('127.0.0.1', site.port)
    writer.write(b'GET /endless?text=x HTTP/1.1\r\nhost: x\r\n\r\n')
    await asyncio.wait_for(reader.readuntil(b'"first"'), 10)
    await site.pod.stop(0.3)
    rest = await asyncio.wait_for(reader.read(), 10)
    assert b'event: end' not in rest
    writer.close()
