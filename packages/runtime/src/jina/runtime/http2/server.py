"""Listens for clients."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from jina.runtime.http2.connection import Connection
from jina.runtime.ports import BACKLOG, listen_everywhere

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from jina.runtime.http2.head import Head
    from jina.runtime.http2.settings import Settings
    from jina.runtime.methods import AnyMethod, Methods

_SHORTEST_CHECK_S: Final = 0.05
_LONGEST_CHECK_S: Final = 5.0
_CLOSE_S: Final = 1.0
"""So long a client may take to read the last words."""


class Http2Server:
    """A server of gRPC without encryption.

    Args:
        settings: What it allows.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._methods: tuple[Methods, ...] = ()
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._emptied: asyncio.Future[None] | None = None
        self._checks: asyncio.Task[None] | None = None

    def add_methods(self, methods: Sequence[Methods]) -> None:
        """Adds what answers calls; the first that knows a method has it."""
        self._methods += tuple(methods)

    def bind(self, host: str, port: int, name: str) -> int:
        """Binds a port on all addresses of a host, see ``ports.listen_everywhere``.

        Args:
            host: Address or name.
            port: 0 for any that is free.
            name: Name of the process, for errors.

        Returns:
            The port.

        Raises:
            StartupError: It can't be bound.
        """
        bound = listen_everywhere(host, port, name, shared=self._settings.shares_port)
        self._sockets += bound
        number: int = bound[0].getsockname()[1]
        return number

    async def start(self) -> None:
        """Begins to serve."""
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            self._listeners.append(await loop.create_server(self._connect, sock=one, backlog=BACKLOG))
        self._checks = loop.create_task(self._check())

    def _connect(self) -> Connection:
        connection = Connection(self._settings, self._find, self._lost)
        self._connections.add(connection)
        return connection

    def _find(self, head: Head) -> AnyMethod | None:
        for methods in self._methods:
            method = methods.find(head)
            if method is not None:
                return method
        return None

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def _check(self) -> None:
        """Looks after the connections now and then."""
        loop = asyncio.get_running_loop()
        settings = self._settings
        times = (settings.handshake_s, settings.ping_s, settings.ping_timeout_s, settings.idle_s, settings.age_s)
        shortest = min(one for one in times if one is not None)
        every = min(max(shortest / 4, _SHORTEST_CHECK_S), _LONGEST_CHECK_S)
        while True:
            await asyncio.sleep(every)
            now = loop.time()
            for connection in tuple(self._connections):
                connection.check(now)

    async def stop(self, grace: float | None) -> None:
        """Takes no new clients, has the others leave, and cancels what is left of their calls.

        Args:
            grace: Seconds that calls in flight may still take; None cancels them at once.
        """
        if self._checks is not None:
            self._checks.cancel()
        for listener in self._listeners:
            listener.close()
        for one in self._sockets:
            one.close()
        if grace:
            for connection in tuple(self._connections):
                connection.leave()
            await self._empty(grace)
        tasks = [
            stream.task
            for connection in self._connections
            for stream in connection.streams.values()
            if stream.task is not None
        ]
        for connection in tuple(self._connections):
            connection.close()
        if tasks:
            await asyncio.wait(tasks)
        await self._empty(_CLOSE_S)
        for connection in tuple(self._connections):
            connection.abort()

    async def _empty(self, seconds: float) -> None:
        """Waits until all clients are gone, but not longer."""
        if self._connections:
            self._emptied = asyncio.get_running_loop().create_future()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._emptied, seconds)
