"""Large messages between processes of one machine, as memory files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import grpc.aio
import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from jina import Executor, requests
from jina.core import memory_file, wire
from jina.core.lane import SharedLane
from jina.core.local_stream import LocalStream, open_door
from jina.core.memory_file import MappedMessage
from jina.core.payloads import Spliced
from jina.core.request import DataRequest

pytestmark = pytest.mark.skipif(not memory_file.AVAILABLE, reason='memory files are a thing of Linux')


class Array(BaseDoc):
    array: NdArray


class Doubles(Executor):
    @requests(on='/double')
    def double(self, docs: DocList[Array], **kwargs: Any) -> DocList[Array]:
        for doc in docs:
            doc.array *= 2  # in place: arrays belong to who gets them
        return docs


def arrays(size: int) -> DataRequest:
    request = DataRequest()
    request.exec_endpoint = '/double'
    request.docs = DocList[Array]([Array(array=np.arange(size // 4, dtype=np.float32))])
    return request


def check(raw: Any, size: int, factor: int = 2) -> None:
    response = DataRequest.from_bytes(raw)
    assert not response.is_error, response.status
    response.document_array_cls = DocList[Array]
    np.testing.assert_array_equal(response.docs[0].array, np.arange(size // 4, dtype=np.float32) * factor)


async def until(condition: Callable[[], Any]) -> None:
    async def poll() -> None:
        while not condition():  # noqa: ASYNC110 - of many kinds
            await asyncio.sleep(0.005)

    await asyncio.wait_for(poll(), 20)


def is_near(lane: SharedLane) -> bool:
    return lane._session is not None and isinstance(lane._session.lane._call, LocalStream)


Opened = Callable[[str], SharedLane]


@pytest.fixture
async def near(cluster: Any) -> AsyncIterator[Opened]:
    """Opens fast lanes to addresses of this machine."""
    opened: list[SharedLane] = []

    def connect(address: str) -> SharedLane:
        opened.append(SharedLane(partial(cluster.lane_call, address), enter=open_door))
        return opened[-1]

    yield connect
    for one in opened:
        await one.close()


async def test_arrays_of_all_sizes_pass_both_ways(cluster: Any, near: Opened) -> None:
    worker = await cluster.worker(Doubles)
    one = near(worker.address)
    check(await one.request(arrays(100).to_payload()), 100)
    await until(lambda: is_near(one))
    sizes = (4, 70_000, 300_000, 600_000, 5_000_000, 30_000_000)
    requests_ = [arrays(size).to_payload() for size in sizes]
    answers = await asyncio.gather(*(one.request(raw, timeout=20, metadata=(('a', 'b'),)) for raw in requests_))
    for size, raw in zip(sizes, answers, strict=True):
        check(raw, size)
    assert isinstance(answers[-1], Spliced) and isinstance(answers[-1].owner, MappedMessage)
    # The sender's own array and file are what they were.
    check(requests_[-1], sizes[-1], factor=1)


async def test_a_flow_hands_files_on(cluster: Any, near: Opened) -> None:
    flow = await cluster.flow(Doubles, Doubles)
    one = near(flow.address)
    for _ in range(3):  # the first ones find the way
        check(await one.request(arrays(9_000_000).to_payload()), 9_000_000, factor=4)
    async with grpc.aio.insecure_channel(flow.address, options=wire.merge_grpc_options(None)) as foreign:
        call: Any = foreign.unary_unary(wire.PROCESS_SINGLE_DATA)
        check(await call(arrays(9_000_000).to_bytes()), 9_000_000, factor=4)


async def test_who_can_not_open_the_files_of_the_other_gets_chunks(
    cluster: Any, near: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_file, 'can_open', lambda *_: False)
    worker = await cluster.worker(Doubles)
    one = near(worker.address)
    check(await one.request(arrays(100).to_payload()), 100)
    await until(lambda: is_near(one))
    check(await one.request(arrays(9_000_000).to_payload()), 9_000_000)


async def test_files_of_a_request_that_nobody_waits_for_are_given_back(cluster: Any, near: Opened) -> None:
    worker = await cluster.worker(Doubles)
    one = near(worker.address)
    check(await one.request(arrays(100).to_payload()), 100)
    await until(lambda: is_near(one))
    before = open_files()
    tasks = [asyncio.create_task(one.request(arrays(9_000_000).to_payload())) for _ in range(5)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    tasks.clear()
    for _ in range(3):
        check(await one.request(arrays(9_000_000).to_payload()), 9_000_000)
    await until(lambda: open_files() <= before)


def open_files() -> int:
    return len([name for name in os.listdir('/proc/self/fd') if 'jina-message' in target(name)])


def target(name: str) -> str:
    try:
        return os.readlink(f'/proc/self/fd/{name}')
    except FileNotFoundError:
        return ''
