"""A call with one request and one response that is answered by a callback, without a task of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.core.calls import StatusCode
from jina.core.errors import JinaError
from jina.core.payloads import Payload, pieces_of
from jina.runtime.http2.messages import PREFIX, PREFIX_BYTES, MessageReader, too_long
from jina.runtime.http2.served_stream import ServedStream
from jina.runtime.unary_method import code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jina.runtime.http2.connection import Connection
    from jina.runtime.http2.head import Head
    from jina.runtime.unary_method import BeginUnary


class UnaryCall(ServedStream):
    """Calls ``begin`` with the request, and is the reply.

    Args:
        connection: Where it came from.
        number: Its number there.
        head: What it began with.
        begin: Starts the work.
    """

    __slots__ = ('_begin', '_cancel', '_replied')

    def __init__(self, connection: Connection, number: int, head: Head, begin: BeginUnary) -> None:
        super().__init__(connection, number, head)
        self._begin = begin
        self._replied = False
        self._cancel: Callable[[], object] | None = None

    def receive(self, data: bytes, start: int, end: int, *, heard: bool) -> None:
        """Takes the content of a DATA frame: mostly the one message, whole."""
        if heard and self._reader is None and end - start >= PREFIX_BYTES:
            flag, size = PREFIX.unpack_from(data, start)
            start += PREFIX_BYTES
            if not flag and size == end - start and size <= self.connection.settings.receive:
                self.is_heard = True
                self._start(data[start:end])
                return
            start -= PREFIX_BYTES
        super().receive(data, start, end, heard=heard)

    def hear_out(self) -> None:
        """Begins, as there is one request, or refuses the call."""
        self.is_heard = True
        reader: MessageReader | None = self._reader
        count = 0 if reader is None else len(reader.messages)
        if reader is None or count != 1:
            self.fail(StatusCode.UNIMPLEMENTED, f'the method takes one message, and got {count}')
            return
        self._reader = None
        self._start(reader.take())

    def abandon(self) -> None:
        """Cancels the work."""
        cancel, self._cancel = self._cancel, None
        self._replied = True
        if cancel is not None:
            cancel()

    def _start(self, raw: bytes) -> None:
        head = self.head
        cancel = self._begin(
            raw,
            self,
            metadata=head.invocation_metadata,
            timeout=None if head.timeout is None else self.time_remaining(),
        )
        if not self._replied:
            self._cancel = cancel

    def __call__(self, raw: Payload, error: JinaError | None = None, metadata: Sequence[tuple[str, str]] = ()) -> None:
        """Sends the outcome."""
        if self._replied:
            return
        self._replied = True
        self._cancel = None  # what it cancels refers to the documents, which should go at once
        if error is not None:
            self.finish(StatusCode[code_of(error)], str(error), metadata)
            return
        connection = self.connection
        if len(raw) > connection.settings.send:
            self.finish(
                StatusCode.RESOURCE_EXHAUSTED,
                too_long(len(raw), connection.settings.send),
            )
        elif metadata or not self.is_heard or not connection.outbox.answer(self, raw):
            connection.outbox.send(self, pieces_of(raw), len(raw))
            self.finish(metadata=metadata)
        else:
            self.leave()
