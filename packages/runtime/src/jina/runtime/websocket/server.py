"""The WebSocket server: binds a port, opens connections, drains and stops."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import logging
import weakref
from collections.abc import Sequence
from typing import Any, ClassVar, Final, cast

from jina.core.config import ExecutorOptions, GatewayOptions, PodOptions
from jina.core.config.groups import HttpServerOptions
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError
from jina.core.gathering import GatheringTransport
from jina.core.logging.logger import JinaLogger
from jina.runtime.access import Access
from jina.runtime.admission import LimitedService
from jina.runtime.dry_run import dry_run_status
from jina.runtime.ports import listen
from jina.runtime.service import RequestService, count_refusal, waiting
from jina.runtime.waiting_room import Gate
from jina.runtime.websocket.bytes_mode import BytesMode
from jina.runtime.websocket.conversation import Conversation
from jina.runtime.websocket.json_mode import EndpointCatalog, JsonMode
from jina.runtime.websocket.mode import Mode
from jina.runtime.websocket.pages import DRY_RUN_PATH, Pages, path_of
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

_BYTES: Final = Subprotocol('bytes')
_JSON: Final = Subprotocol('json')
_MESSAGE_BYTES: Final = 1 << 30
_DEFAULT_PREFETCH: Final = 1000
_CLOSE_S: Final = 1.0
"""Seconds that clients have to agree to the end when the server stops."""
_SETTINGS: Final = {
    'ws_max_size': 'max_size',
    'ws_max_queue': 'max_queue',
    'ws_ping_interval': 'ping_interval',
    'ws_ping_timeout': 'ping_timeout',
    'ws_per_message_deflate': 'compression',
}
"""What ``uvicorn_kwargs`` may say about WebSockets, and how ``websockets`` calls it."""
_LOGGER: Final = logging.getLogger('websockets.server')
_LOGGER.addHandler(logging.NullHandler())  # or the last resort of logging would print each port scan


class _Connection(ServerConnection):
    """A connection that writes the answers of one turn of the event loop together."""

    alive: ClassVar[weakref.WeakSet[_Connection]] = weakref.WeakSet()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.alive.add(self)
        super().connection_made(GatheringTransport(cast('asyncio.Transport', transport)))


class WebSocketServer:
    """Serves a worker or a gateway over WebSocket. Make and use it inside a running event loop.

    Args:
        service: What answers.
        options: Options of the process; ``prefetch``, ``cors`` and what ``uvicorn_kwargs`` says about WebSockets are used.
        is_worker: The service is an Executor itself.
        host: Address to listen on.
        port: Port to listen on, 0 for a free one.
        logger: Logger of the process.
        access: Who may call; None for everybody.

    Raises:
        ConfigError: ``uvicorn_kwargs`` holds a setting for WebSockets that doesn't exist.
    """

    def __init__(
        self,
        service: RequestService,
        options: ExecutorOptions | GatewayOptions,
        *,
        is_worker: bool,
        host: str,
        port: int,
        logger: JinaLogger,
        access: Access | None = None,
    ) -> None:
        # Clients wait for a place, and aren't read meanwhile: refusing one request would end the others of its connection.
        self._gates: list[Gate] = list(getattr(service, 'waiting_rooms', ()))
        if isinstance(service, LimitedService):
            self._gates.append(service.admission)
        self._service: RequestService = waiting(service.patient() if isinstance(service, LimitedService) else service)
        self._is_worker = is_worker
        self._host = host
        self._port = port
        self._logger = logger
        self._shares_port = options.shares_port
        self._prefetch = options.prefetch if isinstance(options, GatewayOptions) else _DEFAULT_PREFETCH
        http = options if isinstance(options, HttpServerOptions) else HttpServerOptions()
        self._settings = _settings(http.uvicorn_kwargs or {}, options, alone=ProtocolType.HTTP not in options.protocol)
        origins = options.allow_origins or (['*'] if http.cors else None)
        self._pages = Pages(service, origins=origins, access=access, debug=not http.no_debug_endpoints)
        self._tls = None
        if options.ssl_certfile is not None and options.ssl_keyfile is not None:
            from jina.core.tls import server_context  # noqa: PLC0415 - only with TLS

            self._tls = server_context(options.ssl_certfile, options.ssl_keyfile)
        self._catalog = EndpointCatalog(self._service, is_worker=is_worker, logger=logger)
        self._conversations: dict[Conversation, asyncio.Task[Any] | None] = {}
        self._draining = False
        self._end = CloseCode.GOING_AWAY
        self._server: Server | None = None

    async def start(self) -> int:
        """Binds the port, starts to serve, and returns the real port.

        Raises:
            PortInUseError: Another process listens there.
            StartupError: The address isn't one of this machine.
        """
        listener = listen(self._host, self._port, self._service.name, shared=self._shares_port)
        port: int = listener.getsockname()[1]
        self._server = await serve(
            self._converse,
            sock=listener,
            process_request=self._pages,
            select_subprotocol=_select,
            create_connection=_Connection,
            server_header=None,
            logger=_LOGGER,
            ssl=self._tls,
            **({'ssl_handshake_timeout': self._settings['open_timeout']} if self._tls else {}),
            **self._settings,
        )
        return port

    def refresh(self) -> None:
        """Looks for the endpoints of the service again, soon."""
        self._catalog.refresh()

    async def stop(self, grace: float | None = None) -> None:
        """Refuses new connections, answers the requests in flight, and ends.

        Args:
            grace: Seconds that requests in flight may take; None or 0 for none.
        """
        await self._catalog.close()
        if self._server is None:
            return
        self._draining = True
        self._server.close(close_connections=False)
        for conversation in tuple(self._conversations):
            conversation.drain(self._end)
        await self._wait(grace or 0)
        for conversation in tuple(self._conversations):
            conversation.cut_off()
        await self._wait(_CLOSE_S)
        for connection in tuple(_Connection.alive):
            if connection.server is self._server:
                connection.transport.abort()
        await self._server.wait_closed()

    async def leave(self, grace: float | None = None) -> None:
        """Stops like ``stop``, and tells clients that they reach another process at the same address.

        Args:
            grace: Seconds that requests in flight may take; None or 0 for none.
        """
        self._end = CloseCode.SERVICE_RESTART
        await self.stop(grace)

    async def _wait(self, limit_s: float) -> None:
        tasks = [task for task in self._conversations.values() if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=limit_s)

    async def _converse(self, connection: ServerConnection) -> None:
        request = connection.request
        if request is not None and path_of(request) == DRY_RUN_PATH:
            await self._dry_run(connection)
            return
        headers = request.headers.raw_items() if request is not None else ()
        metadata = tuple((name.lower(), value) for name, value in headers)
        mode = self._mode(connection.subprotocol, metadata)
        conversation = Conversation(
            connection,
            mode,
            name=self._service.name,
            prefetch=self._prefetch,
            logger=self._logger,
            gates=self._gates,
        )
        self._conversations[conversation] = asyncio.current_task()
        try:
            if self._draining:
                conversation.drain(self._end)
            await conversation.run()
        finally:
            del self._conversations[conversation]
            if _was_too_long(connection):
                count_refusal(self._service, 'size')

    async def _dry_run(self, connection: ServerConnection) -> None:
        mode = self._mode(connection.subprotocol or _JSON)
        message = mode.dry_run((await dry_run_status(self._service)).proto)
        with contextlib.suppress(ConnectionClosed):
            await connection.send(message, text=mode.is_text)

    def _mode(self, subprotocol: str | None, metadata: Sequence[tuple[str, str]] = ()) -> Mode:
        if subprotocol == _BYTES:
            return BytesMode(self._service, metadata)
        return JsonMode(self._service, self._catalog, is_worker=self._is_worker, metadata=metadata)


def _was_too_long(connection: ServerConnection) -> bool:
    """Whether the server ended a connection since a message was too long."""
    protocol = connection.protocol
    sent = protocol.close_sent
    return sent is not None and sent.code == CloseCode.MESSAGE_TOO_BIG and not protocol.close_rcvd_then_sent


def _select(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Chooses the first subprotocol that the client offers and the server has. One that offers none gets JSON."""
    return next((name for name in offered if name in (_BYTES, _JSON)), None)


