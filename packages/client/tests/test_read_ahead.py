from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from jina.client.read_ahead import ReadAhead


async def numbers(count: int, made: list[int] | None = None) -> AsyncGenerator[int, None]:
    for number in range(count):
        await asyncio.sleep(0)
        if made is not None:
            made.append(number)
        yield number


async def test_all_items_come_in_order() -> None:
    items = ReadAhead(numbers(100))
    found: list[int] = []
    while ready := await items.take():
        found += ready
    assert found == list(range(100))
    assert await items.take() == []


async def test_a_thread_that_does_not_take_holds_the_iterator_back() -> None:
    made: list[int] = []
    items = ReadAhead(numbers(1000, made))
    for _ in range(200):
        await asyncio.sleep(0)
    assert 0 < len(made) < 30
    await items.close()


async def test_an_error_comes_after_the_items_before_it() -> None:
    async def broken() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError('no more')

    items = ReadAhead(broken())
    assert await items.take() == [1]
    with pytest.raises(ValueError, match='no more'):
        await items.take()


async def test_closing_ends_the_iterator() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[int, None]:
        try:
            while True:
                await asyncio.sleep(0)
                yield 0
        finally:
            closed.set()

    items = ReadAhead(endless())
    await items.take()
    await items.close()
    assert closed.is_set()
