"""The HTTP server: binds a socket, runs uvicorn inside the loop of the process, drains and stops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
from jina.core.config import ExecutorOptions, GatewayOptions
from jina.core.config.groups import HttpServerOptions
from jina.core.enums import ProtocolType
from jina.core.errors import StartupError
from jina.core.logging.logger import JinaLogger
from jina.runtime.access import Access
from jina.runtime.http.application import Application, Role
from jina.runtime.http.bounds import Bounds, Sweeper
from jina.runtime.http.direct import DirectProtocol, DirectRoutes
from jina.runtime.http.given import GivenApplication
from jina.runtime.http.uvicorn_settings import uvicorn_config
from jina.runtime.ports import listen
from jina.runtime.service import RequestService
from starlette.types import ASGIApp
from uvicorn.protocols.http.flow_control import CLOSE_HEADER

_LINGER_S: Final = 5.0
"""Seconds that a server which leaves waits for the end of connections at most, beside those with requests."""
_LOOK_S: Final = 0.05


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, which belong to the process, and with an event for its start."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as stop:  # which would end the loop
            raise StartupError('the application failed to start', hint='see its log above') from stop
        if not self.should_exit:  # how older versions say the same
            self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves a worker or a gateway over HTTP. Make and use it inside a running event loop.

    Args:
        service: What answers.
        options: Options of the process; ``host``, the port of protocol HTTP and those of the HTTP server are used.
        role: ``worker`` or ``gateway``.
        port: Port to listen on, 0 for a free one; by default that of the options.
        logger: Logger of the process; by default one is made from the options.
        app: An ASGI application that is served instead of the service.
        access: Who may call; None for everybody.

    Raises:
        ConfigError: ``uvicorn_kwargs`` holds something that Uvicorn doesn't know or that can't be applied.
    """

    def __init__(
        self,
        service: RequestService,
        options: ExecutorOptions | GatewayOptions,
        *,
        role: Role,
        port: int | None = None,
        logger: JinaLogger | None = None,
        app: ASGIApp | None = None,
        access: Access | None = None,
    ) -> None:
        self.linger_s = 0.0
        """Seconds that ``stop`` waits for the end of connections without a request."""
        self._name = service.name
        self._host = options.host if isinstance(options.host, str) else options.host[0]
        self._port = _port_of(options) if port is None else port
        self._logger = logger or JinaLogger(
            service.name, log_config=options.log_config, quiet=options.quiet, quiet_error=options.quiet_error
        )
        self._application: Application | GivenApplication = (
            Application(service, options, role=role, logger=self._logger, access=access)
            if app is None
            else GivenApplication(app, options, self._logger, access, service)
        )
        self._shares_port = options.shares_port
        kwargs = options.uvicorn_kwargs if isinstance(options, HttpServerOptions) else None
        self._bounds = Bounds.of(options)
        self._routes = DirectRoutes(self._application.direct, self._bounds, access, service)
        self._config = uvicorn_config(
            self._application,
            self._routes,
            kwargs or {},
            options,
            takes_websocket_settings=ProtocolType.WEBSOCKET in options.protocol,
        )
        self._sweeper: Sweeper | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def app(self) -> Any:
        """The FastAPI application."""
        return self._application.app

    def extend(self, app: ASGIApp) -> None:
        """Sends every request through an application that was made of ``app``; call it before ``start``.

        Args:
            app: ``app`` with more routes or middleware, or something that wraps it.
        """
        if isinstance(self._application, Application):
            self._application.extend(app)

    async def start(self) -> int:
        """Binds the port, starts to serve, and returns the real port.

        Raises:
            PortInUseError: Another process listens there.
            StartupError: uvicorn didn't start.
        """
        listener = listen(self._host, self._port, self._name, shared=self._shares_port)
        try:
            await self._application.start()
            self._server = _Server(self._config)
            self._serving = asyncio.get_running_loop().create_task(self._server.serve(sockets=[listener]))
            listening = asyncio.ensure_future(self._server.listening.wait())
            await asyncio.wait((self._serving, listening), return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                listening.cancel()
                failure = self._serving.exception()
                raise StartupError(
                    f'{self._name}: the HTTP server did not start', hint='see its log above'
                ) from failure
            self._sweeper = Sweeper(self._server.server_state, self._bounds)
        except BaseException:
            listener.close()
            await self.stop(0)
            raise
        port: int = listener.getsockname()[1]
        return port

    def refresh(self) -> None:
        """Looks for the endpoints of the service again, soon."""
        self._application.refresh()

    async def wait_ended(self) -> None:
        """Returns when the server has stopped.

        Raises:
            Exception: What ended it.
        """
        if self._serving is not None:
            await self._serving

    async def leave(self, grace: float | None = None) -> None:
        """Refuses new connections, ends each of those that there are with its next answer, and stops.

        Connections without a request are kept as long as usual: a client must not send one on a connection that just ends.

        Args:
            grace: Seconds that connections may take; None or 0 for none.
        """
        await self._stop(grace, min(self._config.timeout_keep_alive, _LINGER_S))

    async def _linger(self, server: _Server, limit_s: float) -> None:
        """Ends each connection with its next answer: its client may be sending a request just now."""
        loop = asyncio.get_running_loop()
        until = loop.time() + limit_s
        for listener in server.servers:
            listener.close()
        self._routes.leaving = True
        self._announce_end(server)
        while server.server_state.connections and loop.time() < until:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(_LOOK_S)

    def _announce_end(self, server: _Server) -> None:
        """Says in all answers from now on that the connection ends, also in those to requests under way."""
        self._config.encoded_headers.append(CLOSE_HEADER)
        server.server_state.default_headers = [*server.server_state.default_headers, CLOSE_HEADER]
        for connection in tuple(server.server_state.connections):
            cycle: Any = getattr(connection, 'cycle', None)
            if hasattr(cycle, 'default_headers'):
                cycle.default_headers = [*cycle.default_headers, CLOSE_HEADER]

    async def stop(self, grace: float | None = None) -> None:
        """Refuses new connections, answers the requests in flight, and ends.

        Args:
            grace: Seconds that requests in flight may take; None or 0 for none.
        """
        await self._stop(grace, self.linger_s)

    async def _stop(self, grace: float | None, linger_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (grace or 0)
        if self._server is not None and grace and linger_s:
            await self._linger(self._server, min(grace, linger_s))
        grace = max(0.0, deadline - loop.time())
        await self._application.stop()
        if self._sweeper is not None:
            self._sweeper.stop()
        if self._server is None or self._serving is None:
            return
        # uvicorn takes whole seconds in its type only; it hands the value to asyncio.wait_for.
        self._config.timeout_graceful_shutdown = grace  # type: ignore[assignment]
        self._server.should_exit = True
        await asyncio.wait((self._serving,), timeout=grace + 1)
        if not self._serving.done():
            self._serving.cancel()
            await asyncio.wait((self._serving,))
        for connection in tuple(self._server.server_state.connections):
            if isinstance(connection, DirectProtocol):
                connection.cut_off()


def _port_of(options: ExecutorOptions | GatewayOptions) -> int:
    if not options.port or ProtocolType.HTTP not in options.protocol:
        return 0
    return options.port[options.protocol.index(ProtocolType.HTTP)]
