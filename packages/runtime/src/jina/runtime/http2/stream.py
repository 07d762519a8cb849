"""One stream of a connection: what a call needs of it, whether it is unary or not."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from jina.core.calls import StatusCode
from jina.runtime.http2 import frame
from jina.runtime.http2.head import encoded_metadata
from jina.runtime.http2.messages import CallFault, MessageReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jina.runtime.http2.connection import Connection
    from jina.runtime.http2.head import Head

WINDOW: Final = 1 << 18
"""Bytes that a client may send on a stream before somebody takes them."""
_AHEAD_BYTES: Final = 4 << 20
"""What it may send at once of a message that is longer."""


class Stream:
    """A call, as far as HTTP/2 goes.

    Args:
        connection: Where it came from.
        number: Its number there.
        head: What it began with.

    Attributes:
        send_window: Bytes that the client still takes on this stream.
        pending: What waits for the window.
        ending: Headers that end the response, when what is pending is sent.
        has_begun: Whether the headers of the response are sent.
        is_blocked: Whether the outbox has it among those that wait.
        is_over: Whether nothing can be sent any more.
        is_heard: Whether the client has said all that it had to say.
        room: Somebody waits for what is pending to be sent.
    """

    __slots__ = (
        '_deadline',
        '_reader',
        '_receive_window',
        '_timer',
        'connection',
        'ending',
        'has_begun',
        'head',
        'is_blocked',
        'is_heard',
        'is_over',
        'number',
        'pending',
        'room',
        'send_window',
    )

    def __init__(self, connection: Connection, number: int, head: Head) -> None:
        self.connection = connection
        self.number = number
        self.head = head
        self.send_window = connection.outbox.stream_window
        self.pending: deque[memoryview] = deque()
        self.ending: list[tuple[bytes, bytes]] | None = None
        self.has_begun = False
        self.is_blocked = False
        self.is_over = False
        self.is_heard = False
        self.room: asyncio.Future[None] | None = None
        self._receive_window = WINDOW
        self._reader: MessageReader | None = None
        self._timer: asyncio.TimerHandle | None = None
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

    def receive(self, data: bytes, start: int, end: int, *, heard: bool) -> None:
        """Takes the content of a DATA frame.

        Args:
            data: Holds it.
            start: Where it begins.
            end: Where it ends.
            heard: Nothing follows.
        """
        self._receive_window -= end - start
        if self._receive_window < 0:
            self.fail(StatusCode.RESOURCE_EXHAUSTED, 'the client sends more than the window of the stream allows')
            return
        reader = self._reader
        if reader is None:
            reader = self._reader = MessageReader(self.connection.settings.receive, self.head.encoding)
        try:
            reader.feed(data, start, end)
            if heard and not reader.is_between:
                raise CallFault(StatusCode.INTERNAL, 'the client ends the stream in the middle of a message')
        except CallFault as fault:
            self.fail(fault.status, str(fault))
            return
        if heard:
            self.hear_out()
        else:
            self.grant()
        self.received()

    def give_back(self, padding: int) -> None:
        """Takes the padding of a frame off the window."""
        self._receive_window -= padding

    def hear_out(self) -> None:
        """Notes that the client has said all."""
        self.is_heard = True

    def grant(self) -> None:
        """Lets the client send more, as far as what it has sent is taken, or belongs to a message that isn't complete."""
        reader = self._reader
        if self.is_heard or self.is_over or reader is None:
            return
        if reader.missing and not reader.messages:
            wanted = min(max(reader.missing, WINDOW), _AHEAD_BYTES)
        else:  # nobody takes what is complete: no more than that may wait
            wanted = WINDOW - reader.size
        if wanted > self._receive_window * 2:
            self.connection.outbox.put(frame.window_update(self.number, wanted - self._receive_window))
            self._receive_window = wanted

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

    def sent_all(self) -> None:
        """The end of the response is sent."""
        if not self.is_heard:
            self.connection.outbox.put(frame.reset(self.number, frame.NO_ERROR))  # what else it says, nobody reads
        self.leave()

    def leave(self) -> None:
        """Gives the place of the call to others."""
        self.is_over = True
        self.pending.clear()
        if self._timer is not None:
            self._timer.cancel()
        self.wake_writer()
        self.connection.forget(self.number)

    def drop(self) -> None:
        """The client has reset the stream, or is gone."""
        self.ending = None
        self.leave()
        self.abandon()

    def reset(self, code: int) -> None:
        """Ends the call without a status."""
        self.connection.outbox.put(frame.reset(self.number, code))
        self.drop()

    def wake_writer(self) -> None:
        """There is room for the next message."""
        if self.room is not None and not self.room.done():
            self.room.set_result(None)

    def received(self) -> None:
        """Called when something new was read, or the end."""

    def abandon(self) -> None:
        """Called when nobody waits for the result any more."""
        raise NotImplementedError

    def _expire(self) -> None:
        self._timer = None
        self.fail(StatusCode.DEADLINE_EXCEEDED, 'Deadline Exceeded')

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """What works on the call, if that is a task."""
        return None
