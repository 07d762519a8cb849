"""What stands in front of pods in the place of a Service: new connections go to those that are its endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import Counter
from typing import Any

_LAG_S = 1.0
"""Seconds after which every node knows that a pod leaves; it gets connections until then."""


class Balancer:
    """Leads TCP connections from a loopback port to one address after the other, without looking into them.

    Args:
        target: The port of the pods.

    Attributes:
        port: The loopback port.
        taken: Connections by address.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.taken: Counter[str] = Counter()
        self._target = target
        self._addresses: list[str] = []
        self._turn = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: Any = None

    def __enter__(self) -> Balancer:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, '127.0.0.1', 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def add(self, address: str) -> None:
        """Takes up a pod that is ready."""
        self._addresses = [*self._addresses, address]

    def remove(self, address: str) -> None:
        """Leaves a pod out that is about to stop, as late as a cluster does. Its connections stay."""
        time.sleep(_LAG_S)
        self._addresses = [one for one in self._addresses if one != address]

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        addresses = self._addresses
        address = addresses[next(self._turn) % len(addresses)]
        self.taken[address] += 1
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            far_reader, far_writer = await asyncio.open_connection(address, self._target)
            with contextlib.closing(far_writer):
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(1 << 16):
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
