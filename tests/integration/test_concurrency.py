"""What runs at the same time in one Executor: with and without ``allow_concurrent``, over all transports."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import TransportError

TOGETHER = 2
WAIT_S = 20


class Text(BaseDoc):
    text: str = ''


Texts = DocList[Text]


class Meeting(Executor):
    """Its methods count how many of their calls run; with ``meet`` as the text they wait for each other."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.running = self.most = 0
        self.lock = threading.Lock()
        self.barrier = threading.Barrier(TOGETHER)
        self.arrived = asyncio.Event()

    def enter(self, text: str) -> None:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        if text == 'meet':
            self.barrier.wait(WAIT_S)
        else:
            time.sleep(0.05)
        with self.lock:
            self.running -= 1

    @requests(on='/sync')
    def sync(self, docs: Texts, **kwargs: Any) -> Texts:
        self.enter(docs[0].text)
        return Texts([Text(text=str(self.most))])

    @requests(on='/each')
    def each(self, doc: Text, **kwargs: Any) -> Text:
        self.enter(doc.text)
        return Text(text=str(self.most))

    @requests(on='/stream')
    def stream(self, doc: Text, **kwargs: Any) -> Iterator[Text]:
        for _ in range(3):
            self.enter(doc.text)
            yield Text(text=str(self.most))

    @requests(on='/async')
    async def coroutine(self, docs: Texts, **kwargs: Any) -> None:
        await self.meet()

    @requests(on='/async-stream')
    async def async_stream(self, doc: Text, **kwargs: Any) -> AsyncIterator[Text]:
        yield doc
        await self.meet()
        yield doc

    async def meet(self) -> None:
        self.running += 1
        if self.running >= TOGETHER:
            self.arrived.set()
        await asyncio.wait_for(self.arrived.wait(), WAIT_S)

    @requests(on='/hold')
    def hold(self, docs: Texts, **kwargs: Any) -> None:
        """Blocks until the file that the text names is there."""
        Path(f'{docs[0].text}.began').touch()
        while not Path(docs[0].text).exists():
            time.sleep(0.02)

    @requests(on='/free')
    async def free(self, docs: Texts, **kwargs: Any) -> None:
        docs[0].text = 'free'

    @requests(on='/waits')
    async def waits(self, docs: Texts, **kwargs: Any) -> None:
        try:
            await asyncio.sleep(WAIT_S)
        finally:
            Path(docs[0].text).touch()  # noqa: ASYNC240 - for a test


def start(stack: ExitStack, transport: str, **options: Any) -> Callable[[str, str], list[str]]:
    """Starts the Executor and returns a function that calls an endpoint with a text."""
    protocol = 'http' if 'http' in transport else 'grpc'
    if transport.startswith('flow'):
        flow = Flow(protocol=protocol).add(uses=Meeting, **options)
        port: Any = stack.enter_context(flow).port
    else:
        port = stack.enter_context(Deployment(uses=Meeting, protocol=protocol, **options)).port

    def call(endpoint: str, text: str) -> list[str]:
        client = Client(port=port, protocol=protocol)
        if endpoint.endswith('stream'):
            documents = client.stream_doc(endpoint, Text(text=text), return_type=Text)
            return [doc.text for doc in documents]
        found = client.post(endpoint, Texts([Text(text=text)]), return_type=Texts, stream=transport != 'unary')
        return list(found.text)

    return call


def call_together(call: Callable[[str, str], list[str]], endpoint: str, text: str, count: int) -> list[list[str]]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: call(endpoint, text), range(count)))


@pytest.mark.parametrize('transport', ['lane', 'unary', 'http', 'flow', 'flow-http'])
def test_without_allow_concurrent_synchronous_calls_never_overlap(transport: str) -> None:
    with ExitStack() as stack:
        call = start(stack, transport)
        for endpoint in ('/sync', '/each', '/stream'):
            answers = call_together(call, endpoint, 'alone', 4)
            assert {text for texts in answers for text in texts} == {'1'}, endpoint


@pytest.mark.parametrize('transport', ['lane', 'unary', 'http', 'flow', 'flow-http'])
def test_with_allow_concurrent_synchronous_calls_meet(transport: str) -> None:
    with ExitStack() as stack:
        call = start(stack, transport, allow_concurrent=True)
        for endpoint in ('/sync', '/each', '/stream'):
            answers = call_together(call, endpoint, 'meet', TOGETHER)
            assert answers[0][-1] == str(TOGETHER), endpoint


@pytest.mark.parametrize('allow_concurrent', [False, True])
@pytest.mark.parametrize('transport', ['lane', 'http'])
def test_asynchronous_calls_always_meet(transport: str, allow_concurrent: bool) -> None:
    for endpoint in ('/async', '/async-stream'):
        with ExitStack() as stack:
            call = start(stack, transport, allow_concurrent=allow_concurrent)
            assert call_together(call, endpoint, 'x', TOGETHER)


@pytest.mark.parametrize('protocol', ['grpc', 'http'])
def test_a_synchronous_call_blocks_neither_health_checks_nor_others(protocol: str, tmp_path: Path) -> None:
    mark = tmp_path / 'go'
    with Deployment(uses=Meeting, protocol=protocol) as deployment, ThreadPoolExecutor(1) as pool:
        client = Client(port=deployment.port, protocol=protocol)
        held = pool.submit(client.post, '/hold', Texts([Text(text=str(mark))]), return_type=Texts)
        try:
            wait_for(lambda: Path(f'{mark}.began').exists())
            assert client.is_deployment_ready()
            assert client.post('/free', Texts([Text()]), return_type=Texts).text == ['free']
            assert not held.done()
        finally:
            mark.touch()
        assert held.result(WAIT_S).text == [str(mark)]


@pytest.mark.parametrize('protocol', ['grpc', 'http'])
def test_timeout_send_cancels(protocol: str, tmp_path: Path) -> None:
    mark = tmp_path / 'cancelled'
    flow = Flow(protocol=protocol, timeout_send=500, retries=0).add(uses=Meeting)
    with flow:
        with pytest.raises(TransportError):
            flow.post('/waits', Texts([Text(text=str(mark))]), return_type=Texts)
        wait_for(mark.exists)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
