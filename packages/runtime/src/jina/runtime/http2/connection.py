"""The server's side of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from jina.core.calls import StatusCode
from jina.runtime.http2 import frame
from jina.runtime.http2.call import Call
from jina.runtime.http2.frame import ConnectionFault
from jina.runtime.http2.head import Head
from jina.runtime.http2.link import Link, first_frames
from jina.runtime.http2.patience import Patience
from jina.runtime.http2.responses import Responses
from jina.runtime.http2.unary_call import UnaryCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from jina.runtime.http2.served_stream import ServedStream
    from jina.runtime.http2.settings import Settings

    Find = Callable[[Head], Any]

_HEADS: Final = 256
"""Different beginnings of calls that are remembered for a connection."""
_HEAD_BYTES: Final = 1 << 12
"""Longer ones are not, as a client has them kept for nothing."""
_MAPPED: Final = '::ffff:'
_PARTING: Final = b'farewell'
"""Content of the ping whose answer says that a client knows that it should leave."""
_LINGER_S: Final = 20.0
"""A client that doesn't read what it is told last is cut off after that time."""


class Connection(Link):
    """A client.

    Args:
        settings: What the server allows.
        find: Gives the method of a call, None if there is none.
        lost: Called when the connection is gone.

    Attributes:
        peer: Address of the client as gRPC writes it.
    """

    outbox: Responses

    def __init__(self, settings: Settings, find: Find, lost: Callable[[Connection], object]) -> None:
        super().__init__()
        self.settings = settings
        self.peer = ''
        self.is_lost = False
        self._idle_since = self.made_at
        self._find = find
        self._lost = lost
        self._wanted = len(frame.PREFACE)
        self._last = 0
        self._most = frame.STREAM_MASK
        self._heads: dict[bytes, Head] = {}
        self._leaving = False
        self._closed_at: float | None = None
        self._patience = Patience(self.made_at)

    # What the event loop calls.

    def connection_made(self, transport: Any) -> None:
        """Greets the client."""
        self._transport = transport
        self.peer = _peer_of(transport)
        self.outbox = Responses(transport, self.loop)
        most = self.settings.most_streams
        self.outbox.put(*first_frames({} if most is None else {frame.MAX_CONCURRENT_STREAMS: most}))
        self.outbox.flush()

    def connection_lost(self, _: Exception | None) -> None:
        """Ends all calls."""
        self.is_lost = True
        for stream in tuple(self.streams.values()):
            stream.drop()
        self._lost(self)

    def pause_writing(self) -> None:
        """The client doesn't read: it is not read either, so that nothing piles up."""
        self.outbox.pause()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self.outbox.resume()

    # Reading.

    def _greet(self, data: bytes) -> int:
        size = len(frame.PREFACE)
        if not frame.PREFACE.startswith(data[:size]):
            raise ConnectionFault(frame.PROTOCOL_ERROR, 'this port speaks gRPC, which is HTTP/2 without encryption')
        if len(data) < size:
            return 0
        self._greeted = True
        return size

    def _take_late(self, number: int) -> None:
        """Content of a call that is over is no fault: the client didn't know."""
        if number == 0 or number > self._last:
            raise ConnectionFault(frame.PROTOCOL_ERROR, f'there is content for stream {number}, which is not open')

    def _open(self, block: bytes, number: int, *, heard: bool) -> None:
        head = self._heads.get(block)
        if head is None:
            head = self._decode(block)
        if number <= self._last:
            self._end_by_headers(number, heard=heard)
            return
        if not number & 1:
            raise ConnectionFault(frame.PROTOCOL_ERROR, f'a client cannot begin stream {number}')
        self._last = number
        most = self.settings.most_streams
        if number > self._most or (most is not None and len(self.streams) >= most):
            self.outbox.put(frame.reset(number, frame.REFUSED_STREAM))
            return
        if head.refusal is not None:
            self.outbox.refuse(number, head.refusal)
            return
        stream = self._make(number, head)
        if heard and not stream.is_over:
            stream.hear_out()

    def _decode(self, block: bytes) -> Head:
        head = Head(self._decoder.decode(block))
        if self._decoder.changed or len(self._heads) >= _HEADS:
            self._heads.clear()
        if not self._decoder.changed and len(block) <= _HEAD_BYTES:
            self._heads[block] = head
        return head

    def _end_by_headers(self, number: int, *, heard: bool) -> None:
        """A client ends a request with trailers, which say nothing in gRPC."""
        stream = self.streams.get(number)
        if stream is None or stream.is_heard:
            return
        if not heard:
            raise ConnectionFault(frame.PROTOCOL_ERROR, f'stream {number} begins a second time')
        stream.receive(b'', 0, 0, heard=True)

    def _make(self, number: int, head: Head) -> ServedStream:
        method = self._find(head)
        begin = getattr(method, 'begin', None)
        if begin is not None:
            unary = self.streams[number] = UnaryCall(self, number, head, begin)
            return unary
        stream = Call(self, number, head, method)
        self.streams[number] = stream
        if method is None:
            stream.finish(StatusCode.UNIMPLEMENTED, 'Method not found!')
        else:
            stream.begin()
        return stream

    def _lose(self, number: int, code: int) -> None:
        stream: ServedStream | None = self.streams.get(number)
        if stream is not None:
            if not stream.is_nearly_due():
                self._patience.lose_call(self.heard_at, number, self._last)
            stream.drop()
        elif number == 0 or number > self._last:
            raise ConnectionFault(frame.PROTOCOL_ERROR, f'stream {number} is reset, which is not open')

    def _apply(self, values: list[tuple[int, int]]) -> None:
        self._patience.take_settings(self.heard_at, self._last)
        super()._apply(values)

    def _take_answer(self, content: bytes) -> None:
        if content == _PARTING:
            self._say_last()

    # What streams and the server call.

    def forget(self, number: int) -> None:
        """A call is over."""
        self.streams.pop(number, None)
        if not self.streams:
            self._idle_since = self.loop.time()
        if self._leaving and not self.streams and self._most != frame.STREAM_MASK:
            self._close_soon()

    def leave(self) -> None:
        """Has the client go: it begins no more calls as soon as it knows; those that it begins until then are served."""
        if not self._leaving:
            self._leaving = True
            self.outbox.put(
                frame.goaway(frame.STREAM_MASK, frame.NO_ERROR, 'the server is shutting down'),
                frame.frame(frame.PING, 0, 0, _PARTING),
            )

    def _say_last(self) -> None:
        """The client knows that it should leave."""
        if self._leaving and self._most == frame.STREAM_MASK:
            self._most = self._last
            self.outbox.put(frame.goaway(self._last, frame.NO_ERROR, 'the server is shutting down'))
            if not self.streams:
                self._close_soon()

    def _close_soon(self) -> None:
        self._closed_at = self.loop.time()
        self.outbox.flush()
        self._transport.close()

    def close(self, code: int = frame.NO_ERROR, message: str = '') -> None:
        """Ends the connection at once, and all calls."""
        if self._transport.is_closing():
            return
        for stream in tuple(self.streams.values()):
            stream.drop()
        self.outbox.put(frame.goaway(self._last, code, message))
        self._close_soon()

    def check(self, now: float) -> None:
        """Ends the connection if it is too old, or nobody is there, and asks whether somebody is."""
        settings = self.settings
        if self._closed_at is not None:
            if now - self._closed_at > _LINGER_S:
                self._transport.abort()
            return
        if not self._greeted:
            if settings.handshake_s is not None and now - self.made_at > settings.handshake_s:
                self._transport.abort()
            return
        asks = bool(self.streams) or settings.pings_idle
        if self._is_deaf(now, settings.ping_s, settings.ping_timeout_s, asks=asks):
            self._transport.abort()
            return
        over = None if settings.age_s is None else now - self.made_at - settings.age_s
        if over is not None and settings.age_grace_s is not None and over > settings.age_grace_s:
            self.close(frame.NO_ERROR, 'the connection is too old')
        elif (over is not None and over > 0) or self._is_unused(now):
            self.leave()

    def _is_unused(self, now: float) -> bool:
        limit = self.settings.idle_s
        return limit is not None and not self.streams and now - self._idle_since > limit

    def abort(self) -> None:
        """Cuts the connection, if the client doesn't go."""
        self._transport.abort()


def _peer_of(transport: Any) -> str:
    address = transport.get_extra_info('peername')
    if not isinstance(address, tuple):
        return 'unix:'
    host, port = address[:2]
    if host.startswith(_MAPPED):
        host = host[len(_MAPPED) :]
    if ':' in host:
        return f'ipv6:{quote(f"[{host}]", safe="")}:{port}'
    return f'ipv4:{host}:{port}'
