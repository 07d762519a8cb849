"""How requests and responses look as messages of a connection: what the two subprotocols have in common."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol

from jina.core.errors import JinaError, OverloadError, TransportError
from jina.core.request import SingleDocumentRequest
from jina.core.status import fill_status
from jina.core.wire import StatusProto
from jina.runtime.service import Cancel, RequestService
from jina.runtime.stream_items import StreamItem, WireItem


class Reply(Protocol):
    """Where the answer to one request goes. After ``finish``, ``fail`` or ``refuse`` the request is over.

    Attributes:
        cancel: Ends the work on the request; whoever works on it sets it.
    """

    cancel: Cancel | None

    def finish(self, message: bytes) -> None:
        """Sends the last message that belongs to the request."""

    async def send(self, message: bytes) -> None:
        """Sends a message that others follow; waits while the client doesn't read."""

    def fail(self, error: Exception) -> None:
        """Ends the connection: something behind this server can't be reached."""

    def refuse(self, reason: str) -> None:
        """Ends the connection: what was sent is no request."""


class Mode(Protocol):
    """Reads requests from messages and answers them.

    Attributes:
        is_text: Its messages are text.
    """

    is_text: bool

    def is_end(self, message: bytes | str) -> bool:
        """Tells whether a message says that no request follows."""
        ...

    def begin(self, message: bytes | str, reply: Reply) -> None:
        """Starts to answer a message; may finish at once."""

    def dry_run(self, status: StatusProto) -> bytes:
        """Returns the message that tells the outcome of a dry run."""
        ...


class StreamMessages(Protocol):
    """Writes the messages of one stream."""

    def item(self, item: StreamItem) -> bytes:
        """Returns a message with a document."""
        ...

    def end(self, status: StatusProto | None = None) -> bytes:
        """Returns the last message, with what went wrong."""
        ...


def begin_stream(
    service: RequestService, request: SingleDocumentRequest, messages: StreamMessages, reply: Reply
) -> None:
    """Starts to answer a document with those that a streaming endpoint yields.

    Args:
        service: What answers.
        request: The document and the endpoint.
        messages: Writes the messages.
        reply: Takes them.
    """
    begin_task(_stream(service, request, messages, reply), reply)


def begin_task(work: Any, reply: Reply) -> None:
    """Runs a coroutine that answers a request; if it fails, so does the request."""

    def done(task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if not isinstance(error, JinaError):
            loop.call_exception_handler({'message': 'a request failed', 'exception': error, 'task': task})
        reply.fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    reply.cancel = task.cancel
    task.add_done_callback(done)


async def _stream(
    service: RequestService, request: SingleDocumentRequest, messages: StreamMessages, reply: Reply
) -> None:
    def render(item: StreamItem) -> StreamItem:
        return WireItem(messages.item(item))

    try:
        async with contextlib.aclosing(service.stream(request, render=render)) as items:
            async for item in items:
                if item.is_error:
                    reply.finish(messages.end(item.status))
                    return
                await reply.send(item.to_bytes())
    except JinaError as error:  # a document that has no form on the wire is the Executor's mistake
        if isinstance(error, TransportError) and not isinstance(error, OverloadError):
            raise
        status = StatusProto()
        fill_status(status, error)
        reply.finish(messages.end(status))
        return
    reply.finish(messages.end())
