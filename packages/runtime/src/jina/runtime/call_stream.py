"""One client's ``Call``: a stream of requests, answered as they finish or in their order, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

_Answer: TypeAlias = 'Callable[[bytes], Awaitable[bytes]]'


class CallStream:
    """Reads requests, answers each in a task, writes the responses.

    A request occupies one of ``prefetch`` places from the moment it is read until its response is written, so that
    neither a slow Executor nor a slow client makes the server collect requests.

    Args:
        answer: Turns a serialised request into a serialised response.
        write: Sends a response to the client.
        prefetch: How many requests may be under way; 0 for no limit.
        in_order: Responses come in the order of the requests.
    """

    def __init__(
        self, answer: _Answer, write: Callable[[bytes], Awaitable[None]], *, prefetch: int, in_order: bool
    ) -> None:
        self._answer = answer
        self._write = write
        self._places = asyncio.Semaphore(prefetch) if prefetch > 0 else None
        self._in_order = in_order
        self._ready: asyncio.Queue[asyncio.Future[bytes] | None] = asyncio.Queue()
        self._tasks: set[asyncio.Future[bytes]] = set()
        self._reader: asyncio.Task[None] | None = None
        self.interrupted = False
        """True if the server stopped reading before the client's last request."""

    async def run(self, requests: AsyncIterator[bytes]) -> None:
        """Serves the stream until the client's last request is answered.

        Raises:
            Exception: What ``answer`` raises; everything else of this stream is cancelled then.
        """
        self._reader = asyncio.create_task(self._read(requests))
        try:
            reading = True
            while reading or self._tasks:
                task = await self._ready.get()
                if task is None:
                    reading = False
                    continue
                response = await task
                self._tasks.discard(task)
                await self._write(response)
                if self._places is not None:
                    self._places.release()
            await self._finish_reader()
        finally:
            self._reader.cancel()
            for task in self._tasks:
                task.cancel()

    def interrupt(self) -> None:
        """Stops reading; what was read is still answered."""
        if self._reader is not None and not self._reader.done():
            self.interrupted = True
            self._reader.cancel()

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        try:
            if self._places is not None:
                await self._places.acquire()
            async for raw in requests:
                task = asyncio.ensure_future(self._answer(raw))
                self._tasks.add(task)
                if self._in_order:
                    self._ready.put_nowait(task)
                else:
                    task.add_done_callback(self._ready.put_nowait)
                if self._places is not None:
                    await self._places.acquire()
        finally:
            self._ready.put_nowait(None)

    async def _finish_reader(self) -> None:
        """Reports what ended the reader, unless the server interrupted it."""
        assert self._reader is not None
        try:
            await self._reader
        except asyncio.CancelledError:
            if not self.interrupted:
                raise
