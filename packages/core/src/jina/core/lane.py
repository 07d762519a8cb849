"""The client's side of the fast lane: all requests to a server on one gRPC stream.

``Lane`` is one stream; whoever owns it reads it. ``SharedLane`` keeps one open for many callers, each of which awaits its
own response.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from jina.core.calls import EOF, CallError, StatusCode
from jina.core.errors import RequestTypeError
from jina.core.frames import (
    CANCEL,
    ERROR,
    GATHER_BYTES,
    GATHER_FROM,
    GOODBYE,
    HELLO,
    LAST_NUMBER,
    REQUEST,
    REQUEST_MANY,
    RESPONSE,
    FrameReader,
    FrameWriter,
    Hello,
    decode_error,
    gather_s,
    message_too_long,
    request_prefix,
)
from jina.core.payloads import Payload
from jina.core.sharing import Sharing
from jina.core.wire import LEAVING, NO_LIMITS, MessageLimits

__all__ = ['DEFAULT_WINDOW', 'Answer', 'Done', 'Lane', 'LaneError', 'LaneLeftError', 'LaneMissingError', 'SharedLane']

DEFAULT_WINDOW: Final = 1000
"""Requests under way before the server has said how many it allows."""
_WAITING_BYTES: Final = 4 << 20
"""Who sends many requests pauses while this much waits to be written."""
_UNLIMITED: Final = 1 << 30
_GREETING_S: Final = 5.0
_WRITE_FAILED: Final = 'Internal error from Core'
"""What grpc.aio makes of a connection that breaks in the middle of a write."""


class LaneError(CallError):
    """A request failed on the way. Like gRPC's own error it never reaches users."""


class LaneMissingError(LaneError):
    """The server has no fast lane. It has seen none of the requests."""


class LaneLeftError(LaneError):
    """The server leaves and has not begun the request: who takes its place may get it."""


Answer: TypeAlias = 'tuple[int, bytes, LaneError | None]'
"""Number of the request, serialised response, and what failed instead."""

Enter: TypeAlias = 'Callable[[str], Awaitable[Any]]'

Done: TypeAlias = 'Callable[[bytes, LaneError | None], None]'
"""Takes a serialised response, or what failed instead. It must not raise."""


