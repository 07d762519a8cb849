from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from jina.core import wire
from jina.runtime.health import Health, ServingStatus, decode_status, service_of

CHECK = '/grpc.health.v1.Health/Check'
LIST = '/grpc.health.v1.Health/List'
WATCH = '/grpc.health.v1.Health/Watch'


def ask(service: str) -> bytes:
    name = service.encode()
    return bytes((0x0A, len(name))) + name if name else b''


@pytest.mark.parametrize('service', ['', *wire.SERVICE_NAMES])
async def test_check_answers_serving(cluster: Any, service: str) -> None:
    worker = await cluster.worker('BaseExecutor')
    answer = await cluster.channel(worker.address).unary_unary(CHECK)(ask(service), timeout=5)
    assert decode_status(answer) is ServingStatus.SERVING


async def test_check_of_a_service_that_is_not_served_is_not_found(cluster: Any) -> None:
    worker = await cluster.worker('BaseExecutor')
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await cluster.channel(worker.address).unary_unary(CHECK)(ask('jina.JinaExecutorSnapshot'), timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_list_has_all_services(cluster: Any) -> None:
    worker = await cluster.worker('BaseExecutor')
    answer = await cluster.channel(worker.address).unary_unary(LIST)(b'', timeout=5)
    assert all(name.encode() in answer for name in wire.SERVICE_NAMES)
    assert answer.count(b'\x08\x01') == len(wire.SERVICE_NAMES) + 1


async def test_watch_tells_of_the_end_and_finishes(cluster: Any) -> None:
    worker = await cluster.worker('BaseExecutor')
    watch = cluster.channel(worker.address).unary_stream(WATCH)(b'')
    assert decode_status(await watch.read()) is ServingStatus.SERVING
    stopping = asyncio.create_task(worker.pod.stop(3))
    assert decode_status(await asyncio.wait_for(watch.read(), 2)) is ServingStatus.NOT_SERVING
    assert await asyncio.wait_for(watch.read(), 2) is grpc.aio.EOF
    await stopping


async def test_watch_of_an_unknown_service_says_so(cluster: Any) -> None:
    worker = await cluster.worker('BaseExecutor')
    watch = cluster.channel(worker.address).unary_stream(WATCH)(ask('nope'))
    assert decode_status(await watch.read()) is ServingStatus.SERVICE_UNKNOWN
    watch.cancel()


def test_service_names_of_any_length_are_read() -> None:
    assert service_of(b'') == ''
    assert service_of(b'\x0a\xc8\x01' + b'x' * 200) == 'x' * 200


async def test_starts_as_not_serving() -> None:
    assert Health(()).status is ServingStatus.NOT_SERVING
