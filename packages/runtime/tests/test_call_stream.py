from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from jina.runtime.call_stream import CallStream


async def numbers(count: int, read: list[int] | None = None) -> AsyncIterator[bytes]:
    for number in range(count):
        if read is not None:
            read.append(number)
        yield b'%d' % number


class Collector:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.got_one = asyncio.Event()

    async def write(self, response: bytes) -> None:
        self.written.append(response)
        self.got_one.set()


async def sooner_for_later(raw: bytes) -> bytes:
    await asyncio.sleep(0.05 - 0.01 * int(raw))
    return raw


async def test_responses_come_as_they_finish_or_in_order() -> None:
    unordered, ordered = Collector(), Collector()
    await CallStream(sooner_for_later, unordered.write, prefetch=0, in_order=False).run(numbers(5))
    await CallStream(sooner_for_later, ordered.write, prefetch=0, in_order=True).run(numbers(5))
    assert unordered.written == [b'4', b'3', b'2', b'1', b'0']
    assert ordered.written == [b'0', b'1', b'2', b'3', b'4']


@pytest.mark.parametrize('in_order', [True, False])
async def test_no_more_than_prefetch_requests_are_read_and_under_way(in_order: bool) -> None:
    under_way, most, read = 0, 0, list[int]()

    async def answer(raw: bytes) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        assert len(read) - int(raw) <= 3
        await asyncio.sleep(0.001)
        under_way -= 1
        return raw

    collector = Collector()
    await CallStream(answer, collector.write, prefetch=2, in_order=in_order).run(numbers(20, read))
    assert len(collector.written) == 20
    assert most == 2


async def test_client_that_does_not_read_stops_the_reading() -> None:
    read = list[int]()
    released = asyncio.Event()

    async def write(response: bytes) -> None:
        await released.wait()

    async def answer(raw: bytes) -> bytes:
        return raw

    running = asyncio.create_task(CallStream(answer, write, prefetch=3, in_order=False).run(numbers(50, read)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(read) == 3
    released.set()
    await running
    assert len(read) == 50


async def test_failure_cancels_the_rest() -> None:
    cancelled = asyncio.Event()

    async def answer(raw: bytes) -> bytes:
        if raw == b'1':
            raise ValueError('broken')
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return raw

    with pytest.raises(ValueError, match='broken'):
        await CallStream(answer, Collector().write, prefetch=0, in_order=False).run(numbers(2))
    await asyncio.wait_for(cancelled.wait(), 1)


async def test_interrupt_answers_what_was_read() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'0'
        await asyncio.Event().wait()

    go = asyncio.Event()

    async def answer(raw: bytes) -> bytes:
        await go.wait()
        return raw

    collector = Collector()
    stream = CallStream(answer, collector.write, prefetch=0, in_order=False)
    running = asyncio.create_task(stream.run(endless()))
    await asyncio.sleep(0.01)
    stream.interrupt()
    go.set()
    await asyncio.wait_for(running, 1)
    assert stream.interrupted
    assert collector.written == [b'0']
