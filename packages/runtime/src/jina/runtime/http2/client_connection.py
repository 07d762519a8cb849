"""The client's side of a connection."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from jina.core.calls import CallError, StatusCode
from jina.runtime.http2 import frame
from jina.runtime.http2.client_call import ClientCall
from jina.runtime.http2.frame import ConnectionFault
from jina.runtime.http2.link import Link, first_frames
from jina.runtime.http2.outbox import Outbox
from jina.runtime.http2.outcome import ResponseHead, reset_outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from jina.runtime.http2.client_settings import ClientSettings

_HEADS: Final = 64
"""Different headers of responses that are remembered."""
_HEAD_BYTES: Final = 1 << 9
"""Longer ones say what they say once."""


class ClientConnection(Link):
    """A server.

    Args:
        address: Its address, for messages.
        settings: What the channel does.
        left: Called when no calls can be begun any more, and when the connection is gone.

    Attributes:
        is_gone: Whether it is.
        ready: Done when the server has said how it wants to be spoken to.
        pings: Those that were sent since the last request.
    """

    def __init__(self, address: str, settings: ClientSettings, left: Callable[[ClientConnection], object]) -> None:
        super().__init__()
        self.settings = settings
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.pings = 0
        self.is_gone = False
        self._address = address
        self._left = left
        self._is_leaving = False
        self._next = 1
        self._most = frame.STREAM_MASK
        self._places: deque[asyncio.Future[None]] = deque()
        self._heads: dict[bytes, ResponseHead] = {}
        self._end = StatusCode.UNAVAILABLE, f'the connection to {address} is lost'
        self._check: asyncio.TimerHandle | None = None

    # What the channel uses.

    @property
    def is_open(self) -> bool:
        """Whether calls can be begun."""
        return not self._is_leaving

    @property
    def is_full(self) -> bool:
        """Whether the server takes no more calls for now."""
        return len(self.streams) >= self._most

    @property
    def has_queue(self) -> bool:
        """Whether calls wait for room."""
        return bool(self._places)

    async def place(self) -> None:
        """Returns when there may be room for another call, or the connection is no longer of use."""
        while self.is_full and self.is_open:
            place = self.loop.create_future()
            self._places.append(place)
            try:
                await place
            except asyncio.CancelledError:
                self._give_place()  # it may have been given to this one already
                raise

    def begin(self, block: bytes, timeout: float | None) -> ClientCall:
        """Begins a call.

        Args:
            block: Its headers, encoded.
            timeout: Seconds that it may take; None for any time.
        """
        number = self._next
        self._next += 2
        if self._next > frame.STREAM_MASK:
            self._leave()
        call = self.streams[number] = ClientCall(self, number, timeout)
        self.outbox.headers(number, block, (), frame.END_HEADERS)
        return call

    def close(self, code: int = frame.NO_ERROR, message: str = '') -> None:
        """Ends the connection at once, and all calls."""
        if code != frame.NO_ERROR:
            self._end = StatusCode.UNAVAILABLE, f'{self._address} breaks the rules of HTTP/2: {message}'
        elif self._is_connected:
            self._end = StatusCode.CANCELLED, 'the channel is closed'
        if self._is_connected:
            self.outbox.put(frame.goaway(0, code, message))
            self.outbox.flush()
            self._transport.close()
        self._finish()

    # What the event loop calls.

    def connection_made(self, transport: Any) -> None:
        """Greets the server."""
        self._transport = transport
        self.outbox = Outbox(transport, self.loop)
        self.outbox.put(frame.PREFACE, *first_frames({frame.ENABLE_PUSH: 0}))
        self.outbox.flush()
        self._watch()

    def connection_lost(self, error: Exception | None) -> None:
        """Ends all calls."""
        if error is not None and self._end[0] is StatusCode.UNAVAILABLE:
            self._end = StatusCode.UNAVAILABLE, f'{self._end[1]}: {error}'
        self._finish()

    # Reading.

    def _greet(self, data: bytes) -> int:
        if len(data) < frame.HEAD_BYTES:
            return 0
        _, _, kind, _, number = frame.HEAD.unpack_from(data)
        if kind != frame.SETTINGS or number:
            began = data[:20]
            raise ConnectionFault(
                frame.PROTOCOL_ERROR, f'it begins with {began!r}; is that a server of gRPC without TLS?'
            )
        self._greeted = True
        return 0

    def _open(self, block: bytes, number: int, *, heard: bool) -> None:
        head = self._heads.get(block)
        if head is None:
            head = ResponseHead(self._decoder.decode(block))
            if self._decoder.changed or len(self._heads) >= _HEADS:
                self._heads.clear()
            if not self._decoder.changed and len(block) <= _HEAD_BYTES:
                self._heads[block] = head
        call: ClientCall | None = self.streams.get(number)
        if call is None:
            self._take_late(number)
        else:
            call.take_headers(head, heard=heard)

    def _take_late(self, number: int) -> None:
        if not number & 1 or number >= self._next:
            raise ConnectionFault(frame.PROTOCOL_ERROR, f'there is content for stream {number}, which is not open')

    def _lose(self, number: int, code: int) -> None:
        call: ClientCall | None = self.streams.get(number)
        if call is not None:
            call.lose(*reset_outcome(code))

    def _apply(self, values: list[tuple[int, int]]) -> None:
        super()._apply(values)
        if not self.ready.done():
            self.ready.set_result(None)

    def _take_setting(self, name: int, value: int) -> None:
        if name == frame.MAX_CONCURRENT_STREAMS:
            self._most = value
            while self._places and not self.is_full:
                self._give_place()

    def _take_goaway(self, content: bytes) -> None:
        last, _, said = frame.read_goaway(content)
        self._leave()
        for number, call in tuple(self.streams.items()):
            if number > last:
                call.lose(StatusCode.UNAVAILABLE, f'{self._address} takes no more calls: {said}')

    # What calls use.

    def forget(self, number: int) -> None:
        """A call is over."""
        self.streams.pop(number, None)
        if self._places:
            self._give_place()
        self._close_if_unused()

    # The end.

    @property
    def _is_connected(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _give_place(self) -> None:
        while self._places:
            place = self._places.popleft()
            if not place.done():
                place.set_result(None)
                return

    def _leave(self) -> None:
        """Begins no more calls here; those under way go on."""
        if self._is_leaving:
            return
        self._is_leaving = True
        self._left(self)
        while self._places:
            self._give_place()
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._is_leaving and not self.streams and self._is_connected:
            self.outbox.flush()
            self._transport.close()

    def _finish(self) -> None:
        if self._check is not None:
            self._check.cancel()
            self._check = None
        for call in tuple(self.streams.values()):
            call.lose(*self._end)
        self.is_gone = self._is_leaving = True
        while self._places:
            self._give_place()
        self._left(self)
        if not self.ready.done():
            self.ready.set_exception(CallError(*self._end))
            self.ready.exception()  # nobody need wait for it

    def _watch(self) -> None:
        """Asks now and then whether the server is there."""
        settings = self.settings
        if settings.ping_s is None:
            return
        wanted = bool(self.streams) or settings.pings_idle
        asks = wanted and (not settings.most_pings or self.pings < settings.most_pings)
        before = self._ping_sent
        now = self.loop.time()
        if self._is_deaf(now, settings.ping_s, settings.ping_timeout_s, asks=asks):
            self._end = StatusCode.UNAVAILABLE, f'{self._address} gives no sign of life'
            self._transport.abort()
            self._finish()
            return
        if self._ping_sent is not None and before is None:
            self.pings += 1
        pause = settings.ping_s
        if self._ping_sent is not None:
            pause = min(settings.ping_s, settings.ping_timeout_s)
        elif asks:
            pause -= now - self.heard_at
        self._check = self.loop.call_later(max(pause, settings.ping_s / 10, 0.01), self._watch)
