"""Synchronous generators, run in the threads of an Executor and read on its event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from time import perf_counter
from typing import Any, Final

from jina.runtime.threads import CallThreads, bearable

_AHEAD: Final = 16
"""Items that may wait for their reader."""
_VISIT_S: Final = 0.001
"""A generator that has been in the thread for so long lets other calls in before its next item."""


class ThreadedGenerator:
    """A generator whose steps run in a thread, some ahead of their reader.

    Its steps never overlap, also where there are many threads. Between two of them other calls may run.

    Args:
        threads: Where it runs.
        items: The generator.
        form: Takes each item as soon as it is made, in the thread, and gives what is read: the generator may change it
            for the next one.
    """

    def __init__(self, threads: CallThreads, items: Iterator[Any], form: Callable[[Any], Any]) -> None:
        self._threads = threads
        self._items = items
        self._form = form
        self._loop = asyncio.get_running_loop()
        self._made: deque[Any] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._lock = threading.Lock()
        self._running = False
        self._closing = False
        self._over = False
        self._woken = False
        self._error: Exception | None = None

    async def read(self) -> AsyncGenerator[Any, None]:
        """Yields what the generator yields, formed, and raises what it raises. Who leaves closes the generator."""
        try:
            while True:
                over = self._over  # asked first: the last item comes before it
                if not (self._running or over) and len(self._made) <= _AHEAD // 2:
                    self._running = True
                    self._threads.submit(self._work, self._left, beside=True)
                if self._made:
                    yield self._made.popleft()
                elif over:
                    break
                else:
                    await self._wait()
            if self._error is not None:
                raise self._error
        finally:
            self._close()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        # Asked again: the thread may have looked for a waiter a moment ago.
        if self._running and not (self._made or self._over):
            await self._waiter
        self._waiter = None

    def _work(self) -> None:
        """Runs in the thread: makes items until their reader is far behind, or others should have a turn."""
        began = perf_counter()
        try:
            while not self._closing:
                try:
                    item = next(self._items)
                except StopIteration:
                    self._over = True
                    return
                self._made.append(self._form(item))
                del item
                if self._waiter is not None and not self._woken:
                    self._woken = True
                    self._loop.call_soon_threadsafe(self._wake)
                if len(self._made) >= _AHEAD or perf_counter() - began > _VISIT_S:
                    return
        except BaseException as error:  # noqa: BLE001 - raised where the items are read
            self._error = bearable(error)
            self._end()  # nothing to do, unless the item couldn't be formed
        finally:
            with self._lock:
                self._running = False
                closing = self._closing and not self._over
            if closing:
                self._end()

    def _left(self, _: Any, __: Exception | None) -> None:
        self._wake()

    def _wake(self) -> None:
        """On the event loop: there is something to read."""
        self._woken = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _close(self) -> None:
        """Closes the generator: in the thread, after the step that may be running now."""
        with self._lock:
            self._closing = True
            idle = not self._running and not self._over
        if idle:
            self._threads.submit(self._end, lambda _, __: None)

    def _end(self) -> None:
        close = getattr(self._items, 'close', None)
        try:
            if close is not None:
                close()
        finally:
            self._over = True
