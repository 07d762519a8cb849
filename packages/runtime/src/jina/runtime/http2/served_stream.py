"""A stream as a server has it: with the head of a request, a deadline, and a status at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jina.core.calls import StatusCode
from jina.runtime.http2 import frame
from jina.runtime.http2.head import encoded_metadata
from jina.runtime.http2.stream import Stream

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from jina.runtime.http2.connection import Connection
    from jina.runtime.http2.head import Head


class ServedStream(Stream):
    """A call that is answered here.

    Args:
        connection: Where it came from.
        number: Its number there.
        head: What it began with.

    Attributes:
        ending: Headers that end the response, when what is pending is sent.
        has_begun: Whether the headers of the response are sent.
    """

    __slots__ = ('_deadline', 'ending', 'has_begun', 'head')

    connection: Connection

    def __init__(self, connection: Connection, number: int, head: Head) -> None:
        super().__init__(connection, number, connection.settings.receive, head.encoding)
        self.head = head
        self.ending: list[tuple[bytes, bytes]] | None = None
        self.has_begun = False
        self._deadline: float | None = None
        if head.timeout is not None:
            loop = connection.loop
            self._deadline = loop.time() + head.timeout
            self._timer = loop.call_at(self._deadline, self._expire)

    def time_remaining(self) -> float | None:
        """Returns the seconds until the client gives up; None if it never does."""
        return None if self._deadline is None else max(0.0, self._deadline - self.connection.loop.time())

    def is_nearly_due(self) -> bool:
        """Tells whether more than half of the time is over that the client gave the call."""
        limit, left = self.head.timeout, self.time_remaining()
        return limit is not None and left is not None and left * 2 < limit

    def finish(
        self,
        status: StatusCode = StatusCode.OK,
        message: str = '',
        metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> None:
        """Ends the call with a status; once."""
        if not self.is_over and self.ending is None:
            if self._timer is not None:
                self._timer.cancel()
            self.connection.outbox.end(self, status, message, encoded_metadata(metadata))

    def fail(self, status: StatusCode, message: str) -> None:
        """Ends the call with a status, and the work on it."""
        self.pending.clear()
        self.finish(status, message)
        self.abandon()

    def sent(self) -> None:
        """Ends the response, if it has an end."""
        ending, self.ending = self.ending, None
        if ending is None:
            super().sent()
            return
        outbox = self.connection.outbox
        outbox.finish(self, ending)
        if not self.is_heard:
            outbox.put(frame.reset(self.number, frame.NO_ERROR))  # what else it says, nobody reads
        self.leave()

    def drop(self) -> None:
        """The client has reset the stream, or is gone."""
        self.ending = None
        super().drop()

    def _expire(self) -> None:
        self._timer = None
        self.fail(StatusCode.DEADLINE_EXCEEDED, 'Deadline Exceeded')

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """What works on the call, if that is a task."""
        return None
