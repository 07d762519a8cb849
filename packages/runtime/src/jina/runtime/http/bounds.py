"""What one HTTP connection may cost: bytes of a head and a body, and the time in which they have to come.

uvicorn has no such limits for its fast parser. A check of all connections once in a while finds the slow ones, so that quick
requests, which is nearly all of them, pay for no timer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import orjson
from jina.core.config import PodOptions
from jina.runtime.service import count_refusal
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

WORKING: Final = 0
HEAD: Final = 1
BODY: Final = 2
"""What a connection receives: nothing, request line and headers, or a body."""
RATE: Final = 500
"""Bytes of a body for which its client gets one second more."""
_LINGER_S: Final = 2.0
"""Seconds that a client which still sends has to read why it was refused."""
_SWEEP_S: Final = 1.0


@dataclass(frozen=True)
class Bounds:
    """Limits of a connection.

    Attributes:
        head_bytes: Bytes of request line and headers.
        body_bytes: Bytes of a body; None for no limit.
        head_s: Seconds for request line and headers; None for no limit.
        body_s: Seconds for a body, to which more come with its bytes; None for no limit.
    """

    head_bytes: int = 65536
    body_bytes: int | None = None
    head_s: float | None = 20.0
    body_s: float | None = 20.0

    @classmethod
    def of(cls, options: PodOptions) -> Bounds:
        """Returns what the options say."""
        return cls(
            options.max_header_bytes,
            options.max_request_bytes,
            _seconds(options.timeout_headers),
            _seconds(options.timeout_body),
        )

    @property
    def sweep_s(self) -> float | None:
        """Seconds between two looks for slow clients; None if there is nothing to look for."""
        limits = [limit for limit in (self.head_s, self.body_s) if limit is not None]
        return min(_SWEEP_S, *(limit / 4 for limit in limits)) if limits else None


def body_too_long(most: int) -> str:
    """Returns what is said of a request that is longer than it may be."""
    return f'the request is longer than the {most} bytes that max_request_bytes allows'


def end_after_answer(connection: Any) -> None:
    """Ends a connection of uvicorn's whose client may still send: it has some time to read why it was refused."""
    connection.flow.resume_reading()
    if connection.transport.can_write_eof():
        connection.transport.write_eof()
    connection.loop.call_later(_LINGER_S, connection.transport.close)


class _Refused:
    """Stands for a request that was refused: uvicorn's protocol drops what still comes of it."""

    disconnected: Final = True
    response_complete: Final = True
    keep_alive = False
    message_event: Final = asyncio.Event()


