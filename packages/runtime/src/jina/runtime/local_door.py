"""The door of a server for clients on the same machine, see ``jina.core.local_stream``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from jina.core.local_stream import LocalStream, listen


class LocalDoor:
    """Listens for clients of this machine.

    Args:
        serve: Serves one stream of frames.

    Attributes:
        name: Under which clients find it; empty if there is none.
    """

    def __init__(self, serve: Callable[[LocalStream], Awaitable[None]]) -> None:
        self.name = ''
        self._serve = serve
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, port: int) -> None:
        """Starts to listen, where that is possible.

        Args:
            port: Where the server listens for gRPC.
        """
        found = listen(port)
        if found is None:
            return
        self.name, listener = found
        self._server = await asyncio.get_running_loop().create_unix_server(self._stream, sock=listener)

    async def close(self, grace: float | None) -> None:
        """Stops to listen, and ends all streams.

        Args:
            grace: Seconds that their servers may take to end them by themselves.
        """
        self.name = ''
        server, self._server = self._server, None
        if server is not None:
            server.close()
        if self._tasks and grace:
            await asyncio.wait(self._tasks, timeout=grace)
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _stream(self) -> LocalStream:
        task: asyncio.Task[None] | None = None

        def made(stream: LocalStream) -> None:
            nonlocal task
            task = asyncio.get_running_loop().create_task(self._run(stream))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        def lost() -> None:
            if task is not None:
                task.cancel()

        return LocalStream(made, lost)

    async def _run(self, stream: LocalStream) -> None:
        try:
            if not stream.is_stranger():
                await self._serve(stream)
                await stream.close()
        finally:
            stream.cancel()
