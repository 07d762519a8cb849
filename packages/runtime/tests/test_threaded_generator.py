from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from jina.runtime.threaded_generator import ThreadedGenerator
from jina.runtime.threads import CallThreads


@pytest.fixture(params=[1, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[CallThreads]:
    threads = CallThreads(request.param, 'test-call')
    yield threads
    threads.close()


async def test_all_items_come_in_order(threads: CallThreads) -> None:
    assert [item async for item in ThreadedGenerator(threads, iter(range(1000)), lambda item: item).read()] == list(
        range(1000)
    )


async def test_an_item_comes_before_the_next_is_made(threads: CallThreads) -> None:
    go_on = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        yield 2
        assert go_on.wait(10)
        yield 3

    items: Any = ThreadedGenerator(threads, slow(), lambda item: item).read()
    assert [await anext(items), await anext(items)] == [1, 2]
    go_on.set()
    assert [item async for item in items] == [3]


async def test_an_error_comes_after_the_items_before_it(threads: CallThreads) -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise ValueError('no more')

    seen: list[int] = []
    with pytest.raises(ValueError, match='no more'):
        async for item in ThreadedGenerator(threads, broken(), lambda item: item).read():
            seen.append(item)
    assert seen == list(range(5))


async def test_the_generator_is_not_far_ahead(threads: CallThreads) -> None:
    made: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            made.append(len(made))
            yield made[-1]

    async with contextlib.aclosing(ThreadedGenerator(threads, endless(), lambda item: item).read()) as items:  # type: ignore[type-var]
        assert await anext(items) == 0
        await asyncio.sleep(0.2)  # time enough for many, if nothing held them back
        assert len(made) < 50


async def test_leaving_during_a_step_closes_the_generator_after_it(threads: CallThreads) -> None:
    inside, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def endless() -> Iterator[int]:
        try:
            yield 0
            inside.set()
            assert go_on.wait(10)
            yield 1
        finally:
            closed.set()

    items: Any = ThreadedGenerator(threads, endless(), lambda item: item).read()
    assert await anext(items) == 0
    waiting = asyncio.ensure_future(anext(items))
    assert await asyncio.to_thread(inside.wait, 10)
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert not closed.is_set()
    go_on.set()
    assert await asyncio.to_thread(closed.wait, 10)


async def test_leaving_between_two_steps_closes_the_generator(threads: CallThreads) -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    items: Any = ThreadedGenerator(threads, endless(), lambda item: item).read()
    await anext(items)
    await items.aclose()
    assert await asyncio.to_thread(closed.wait, 10)


async def test_other_calls_run_between_two_items() -> None:
    threads = CallThreads(1, 'test-call')
    passed = threading.Event()

    def patient() -> Iterator[int]:
        while not passed.is_set():
            yield 0

    async def read() -> None:
        async for _ in ThreadedGenerator(threads, patient(), lambda item: item).read():
            pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    await asyncio.wait_for(threads.run(passed.set), 10)
    await asyncio.wait_for(reading, 10)
    threads.close()


async def test_items_are_formed_before_the_generator_goes_on(threads: CallThreads) -> None:
    def growing() -> Iterator[list[int]]:
        items: list[int] = []
        for number in range(5):
            items.append(number)
            yield items

    found = [item async for item in ThreadedGenerator(threads, growing(), tuple).read()]
    assert found == [tuple(range(length)) for length in range(1, 6)]


async def test_an_item_that_can_not_be_formed_closes_the_generator(threads: CallThreads) -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with pytest.raises(ZeroDivisionError):
        async for _ in ThreadedGenerator(threads, endless(), lambda item: 1 // item).read():
            pass
    assert closed.is_set()
