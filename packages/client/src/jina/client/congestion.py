"""Requests of one call to a server that works at its limit: as many side by side as it takes on."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable

from jina.core.errors import OverloadError
from jina.core.request import DataRequest, Response

__all__ = ['Congestion']


class Congestion:
    """Sends requests. One that is refused waits for another one of the call to be answered, and is sent again.

    Args:
        send: Sends a request and returns its response.
    """

    def __init__(self, send: Callable[[DataRequest], Awaitable[Response]]) -> None:
        self._send = send
        self._limit = math.inf
        self._active = 0
        self._answered = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def send(self, request: DataRequest) -> Response:
        """Sends a request and returns its response.

        Raises:
            OverloadError: It was refused, and no other request of the call was in the way.
        """
        while True:
            while self._active >= self._limit:
                await self._wait()
            self._active += 1
            before = self._answered
            try:
                response = await self._send(request)
            except OverloadError:
                # One that was answered meanwhile may have been in the way when the server refused this one.
                if self._active == 1 and self._answered == before:
                    raise
                self._limit = max(1.0, min(self._limit, self._active - 1))
            else:
                self._answered += 1
                self._limit += 1 / self._limit  # nothing, as long as there is no limit
                return response
            finally:
                self._active -= 1
                self._wake()

    async def _wait(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        finally:
            if not place.done() or place.cancelled():
                self._wake()  # the place may be another one's

    def _wake(self) -> None:
        places = self._limit - self._active
        while self._waiting and places >= 1:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                places -= 1
