"""One client: reads the frames of HTTP/2 and hands them to the calls that they belong to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from jina.core.calls import StatusCode
from jina.core.payloads import LONG
from jina.runtime.http2 import frame
from jina.runtime.http2.call import Call
from jina.runtime.http2.frame import ConnectionFault
from jina.runtime.http2.head import Head
from jina.runtime.http2.hpack import TABLE_BYTES, HeaderDecoder, HpackError
from jina.runtime.http2.outbox import Outbox
from jina.runtime.http2.patience import Patience
from jina.runtime.http2.stream import WINDOW, Stream
from jina.runtime.http2.unary_call import UnaryCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from jina.runtime.http2.settings import Settings

    Find = Callable[[Head], Any]

FRAME_BYTES: Final = 1 << 16
"""Content of the frames that clients may send."""
_HEADER_BYTES: Final = 1 << 16
"""Bytes that the headers of a call may have, packed and unpacked."""
_HEADS: Final = 256
"""Different beginnings of calls that are remembered for a connection."""
_HEAD_BYTES: Final = 1 << 12
"""Longer ones are not, as a client has them kept for nothing."""
_FRAGMENTS: Final = 64
"""Frames that the headers of a call may come in."""
_REFILL_BYTES: Final = 1 << 30
"""The window of the connection is widened again when so much of it was used; the windows of streams are what holds clients back."""
_MAPPED: Final = '::ffff:'
_PARTING: Final = b'farewell'
"""Content of the ping whose answer says that a client knows that it should leave."""
_ASKING: Final = b'anybody?'
_LINGER_S: Final = 20.0
"""A client that doesn't read what it is told last is cut off after that time."""


@dataclass
class _Rest:
    """What is still to come of a long frame."""

    number: int
    """Its stream."""
    size: int
    is_last: bool
    """Whether the stream ends with it."""


