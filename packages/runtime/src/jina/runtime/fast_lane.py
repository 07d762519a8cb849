"""The server's side of the fast lane: one stream with all requests of a peer, see ``jina.core.frames``.

All records of a frame are taken in one go, and all responses that are ready when the stream is writable leave in one frame.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from jina.core.calls import EOF, BrokenCallError
from jina.core.errors import DeadlineError, JinaError, RequestTypeError
from jina.core.frames import (
    CANCEL,
    ERROR,
    GATHER_BYTES,
    GATHER_FROM,
    GOODBYE,
    HELLO,
    REQUEST,
    REQUEST_MANY,
    RESPONSE,
    FrameReader,
    FrameWriter,
    Hello,
    Record,
    decode_request,
    encode_error,
    gather_s,
    message_too_long,
)
from jina.core.payloads import Payload
from jina.core.sharing import Sharing
from jina.core.wire import LEAVING, NO_LIMITS, MessageLimits
from jina.runtime import grpc_traffic
from jina.runtime.unary_method import code_of

_UNWRITTEN_BYTES: Final = 8 << 20
"""No more requests are read while this much waits for a client that doesn't read."""
_WORKING_BYTES: Final = 64 << 20
"""No more requests are begun while those under way have this size."""
_BACKLOG: Final = 1000
"""No more requests are read while more than this wait to be begun."""
_AT_MOST: Final = 10_000
"""Requests under way per stream, whatever the client asks for."""
_LEAVE_S: Final = 2.0
"""So long a server that drains waits for the client, which knows then that all else it has sent was refused, to end the stream."""


class Finish(Protocol):
    """Takes the outcome of a request, once: serialised response and whether it is an error, or what failed instead."""

    def __call__(self, raw: Payload, failed: bool, error: JinaError | None = None, /) -> None: ...


