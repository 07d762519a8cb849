"""All requests of one call on one gRPC stream: the fast lane, or ``/jina.JinaRPC/Call`` with a server that lacks it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc
import grpc.aio
from jina.client.transports.base import CallOptions, RequestSource
from jina.core.calls import StatusCode
from jina.core.errors import OverloadError, TransportError
from jina.core.lane import Answer, Lane, LaneError, LaneLeftError, LaneMissingError
from jina.core.request import Response
from jina.core.wire import LEAVING

if TYPE_CHECKING:
    from jina.client.transports.grpc import GrpcTransport

__all__ = ['MOST_LEFT', 'RETRIED', 'StreamExchange', 'is_overload', 'may_retry', 'was_left']

_StreamCall: TypeAlias = Any
_EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined,unused-ignore]
_UNLIMITED: Final = 1 << 30
_IN_A_ROW: Final = 64
"""Requests that are made before the event loop may send them and look for responses."""

RETRIED: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL})
"""Statuses after which a request may be sent again."""
_DROPPED: Final = 'CANCELLED'
"""All that gRPC says about a call that has reached a server which stops, and which it hands to nobody."""
MOST_LEFT: Final = 5
"""So many servers in a row may leave before one of them answers; what they haven't begun is no attempt."""


def is_overload(error: grpc.aio.AioRpcError | LaneError) -> bool:
    """Tells whether a server refused a request since it works at its limit."""
    return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and OverloadError.MARK in (error.details() or '')


def may_retry(error: grpc.aio.AioRpcError | LaneError) -> bool:
    """Tells whether a request may be sent again after an error."""
    return error.code() in RETRIED or is_overload(error)


def was_left(error: grpc.aio.AioRpcError | LaneError) -> bool:
    """Tells whether a server that leaves has refused a request, or all that was unanswered, without having begun it."""
    code, details = error.code(), error.details() or ''
    said = code is grpc.StatusCode.UNAVAILABLE and details.endswith(LEAVING)
    return said or isinstance(error, LaneLeftError) or (code is grpc.StatusCode.CANCELLED and details == _DROPPED)


