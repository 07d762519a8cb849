"""The channel inside of the process behaves as gRPC's does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from docarray import BaseDoc, DocList
from jina.core import wire
from jina.core.config import ExecutorOptions
from jina.core.endpoints import requests
from jina.core.executor import Executor
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.runtime.in_process import InProcessPod


class Text(BaseDoc):
    text: str = ''


class Slow(Executor):
    """Waits until it is cancelled, and yields endlessly."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.yielded = 0

    @requests(on='/wait')
    async def wait(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return docs

    @requests(on='/count')
    async def count(self, doc: Text, **kwargs: Any) -> AsyncIterator[Text]:  # type: ignore[misc]
        try:
            while True:
                self.yielded += 1
                yield Text(text=str(self.yielded))
        finally:
            self.cancelled.set()


class Fatal(Executor):
    """Ends its process."""

    @requests
    def fail(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        raise KeyError('gone')


@pytest.fixture
async def pods() -> AsyncIterator[Any]:
    started: list[InProcessPod] = []

    async def start(uses: type[Executor], **options: Any) -> InProcessPod:
        pod = InProcessPod(ExecutorOptions(uses=uses, log_config='plain', **options))
        await pod.start()
        started.append(pod)
        return pod

    yield start
    for pod in started:
        await pod.stop()


def request_to(endpoint: str) -> bytes:
    request = DataRequest()
    request.exec_endpoint = endpoint
    request.docs = DocList[Text]([Text(text='a')])
    return request.to_bytes()


def document_to(endpoint: str) -> bytes:
    request = SingleDocumentRequest()
    request.exec_endpoint = endpoint
    request.document = Text(text='a')
    return request.to_bytes()


async def test_a_cancelled_call_cancels_the_endpoint(pods: Any) -> None:
    pod = await pods(Slow)
    call = asyncio.ensure_future(pod.channel.unary_unary(wire.PROCESS_SINGLE_DATA)(request_to('/wait')))
    await pod.service.executor.started.wait()
    call.cancel()
    await asyncio.wait_for(pod.service.executor.cancelled.wait(), 10)


async def test_a_timeout_cancels_the_endpoint(pods: Any) -> None:
    pod = await pods(Slow)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pod.channel.unary_unary(wire.PROCESS_SINGLE_DATA)(request_to('/wait'), timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(pod.service.executor.cancelled.wait(), 10)


async def test_a_slow_reader_holds_the_generator_back(pods: Any) -> None:
    pod = await pods(Slow)
    call = pod.channel.unary_stream(wire.STREAM_DOC)(document_to('/count'))
    first = SingleDocumentRequest.from_bytes(await call.read())
    first.document_cls = Text
    assert first.document.text == '1'
    for _ in range(100):
        await asyncio.sleep(0)
    assert pod.service.executor.yielded < 50
    call.cancel()
    await asyncio.wait_for(pod.service.executor.cancelled.wait(), 10)


async def test_an_unknown_method_is_unimplemented(pods: Any) -> None:
    pod = await pods(Slow)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pod.channel.unary_unary('/nothing/here')(b'')
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_fatal_exception_ends_the_server(pods: Any) -> None:
    pod = await pods(Fatal, exit_on_exceptions=['KeyError'])
    process = pod.channel.unary_unary(wire.PROCESS_SINGLE_DATA)
    assert DataRequest.from_bytes(await process(request_to('/'))).is_error
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        for _ in range(100):  # the end is noticed in one of the next rounds of the event loop
            await asyncio.sleep(0)
            await process(request_to('/'))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
