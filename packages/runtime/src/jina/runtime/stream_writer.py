"""The way of a stream's items to the client, a bounded number behind the generator that makes them.

A task that awaits every single write costs more than making a small document does. So the generator goes on while its
items are written, up to a limit, and writes are carried on by callbacks. That is only for generators that are quick:
whatever takes a while to come is sent before the next item is asked for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any, Final

_AHEAD: Final = 16
"""Items that may wait for the client."""
_AHEAD_BYTES: Final = 1 << 16
_QUICK_S: Final = 0.0002
"""Who makes an item in this time may go on at once, after as many of them as ``_STREAK``."""
_STREAK: Final = 3


class StreamWriter:
    """Writes the items of one stream in their order.

    Args:
        write: Sends bytes to the client; returns when there is room for more.
        packs: Items that wait may be sent as one.
    """

    def __init__(self, write: Callable[[bytes], Coroutine[Any, Any, None]], *, packs: bool = False) -> None:
        self.last_put = perf_counter()
        """When the last item came."""
        self._write = write
        self._packs = packs
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._streak = 0
        self._current: Coroutine[Any, Any, None] | None = None
        self._planned = False
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None

    def put(self, item: bytes) -> bool:
        """Takes an item; returns False if ``room`` has to be awaited before the next one is made.

        Raises:
            Exception: An earlier write failed.
        """
        if self._error is not None:
            raise self._error
        now = perf_counter()
        self._streak = self._streak + 1 if now - self.last_put < _QUICK_S else 0
        self.last_put = now
        self._waiting.append(item)
        self._size += len(item)
        ahead = self._streak > _STREAK and len(self._waiting) < _AHEAD and self._size < _AHEAD_BYTES
        if self._current is None:
            if not (self._packs and ahead):
                self._go_on()
            elif not self._planned:
                self._planned = True
                self._loop.call_soon(self._begin)
        return ahead

    async def room(self) -> None:
        """Lets others work, and returns when everything is on its way.

        Raises:
            Exception: A write failed.
        """
        if self._waiting and self._error is None:
            await self._wait()
        else:
            await asyncio.sleep(0)
        if self._error is not None:
            raise self._error
        self.last_put = perf_counter()

    async def finish(self) -> None:
        """Returns when everything is written.

        Raises:
            Exception: A write failed.
        """
        while (self._current is not None or self._waiting) and self._error is None:
            if self._current is None:
                self._go_on()
            else:
                await self._wait()
        if self._error is not None:
            raise self._error

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _begin(self) -> None:
        self._planned = False
        if self._current is None:
            self._go_on()

    def _go_on(self) -> None:
        """Starts the next write, and another one if that needed no time."""
        while self._waiting and self._current is None and self._error is None:
            if self._packs:
                item = b''.join(self._waiting)
                self._waiting.clear()
                self._size = 0
            else:
                item = self._waiting.popleft()
                self._size -= len(item)
            self._current = self._write(item)
            self._step()
        if self._waiter is not None and not self._waiter.done() and (not self._waiting or self._error is not None):
            self._waiter.set_result(None)

    def _step(self) -> None:
        """Takes the current write on until it waits for something, as a task would that had to be made first."""
        assert self._current is not None
        try:
            awaited = self._current.send(None)
        except StopIteration:
            self._current = None
        except BaseException as error:  # noqa: BLE001 - raised where the generator is
            self._current, self._error = None, error
        else:
            if awaited is None:
                self._loop.call_soon(self._resume)
            else:
                awaited._asyncio_future_blocking = False
                awaited.add_done_callback(self._resume)

    def _resume(self, _: object = None) -> None:
        if self._current is not None:
            self._step()
        if self._current is None:
            self._go_on()

    def abandon(self) -> None:
        """Ends the current write; nobody reads any more."""
        self._waiting.clear()
        current, self._current = self._current, None
        if current is not None:
            self._error = asyncio.CancelledError()
            current.close()