class BoundedProtocol(HttpToolsProtocol):
    """A connection with limits. Subclasses note what comes, since calls for it would cost quick requests too much.

    On the first byte of a request they set ``phase`` to HEAD, ``received`` to -1 and ``since`` to None; at the end of the headers they
    call ``head_complete``, unless ``strict`` is false and ``received`` below 0: then the headers came in one piece, and ``phase`` becomes
    BODY and ``received`` 0. They add the bytes of a body to ``received``, and call ``body_received`` if ``strict``. After the last one
    ``phase`` is WORKING.

    Args:
        bounds: The limits.
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        _loop: uvicorn's.
        served: What is called; counts what is refused.
    """

    def __init__(
        self,
        bounds: Bounds,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        served: Any = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._served = served
        self.bounds = bounds
        self.phase = HEAD
        self.received = 0
        """Bytes of the head or body that is being received; of a head below 0 if it began with the last data."""
        self.since: float | None = None
        """When the check first saw what is being received."""
        self.strict = bounds.body_bytes is not None
        """Whether every request has to be looked at."""
        self.refused = False

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        if len(data) > self.bounds.head_bytes:
            self.strict = True  # from now on, since such data may hold long headers
        super().data_received(data)
        if self.phase == HEAD:
            # What came before this head in the same data isn't known; the next data is all of it.
            self.received = 1 if self.received < 0 else self.received + len(data)
            if self.received > self.bounds.head_bytes:
                self.refuse(431, 'the headers are too long')

    def head_complete(self) -> bool:
        """Notes the end of the headers; returns False if the request is refused for them."""
        if self.refused:  # an earlier one in the same data was
            return False
        self.phase = BODY
        self.received = 0
        self.since = None
        if self._head_size() > self.bounds.head_bytes:
            self.refuse(431, 'the headers are too long')
            return False
        most = self.bounds.body_bytes
        if most is not None and self._content_length() > most:
            self._refuse_body(most, begun=False)
            return False
        return True

    def body_received(self) -> bool:
        """Returns False if the request is refused for its length."""
        most = self.bounds.body_bytes
        if most is not None and self.received > most and not self.refused:
            self._refuse_body(most, begun=True)
        return not self.refused

    def check(self, now: float) -> None:
        """Parts from a client that takes too long to send its request.

        Args:
            now: Time of the event loop.
        """
        limit = self._limit()
        if limit is None or self.refused or self.transport.is_closing():
            self.since = None
        elif self.since is None:
            self.since = now
        elif now - self.since > limit:
            if self.phase == HEAD and self.received == 0:
                self.transport.close()  # it has said nothing: there is nothing to answer
            else:
                self.refuse(408, 'the request took too long to arrive', begun=self.phase == BODY)

    def _limit(self) -> float | None:
        """Returns the seconds that the client has now; None for no limit."""
        if self.phase == BODY:
            if self.bounds.body_s is None or self.flow.read_paused:  # paused: the server isn't ready for more
                return None
            return self.bounds.body_s + self.received / RATE
        if self.phase == WORKING and (self.timeout_keep_alive_task is not None or not self._is_over()):
            return None
        return self.bounds.head_s

    def _is_over(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _content_length(self) -> int:
        for name, value in self.headers:
            if name == b'content-length':
                return int(value)  # the parser takes only digits
        return 0

    def _refuse_body(self, most: int, *, begun: bool) -> None:
        self.refuse(413, body_too_long(most), begun=begun)

    def refuse(self, status: int, detail: str, *, begun: bool = False) -> None:
        """Answers a request that isn't read to its end, and ends the connection.

        Args:
            status: Status of the answer.
            detail: Its message.
            begun: The request has a cycle already, that of the connection.
        """
        self.refused = self.strict = True
        count_refusal(self._served, 'timeout' if status == 408 else 'size')
        cycle, self.cycle = self.cycle, _Refused()  # type: ignore[assignment]
        is_over = cycle is None or bool(cycle.response_complete)
        if not is_over:
            cycle.disconnected = True
            cycle.message_event.set()
        self._unset_keepalive_if_required()
        if self.pipeline or (not is_over and (not begun or getattr(cycle, 'response_started', False))):
            self.transport.abort()  # in front of this answer come those of earlier requests, or the first half of its own
            return
        if not (begun and is_over):
            self._answer_refused(status, detail)
        end_after_answer(self)

    def _answer_refused(self, status: int, detail: str) -> None:
        body = orjson.dumps({'detail': detail})
        lines = b''.join(name + b': ' + value + b'\r\n' for name, value in self.server_state.default_headers)
        head = b'%b%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n'
        shown = b'' if self.phase == BODY and self.parser.get_method() == b'HEAD' else body
        self.transport.write(head % (STATUS_LINE[status], lines, len(body)) + shown)


@runtime_checkable
class Checked(Protocol):
    """A connection that can tell whether its client is too slow."""

    def check(self, now: float) -> None:
        """Parts from a client that takes too long to send its request."""
        ...


class Sweeper:
    """Looks for slow clients.

    Args:
        state: uvicorn's, with the connections.
        bounds: Their limits.
    """

    def __init__(self, state: ServerState, bounds: Bounds) -> None:
        self._state = state
        self._interval_s = bounds.sweep_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._plan()

    def stop(self) -> None:
        """Looks no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _plan(self) -> None:
        if self._interval_s is not None:
            self._timer = self._loop.call_later(self._interval_s, self._sweep)

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in tuple(self._state.connections):
            if isinstance(connection, Checked):
                connection.check(now)
        self._plan()


def _seconds(milliseconds: int) -> float | None:
    return None if milliseconds < 0 else milliseconds / 1000