class Begin(Protocol):
    """Starts to work on a serialised request; returns what cancels it, None if it is finished already.

    Errors in the request itself, and of Executors, land in ``finish``.
    """

    def __call__(
        self,
        raw: Payload,
        finish: Finish,
        *,
        many: bool = False,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> Callable[[], object] | None: ...


def begin_task(answer: Coroutine[Any, Any, tuple[Payload, bool]], finish: Finish) -> Callable[[], object]:
    """Runs a coroutine that gives a serialised response and whether it is an error; returns what cancels it."""

    def done(task: asyncio.Task[tuple[Payload, bool]]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            finish(*task.result())
        elif isinstance(error, JinaError):
            finish(b'', True, error)
        else:
            loop.call_exception_handler({'message': 'a request failed', 'exception': error, 'task': task})
            finish(b'', True, JinaError(f'Unexpected {type(error)}: {error}'))

    loop = asyncio.get_running_loop()
    task = loop.create_task(answer)
    task.add_done_callback(done)
    return task.cancel


class LaneServer:
    """Serves one stream.

    Args:
        begin: Starts the work on a request.
        context: The call: a ``Context``, or a ``LocalStream``. Where it doesn't gather, it takes frames in pieces.
        name: How the server calls itself in messages.
        window: Requests under way that the server allows, 0 for no limit, unless the client asks for another number.
        limits: Bytes that a response and a request may have.
        door: Where the server listens for clients of its machine, told to the client.
    """

    def __init__(
        self, begin: Begin, context: Any, *, name: str, window: int, limits: MessageLimits = NO_LIMITS, door: str = ''
    ) -> None:
        self._begin = begin
        self._context = context
        self._name = name
        self._door = door
        self._gathers = getattr(context, 'gathers', True)
        self._allowed = window
        self._limit = min(window or _AT_MOST, _AT_MOST)
        self._metadata: tuple[tuple[str, str], ...] = tuple(context.invocation_metadata() or ())
        self._calls: dict[int, _Call] = {}
        self._working = 0
        self._held = 0
        self._backlog: deque[Record] = deque()
        self._limits = limits
        self._most = limits.send
        self._reader = FrameReader(limits.receive)
        self._waiting = FrameWriter()
        self._take_frame: Callable[[], Any] = self._waiting.take if self._gathers else self._waiting.pieces
        self._sharing = Sharing(context, self._reader, self._waiting)
        self._greeted = False
        self._ended = False
        self._draining = False
        self._idle: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Serves until the client's last request is answered, which is soon when the server drains."""
        hello = Hello(
            window=self._allowed, message_bytes=self._limits.receive, door=self._door, probe=self._sharing.probe
        )
        self._waiting.add(HELLO, 0, hello.to_bytes())
        reader = asyncio.create_task(self._read())
        try:
            with contextlib.suppress(BrokenCallError):  # the client is gone
                await self._write(reader)
            if reader.done():
                reader.result()
        finally:
            reader.cancel()
            self._backlog.clear()
            for call in tuple(self._calls.values()):
                call.abandon()

    def drain(self) -> None:
        """Refuses new requests; what was read is still answered. A client ends the stream then."""
        if not self._draining:
            self._draining = True
            self._waiting.add(GOODBYE, 0)
            self._wake()

    async def _read(self) -> None:
        try:
            while (frame := await self._context.read()) is not EOF:
                records = self._reader.read(frame)
                records.reverse()
                while records:
                    self._take(
                        records.pop()
                    )  # no name for it: it may be large, and the next frame may be long in coming
                if self._sharing.acknowledge():
                    self._wake()
                while self._crowded:
                    self._room = asyncio.get_running_loop().create_future()
                    await self._room
        finally:
            self._ended = True
            self._wake()

    async def _write(self, reader: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            frame = self._take_frame()
            if frame is not None:
                await self._context.write(frame)
                self._make_room()
                if self._gathers and self._waiting.size < GATHER_BYTES and len(self._calls) >= GATHER_FROM:
                    await asyncio.sleep(gather_s(len(self._calls)))
                continue
            broken = reader.done() and (reader.cancelled() or reader.exception() is not None)
            idle = not self._calls and not self._backlog
            if broken or (self._ended and idle):
                return
            self._idle = loop.create_future()
            if not (self._draining and idle):
                await self._idle
            elif not (await asyncio.wait((self._idle,), timeout=_LEAVE_S))[0]:
                return

    def _take(self, record: Record) -> None:
        kind = record[0]
        if kind == CANCEL:
            self._cancel(record[1])
        elif kind == HELLO:
            self._greet(Hello.from_bytes(record[3]))
        elif self._sharing.take(kind, record[1]):
            return
        elif kind not in (REQUEST, REQUEST_MANY) or not self._greeted:
            raise RequestTypeError(f'the fast lane has no use for a record of kind {kind} here')
        elif self._draining:
            message = f'{self._name} {LEAVING}'
            self._waiting.add(ERROR, record[1], encode_error('UNAVAILABLE', message))
            self._wake()
        elif self._full:
            self._backlog.append(record)
            self._held += len(record[3])
        else:
            self._start(record)

    def _greet(self, client: Hello) -> None:
        if not Hello().understands(client):
            raise RequestTypeError(f'the fast lane of this server has version {Hello().version}, not {client.version}')
        self._greeted = True
        self._most = min(self._most, client.message_bytes)
        self._waiting.limit(self._most)
        self._sharing.greet(client)
        self._wake()
        if client.window is not None:
            self._limit = min(client.window or _AT_MOST, _AT_MOST)

    def _start(self, record: Record) -> None:
        kind, number, flags, payload = record
        if number in self._calls:
            raise RequestTypeError(f'the fast lane has a request with the number {number} under way already')
        timeout, metadata, raw = decode_request(flags, payload)
        grpc_traffic.received.add(len(raw))
        call = self._calls[number] = _Call(self, number, len(raw))
        self._working += len(raw)
        if timeout is not None:
            call.timer = asyncio.get_running_loop().call_later(timeout, call.expire)
        cancel = self._begin(
            raw,
            call,
            many=kind == REQUEST_MANY,
            metadata=(*self._metadata, *metadata) if metadata else self._metadata,
            timeout=timeout,
        )
        if number in self._calls:
            call.cancel = cancel

    def _cancel(self, number: int) -> None:
        call = self._calls.get(number)
        if call is not None:
            call.abandon()
            self.forget(number)
            return
        self._waiting.drop(number)
        for record in self._backlog:
            if record[1] == number:
                self._backlog.remove(record)
                self._held -= len(record[3])
                break

    def answer(self, number: int, kind: int, payload: Payload) -> None:
        """Sends the outcome of a request."""
        if kind == RESPONSE and len(payload) > self._most:
            kind, payload = ERROR, encode_error('RESOURCE_EXHAUSTED', message_too_long(len(payload), self._most))
        grpc_traffic.sent.add(len(payload))
        self._waiting.add(kind, number, payload)
        self.forget(number)
        self._wake()

    def forget(self, number: int) -> None:
        """Gives the place of a request to the next one."""
        self._working -= self._calls.pop(number).size
        if self._backlog or self._room is not None:
            self._make_room()
        if not self._calls and (self._ended or self._draining):
            self._wake()

    @property
    def _full(self) -> bool:
        """Whether the next request has to wait."""
        return (
            len(self._calls) >= self._limit or self._waiting.size > _UNWRITTEN_BYTES or self._working > _WORKING_BYTES
        )

    @property
    def _crowded(self) -> bool:
        """Whether to stop reading. Not as long as a few requests wait: a cancellation may come behind them."""
        return self._held > _WORKING_BYTES or len(self._backlog) > _BACKLOG or self._waiting.size > _UNWRITTEN_BYTES

    def _make_room(self) -> None:
        """Begins what had to wait, and lets the reader go on."""
        while self._backlog and not self._full:
            record = self._backlog.popleft()
            self._held -= len(record[3])
            try:
                self._start(record)
            except RequestTypeError as error:  # it came long ago: what is answered now has nothing to do with it
                self._waiting.add(ERROR, record[1], encode_error(error.grpc_code, str(error)))
                self._wake()
        if self._room is not None and not self._room.done() and not self._crowded:
            self._room.set_result(None)

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)


class _Call:
    """A request under way; calling it finishes it."""

    __slots__ = ('_lane', '_number', '_over', 'cancel', 'size', 'timer')

    def __init__(self, lane: LaneServer, number: int, size: int) -> None:
        self.size = size
        self._lane = lane
        self._number = number
        self._over = False
        self.cancel: Callable[[], object] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def __call__(self, raw: Payload, failed: bool, error: JinaError | None = None) -> None:
        if self._over:
            return
        self._over = True
        self.cancel = None  # what it cancels refers to this call, and to the documents: they should go at once
        if self.timer is not None:
            self.timer.cancel()
        if error is None:
            self._lane.answer(self._number, RESPONSE, raw)
        else:
            self._lane.answer(self._number, ERROR, encode_error(code_of(error), str(error)))

    def expire(self) -> None:
        """Ends the work when the caller's time is over."""
        if not self._over:
            cancel = self.cancel
            self(b'', True, DeadlineError('Deadline Exceeded'))
            if cancel is not None:
                cancel()

    def abandon(self) -> None:
        """Ends the work; the caller is gone."""
        self._over = True
        if self.timer is not None:
            self.timer.cancel()
        if self.cancel is not None:
            self.cancel()
            self.cancel = None
