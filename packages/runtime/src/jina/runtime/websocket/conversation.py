"""One connection: reads requests, has them answered side by side, writes the answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Final

from jina.core.errors import JinaError
from jina.core.logging.logger import JinaLogger
from jina.core.wire import LEAVING
from jina.runtime.service import Cancel
from jina.runtime.waiting_room import Gate
from jina.runtime.websocket.mode import Mode
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

_UNWRITTEN_BYTES: Final = 8 << 20
"""No more requests are read while this much waits for a client that doesn't read."""
_WORKING_BYTES: Final = 64 << 20
"""No more requests are read while those under way have this size."""
_REASON_BYTES: Final = 123
"""The longest reason that a close frame takes."""
_CUT: Final = '…'
_GATEWAY_MARK: Final = b'|Gateway:'


class Conversation:
    """Serves one connection until the client has said that it is done and everything is answered.

    A request occupies one of ``prefetch`` places from the moment it is read until its last message is written, so that
    neither a slow Executor nor a slow client makes the server collect requests. While all places are taken nothing is read.

    Args:
        connection: The connection.
        mode: How its messages look.
        name: How the server calls itself.
        prefetch: How many requests may be under way; 0 for no limit.
        logger: Told about network failures.
        gates: Where requests of all connections wait for places, in this process or in others.
    """

    def __init__(
        self,
        connection: ServerConnection,
        mode: Mode,
        *,
        name: str,
        prefetch: int,
        logger: JinaLogger,
        gates: Sequence[Gate] = (),
    ) -> None:
        self._connection = connection
        self._mode = mode
        self._name = name
        self._prefetch = prefetch
        self._logger = logger
        self._gates = gates
        self._calls: set[_Call] = set()
        self._working = 0
        self._outbox: deque[tuple[_Call, bytes]] = deque()
        self._unwritten = 0
        self._reader: asyncio.Task[None] | None = None
        self._read_all = False
        self._gone = False
        self._end: tuple[int, str] | None = None
        self._draining = False
        self._room: asyncio.Future[None] | None = None
        self._idle: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Serves the connection and closes it."""
        self._reader = asyncio.create_task(self._read())
        try:
            with contextlib.suppress(ConnectionClosed):
                await self._write()
        finally:
            self._reader.cancel()
            await asyncio.wait((self._reader,))
            for call in tuple(self._calls):
                call.abandon()
        code, reason = self._end or (CloseCode.NORMAL_CLOSURE, '')
        # The client's consent comes behind all that it has sent, and nothing comes while messages wait to be read.
        discarding = asyncio.create_task(self._discard())
        try:
            await self._connection.close(code, reason)
        finally:
            discarding.cancel()
            await asyncio.wait((discarding,))

    async def _discard(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._connection.recv()

    def drain(self, code: int = CloseCode.GOING_AWAY) -> None:
        """Reads no more; what was read is still answered, then the connection ends.

        Args:
            code: How it ends then.
        """
        self._draining = self._end is None
        self._finish(code, f'{self._name} {LEAVING}')

    def cut_off(self) -> None:
        """Ends the connection without the answers that are still missing."""
        self._end = (CloseCode.GOING_AWAY, f'{self._name} is stopping and a request took too long')
        for call in tuple(self._calls):
            call.abandon()
        self._calls.clear()
        self._read_all = True
        self._wake()

    def _finish(self, code: int, reason: str) -> None:
        if self._end is None:
            self._end = (code, close_reason(reason))
        if self._reader is not None:
            self._reader.cancel()
        self._read_all = True
        self._wake()

    async def _read(self) -> None:
        try:
            async for message in self._connection:
                if self._mode.is_end(message):
                    break
                self._begin(message)
                del message  # it may be large, and the next one may be long in coming
                while self._crowded:
                    self._room = asyncio.get_running_loop().create_future()
                    for gate in self._gates:
                        if gate.is_crowded:
                            gate.when_room(self._make_room)
                    await self._room
            else:
                self._gone = True
        except ConnectionClosed:
            self._gone = True
        finally:
            self._read_all = True
            self._wake()

    @property
    def _crowded(self) -> bool:
        return (
            0 < self._prefetch <= len(self._calls)
            or self._working > _WORKING_BYTES
            or self._unwritten > _UNWRITTEN_BYTES
            or (bool(self._calls) and any(gate.is_crowded for gate in self._gates))
        )

    def _begin(self, message: bytes | str) -> None:
        call = _Call(self, len(message))
        self._calls.add(call)
        self._working += call.size
        try:
            self._mode.begin(message, call)
        except Exception as error:  # noqa: BLE001 - one bad request must not silence the connection
            context = {'message': 'a request failed', 'exception': error}
            asyncio.get_running_loop().call_exception_handler(context)
            call.fail(error)

    async def _write(self) -> None:
        """Writes what is finished until there is nothing left to do."""
        send, is_text, outbox = self._connection.send, self._mode.is_text, self._outbox
        while True:
            while outbox:
                call, message = outbox.popleft()
                await send(message, text=is_text)
                self._unwritten -= len(message)
                self._forget(call)
            if self._gone or (self._read_all and not self._calls):
                return
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    async def send(self, message: bytes) -> None:
        """Writes a message of a stream; waits while the client doesn't read."""
        try:
            await self._connection.send(message, text=self._mode.is_text)
        except ConnectionClosed:
            self._gone = True
            self._wake()
            await asyncio.Event().wait()  # until the stream is abandoned, a moment later

    def finish(self, call: _Call, message: bytes) -> None:
        """Has the last message of a request written."""
        self._outbox.append((call, message))
        self._unwritten += len(message)
        self._wake()

    def fail(self, call: _Call, error: Exception) -> None:
        """Ends the connection since something behind this server can't be reached."""
        message = str(error) if isinstance(error, JinaError) else repr(error)
        self._logger.error('a request failed: %s', message)
        self._break(call, CloseCode.INTERNAL_ERROR, message)

    def refuse(self, call: _Call, reason: str) -> None:
        """Ends the connection since the client sent something that is no request."""
        self._break(call, CloseCode.INVALID_DATA, reason)

    def _break(self, call: _Call, code: int, reason: str) -> None:
        """Ends the connection after what is finished already."""
        if self._draining:
            self._end = None  # it doesn't end with everything answered
        self._finish(code, reason)
        self._forget(call)
        finished = {waiting for waiting, _ in self._outbox}
        for other in tuple(self._calls - finished):
            other.abandon()
            self._forget(other)

    def _forget(self, call: _Call) -> None:
        """Gives the place of a request to the next one."""
        if call not in self._calls:
            return
        self._calls.discard(call)
        self._working -= call.size
        self._make_room()

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done() and not self._crowded:
            self._room.set_result(None)

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)


