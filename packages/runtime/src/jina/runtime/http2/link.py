"""Either side of a connection: reads the frames of HTTP/2 and hands them to the calls that they belong to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jina.core.payloads import LONG
from jina.runtime.http2 import frame
from jina.runtime.http2.frame import ConnectionFault
from jina.runtime.http2.hpack import TABLE_BYTES, HeaderDecoder, HpackError
from jina.runtime.http2.stream import WINDOW

if TYPE_CHECKING:
    from jina.runtime.http2.outbox import Outbox

FRAME_BYTES: Final = 1 << 16
"""Content of the frames that the other side may send."""
HEADER_BYTES: Final = 1 << 16
"""Bytes that the headers of a call may have, packed and unpacked."""
_FRAGMENTS: Final = 64
"""Frames that the headers of a call may come in."""
_REFILL_BYTES: Final = 1 << 30
"""The window of the connection is widened again when so much of it was used; the windows of streams are what holds the other side back."""
_PING_BYTES: Final = 8
_ASKING: Final = b'anybody?'


@dataclass
class _Rest:
    """What is still to come of a long frame."""

    number: int
    """Its stream."""
    size: int
    is_last: bool
    """Whether the stream ends with it."""


class Link(asyncio.Protocol):
    """One side of a connection.

    Attributes:
        outbox: What is sent.
        loop: The event loop.
        streams: Calls under way by their numbers.
        heard_at: When something came the last time.
        made_at: When this was made.
    """

    outbox: Outbox

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.streams: dict[int, Any] = {}
        self.heard_at = self.made_at = self.loop.time()
        self._transport: Any = None
        self._parts: list[bytes] = []
        self._size = 0
        self._wanted = frame.HEAD_BYTES
        self._rest: _Rest | None = None
        self._greeted = False
        self._received = 0
        self._decoder = HeaderDecoder(header_bytes=HEADER_BYTES)
        self._block: list[bytes] | None = None
        self._block_bytes = 0
        self._block_flags = 0
        self._block_stream = 0
        self._ping_sent: float | None = None

    # What the event loop calls.

    def eof_received(self) -> bool:
        """Who says nothing more is gone."""
        return False

    def pause_writing(self) -> None:
        """The other side doesn't read."""
        self.outbox.pause()

    def resume_writing(self) -> None:
        """The other side reads again."""
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

    # What the sides do each in their own way.

    def _greet(self, data: bytes) -> int:
        """Reads how the other side begins, and notes that it has; returns where frames follow."""
        raise NotImplementedError

    def _open(self, block: bytes, number: int, *, heard: bool) -> None:
        """Takes all headers of a stream that come together."""
        raise NotImplementedError

    def _take_late(self, number: int) -> None:
        """Takes note of content for a call that is over, or never was."""
        raise NotImplementedError

    def _lose(self, number: int, code: int) -> None:
        """The other side has reset a stream."""
        raise NotImplementedError

    def _take_goaway(self, content: bytes) -> None:
        """The other side begins or takes no more calls."""

    def _take_setting(self, name: int, value: int) -> None:
        """Takes a setting that means something else to each side."""

    def _take_answer(self, content: bytes) -> None:
        """Takes the answer to a ping."""

    def close(self, code: int = frame.NO_ERROR, message: str = '') -> None:
        """Ends the connection at once, and all calls."""
        raise NotImplementedError

    # Reading.

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
        if self._block_bytes > HEADER_BYTES:
            raise ConnectionFault(frame.ENHANCE_YOUR_CALM, f'headers have more than {HEADER_BYTES} bytes')
        if len(block) > _FRAGMENTS or not content:
            raise ConnectionFault(frame.ENHANCE_YOUR_CALM, 'headers come in too many frames')
        if flags & frame.END_HEADERS:
            self._block = None
            self._open(b''.join(block), self._block_stream, heard=bool(self._block_flags & frame.END_STREAM))

    def _read_other(self, kind: int, flags: int, number: int, content: bytes) -> None:
        if kind == frame.WINDOW_UPDATE:
            self._widen(number, frame.read_number(content) & frame.STREAM_MASK)
        elif kind == frame.RST_STREAM:
            self._lose(number, frame.read_number(content))
        elif kind == frame.PING:
            self._take_ping(flags, content)
        elif kind == frame.SETTINGS:
            if not flags & frame.ACK:
                self._apply(frame.read_settings(content))
        elif kind == frame.CONTINUATION:
            self._continue(flags, content)
        elif kind == frame.GOAWAY:
            self._take_goaway(content)
        elif kind == frame.PUSH_PROMISE:
            raise ConnectionFault(frame.PROTOCOL_ERROR, 'nobody here may promise anything')
        # What else there is, RFC 9113 has us ignore.

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
        if len(content) != _PING_BYTES:
            raise ConnectionFault(frame.FRAME_SIZE_ERROR, f'a ping has {len(content)} bytes')
        if not flags & frame.ACK:
            self.outbox.put(frame.frame(frame.PING, frame.ACK, 0, content))
        else:
            self._take_answer(content)

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
            else:
                self._take_setting(name, value)

    def _is_deaf(self, now: float, ping_s: float | None, timeout_s: float, *, asks: bool) -> bool:
        """Tells whether the other side didn't answer in time, and asks it after a time of silence.

        Args:
            now: Time of the event loop.
            ping_s: Seconds of silence; None for any time.
            timeout_s: Seconds for the answer.
            asks: Whether to ask, if it was silent for so long.
        """
        if self._ping_sent is not None:
            if self.heard_at <= self._ping_sent:
                return now - self._ping_sent > timeout_s
            self._ping_sent = None
        elif asks and ping_s is not None and now - self.heard_at >= ping_s:
            self._ping_sent = now
            self.outbox.put(frame.frame(frame.PING, 0, 0, _ASKING))
        return False


def first_frames(values: dict[int, int]) -> tuple[bytes, bytes]:
    """Returns the frames that either side begins with: its settings, and a window for the connection that holds nobody back.

    Args:
        values: Settings beside those of all sides.
    """
    every = {
        frame.INITIAL_WINDOW_SIZE: WINDOW,
        frame.MAX_FRAME_SIZE: FRAME_BYTES,
        frame.MAX_HEADER_LIST_SIZE: HEADER_BYTES,
    }
    return frame.settings({**every, **values}), frame.window_update(0, frame.LARGEST_WINDOW - frame.DEFAULT_WINDOW)
