"""The HTTP server: binds a socket, runs uvicorn inside the loop of the process, drains and stops."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import inspect
import logging
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import uvicorn
from jina.core.config import ExecutorOptions, GatewayOptions, PodOptions
from jina.core.config.groups import HttpServerOptions
from jina.core.enums import ProtocolType
from jina.core.environment import log_level
from jina.core.errors import ConfigError, StartupError
from jina.core.logging.logger import JinaLogger
from jina.runtime.access import Access
from jina.runtime.http.application import Application, Role
from jina.runtime.http.bounds import Bounds, Sweeper
from jina.runtime.http.direct import DirectProtocol, DirectRoutes
from jina.runtime.ports import BACKLOG, listen
from jina.runtime.service import RequestService

_OWN_SETTINGS: Final = {
    **dict.fromkeys(('app', 'host', 'port', 'fd', 'uds', 'reload', 'workers', 'factory'), 'host and port'),
    **dict.fromkeys(('ssl_certfile', 'ssl_keyfile', 'ssl_context_factory'), 'ssl_certfile and ssl_keyfile'),
}
"""Settings that the server makes itself, and the options for them."""


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, which belong to the process, and with an event for its start."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
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
        host: Address to listen on; by default that of the options.
        port: Port to listen on, 0 for a free one; by default that of the options.
        logger: Logger of the process; by default one is made from the options.
        access: Who may call; None for everybody.

    Raises:
        ConfigError: ``uvicorn_kwargs`` holds something that uvicorn doesn't know, or another parser than the one with limits.
    """

    def __init__(
        self,
        service: RequestService,
        options: ExecutorOptions | GatewayOptions,
        *,
        role: Role,
        host: str | None = None,
        port: int | None = None,
        logger: JinaLogger | None = None,
        access: Access | None = None,
    ) -> None:
        self._name = service.name
        self._host = host or (options.host if isinstance(options.host, str) else options.host[0])
        self._port = _port_of(options) if port is None else port
        self._logger = logger or JinaLogger(
            service.name, log_config=options.log_config, quiet=options.quiet, quiet_error=options.quiet_error
        )
        self._application = Application(service, options, role=role, logger=self._logger, access=access)
        self._shares_port = options.shares_port
        kwargs = options.uvicorn_kwargs if isinstance(options, HttpServerOptions) else None
        self._bounds = Bounds.of(options)
        routes = DirectRoutes(self._application.direct, self._bounds, access)
        self._config = _uvicorn_config(self._application, routes, dict(kwargs or {}), options)
        self._sweeper: Sweeper | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def app(self) -> Any:
        """The FastAPI application."""
        return self._application.app

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
                raise StartupError(f'{self._name}: the HTTP server did not start', hint='see its log above')
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

    async def stop(self, grace: float | None = None) -> None:
        """Refuses new connections, answers the requests in flight, and ends.

        Args:
            grace: Seconds that requests in flight may take; None or 0 for none.
        """
        await self._application.stop()
        if self._sweeper is not None:
            self._sweeper.stop()
        if self._server is None or self._serving is None:
            return
        # uvicorn takes whole seconds in its type only; it hands the value to asyncio.wait_for.
        self._config.timeout_graceful_shutdown = grace or 0  # type: ignore[assignment]
        self._server.should_exit = True
        await asyncio.wait((self._serving,), timeout=(grace or 0) + 1)
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


def _uvicorn_config(
    application: Application, routes: DirectRoutes, kwargs: dict[str, Any], options: PodOptions
) -> uvicorn.Config:
    known = inspect.signature(uvicorn.Config.__init__).parameters
    for name in kwargs:
        if name in _OWN_SETTINGS:
            instead = _OWN_SETTINGS[name]
            raise ConfigError(f'uvicorn_kwargs: {name!r} is set by the server', hint=f'use the options {instead}')
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise ConfigError(
                f'uvicorn_kwargs: uvicorn has no setting {name!r}', hint=f'did you mean {near[0]!r}?' if near else ''
            )
    level = logging.getLevelName(log_level() or 'ERROR')
    settings = {
        'log_config': None,
        'log_level': level if isinstance(level, int) else logging.ERROR,
        'access_log': False,
        'lifespan': 'off',
        'ws': 'none',
        'proxy_headers': False,
        'server_header': False,
        'backlog': BACKLOG,
        'ssl_certfile': options.ssl_certfile,
        'ssl_keyfile': options.ssl_keyfile,
        **kwargs,
    }
    if settings.get('http', 'auto') in ('auto', 'httptools'):
        settings['http'] = partial(DirectProtocol, routes)
    elif options.max_request_bytes is not None:
        raise ConfigError(
            f'uvicorn_kwargs: http is {settings["http"]!r}, for which max_request_bytes means nothing',
            hint='leave out one of them',
        )
    return uvicorn.Config(application, **settings)
