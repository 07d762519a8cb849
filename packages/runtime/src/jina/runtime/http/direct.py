"""The short way of a request: from uvicorn's parser to the handler of its endpoint, and from there to the socket.

ASGI costs a task, a dozen of dictionaries and several callbacks for each request, more than the rest of a small one. So
requests that need nothing of it don't take that way: a whole HTTP/1.1 ``POST`` to an endpoint on a connection that stays
open. All others go through uvicorn's own protocol, of which this is a subclass, and through ASGI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from jina.runtime.access import Access
from jina.runtime.http.bounds import BODY, HEAD, WORKING, BoundedProtocol, Bounds
from jina.runtime.http.routes import RETRY_LINE, Exchange, PostHandler
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

_JOINED_BYTES: Final = 1 << 16
"""Up to this size a body is sent with its headers in one write."""


class DirectRoutes:
    """What all connections of a server share.

    Args:
        handlers: Handlers by path as it stands in the request line; it may change.
        bounds: Limits of the connections.
        access: Who may call; those who may not are told so over ASGI. None for everybody.
        served: What is called; counts what is too long or too slow.
    """

    def __init__(
        self,
        handlers: Mapping[bytes, PostHandler],
        bounds: Bounds | None = None,
        access: Access | None = None,
        served: Any = None,
    ) -> None:
        self.served = served
        self.handlers = handlers
        self.bounds = bounds or Bounds()
        self.access = access
        self.leaving = False
        """Whether connections end with their next answer."""
        self._default_headers: list[tuple[bytes, bytes]] | None = None
        self._default_lines = b''

    def head(self, status: int, default_headers: list[tuple[bytes, bytes]], size: int, *, keep_alive: bool) -> bytes:
        """Returns the head of a response with a JSON body."""
        if default_headers is not self._default_headers:  # uvicorn makes a new list every second, with the date
            self._default_lines = b''.join(
                name + b': ' + value + b'\r\n' for name, value in default_headers if (name, value) != CLOSE_HEADER
            )
            self._default_headers = default_headers
        return b'%b%bcontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n' % (
            STATUS_LINE[status],
            self._default_lines,
            size,
            _ending(status, keep_alive),
        )


def _ending(status: int, keep_alive: bool) -> bytes:
    """Returns the headers that few answers have."""
    if keep_alive and status != 503:
        return b''
    return (RETRY_LINE if status == 503 else b'') + (b'' if keep_alive else b'connection: close\r\n')


class _DirectCycle:
    """A request on the short way. uvicorn's protocol takes it for a cycle of its own: these are what it looks at."""

    __slots__ = ('disconnected', 'keep_alive', 'response_complete')

    message_event: Final = asyncio.Event()

    def __init__(self) -> None:
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False


class DirectProtocol(BoundedProtocol):
    """A connection.

    Args:
        routes: Which requests take the short way.
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        _loop: uvicorn's.
    """

    def __init__(
        self,
        routes: DirectRoutes,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(routes.bounds, config, server_state, app_state, _loop, served=routes.served)
        self._routes = routes
        # These need the request's scope, or count requests by uvicorn's tasks.
        self._off = bool(self.access_log or self.root_path or self.limit_concurrency is not None)
        self._handler: PostHandler | None = None
        self._body: list[bytes] = []
        self._exchange: Exchange | None = None
        self._direct = _DirectCycle()

    def on_message_begin(self) -> None:
        self.phase, self.received, self.since = HEAD, -1, None
        self.url = b''
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        if self.strict or self.received >= 0:
            if not self.head_complete():
                return
        else:
            self.phase, self.received = BODY, 0
        handler = self._routes.handlers.get(self.url)
        if handler is not None and self._is_plain():
            self._handler = handler
            # Of its own, since self.cycle is the next request of a client that doesn't wait for answers.
            self.cycle = self._direct = _DirectCycle()  # type: ignore[assignment]
            return
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()

    def _is_plain(self) -> bool:
        """Tells whether a request needs nothing but an answer."""
        parser, access = self.parser, self._routes.access
        return (
            parser.get_method() == b'POST'
            and (self.cycle is None or self.cycle.response_complete)
            and not (self._off or self.expect_100_continue or self.flow.write_paused)
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and parser.get_http_version() == '1.1'
            and self._is_json()
            and (access is None or access.refusal(self.headers) is None)
        )

    def _is_json(self) -> bool:
        """Tells whether the body is declared as nothing else than JSON, in the usual way, and not as compressed."""
        is_json = True
        for name, value in self.headers:
            if name == b'content-type':
                is_json = value == b'application/json' or value.startswith(b'application/json;')
            elif name == b'content-encoding':
                return False
        return is_json

    def on_body(self, body: bytes) -> None:
        self.received += len(body)
        if self.strict and not self.body_received():
            self._handler, self._body = None, []
        elif self._handler is None:
            super().on_body(body)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self.phase = WORKING
        handler = self._handler
        if handler is None:
            super().on_message_complete()
            return
        chunks, self._body, self._handler = self._body, [], None
        exchange = self._exchange = Exchange(handler, self._answer)
        exchange.begin(chunks[0] if len(chunks) == 1 else b''.join(chunks), self.headers)

    def connection_lost(self, exc: Exception | None) -> None:
        self._handler = None
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
        super().connection_lost(exc)

    def cut_off(self) -> None:
        """Answers the request under way, whose time is over."""
        if self._exchange is not None:
            self._exchange.cut_off()

    def _answer(self, status: int, payload: bytes) -> None:
        self._exchange = None
        cycle, transport = self._direct, self.transport
        cycle.response_complete = True
        keep_alive = cycle.keep_alive and not self._routes.leaving
        if not transport.is_closing():
            head = self._routes.head(status, self.server_state.default_headers, len(payload), keep_alive=keep_alive)
            if len(payload) > _JOINED_BYTES:
                transport.write(head)
                transport.write(payload)
            else:
                transport.write(head + payload)
            if not keep_alive:
                transport.close()
        self.on_response_complete()
