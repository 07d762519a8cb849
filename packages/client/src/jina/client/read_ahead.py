"""Documents of a stream for a thread that reads them: several at a time, since each way between threads is expensive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Generic, TypeVar

__all__ = ['ReadAhead']

_T = TypeVar('_T')
_AHEAD: Final = 16
"""Items that may wait for the thread."""


class ReadAhead(Generic[_T]):
    """Reads an asynchronous iterator a bounded number of items ahead. Make it on the event loop.

    Args:
        items: The iterator.
    """

    def __init__(self, items: AsyncGenerator[_T, None]) -> None:
        self._items = items
        self._ready: list[_T] = []
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()
        self._task = asyncio.create_task(self._fill())

    async def take(self) -> list[_T]:
        """Returns the items that are there, at least one; none at the end.

        Raises:
            Exception: What the iterator raised after the items before it.
        """
        await self._filled.wait()
        if not self._ready:
            await self._task
        ready, self._ready = self._ready, []
        self._taken.set()
        if not self._task.done():
            self._filled.clear()
        return ready

    async def close(self) -> None:
        """Ends the iterator."""
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _fill(self) -> None:
        try:
            async with aclosing(self._items):
                async for item in self._items:
                    self._ready.append(item)
                    self._filled.set()
                    while len(self._ready) >= _AHEAD:
                        self._taken.clear()
                        await self._taken.wait()
        finally:
            self._filled.set()
