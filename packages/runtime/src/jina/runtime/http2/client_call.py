"""A call that this process makes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jina.core.calls import EOF, CallError, StatusCode
from jina.core.payloads import Buffer, Payload, in_pieces
from jina.runtime.http2 import frame
from jina.runtime.http2.messages import too_long
from jina.runtime.http2.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jina.runtime.http2.client_connection import ClientConnection
    from jina.runtime.http2.outcome import ResponseHead

__all__ = ['ClientCall', 'check_size']


def check_size(size: int, most: int) -> None:
    """Check that a request may be sent.

    Raises:
        CallError: It is too long.
    """
    if size > most:
        raise CallError(StatusCode.RESOURCE_EXHAUSTED, too_long(size, most))


class ClientCall(Stream):
    """Sends messages and reads those that come; begun by ``ClientConnection.begin``.

    Args:
        connection: Where it takes place.
        number: Its number there.
        timeout: Seconds until it fails with DEADLINE_EXCEEDED; None for any time.
    """

    __slots__ = ('_begun', '_cancelled', '_outcome')

    connection: ClientConnection
    gathers = False
    """A message costs so little here that a lane need not wait for more to send, nor put it together."""

    def __init__(self, connection: ClientConnection, number: int, timeout: float | None) -> None:
        super().__init__(connection, number, connection.settings.receive)
        self._begun = False
        self._cancelled = False
        self._outcome: tuple[StatusCode, str] | None = None
        if timeout is not None:
            self._timer = connection.loop.call_later(timeout, self._expire)

    # What callers use.

    def read_out(self) -> Any:
        """Says how the call ended.

        Raises:
            CallError: It failed.
            asyncio.CancelledError: It was cancelled here.
        """
        if self._cancelled:
            raise asyncio.CancelledError
        status, details = self._outcome or (StatusCode.OK, '')
        if status is not StatusCode.OK:
            raise CallError(status, details)
        return EOF

    async def answer(self) -> bytes:
        """Returns the only message of a response.

        Raises:
            CallError: The call failed, or has another number of messages.
        """
        message = await self.read()
        if message is EOF or await self.read() is not EOF:
            what = 'none' if message is EOF else 'several'
            error = CallError(StatusCode.INTERNAL, f'the server answers with {what} instead of one message')
            self.fail(error.status, error.details())
            raise error
        return message  # type: ignore[no-any-return]

    async def write(self, message: Payload | Sequence[Buffer]) -> None:
        """Sends a message, perhaps given in pieces; returns when the windows of the server had room for it.

        Raises:
            CallError: The message is too long.
            asyncio.InvalidStateError: The call is over.
        """
        self.send(message)
        await self.flushed()

    def send(self, message: Payload | Sequence[Buffer], *, last: bool = False) -> None:
        """Sends a message without waiting.

        Args:
            message: The message.
            last: None follows.

        Raises:
            CallError: The message is too long.
            asyncio.InvalidStateError: The call is over.
        """
        if self.is_over:
            raise asyncio.InvalidStateError('the call is over')
        pieces = in_pieces(message)
        size = sum(map(len, pieces))
        try:
            check_size(size, self.connection.settings.send)
        except CallError as error:
            self.fail(error.status, error.details())
            raise
        self.ends = last
        self.connection.pings = 0
        self.connection.outbox.add(self, pieces, size)

    async def done_writing(self) -> None:
        """Says that no message follows."""
        if self.ends or self.is_over:
            return
        self.ends = True
        if not self.pending:
            self.connection.outbox.put(frame.frame(frame.DATA, frame.END_STREAM, self.number))

    def cancel(self) -> None:
        """Ends the call at once; nothing happens to one that is over."""
        if not self.is_over:
            self._cancelled = True
            self.fail(StatusCode.CANCELLED, 'the call is cancelled')

    # What the connection calls.

    def take_headers(self, head: ResponseHead, *, heard: bool) -> None:
        """Takes headers of the response: those at its beginning, or those at its end.

        Args:
            head: What they say.
            heard: Nothing follows.
        """
        if head.is_interim and not heard:
            return
        if head.failure is not None:
            self.fail(*head.failure)
            return
        if not self._begun:
            self._begun = True
            self.encoding = head.encoding
        if not heard:
            return
        self.is_heard = True
        reader = self._reader
        if head.status is None or (reader is not None and not reader.is_between):
            self._break_off()
        else:
            self._finish(*head.status)

    def hear_out(self) -> None:
        """The stream ends without a status."""
        self.is_heard = True
        self._break_off()

    def fail(self, status: StatusCode, message: str) -> None:
        """Ends the call with a status, and tells the server."""
        if not self.is_over:
            self.connection.outbox.put(frame.reset(self.number, frame.CANCEL))
            self.lose(status, message)

    def lose(self, status: StatusCode, message: str) -> None:
        """The call ends without the server: there is none any more, or it has ended it."""
        if self._outcome is None:
            self._outcome = status, message
        self.leave()
        self.received()

    def abandon(self) -> None:
        """The stream was reset, as its windows make no sense."""
        self.lose(StatusCode.INTERNAL, 'the server widens the window of a stream by too much')

    def _break_off(self) -> None:
        self.lose(StatusCode.INTERNAL, 'the server ended the stream in the middle of the response')

    def _finish(self, status: StatusCode, details: str) -> None:
        if not self.ends or self.pending:
            self.connection.outbox.put(frame.reset(self.number, frame.NO_ERROR))  # what else there is, nobody reads
        self.lose(status, details)

    def _expire(self) -> None:
        self._timer = None
        self.fail(StatusCode.DEADLINE_EXCEEDED, 'Deadline Exceeded')
