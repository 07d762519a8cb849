"""Listens for clients: what this framework uses of a ``grpc.aio.Server``."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import TYPE_CHECKING, Any, Final

from jina.runtime.http2.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jina.runtime.http2.head import Head
    from jina.runtime.http2.settings import Settings

_BACKLOG: Final = 4096
_SHORTEST_CHECK_S: Final = 0.05
_LONGEST_CHECK_S: Final = 5.0
_CLOSE_S: Final = 1.0
"""So long a client may take to read the last words."""
_PORT_TRIES: Final = 20


class Http2Server:
    """A server of gRPC without encryption.

    Args:
        settings: What it allows.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._handlers: tuple[Any, ...] = ()
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._emptied: asyncio.Future[None] | None = None
        self._checks: asyncio.Task[None] | None = None

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Adds what answers calls; the first that knows a method has it."""
        self._handlers += tuple(handlers)

    def add_insecure_port(self, host: str, port: int) -> int:
        """Binds a port on all addresses of a host.

        Args:
            host: Name or address; ``0.0.0.0`` and ``::`` stand for all addresses of the machine, of both kinds.
            port: 0 for any that is free.

        Returns:
            The port.

        Raises:
            OSError: It can't be bound.
        """
        addresses = _addresses_of(host)
        for attempt in range(_PORT_TRIES):
            bound: list[socket.socket] = []
            number = port
            try:
                for family, address in addresses:
                    bound.append(self._bind(family, address, number))
                    number = bound[0].getsockname()[1]
            except OSError as error:
                for one in bound:
                    one.close()
                if port or not bound or error.errno != errno.EADDRINUSE or attempt == _PORT_TRIES - 1:
                    raise
                continue
            self._sockets += bound
            return number
        raise AssertionError('the last try raises')

    def _bind(self, family: int, address: str, port: int) -> socket.socket:
        one = socket.socket(family, socket.SOCK_STREAM)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._settings.shares_port:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != '::')
            one.bind((address, port))
            one.listen(_BACKLOG)  # here and not later: of two servers, the second learns that it is
            one.setblocking(False)
        except BaseException:
            one.close()
            raise
        return one

    async def start(self) -> None:
        """Begins to serve."""
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            self._listeners.append(await loop.create_server(self._connect, sock=one, backlog=_BACKLOG))
        self._checks = loop.create_task(self._check())

    def _connect(self) -> Connection:
        connection = Connection(self._settings, self._find, self._lost)
        self._connections.add(connection)
        return connection

    def _find(self, head: Head) -> Any:
        for handler in self._handlers:
            method = handler.service(head)
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


def _addresses_of(host: str) -> list[tuple[int, str]]:
    """Returns families and addresses to bind for a host."""
    host = host.strip('[]')
    if host in ('0.0.0.0', '::', ''):
        return [(socket.AF_INET6, '::')] if _has_both() else [(socket.AF_INET, '0.0.0.0')]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found))


def _has_both() -> bool:
    """Whether one socket can take clients with addresses of both kinds."""
    if not socket.has_dualstack_ipv6():
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            one.bind(('::', 0))
    except OSError:
        return False
    return True