class Connection(asyncio.Protocol):
    """The server's side of a connection.

    Args:
        settings: What the server allows.
        find: Gives the method of a call, None if there is none.
        lost: Called when the connection is gone.

    Attributes:
        outbox: What is sent.
        peer: Address of the client as gRPC writes it.
        loop: The event loop.
        streams: Calls under way by their numbers.
    """

    outbox: Outbox

    def __init__(self, settings: Settings, find: Find, lost: Callable[[Connection], object]) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.streams: dict[int, Stream] = {}
        self.peer = ''
        self.is_lost = False
        self.heard_at = self.made_at = self.loop.time()
        self._idle_since = self.made_at
        self._find = find
        self._lost = lost
        self._transport: Any = None
        self._parts: list[bytes] = []
        self._size = 0
        self._wanted = len(frame.PREFACE)
        self._rest: _Rest | None = None
        self._greeted = False
        self._last = 0
        self._most = frame.STREAM_MASK
        self._received = 0
        self._decoder = HeaderDecoder(header_bytes=_HEADER_BYTES)
        self._heads: dict[bytes, Head] = {}
        self._block: list[bytes] | None = None
        self._block_bytes = 0
        self._block_flags = 0
        self._block_stream = 0
        self._leaving = False
        self._closed_at: float | None = None
        self._ping_sent: float | None = None
        self._patience = Patience(self.made_at)

    # What the event loop calls.

    def connection_made(self, transport: Any) -> None:
        """Greets the client."""
        self._transport = transport
        self.peer = _peer_of(transport)
        self.outbox = Outbox(transport, self.loop)
        values = {
            frame.INITIAL_WINDOW_SIZE: WINDOW,
            frame.MAX_FRAME_SIZE: FRAME_BYTES,
            frame.MAX_HEADER_LIST_SIZE: _HEADER_BYTES,
        }
        if self.settings.most_streams is not None:
            values[frame.MAX_CONCURRENT_STREAMS] = self.settings.most_streams
        self.outbox.put(frame.settings(values), frame.window_update(0, frame.LARGEST_WINDOW - frame.DEFAULT_WINDOW))
        self.outbox.flush()

    def connection_lost(self, _: Exception | None) -> None:
        """Ends all calls."""
        self.is_lost = True
        for stream in tuple(self.streams.values()):
            stream.drop()
        self._lost(self)

    def eof_received(self) -> bool:
        """A client that says nothing more is gone."""
        return False

    def pause_writing(self) -> None:
        """The client doesn't read: it is not read either, so that nothing piles up."""
        self.outbox.pause()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self.outbox.resume()

    def data_received(self, data: bytes) -> None:
        """Takes what has come, as far as it makes whole frames."""
        self.heard_at = self.loop.time()
        if self._size:
            self._parts.append(data)
            self._size += len(data)
            if self._size < self._wanted:
                return
            data = b''.join(self._parts)
            self._parts = []
            self._size = 0
        try:
            position = 0
            if not self._greeted:
                position = self._greet(data)
            elif self._rest is not None:
                position = self._go_on(data, 0)
            if self._greeted:
                position = self._read_frames(data, position)
        except ConnectionFault as fault:
            self.close(fault.code, str(fault))
            return
        except HpackError as error:
            self.close(frame.COMPRESSION_ERROR, str(error))
            return
        if position < len(data):
            self._parts.append(data[position:] if position else data)
            self._size = len(data) - position
        if self.outbox.is_scheduled:
            self.outbox.flush()

    # Reading.

    def _greet(self, data: bytes) -> int:
        size = len(frame.PREFACE)
        if not frame.PREFACE.startswith(data[:size]):
            raise ConnectionFault(frame.PROTOCOL_ERROR, 'this port speaks gRPC, which is HTTP/2 without encryption')
        if len(data) < size:
            return 0
        self._greeted = True
        return size

    def _read_frames(self, data: bytes, position: int) -> int:
        """Handles all whole frames; returns where the rest begins."""
        end, unpack, streams = len(data), frame.HEAD.unpack_from, self.streams
        while end - position >= frame.HEAD_BYTES:
            high, low, kind, flags, number = unpack(data, position)
            size = high << 8 | low
            start = position + frame.HEAD_BYTES
            stop = start + size
            if size > FRAME_BYTES:
                raise ConnectionFault(frame.FRAME_SIZE_ERROR, f'a frame has {size} bytes; {FRAME_BYTES} are allowed')
            if stop > end:
                if kind != frame.DATA or size < LONG or flags & frame.PADDED or self._block is not None:
                    self._wanted = stop - position
                    return position
                # It is taken as it comes, which spares a copy of it.
                self._rest = _Rest(number & frame.STREAM_MASK, size, bool(flags & frame.END_STREAM))
                return self._go_on(data, start)
            position = stop
            number &= frame.STREAM_MASK
            if self._block is not None and (kind != frame.CONTINUATION or number != self._block_stream):
                raise ConnectionFault(frame.PROTOCOL_ERROR, 'headers are interrupted by another frame')
            if kind == frame.DATA:
                self._received += size
                if self._received > _REFILL_BYTES:
                    self._refill()
                stream = streams.get(number)
                if stream is None or stream.is_heard:
                    self._take_late(number)
                elif flags & frame.PADDED:
                    content = frame.unpadded(data[start:stop], flags & frame.PADDED)
                    stream.give_back(size - len(content))
                    stream.receive(content, 0, len(content), heard=bool(flags & frame.END_STREAM))
                else:
                    stream.receive(data, start, stop, heard=bool(flags & frame.END_STREAM))
            elif kind == frame.HEADERS:
                self._read_headers(data[start:stop], flags, number)
            else:
                self._read_other(kind, flags, number, data[start:stop])
        self._wanted = frame.HEAD_BYTES
        return position

    def _go_on(self, data: bytes, start: int) -> int:
        """Takes the next part of a long frame; returns where that ends."""
        rest = self._rest
        assert rest is not None
        end = min(len(data), start + rest.size)
        rest.size -= end - start
        if not rest.size:
            self._rest = None
        self._received += end - start
        if self._received > _REFILL_BYTES:
            self._refill()
        stream = self.streams.get(rest.number)
        if stream is None or stream.is_heard:
            self._take_late(rest.number)
        else:
            stream.receive(data, start, end, heard=rest.is_last and not rest.size)
        return end

    def _refill(self) -> None:
        self.outbox.put(frame.window_update(0, self._received))
        self._received = 0

    def _take_late(self, number: int) -> None:
        """Content of a call that is over is no fault: the client didn't know."""
        if number == 0 or number > self._last:
            raise ConnectionFault(frame.PROTOCOL_ERROR, f'there is content for stream {number}, which is not open')

    def _read_headers(self, content: bytes, flags: int, number: int) -> None:
        if flags & (frame.PADDED | frame.WITH_PRIORITY):
            content = frame.unpadded(content, flags)
        if flags & frame.END_HEADERS:
            self._open(content, number, heard=bool(flags & frame.END_STREAM))
        else:
            self._block, self._block_flags, self._block_stream = [content], flags, number
            self._block_bytes = len(content)

    def _continue(self, flags: int, content: bytes) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(frame.PROTOCOL_ERROR, 'headers are continued that have not begun')
        block.append(content)
        self._block_bytes += len(content)
        if self._block_bytes > _HEADER_BYTES:
            raise ConnectionFault(frame.ENHANCE_YOUR_CALM, f'headers have more than {_HEADER_BYTES} bytes')
        if len(block) > _FRAGMENTS or not content:
            raise ConnectionFault(frame.ENHANCE_YOUR_CALM, 'headers come in too many frames')
        if flags & frame.END_HEADERS:
            self._block = None
            self._open(b''.join(block), self._block_stream, heard=bool(self._block_flags & frame.END_STREAM))

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

    def _make(self, number: int, head: Head) -> Stream:
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

    def _read_other(self, kind: int, flags: int, number: int, content: bytes) -> None:
        if kind == frame.WINDOW_UPDATE:
            self._widen(number, frame.read_number(content) & frame.STREAM_MASK)
        elif kind == frame.RST_STREAM:
            frame.read_number(content)
            stream = self.streams.get(number)
            if stream is not None:
                if not stream.is_nearly_due():
                    self._patience.lose_call(self.heard_at, number, self._last)
                stream.drop()
            elif number == 0 or number > self._last:
                raise ConnectionFault(frame.PROTOCOL_ERROR, f'stream {number} is reset, which is not open')
        elif kind == frame.PING:
            self._take_ping(flags, content)
        elif kind == frame.SETTINGS:
            if not flags & frame.ACK:
                self._patience.take_settings(self.heard_at, self._last)
                self._apply(frame.read_settings(content))
        elif kind == frame.CONTINUATION:
            self._continue(flags, content)
        elif kind == frame.PUSH_PROMISE:
            raise ConnectionFault(frame.PROTOCOL_ERROR, 'a client cannot promise anything')
        # A GOAWAY says nothing about the calls under way; what else there is, RFC 9113 has us ignore.

    def _widen(self, number: int, increment: int) -> None:
        if number == 0:
            self.outbox.update(increment)
            return
        stream = self.streams.get(number)
        if stream is None:
            return
        if increment == 0 or stream.send_window + increment > frame.LARGEST_WINDOW:
            stream.reset(frame.FLOW_CONTROL_ERROR)
        else:
            self.outbox.update_stream(stream, increment)

    def _take_ping(self, flags: int, content: bytes) -> None:
        if len(content) != len(_PARTING):
            raise ConnectionFault(frame.FRAME_SIZE_ERROR, f'a ping has {len(content)} bytes')
        if not flags & frame.ACK:
            self.outbox.put(frame.frame(frame.PING, frame.ACK, 0, content))
        elif content == _PARTING:
            self._say_last()

    def _apply(self, values: list[tuple[int, int]]) -> None:
        outbox = self.outbox
        outbox.put(frame.frame(frame.SETTINGS, frame.ACK, 0))  # before anything that they allow
        for name, value in dict(values).items():  # the last one of a name is what counts
            if name == frame.INITIAL_WINDOW_SIZE:
                if value > frame.LARGEST_WINDOW:
                    raise ConnectionFault(frame.FLOW_CONTROL_ERROR, f'a window cannot have {value} bytes')
                outbox.change_windows(self.streams.values(), value)
            elif name == frame.MAX_FRAME_SIZE:
                if not frame.DEFAULT_FRAME_BYTES <= value <= frame.MOST_FRAME_BYTES:
                    raise ConnectionFault(frame.PROTOCOL_ERROR, f'a frame cannot have {value} bytes')
                outbox.frame_bytes = value
            elif name == frame.HEADER_TABLE_SIZE and value < TABLE_BYTES:
                outbox.forget_tables()

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
        silence = now - self.heard_at
        if self._ping_sent is not None:
            if self.heard_at > self._ping_sent:
                self._ping_sent = None
            elif now - self._ping_sent > settings.ping_timeout_s:
                self._transport.abort()
                return
        elif settings.ping_s is not None and silence >= settings.ping_s and (self.streams or settings.pings_idle):
            self._ping_sent = now
            self.outbox.put(frame.frame(frame.PING, 0, 0, _ASKING))
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
