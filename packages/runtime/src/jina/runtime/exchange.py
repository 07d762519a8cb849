"""Many requests of one caller under way at the same time, never more than a window, with their responses as they come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from itertools import chain
from typing import Generic, TypeVar

__all__ = ['exchange']

Q = TypeVar('Q')
A = TypeVar('A')


async def exchange(
    questions: Iterator[Q], send: Callable[[Q], Awaitable[A]], *, window: int, in_order: bool
) -> AsyncGenerator[tuple[Q, A], None]:
    """Sends questions and yields each with its answer.

    Args:
        questions: What is sent; read as there is room for it. A single one is awaited without a task.
        send: Sends one and returns its answer. What it raises ends everything.
        window: How many may be under way at the same time; 0 for no limit.
        in_order: Yield in the order of the questions instead of as answers come.
    """
    head = list(zip(range(2), questions, strict=False))  # a second one tells that there are several
    if len(head) < 2:
        for _, question in head:
            yield question, await send(question)
        return
    under_way = _UnderWay(chain((question for _, question in head), questions), send, in_order)
    try:
        while True:
            while (not window or len(under_way) < window) and under_way.begin():
                continue
            if not len(under_way):
                return
            yield await under_way.next()
    finally:
        await under_way.cancel()


class _UnderWay(Generic[Q, A]):
    """Questions that were sent and whose answers nobody has taken yet."""

    def __init__(self, questions: Iterator[Q], send: Callable[[Q], Awaitable[A]], in_order: bool) -> None:
        self._questions = questions
        self._send = send
        self._in_order = in_order
        self._order: deque[asyncio.Task[tuple[Q, A]]] = deque()
        self._finished: asyncio.Queue[asyncio.Task[tuple[Q, A]]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[tuple[Q, A]]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self) -> bool:
        """Sends the next question; False if there is none."""
        for question in self._questions:
            task = asyncio.ensure_future(self._ask(question))
            self._tasks.add(task)
            if self._in_order:
                self._order.append(task)
            else:
                task.add_done_callback(self._finished.put_nowait)
            return True
        return False

    async def next(self) -> tuple[Q, A]:
        """Returns a question and its answer."""
        task = self._order.popleft() if self._in_order else await self._finished.get()
        result = await task
        self._tasks.discard(task)
        return result

    async def cancel(self) -> None:
        """Ends what is still under way."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.exception()  # retrieved: the first failure was raised already

    async def _ask(self, question: Q) -> tuple[Q, A]:
        return question, await self._send(question)