class _Call:
    """A request under way, and where its answer goes."""

    __slots__ = ('_conversation', '_over', 'cancel', 'size')

    def __init__(self, conversation: Conversation, size: int) -> None:
        self.size = size
        self.cancel: Cancel | None = None
        self._conversation = conversation
        self._over = False

    def finish(self, message: bytes) -> None:
        if not self._over:
            self._over = True
            self._conversation.finish(self, message)

    async def send(self, message: bytes) -> None:
        await self._conversation.send(message)

    def fail(self, error: Exception) -> None:
        if not self._over:
            self._over = True
            self._conversation.fail(self, error)

    def refuse(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._conversation.refuse(self, reason)

    def abandon(self) -> None:
        """Ends the work; nobody waits for the answer."""
        self._over = True
        cancel, self.cancel = self.cancel, None
        if cancel is not None:
            cancel()


def close_reason(text: str) -> str:
    """Shortens a text to what fits into a close frame: which Deployment can't be reached matters more than how."""
    raw = text.encode('utf-8', 'backslashreplace')
    if len(raw) > _REASON_BYTES and _GATEWAY_MARK in raw:
        raw = raw.rpartition(_GATEWAY_MARK)[2].lstrip()
    if len(raw) <= _REASON_BYTES:
        return raw.decode()
    return raw[: _REASON_BYTES - len(_CUT.encode())].decode('utf-8', 'ignore') + _CUT