class StreamExchange:
    """All requests of a call over one stream; it is opened again, for what is unanswered, if the network fails.

    Args:
        transport: The connection.
        source: The requests.
        options: How they travel.
    """

    def __init__(self, transport: GrpcTransport, source: RequestSource, options: CallOptions) -> None:
        self._transport = transport
        self._source = source
        self._options = options
        self._under_way = 0
        self._room: asyncio.Future[None] | None = None
        self._unanswered: dict[str, bytes] = {}
        self._order: deque[str] = deque()
        self._early: dict[str, Response] = {}
        self._refused: deque[str] = deque()
        self._most = math.inf
        self._answered = 0
        self._answered_when_alone = 0
        self._input_error: Exception | None = None
        self._read_all = False

    async def responses(self) -> AsyncGenerator[list[Response], None]:
        """Yields all responses, as many at a time as have come."""
        attempt, left, retry = 1, 0, self._options.retry
        while True:
            try:
                async with aclosing(self._attempt()) as batches:
                    async for batch in batches:
                        attempt, left = 1, 0
                        yield batch
                if self._read_all and not self._refused:
                    return
                continue  # the lane had no numbers left, or was finished when the server refused a request
            except LaneMissingError:
                self._transport.note_missing_lane()
                continue
            except (grpc.aio.AioRpcError, LaneError) as error:
                if self._input_error is not None:
                    raise self._input_error from None
                failure = self._transport.translate(error, attempt)
                if was_left(error) and left < MOST_LEFT:
                    left += 1
                    continue
                if attempt >= retry.max_attempts or not may_retry(error):
                    raise failure from error
            await retry.pause(attempt)
            attempt += 1

    def _attempt(self) -> AsyncGenerator[list[Response], None]:
        lane = self._transport.open_lane(self._options)
        if lane is not None:
            return self._attempt_on_lane(lane)
        return self._attempt_on_call(self._transport.open_stream(self._options))

    async def _attempt_on_lane(self, lane: Lane) -> AsyncGenerator[list[Response], None]:
        sent: dict[int, str] = {}
        self._refused = deque(() if self._most == math.inf else self._unanswered)
        writer = asyncio.create_task(self._send(lane, sent))
        try:
            while (answers := await self._receive(lane)) is not None:
                self._make_room()  # the server may have said that it allows more
                batch: list[Response] = []
                failure: LaneError | None = None
                for number, raw, error in answers:
                    if error is None:
                        self._accept(sent.pop(number), Response.from_bytes(raw), batch)
                        self._answered += 1
                        self._most += 1 / self._most  # nothing, as long as the server takes on what comes
                    elif was_left(error):
                        sent.pop(number)  # it stays unanswered, for who takes the place of the server
                    elif not (is_overload(error) and self._postpone(sent, number)):
                        failure = error
                self._send_refused(lane, sent)
                if batch:
                    yield batch
                if failure is not None:
                    raise failure
            if self._refused:
                return
            if self._unanswered or not (self._read_all or lane.used_up):
                if lane.left:
                    raise LaneLeftError(StatusCode.UNAVAILABLE, f'the server {LEAVING}')
                raise LaneError(StatusCode.UNAVAILABLE, 'the server ended the stream')
        finally:
            writer.cancel()
            await lane.close()
            await asyncio.gather(writer, return_exceptions=True)

    def _postpone(self, sent: dict[int, str], number: int) -> bool:
        """Keeps a refused request until another one is answered; returns False if none of this call is in the way."""
        request_id = sent.pop(number)
        if not sent:
            # One that was answered meanwhile may have been in the way when the server refused this one.
            if self._answered == self._answered_when_alone:
                return False
            self._answered_when_alone = self._answered
        self._refused.append(request_id)
        self._most = max(1.0, min(self._most, len(sent)))
        return True

    def _send_refused(self, lane: Lane, sent: dict[int, str]) -> None:
        """Sends refused requests again, as many as the server seems to take on."""
        while self._refused and len(sent) < self._most and lane.open:
            request_id = self._refused.popleft()
            sent[lane.send(self._unanswered[request_id])] = request_id

    def _room_on(self, lane: Lane, sent: dict[int, str]) -> int:
        """Returns how many further requests may be sent."""
        room = lane.window - self._under_way
        if self._most == math.inf:
            return room
        return 0 if self._refused else min(room, int(self._most) - len(sent))

    async def _receive(self, lane: Lane) -> list[Answer] | None:
        try:
            return await lane.receive()
        except asyncio.CancelledError:
            if self._input_error is not None:  # the writer cancelled the call, nobody cancelled us
                raise self._input_error from None
            raise

    async def _send(self, lane: Lane, sent: dict[int, str]) -> None:
        """Fills the lane until the source is empty, or the lane takes no more."""
        try:
            await lane.greeted()
            if self._most == math.inf:
                for request_id, raw in self._unanswered.items():
                    sent[lane.send(raw)] = request_id
            else:
                self._send_refused(lane, sent)
            while lane.open:
                room = self._room_on(lane, sent)
                if room <= 0:
                    await self._wait_for_room()
                    continue
                if lane.crowded:
                    await lane.drain()
                    continue
                messages = await self._next(room)
                if not messages:
                    while self._most != math.inf and self._unanswered:
                        await self._wait_for_room()  # it may have to be sent again
                    lane.finish()
                    return
                for request_id, raw in messages:
                    sent[lane.send(raw)] = request_id
                await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - the reader raises it
            self._input_error = self._transport.translate(error) if isinstance(error, LaneError) else error
            lane.abort()

    async def _attempt_on_call(self, call: _StreamCall) -> AsyncGenerator[list[Response], None]:
        writer = asyncio.create_task(self._write(call))
        try:
            while (raw := await self._read(call)) is not None:
                batch: list[Response] = []
                response = Response.from_bytes(raw)
                self._accept(self._match(response), response, batch)
                if batch:
                    yield batch
            await writer
            if self._unanswered:
                raise TransportError(f'the server ended the stream with {len(self._unanswered)} requests unanswered')
        finally:
            writer.cancel()
            call.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _read(self, call: _StreamCall) -> bytes | None:
        try:
            raw = await call.read()
        except asyncio.CancelledError:
            if self._input_error is not None:  # the writer cancelled the call, nobody cancelled us
                raise self._input_error from None
            raise
        return None if raw is _EOF else raw

    async def _write(self, call: _StreamCall) -> None:
        try:
            for raw in list(self._unanswered.values()):
                await _write(call, raw)
            while True:
                while (room := (self._options.window or _UNLIMITED) - self._under_way) <= 0:
                    await self._wait_for_room()
                messages = await self._next(room)
                if not messages:
                    break
                for _, raw in messages:
                    await _write(call, raw)
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.InternalError):
            return  # the reader gets the status of the broken call
        except Exception as error:  # noqa: BLE001 - the reader raises it
            self._input_error = error
            call.cancel()

    async def _next(self, room: int) -> list[tuple[str, bytes]]:
        """Returns the next requests, recorded as unanswered; none after the last one. Cancelling this loses none."""
        messages = await self._source.next_messages(min(room, _IN_A_ROW))
        if not messages:
            self._read_all = True
        self._under_way += len(messages)
        self._unanswered.update(messages)
        if self._options.in_order:
            self._order.extend(request_id for request_id, _ in messages)
        return messages

    def _match(self, response: Response) -> str:
        """Returns the id of the request that a response belongs to."""
        request_id = response.request_id
        if request_id not in self._unanswered and self._unanswered:
            # A server that invents ids answers in order, as far as anyone can know.
            return next(iter(self._unanswered))
        return request_id

    def _accept(self, request_id: str, response: Response, batch: list[Response]) -> None:
        """Takes a response, and adds to the batch those that may be handed out now."""
        self._unanswered.pop(request_id, None)
        if not self._options.in_order:
            batch.append(response)
            self._under_way -= 1
        else:
            self._early[request_id] = response
            while self._order and self._order[0] in self._early:
                batch.append(self._early.pop(self._order.popleft()))
                self._under_way -= 1
        self._make_room()

    async def _wait_for_room(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        await self._room

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


async def _write(call: _StreamCall, raw: bytes) -> None:
    """Writes a message. The call's own ``write`` hides the status of a call that the server has ended meanwhile."""
    await call.wait_for_connection()
    await call._cython_call.send_serialized_message(raw)
