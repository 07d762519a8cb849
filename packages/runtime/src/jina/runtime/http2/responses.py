"""What a server sends on a connection: responses, with the frames around them."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from jina.core.payloads import Payload, as_bytes
from jina.runtime.http2 import frame
from jina.runtime.http2.hpack import literal
from jina.runtime.http2.messages import PREFIX_BYTES
from jina.runtime.http2.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jina.core.payloads import Buffer
    from jina.runtime.http2.served_stream import ServedStream

_BEGIN: Final = b'\x88' + b'\x0f\x10\x10application/grpc'
"""``:status 200`` and ``content-type``, by the numbers of the static table."""
_OK: Final = literal(b'grpc-status', b'0')
_ANSWER: Final = Struct(f'>HBBBI{len(_BEGIN)}sHBBBIBI')
_END: Final = Struct(f'>HBBBI{len(_OK)}s')


class Responses(Outbox):
    """Sends responses."""

    def begin(self, stream: ServedStream) -> None:
        """Sends the headers of a response, once."""
        if not stream.has_begun:
            stream.has_begun = True
            self.headers(stream.number, _BEGIN, (), frame.END_HEADERS)

    def answer(self, stream: ServedStream, message: Payload) -> bool:
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

    def send(self, stream: ServedStream, pieces: Sequence[Buffer], size: int) -> None:
        """Sends a message, see ``add``; before the first one, the headers."""
        self.begin(stream)
        self.add(stream, pieces, size)

    def end(
        self, stream: ServedStream, status: int, message: str, metadata: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Ends a response when all of it is sent."""
        extra = [(b'grpc-status', b'%d' % status)]
        if message:
            extra.append((b'grpc-message', percent_encoded(message)))
        stream.ending = [*extra, *metadata]
        self.go_on_with(stream)

    def refuse(self, number: int, status: int) -> None:
        """Answers a request that isn't one of gRPC with a status of HTTP."""
        extra = [(b':status', str(status).encode())]
        self.headers(number, b'', extra, frame.END_HEADERS | frame.END_STREAM)

    def finish(self, stream: ServedStream, ending: Iterable[tuple[bytes, bytes]]) -> None:
        """Sends the end of a response."""
        block = b'' if stream.has_begun else _BEGIN
        self.headers(stream.number, block, ending, frame.END_HEADERS | frame.END_STREAM)


def percent_encoded(message: str) -> bytes:
    """Returns a message as the header ``grpc-message`` has it."""
    return b''.join(
        bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b'%%%02X' % byte for byte in message.encode()
    )
