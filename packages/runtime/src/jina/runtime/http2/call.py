"""A call that a coroutine answers, and its ``Context``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

from jina.core.calls import EOF, StatusCode
from jina.core.payloads import Buffer, Payload, in_pieces
from jina.runtime.http2.messages import too_long
from jina.runtime.http2.served_stream import ServedStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jina.runtime.http2.connection import Connection
    from jina.runtime.http2.head import Head, Metadata
    from jina.runtime.methods import AnyMethod


class Aborted(Exception):
    """A handler ends its call with a status, which is sent already."""


class Call(ServedStream):
    """Runs a handler in a task, and is its context.

    Args:
        connection: Where it came from.
        number: Its number there.
        head: What it began with.
        method: What answers; None if nothing does.
    """

    __slots__ = ('_method', '_task', '_trailing')

    def __init__(self, connection: Connection, number: int, head: Head, method: AnyMethod | None) -> None:
        super().__init__(connection, number, head)
        self._method = method
        self._trailing: Sequence[tuple[str, str | bytes]] = ()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Starts the handler."""
        self._task = self.connection.loop.create_task(self._run())

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task of the handler."""
        return self._task

    # What handlers use.

    @property
    def gathers(self) -> bool:
        """Whether a message costs the client so much that several frames should share one, see ``frames.GATHER_FROM``."""
        return not self.head.is_ours

    def invocation_metadata(self) -> Metadata:
        """Returns what the client says besides its messages."""
        return self.head.invocation_metadata

    def peer(self) -> str:
        """Returns the client's address, for example ``ipv4:127.0.0.1:50000``."""
        return self.connection.peer

    def set_trailing_metadata(self, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        """Keeps what is sent behind the response."""
        self._trailing = metadata

    async def abort(
        self, code: StatusCode, details: str = '', trailing_metadata: Sequence[tuple[str, str | bytes]] = ()
    ) -> NoReturn:
        """Ends the call with a status.

        Raises:
            Aborted: Always.
        """
        self.finish(code, details, trailing_metadata or self._trailing)
        raise Aborted(code, details)

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> bytes:
        message = await self.read()
        if message is EOF:
            raise StopAsyncIteration
        return message  # type: ignore[no-any-return]

    async def write(self, message: Payload | Sequence[Buffer]) -> None:
        """Sends a message, perhaps given in pieces; returns when the windows of the client had room for it.

        Raises:
            asyncio.InvalidStateError: The call is over.
        """
        if self.is_over or self.ending is not None:
            raise asyncio.InvalidStateError('the call is over')
        most = self.connection.settings.send
        pieces = in_pieces(message)
        size = sum(map(len, pieces))
        if size > most:
            await self.abort(StatusCode.RESOURCE_EXHAUSTED, too_long(size, most))
        self.connection.outbox.send(self, pieces, size)
        await self.flushed()

    # What the connection calls.

    def abandon(self) -> None:
        """Cancels the handler."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    # The handler.

    async def _run(self) -> None:
        try:
            await self._answer()
        except Aborted:
            return
        except asyncio.CancelledError:
            self.finish(StatusCode.CANCELLED, 'the server cancels the call')
            raise
        except Exception as error:  # noqa: BLE001 - the client is told, as by gRPC's own server
            if self.is_over:
                return
            self.connection.loop.call_exception_handler({'message': 'a gRPC call failed', 'exception': error})
            self.finish(StatusCode.UNKNOWN, f'Unexpected {type(error)}: {error}', self._trailing)
        else:
            self._end()

    async def _answer(self) -> None:
        method: Any = self._method
        if method.request_streaming:
            result = method.answer(self, self)
        else:
            raw = await self.read()
            if raw is EOF:
                if not self.is_over:
                    self.finish(StatusCode.UNIMPLEMENTED, 'the method takes one message, and got none')
                raise Aborted
            result = method.answer(raw, self)
            del raw
        if method.response_streaming:
            await self._send_all(result)
        else:
            await self.write(await result)

    async def _send_all(self, result: Any) -> None:
        """Sends what a generator yields; a coroutine sends for itself."""
        if not hasattr(result, '__aiter__'):
            await result
            return
        try:
            async for message in result:
                await self.write(message)
        finally:
            close = getattr(result, 'aclose', None)
            if close is not None:
                await close()

    def _end(self) -> None:
        if not self.is_over and self.ending is None:
            self.connection.outbox.begin(self)
        self.finish(metadata=self._trailing)