def _settings(kwargs: dict[str, Any], options: PodOptions, *, alone: bool) -> dict[str, Any]:
    """Returns the arguments of ``serve``.

    Args:
        kwargs: ``uvicorn_kwargs``.
        options: Limits of the server.
        alone: There is no HTTP server that the others of these are for.
    """
    settings: dict[str, Any] = {
        'max_size': min(options.max_request_bytes or _MESSAGE_BYTES, _MESSAGE_BYTES),
        'open_timeout': None if options.timeout_headers < 0 else options.timeout_headers / 1000,
        'max_queue': 4,
        'compression': None,
        'ping_interval': 20,
        # A client that waits for room doesn't read, and so doesn't answer pings; the network's own time limit will do.
        'ping_timeout': None,
        'write_limit': 1 << 16,
    }
    for name, value in kwargs.items():
        if name in _SETTINGS:
            settings[_SETTINGS[name]] = value
        elif alone or name.startswith('ws_'):
            near = difflib.get_close_matches(name, _SETTINGS, 1)
            hint = f'did you mean {near[0]!r}?' if near else f'there are {", ".join(_SETTINGS)}'
            raise ConfigError(f'uvicorn_kwargs: the WebSocket server has no setting {name!r}', hint=hint)
    if settings['compression'] is not None:
        settings['compression'] = 'deflate' if settings['compression'] else None
    return settings
