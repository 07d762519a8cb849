"""The limits of a connection that uvicorn reads with its parser h11, for those who choose that one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import h11
import orjson
from jina.runtime.http.bounds import BODY, HEAD, RATE, WORKING, Bounds, body_too_long, end_after_answer
from jina.runtime.service import count_refusal
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_END_OF_HEAD: Final = b'\r\n\r\n'


class BoundedH11Protocol(H11Protocol):
    """A connection with limits.

    Args:
        bounds: The limits.
        served: What is called; counts what is refused.
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        _loop: uvicorn's.
    """

    def __init__(
        self,
        bounds: Bounds,
        served: Any,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.bounds = bounds
        self._served = served
        self._parser = _Parser(config.h11_max_incomplete_event_size or bounds.head_bytes, bounds, self._refuse_body)
        self.conn = self._parser
        self._refused = False
        self._received = 0
        """Bytes of the request so far."""
        self._seen: tuple[int, float] | None = None
        """What was being received when the check looked, and when it first saw that."""

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self.conn.their_state is h11.IDLE:
            start = self.conn.trailing_data[0] + data
            if len(start) > self.bounds.head_bytes and _END_OF_HEAD not in start[: self.bounds.head_bytes]:
                self._refuse(431, 'the headers are too long')
                return
        self._received += len(data)
        super().data_received(data)

    def on_response_complete(self) -> None:
        self._received = 0
        self._seen = None
        super().on_response_complete()

    def check(self, now: float) -> None:
        """Parts from a client that takes too long to send its request.

        Args:
            now: Time of the event loop.
        """
        phase = self._phase()
        limit = self._limit(phase)
        if limit is None or self._refused or self.transport.is_closing():
            self._seen = None
        elif self._seen is None or self._seen[0] != phase:
            self._seen = (phase, now)
        elif now - self._seen[1] > limit:
            if phase == HEAD and not self.conn.trailing_data[0]:
                self.transport.close()  # it has said nothing: there is nothing to answer
            else:
                self._refuse(408, 'the request took too long to arrive')

    def _phase(self) -> int:
        """Returns what the connection receives."""
        if self.conn.their_state is h11.SEND_BODY:
            return BODY
        over = self.cycle is None or self.cycle.response_complete
        return HEAD if over and self.timeout_keep_alive_task is None else WORKING

    def _limit(self, phase: int) -> float | None:
        """Returns the seconds that the client has now; None for no limit."""
        if phase == HEAD:
            return self.bounds.head_s
        if phase == WORKING or self.bounds.body_s is None or self.flow.read_paused:
            return None
        return self.bounds.body_s + self._received / RATE

    def _refuse_body(self, most: int) -> None:
        self._refuse(413, body_too_long(most))

    def _refuse(self, status: int, detail: str) -> None:
        """Answers a request that isn't read to its end, and ends the connection."""
        self._refused = True
        count_refusal(self._served, 'timeout' if status == 408 else 'size')
        self._unset_keepalive_if_required()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:  # this answer would stand behind the first half of another one
                self.transport.abort()
                return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # else it was answered before its end
            self._answer_refused(status, detail)
        end_after_answer(self)

    def _answer_refused(self, status: int, detail: str) -> None:
        body = orjson.dumps({'detail': detail})
        headers = [*self.server_state.default_headers, (b'content-type', b'application/json')]
        headers += [(b'content-length', b'%d' % len(body)), (b'connection', b'close')]
        shown = b'' if self._parser.is_head_request else body
        for event in (
            h11.Response(status_code=status, headers=headers),
            h11.Data(data=shown),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b'')


class _Parser(h11.Connection):
    """h11, which looks at requests and their bodies before uvicorn does.

    Args:
        incomplete_bytes: Bytes that h11 keeps of a head.
        bounds: The limits.
        refuse_body: Called with the limit for a body that is longer, in the place of uvicorn, which gets nothing more.
    """

    def __init__(self, incomplete_bytes: int, bounds: Bounds, refuse_body: Callable[[int], object]) -> None:
        super().__init__(h11.SERVER, incomplete_bytes)
        self._most = bounds.body_bytes
        self._refuse_body = refuse_body
        self._method = b''
        self._received = 0

    @property
    def is_head_request(self) -> bool:
        """Whether the request that is being answered is one of HEAD, whose answer has no body."""
        return self.our_state is h11.SEND_RESPONSE and self._method == b'HEAD'

    def next_event(self) -> Any:
        """Returns the next event; none for a body that is too long."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._method = event.method
            self._received = 0
            if self._most is not None and _content_length(event) > self._most:
                self._refuse_body(self._most)
                return h11.NEED_DATA
        elif isinstance(event, h11.Data) and self._most is not None:
            self._received += len(event.data)
            if self._received > self._most:
                self._refuse_body(self._most)
                return h11.NEED_DATA
        return event


def _content_length(request: h11.Request) -> int:
    for name, value in request.headers:
        if name == b'content-length':
            return int(value)  # h11 takes only digits
    return 0
