"""One stream of a connection: what both sides of a call need of it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from jina.core.calls import EOF, StatusCode
from jina.runtime.http2 import frame
from jina.runtime.http2.messages import CallFault, MessageReader

WINDOW: Final = 1 << 18
"""Bytes that the other side may send on a stream before somebody takes them."""
_AHEAD_BYTES: Final = 4 << 20
"""What it may send at once of a message that is longer."""


class Stream:
    """A call, as far as HTTP/2 goes.

    Args:
        connection: Where it takes place.
        number: Its number there.

    Attributes:
        send_window: Bytes that the other side still takes on this stream.
        pending: What waits for the window.
        ends: Whether this side says nothing more behind what is pending.
        is_blocked: Whether the outbox has it among those that wait for the connection.
        is_over: Whether nothing can be sent any more.
        is_heard: Whether the other side has said all that it had to say.
        room: Somebody waits for what is pending to be sent.
        most: Bytes that a message may have that comes.
        encoding: How messages are compressed that say they are.
    """

    __slots__ = (
        '_reader',
        '_receive_window',
        '_timer',
        '_waiting',
        'connection',
        'encoding',
        'ends',
        'is_blocked',
        'is_heard',
        'is_over',
        'most',
        'number',
        'pending',
        'room',
        'send_window',
    )

    def __init__(self, connection: Any, number: int, most: int, encoding: str = 'identity') -> None:
        self.connection = connection
        self.number = number
        self.most = most
        self.encoding = encoding
        self.send_window: int = connection.outbox.stream_window
        self.pending: deque[memoryview] = deque()
        self.ends = False
        self.is_blocked = False
        self.is_over = False
        self.is_heard = False
        self.room: asyncio.Future[None] | None = None
        self._receive_window = WINDOW
        self._reader: MessageReader | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Future[None] | None = None

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
            self.fail(StatusCode.RESOURCE_EXHAUSTED, 'more comes than the window of the stream allows')
            return
        reader = self._reader
        if reader is None:
            reader = self._reader = MessageReader(self.most, self.encoding)
        try:
            reader.feed(data, start, end)
            if heard and not reader.is_between:
                raise CallFault(StatusCode.INTERNAL, 'the stream ends in the middle of a message')
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
        """Notes that the other side has said all."""
        self.is_heard = True

    def grant(self) -> None:
        """Lets the other side send more, as far as what it has sent is taken, or belongs to a message that isn't complete."""
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

    def sent(self) -> None:
        """Called when nothing of what was added waits any more."""
        if self.room is not None:
            self.wake_writer()

    def leave(self) -> None:
        """Gives the place of the call to others."""
        self.is_over = True
        self.pending.clear()
        if self._timer is not None:
            self._timer.cancel()
        self.wake_writer()
        self.connection.forget(self.number)

    def drop(self) -> None:
        """The other side is gone."""
        self.leave()
        self.abandon()

    def reset(self, code: int) -> None:
        """Ends the call at once."""
        self.connection.outbox.put(frame.reset(self.number, code))
        self.drop()

    def wake_writer(self) -> None:
        """There is room for the next message."""
        if self.room is not None and not self.room.done():
            self.room.set_result(None)

    def fail(self, status: StatusCode, message: str) -> None:
        """Ends the call with a status, and the work on it."""
        raise NotImplementedError

    async def read(self) -> Any:
        """Returns the next message, and what ``read_out`` does after the last one."""
        while True:
            reader = self._reader
            if reader is not None and reader.messages:
                message = reader.take()
                self.grant()
                return message
            if self.is_heard or self.is_over:
                return self.read_out()
            self._waiting = self.connection.loop.create_future()
            await self._waiting

    def read_out(self) -> Any:
        """Says that no message follows."""
        return EOF

    async def flushed(self) -> None:
        """Returns when the windows of the other side had room for all that is pending.

        Raises:
            asyncio.InvalidStateError: The call is over.
        """
        while self.pending and not self.is_over:
            self.room = self.connection.loop.create_future()
            await self.room
        if self.is_over:
            raise asyncio.InvalidStateError('the call is over')

    def received(self) -> None:
        """Wakes the reader: something new came, or the end."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def abandon(self) -> None:
        """Called when nobody waits for the result any more."""
        raise NotImplementedError