class Lane:
    """One stream of frames. Use it in one event loop; ``receive`` from one task at a time.

    Args:
        call: The call, just begun: a ``GrpcStream``, a ``LocalStream`` or another one that has their methods. Where it doesn't
            gather, it takes frames in pieces.
        window: Requests under way that this side wants, 0 for no limit, None for what the server allows.
        limits: Bytes that a request and a response may have.

    Attributes:
        open: True while requests may be sent.
        used_up: True if no number is left for a further request: the next one needs a new lane.
        left: True if the server has said that it leaves: what is unanswered at the end of the stream, it hasn't begun.
    """

    def __init__(self, call: Any, window: int | None = None, limits: MessageLimits = NO_LIMITS) -> None:
        self.open = True
        self.used_up = False
        self.left = False
        self._call = call
        self._gathers = getattr(call, 'gathers', True)
        self._wanted = window
        self._server: Hello | None = None
        self._under_way = 0
        self._numbers = itertools.count(1)
        self._most = limits.send
        self._waiting = FrameWriter()
        self._take: Callable[[], Any] = self._waiting.take if self._gathers else self._waiting.pieces
        self._reader = FrameReader(limits.receive)
        self._half_closed = False
        self._retiring = False
        self._idle: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sharing = Sharing(call, self._reader, self._waiting)
        hello = Hello(window=window, message_bytes=limits.receive, probe=self._sharing.probe)
        self._waiting.add(HELLO, 0, hello.to_bytes())
        self._task: asyncio.Task[None] | None = asyncio.create_task(self._write())

    @property
    def window(self) -> int:
        """Requests that may be under way."""
        wanted = self._wanted
        if wanted is not None:
            return wanted or _UNLIMITED
        allowed = None if self._server is None else self._server.window
        return DEFAULT_WINDOW if allowed is None else allowed or _UNLIMITED

    @property
    def proven(self) -> bool:
        """True once the server has shown that it understands."""
        return self._server is not None

    @property
    def door(self) -> str:
        """Where the server listens for clients of its machine; empty for nowhere."""
        return '' if self._server is None else self._server.door

    @property
    def crowded(self) -> bool:
        """True if so much waits to be written that a sender of many requests should ``drain`` first."""
        return self._waiting.size > _WAITING_BYTES

    def send(
        self,
        raw: Payload,
        *,
        many: bool = False,
        timeout: float | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> int:
        """Queues a serialised request and returns its number.

        Raises:
            LaneError: It is longer than this side or the server allows.
        """
        flags, prefix = 0, b''
        if metadata or timeout is not None:
            flags, prefix = request_prefix(timeout, metadata)
        if len(prefix) + len(raw) > self._most:
            raise self._too_long(len(raw))
        number = next(self._numbers)
        self._under_way += 1
        if number == LAST_NUMBER:
            self.used_up = True
            self.retire()
        self._waiting.add(REQUEST_MANY if many else REQUEST, number, raw, flags, prefix)
        self._wake()
        return number

    def cancel(self, number: int) -> None:
        """Tells the server that nobody waits for a request any more."""
        self._under_way -= 1
        self._reader.drop(number)
        if not self._waiting.drop(number):
            self._waiting.add(CANCEL, number)
        self._wake()

    def finish(self) -> None:
        """Says that no request will come; the server ends the stream after its last response."""
        self.open = False
        self._half_closed = True
        self._wake()

    def retire(self) -> None:
        """The same as ``finish``, but not before all that is under way is answered: it can be cancelled until then."""
        self.open = False
        self._retiring = True
        self._wake()

    async def greeted(self) -> None:
        """Returns when the server has shown that it understands; never, if it doesn't: ``receive`` tells."""
        await asyncio.shield(self._greeted)

    async def drain(self) -> None:
        """Returns when the lane isn't crowded any more."""
        while self.crowded and self._task is not None and not self._task.done():
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    async def receive(self) -> list[Answer] | None:
        """Returns the responses of the next frame, perhaps none; None at the end of the stream.

        Raises:
            LaneMissingError: The server has no fast lane.
            LaneError: The stream broke.
        """
        try:
            frame = await self._call.read()
        except CallError as error:
            raise self._translate(error) from error
        if frame is EOF:
            self.open = False
            return None
        answers: list[Answer] = []
        try:
            for kind_of, number, _, payload in self._reader.read(frame):
                if kind_of == RESPONSE:
                    answers.append((number, payload, None))
                else:
                    self._control(kind_of, number, payload, answers)
        except RequestTypeError as error:
            self.abort()
            raise LaneError(StatusCode.INTERNAL, str(error)) from error
        if self._sharing.acknowledge():
            self._wake()
        self._under_way -= len(answers)
        if self._retiring:
            self._wake()
        return answers

    def abort(self) -> None:
        """Ends the stream at once; ``receive`` is cancelled, and the server cancels what is under way."""
        self.open = False
        self._call.cancel()

    async def close(self) -> None:
        """Ends the stream at once, and waits until nothing of it runs any more."""
        self.abort()
        task, self._task = self._task, None  # no cycle: gRPC's objects should go at once
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def _translate(self, error: CallError) -> LaneError:
        self.open = False
        code, details = error.status, error.details()
        if code is StatusCode.UNIMPLEMENTED and self._server is None:
            return LaneMissingError(code, details)
        if code is StatusCode.INTERNAL and details.startswith(_WRITE_FAILED):
            code, details = StatusCode.UNAVAILABLE, 'the connection broke while requests were written'
        return LaneError(code, details)

    def _control(self, kind: int, number: int, payload: bytes, answers: list[Answer]) -> None:
        if kind == ERROR:
            code, message = decode_error(payload)
            failure = LaneLeftError if self.left and message.endswith(LEAVING) else LaneError
            answers.append((number, b'', failure(_status_code(code), message)))
        elif kind == HELLO:
            self._server = Hello.from_bytes(payload)
            self._most = min(self._most, self._server.message_bytes)
            for refused, size in self._waiting.limit(self._most):
                answers.append((refused, b'', self._too_long(size)))
            if not Hello().understands(self._server):
                self.abort()
                raise LaneMissingError(
                    StatusCode.UNIMPLEMENTED, f'the fast lane of the server has version {self._server.version}'
                )
            self._sharing.greet(self._server)
            if not self._greeted.done():
                self._greeted.set_result(None)
        elif kind == GOODBYE:
            self.left = True
            self.retire()
        else:
            self._sharing.take(kind, number)

    def _too_long(self, size: int) -> LaneError:
        return LaneError(StatusCode.RESOURCE_EXHAUSTED, message_too_long(size, self._most))

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _write(self) -> None:
        try:
            # Not before the server has shown that it understands: a write to a server that has ended the call already hides
            # its status.
            await self._greeted
            while True:
                frame = self._take()
                if frame is not None:
                    await self._call.write(frame)
                    if self._room is not None and not self.crowded:
                        self._room.set_result(None)
                        self._room = None
                    if self._gathers and self._waiting.size < GATHER_BYTES and self._under_way >= GATHER_FROM:
                        await asyncio.sleep(gather_s(self._under_way))
                elif self._half_closed or (self._retiring and self._under_way <= 0):
                    await self._call.done_writing()
                    return
                else:
                    self._idle = asyncio.get_running_loop().create_future()
                    await self._idle
        except (CallError, asyncio.InvalidStateError):
            return  # the reader gets the status of the broken call
        finally:
            self.open = False
            if self._room is not None and not self._room.done():
                self._room.set_result(None)


class SharedLane:
    """Keeps a lane to one server open, for many callers.

    Args:
        open_call: Begins the call, see ``Lane``.
        limits: Bytes that a request and a response may have.
        enter: Connects to a door that a server names; gives None if it can't.

    Attributes:
        missing: True if the server turned out to have no fast lane.
    """

    def __init__(
        self, open_call: Callable[[], Any], limits: MessageLimits = NO_LIMITS, enter: Enter | None = None
    ) -> None:
        self.missing = False
        self._limits = limits
        self._open_call = open_call
        self._enter = enter
        self._moving: asyncio.Task[None] | None = None
        self._session: _Session | None = None
        self._old: set[_Session] = set()

    async def request(
        self,
        raw: Payload,
        *,
        many: bool = False,
        timeout: float | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """Sends a serialised request and returns the serialised response.

        Args:
            raw: The request.
            many: It is a list of requests.
            timeout: Seconds until the request fails with DEADLINE_EXCEEDED; None for no limit.
            metadata: Metadata of this request.

        Raises:
            LaneMissingError: The server has no fast lane, and has not seen the request.
            LaneError: The request failed on the way.
        """
        session = self._session
        if session is None or not session.lane.open:
            session = self._begin()
        if len(session.pending) >= session.lane.window:
            session = await self._wait_for_place(session, timeout)
        number = session.lane.send(raw, many=many, timeout=timeout, metadata=metadata)
        del raw  # a large one goes when it is written, unless the caller keeps it
        future: asyncio.Future[bytes] = session.loop.create_future()
        session.pending[number] = future
        timer = None if timeout is None else session.loop.call_later(timeout, session.expire, number)
        try:
            return await future
        except asyncio.CancelledError:
            session.forget(number)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            # An exception holds this frame: without the future in it there is no cycle, and gRPC's objects go at once.
            # They have to before a fork.
            del future

    def begin(
        self, raw: Payload, done: Done, *, timeout: float | None = None, metadata: Sequence[tuple[str, str]] = ()
    ) -> Callable[[], None] | None:
        """Sends a serialised request if that is possible at once, and calls ``done`` later.

        Args:
            raw: The request.
            done: Not called if the request is cancelled.
            timeout: Seconds until the request fails with DEADLINE_EXCEEDED; None for no limit.
            metadata: Metadata of this request.

        Returns:
            What cancels the request; None if nothing was sent, and ``request`` has to be awaited.
        """
        session = self._session
        if session is None or session.queue:
            return None
        lane = session.lane
        if not lane.open or not lane.proven or len(session.pending) >= lane.window:
            return None
        number = lane.send(raw, timeout=timeout, metadata=metadata)
        waiter = session.pending[number] = _Waiter(done)
        if timeout is not None:
            waiter.timer = session.loop.call_later(timeout, session.expire, number)
        return partial(session.abandon, number, waiter)

    async def close(self) -> None:
        """Ends the stream; requests under way fail."""
        moving, self._moving = self._moving, None
        if moving is not None:
            moving.cancel()
            await asyncio.wait((moving,))
        sessions = [*self._old, *([self._session] if self._session is not None else [])]
        self._session = None
        await asyncio.gather(*(session.close() for session in sessions))

    def _begin(self) -> _Session:
        session = self._session = _Session(Lane(self._open_call(), limits=self._limits), self._ended)
        self._old.add(session)
        if self._enter is not None:
            if self._moving is not None:
                self._moving.cancel()
            self._moving = asyncio.create_task(self._move(session, self._enter))
        return session

    async def _move(self, session: _Session, enter: Enter) -> None:
        """Goes on by the door of the server, if it has one that this process can reach."""
        await session.lane.greeted()
        if not session.lane.door:
            return
        stream = await enter(session.lane.door)
        if stream is None:
            return
        by_door = _Session(Lane(stream, limits=self._limits), self._ended)
        self._old.add(by_door)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(by_door.lane.greeted(), _GREETING_S)
            if self._session is session and by_door.lane.open:
                self._session = by_door
                session.lane.retire()  # what is under way there is still answered
                session.release()
                return
        await by_door.close()

    def _ended(self, session: _Session, missing: bool) -> None:
        self._old.discard(session)
        self.missing = missing
        if self._session is session:
            self._session = None

    async def _wait_for_place(self, session: _Session, timeout: float | None) -> _Session:
        deadline = None if timeout is None else session.loop.time() + timeout
        while len(session.pending) >= session.lane.window:
            place = session.loop.create_future()
            session.queue.append(place)
            left = None if deadline is None else deadline - session.loop.time()
            try:
                await asyncio.wait_for(place, left)
            except asyncio.TimeoutError:
                session.release()
                raise LaneError(StatusCode.DEADLINE_EXCEEDED, 'Deadline Exceeded') from None
            except asyncio.CancelledError:
                session.release()  # the place may have been given to this one already
                raise
            if not session.lane.open:
                session = self._session if self._session is not None and self._session.lane.open else self._begin()
        return session


class _Waiter:
    """Stands for a future, and calls back at once instead of in the next round of the event loop."""

    __slots__ = ('_call', '_over', 'timer')

    def __init__(self, call: Done) -> None:
        self._call = call
        self._over = False
        self.timer: asyncio.TimerHandle | None = None

    def done(self) -> bool:
        return self._over

    def set_result(self, raw: bytes) -> None:
        self.end()
        self._call(raw, None)

    def set_exception(self, error: LaneError) -> None:
        self.end()
        self._call(b'', error)

    def end(self) -> None:
        self._over = True
        if self.timer is not None:
            self.timer.cancel()


class _Session:
    """One stream of a shared lane, and who waits for its responses."""

    def __init__(self, lane: Lane, on_end: Callable[[_Session, bool], None]) -> None:
        self.lane = lane
        self.loop = asyncio.get_running_loop()
        self.pending: dict[int, asyncio.Future[bytes] | _Waiter] = {}
        self.queue: deque[asyncio.Future[None]] = deque()
        self._on_end = on_end
        self._task = asyncio.create_task(self._read())

    def expire(self, number: int) -> None:
        """Fails a request whose time is over."""
        future = self.pending.get(number)
        if future is not None and not future.done():
            self.forget(number)
            future.set_exception(LaneError(StatusCode.DEADLINE_EXCEEDED, 'Deadline Exceeded'))

    def forget(self, number: int) -> None:
        """Cancels a request that nobody waits for any more."""
        if self.pending.pop(number, None) is not None:
            self.lane.cancel(number)
            self.release()

    def abandon(self, number: int, waiter: _Waiter) -> None:
        """Cancels a request that was begun with ``begin``."""
        if not waiter.done():
            waiter.end()
            self.forget(number)

    async def close(self) -> None:
        """Ends the stream."""
        await self.lane.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        kind: type[LaneError] = LaneError
        code, details = StatusCode.UNAVAILABLE, 'the server ended the stream'
        try:
            # Without a name for the answers: they may be large, and the next ones may be long in coming.
            while self._hand_out(await self.lane.receive()):
                if self.queue:
                    self.release()
            if self.lane.left:
                kind = LaneLeftError
        except LaneError as failure:
            # Not kept itself: it holds this frame.
            kind, code, details = type(failure), failure.status, failure.details()
        except asyncio.CancelledError:
            code, details = StatusCode.CANCELLED, 'the connection was closed'
            raise
        finally:
            self.lane.open = False
            self._on_end(self, kind is LaneMissingError)
            self._fail(kind, code, details)
            await self.lane.close()

    def _hand_out(self, answers: list[Answer] | None) -> bool:
        """Gives each answer to who waits for it; returns False at the end of the stream."""
        if answers is None:
            return False
        for number, raw, error in answers:
            future = self.pending.pop(number, None)
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(raw)
            else:
                future.set_exception(error)
        return True

    def release(self) -> None:
        """Lets as many wait no longer as there are places."""
        places = self.lane.window - len(self.pending) if self.lane.open else len(self.queue)
        while self.queue and places > 0:
            waiter = self.queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                places -= 1

    def _fail(self, kind: type[LaneError], code: StatusCode, details: str) -> None:
        pending, self.pending = self.pending, {}
        for future in pending.values():
            if not future.done():
                # One object each: an exception collects the tracebacks of all who raise it.
                future.set_exception(kind(code, details))
        self.release()


def _status_code(name: str) -> StatusCode:
    try:
        return StatusCode[name]
    except KeyError:
        return StatusCode.UNKNOWN
