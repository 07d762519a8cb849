"""What one connection sends: the frames of all its streams, as far as the client's windows allow."""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from jina.core.payloads import LONG, Payload, as_bytes, coalesced, pieces_of
from jina.runtime.http2 import frame
from jina.runtime.http2.hpack import literal
from jina.runtime.http2.messages import PREFIX, PREFIX_BYTES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from jina.runtime.http2.stream import Stream

_UNSENT_BYTES: Final = 1 << 20
"""So much waits for the network at most before streams have to wait."""
_NO_TABLE: Final = b'\x20'
"""Says that the compression uses no dynamic table (RFC 7541, section 6.3)."""
_BEGIN: Final = b'\x88' + b'\x0f\x10\x10application/grpc'
"""``:status 200`` and ``content-type``, by the numbers of the static table."""
_OK: Final = literal(b'grpc-status', b'0')
_ANSWER: Final = Struct(f'>HBBBI{len(_BEGIN)}sHBBBIBI')
_END: Final = Struct(f'>HBBBI{len(_OK)}s')


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

    def begin(self, stream: Stream) -> None:
        """Sends the headers of a response, once."""
        if not stream.has_begun:
            stream.has_begun = True
            self._headers(stream.number, _BEGIN, (), frame.END_HEADERS)

    def answer(self, stream: Stream, message: Payload) -> bool:
        """Sends a whole response, if the windows have room for it; tells whether they have."""
        size = len(message)
        framed = size + PREFIX_BYTES
        if (
            framed > self._window
            or framed > stream.send_window
            or framed > self.frame_bytes
            or self._table_update
            or self.paused
        ):
            return False
        self._window -= framed
        number = stream.number
        self.put(
            _ANSWER.pack(
                0,
                len(_BEGIN),
                frame.HEADERS,
                frame.END_HEADERS,
                number,
                _BEGIN,
                framed >> 8,
                framed & 0xFF,
                frame.DATA,
                0,
                number,
                0,
                size,
            ),
            as_bytes(message),
            _END.pack(0, len(_OK), frame.HEADERS, frame.END_HEADERS | frame.END_STREAM, number, _OK),
        )
        return True

    def send(self, stream: Stream, message: Payload) -> None:
        """Sends a message, or as much of it as there is room for, and the rest later; before the first one, the headers."""
        self.begin(stream)
        pending = stream.pending
        pending.append(memoryview(PREFIX.pack(0, len(message))))
        pending.extend(memoryview(piece) for piece in pieces_of(message) if piece)
        self._pump(stream)

    def end(self, stream: Stream, status: int, message: str, metadata: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Ends a response when all of it is sent."""
        extra = [(b'grpc-status', b'%d' % status)]
        if message:
            extra.append((b'grpc-message', percent_encoded(message)))
        stream.ending = [*extra, *metadata]
        self._pump(stream)

    def refuse(self, number: int, status: int) -> None:
        """Answers a request that isn't one of gRPC with a status of HTTP."""
        extra = [(b':status', str(status).encode())]
        self._headers(number, b'', extra, frame.END_HEADERS | frame.END_STREAM)

    def _headers(self, number: int, block: bytes, extra: Iterable[tuple[bytes, bytes]], flags: int) -> None:
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

    def _pump(self, stream: Stream) -> None:
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
        if stream.ending is not None:
            self._finish(stream, stream.ending)
        elif stream.room is not None:
            stream.wake_writer()

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
        self.put(frame.HEAD.pack(size >> 8, size & 0xFF, frame.DATA, 0, stream.number), *pieces)  # type: ignore[arg-type]

    def _finish(self, stream: Stream, ending: list[tuple[bytes, bytes]]) -> None:
        stream.ending = None
        block = b'' if stream.has_begun else _BEGIN
        self._headers(stream.number, block, ending, frame.END_HEADERS | frame.END_STREAM)
        stream.sent_all()

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
            self._pump(stream)

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
                self._pump(stream)  # if that takes all the room, the stream waits behind the others


def percent_encoded(message: str) -> bytes:
    """Returns a message as the header ``grpc-message`` has it."""
    return b''.join(
        bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b'%%%02X' % byte for byte in message.encode()
    )
