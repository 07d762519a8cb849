"""``warm_up`` stands between ``__init__`` and the first request."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable
from typing import Any

import grpc
import grpc.aio
import pytest
from docarray import BaseDoc, DocList
from jina.core import wire
from jina.core.config import ExecutorOptions
from jina.core.endpoints import requests
from jina.core.enums import ProtocolType
from jina.core.executor import Executor
from jina.core.request import DataRequest
from jina.runtime.health import ServingStatus, decode_status
from jina.runtime.process import PodServer

HEALTH = '/grpc.health.v1.Health/Check'


class Text(BaseDoc):
    text: str = ''


class Warm(Executor):
    """Waits until it may go on."""

    begun = threading.Event()
    go_on = threading.Event()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.thread = 0

    def warm_up(self) -> None:
        self.thread = threading.get_ident()
        self.begun.set()
        assert self.go_on.wait(30)

    @requests
    def thread_is_the_same(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return DocList[Text]([Text(text=str(threading.get_ident() == self.thread))])


class WarmAsync(Warm):
    """The same with a coroutine."""

    async def warm_up(self) -> None:  # type: ignore[override]
        self.begun.set()
        assert await asyncio.to_thread(self.go_on.wait, 30)


class Cold(Executor):
    """Can't get warm."""

    closed = False

    def warm_up(self) -> Awaitable[None] | None:
        raise ValueError('the weights are missing')

    def close(self) -> None:
        type(self).closed = True


def options(uses: type[Executor], **values: Any) -> ExecutorOptions:
    if issubclass(uses, Warm):
        Warm.begun, Warm.go_on = threading.Event(), threading.Event()
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    return ExecutorOptions(uses=uses, host='127.0.0.1', port=[port], log_config='plain', **values)


@pytest.mark.parametrize('uses', [Warm, WarmAsync])
async def test_not_serving_until_it_is_over(uses: type[Warm]) -> None:
    chosen = options(uses)
    pod = PodServer(chosen)
    start = asyncio.ensure_future(pod.start())
    async with grpc.aio.insecure_channel(f'127.0.0.1:{chosen.port[0]}') as channel:
        check: Any = channel.unary_unary(HEALTH)
        process: Any = channel.unary_unary(wire.PROCESS_SINGLE_DATA)
        try:
            assert await asyncio.to_thread(uses.begun.wait, 30)
            assert decode_status(await check(b'')) is ServingStatus.NOT_SERVING
            request = DataRequest()
            request.exec_endpoint = '/'
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await process(request.to_bytes())
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.stream_stream(wire.FAST_LANE)().read()  # type: ignore[call-arg]
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert not start.done()
            uses.go_on.set()
            await start
            assert decode_status(await check(b'')) is ServingStatus.SERVING
            response = DataRequest.from_bytes(await process(request.to_bytes()))
            response.document_array_cls = DocList[Text]
            assert response.docs[0].text == str(uses is Warm)
        finally:
            uses.go_on.set()
            await start
            await pod.stop(0)


async def test_http_listens_only_when_it_is_over() -> None:
    chosen = options(Warm, protocol=[ProtocolType.HTTP])
    pod = PodServer(chosen)
    start = asyncio.ensure_future(pod.start())
    try:
        assert await asyncio.to_thread(Warm.begun.wait, 30)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection('127.0.0.1', chosen.port[0])
        Warm.go_on.set()
        await start
        _, writer = await asyncio.open_connection('127.0.0.1', chosen.port[0])
        writer.close()
    finally:
        Warm.go_on.set()
        await start
        await pod.stop(0)


async def test_a_failure_fails_the_start_and_closes_the_executor() -> None:
    with pytest.raises(ValueError, match='the weights are missing'):
        await PodServer(options(Cold)).start()
    assert Cold.closed
