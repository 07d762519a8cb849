"""What either side of a connection sends: the frames of all its streams, as far as the windows of the other side allow."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from jina.core.payloads import LONG, coalesced
from jina.runtime.http2 import frame
from jina.runtime.http2.hpack import literal
from jina.runtime.http2.messages import PREFIX

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    from jina.core.payloads import Buffer
    from jina.runtime.http2.stream import Stream

_UNSENT_BYTES: Final = 1 << 20
"""So much waits for the network at most before streams have to wait."""
_NO_TABLE: Final = b'\x20'
"""Says that the compression uses no dynamic table (RFC 7541, section 6.3)."""


class Outbox:
    """Sends frames; what doesn't fit into a window waits, and the streams take turns.

    Args:
        transport: The connection.
        loop: Its event loop.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.frame_bytes = frame.DEFAULT_FRAME_BYTES
        self.stream_window = frame.DEFAULT_WINDOW
        """Window of a new stream."""
        self.paused = False
        self._window = frame.DEFAULT_WINDOW
        self._table_update = b''
        self._transport = transport
        self._call_soon: Callable[..., object] = loop.call_soon
        self._parts: list[Any] = []
        self._has_long = False
        self.is_scheduled = False
        self._blocked: deque[Stream] = deque()
        transport.set_write_buffer_limits(_UNSENT_BYTES)

    def put(self, *parts: bytes) -> None:
        """Sends frames at the end of this turn of the event loop."""
        self._parts += parts
        if not self.is_scheduled:
            self.is_scheduled = True
            self._call_soon(self.flush)

    def flush(self) -> None:
        """Sends frames now."""
        self.is_scheduled = False
        parts = self._parts
        if parts:
            self._parts = []
            if self._transport.is_closing():
                return
            if not self._has_long:
                self._transport.write(parts[0] if len(parts) == 1 else b''.join(parts))
                return
            self._has_long = False
            for part in coalesced(parts):
                self._transport.write(part)

    def forget_tables(self) -> None:
        """The client wants a smaller table than it had: the next headers confirm it."""
        self._table_update = _NO_TABLE

    def add(self, stream: Stream, pieces: Sequence[Buffer], size: int) -> None:
        """Sends a message, or as much of it as there is room for, and the rest later.

        Args:
            stream: Where.
            pieces: The message.
            size: Its bytes.
        """
        pending = stream.pending
        pending.append(memoryview(PREFIX.pack(0, size)))
        pending.extend(memoryview(piece) for piece in pieces if piece)
        self.go_on_with(stream)

    def headers(self, number: int, block: bytes, extra: Iterable[tuple[bytes, bytes]], flags: int) -> None:
        """Sends headers.

        Args:
            number: The stream.
            block: What they begin with, encoded.
            extra: Further ones.
            flags: Of the frame.
        """
        update, self._table_update = self._table_update, b''
        content = b''.join((update, block, *(literal(*header) for header in extra)))
        if len(content) <= self.frame_bytes:
            self.put(frame.frame(frame.HEADERS, flags, number, content))
            return
        parts = [content[at : at + self.frame_bytes] for at in range(0, len(content), self.frame_bytes)]
        self.put(frame.frame(frame.HEADERS, flags & ~frame.END_HEADERS, number, parts[0]))
        for part in parts[1:-1]:
            self.put(frame.frame(frame.CONTINUATION, 0, number, part))
        self.put(frame.frame(frame.CONTINUATION, frame.END_HEADERS, number, parts[-1]))

    def go_on_with(self, stream: Stream) -> None:
        """Sends what waits on a stream, as far as there is room."""
        pending = stream.pending
        while pending:
            if stream.send_window <= 0:
                return  # until its own window grows
            if self._window <= 0 or self.paused:
                if not stream.is_blocked:
                    stream.is_blocked = True
                    self._blocked.append(stream)
                return
            self._send_frame(stream, pending, min(self._window, stream.send_window, self.frame_bytes))
        stream.sent()

    def _send_frame(self, stream: Stream, pending: deque[memoryview], room: int) -> None:
        """Sends one frame with as many of the pieces that wait as fit."""
        pieces, size = [], 0
        while pending and size < room:
            piece = pending.popleft()
            if size + len(piece) > room:
                pending.appendleft(piece[room - size :])
                piece = piece[: room - size]
            pieces.append(piece)
            size += len(piece)
        self._window -= size
        stream.send_window -= size
        self._has_long = self._has_long or size >= LONG
        flags = frame.END_STREAM if stream.ends and not pending else 0
        self.put(frame.HEAD.pack(size >> 8, size & 0xFF, frame.DATA, flags, stream.number), *pieces)  # type: ignore[arg-type]

    def update(self, increment: int) -> None:
        """The client reads on: more may be sent on the connection.

        Raises:
            ConnectionFault: No window can be that large.
        """
        self._window += increment
        if increment == 0 or self._window > frame.LARGEST_WINDOW:
            raise frame.ConnectionFault(frame.FLOW_CONTROL_ERROR, f'the window of a connection grows by {increment}')
        self.go_on()

    def update_stream(self, stream: Stream, increment: int) -> None:
        """More may be sent on a stream."""
        stream.send_window += increment
        if stream.pending and not stream.is_blocked:
            self.go_on_with(stream)

    def change_windows(self, streams: Iterable[Stream], size: int) -> None:
        """The windows that streams begin with have another size, and those of streams under way change as much."""
        change, self.stream_window = size - self.stream_window, size
        for stream in tuple(streams):
            self.update_stream(stream, change)

    def pause(self) -> None:
        """The network takes no more for now."""
        self.paused = True

    def resume(self) -> None:
        """The network takes more again."""
        self.paused = False
        self.go_on()

    def go_on(self) -> None:
        """Sends what waits, as far as there is room."""
        blocked = self._blocked
        while blocked and self._window > 0 and not self.paused:
            stream = blocked.popleft()
            stream.is_blocked = False
            if not stream.is_over:
                self.go_on_with(stream)  # if that takes all the room, the stream waits behind the others
