"""The interface between the client and a protocol."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from jina.client.arguments import compression_name, metadata_of, real_number
from jina.client.congestion import Congestion
from jina.client.retry import RetryPolicy
from jina.core.errors import NotSupportedError
from jina.core.request import DataRequest, Response, SingleDocumentRequest

if TYPE_CHECKING:
    from docarray import DocList
    from jina.client.options import PostExtras

__all__ = ['CallOptions', 'RequestSource', 'Transport', 'exchange_one_by_one', 'travel_options']

DEFAULT_WINDOW: Final = 1000


@dataclass(frozen=True)
class CallOptions:
    """How requests travel: the same for all requests of a call."""

    prefetch: int | None = None
    """How many requests may be in flight at the same time, 0 for no limit; None for what the server allows, which
    servers are not told, but at most ``DEFAULT_WINDOW``."""
    in_order: bool = False
    """True if responses must come in the order of the requests."""
    stream: bool = True
    """gRPC only: one bidirectional stream for all requests instead of one call each."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    """What to do when the network fails."""
    timeout_s: float | None = None
    """Limit for one call in seconds (for the whole stream, if it is one); None for no limit."""
    metadata: tuple[tuple[str, str], ...] = ()
    """gRPC metadata or HTTP headers."""
    compression: str | None = None
    """gRPC only: ``'gzip'``, ``'deflate'`` or None."""
    doc_list_type: type[DocList[Any]] | None = None
    """Type of the documents that come back; None for untyped ones."""

    @property
    def window(self) -> int:
        """How many requests may be in flight at the same time, 0 for no limit."""
        return DEFAULT_WINDOW if self.prefetch is None else self.prefetch


class RequestSource(ABC):
    """An asynchronous iterator over requests, read as the window allows."""

    total: int | None
    """Number of requests, None if it isn't known."""

    def __aiter__(self) -> RequestSource:
        return self

    @abstractmethod
    async def __anext__(self) -> DataRequest:
        """Returns the next request. A cancelled waiter loses none.

        Raises:
            InputError: The inputs of the user are at fault.
        """

    async def next_messages(self, limit: int) -> list[tuple[str, bytes]]:
        """Returns ids and bytes of the next requests, none after the last one. A cancelled waiter loses none.

        Args:
            limit: How many at most.

        Raises:
            InputError: The inputs of the user are at fault.
        """
        request = await anext(self, None)
        return [] if request is None else [(request.request_id, request.to_bytes())]


class Transport(ABC):
    """A connection to one server, used from one event loop.

    All methods raise ``TransportError`` or a subclass when the network fails, and ``ServerError`` or a subclass when
    the server answers with something unusable. A failed Executor is no exception but a response with ERROR status.
    """

    @abstractmethod
    def exchange(self, source: RequestSource, options: CallOptions) -> AsyncGenerator[list[Response], None]:
        """Sends all requests and yields their responses, as many at a time as have come."""

    @abstractmethod
    def stream_doc(
        self, request: SingleDocumentRequest, options: CallOptions
    ) -> AsyncGenerator[SingleDocumentRequest, None]:
        """Sends one document to a streaming endpoint and yields what the endpoint yields."""

    async def mutate(self, query: str, variables: Mapping[str, Any] | None, options: CallOptions) -> dict[str, Any]:
        """Sends GraphQL and returns the answer.

        Raises:
            NotSupportedError: The protocol isn't HTTP.
            InputError: The variables can't be sent as JSON.
        """
        raise NotSupportedError(
            'GraphQL goes over HTTP, and this client speaks another protocol',
            hint="use Client(protocol='http') with the HTTP port of the server",
        )

    @abstractmethod
    async def check_health(self, timeout_s: float | None) -> None:
        """Returns if the server itself is ready."""

    @abstractmethod
    async def dry_run(self, timeout_s: float | None) -> None:
        """Returns if the server and everything behind it is ready."""

    @abstractmethod
    async def close(self) -> None:
        """Frees the connection. The transport can't be used any more."""

    async def abandon(self) -> None:
        """Does the same while the event loop ends, where no asynchronous generator may start."""
        await self.close()


async def exchange_one_by_one(
    send: Callable[[DataRequest], Awaitable[Response]], source: RequestSource, options: CallOptions
) -> AsyncGenerator[list[Response], None]:
    """Implements ``exchange`` with one call per request, as many at a time as the window allows."""
    if source.total == 1:
        async for request in source:
            yield [await send(request)]
        return
    async with aclosing(_exchange_many(Congestion(send).send, source, options)) as responses:
        async for response in responses:
            yield [response]


async def _exchange_many(
    send: Callable[[DataRequest], Awaitable[Response]], source: RequestSource, options: CallOptions
) -> AsyncGenerator[Response, None]:
    slots = asyncio.Semaphore(options.window) if options.window > 0 else None
    calls: set[asyncio.Task[Response]] = set()
    finished: asyncio.Queue[asyncio.Task[Any]] = asyncio.Queue()

    async def feed() -> None:
        async for request in source:
            if slots is not None:
                await slots.acquire()
            call = asyncio.ensure_future(_task(send, request))
            calls.add(call)
            await asyncio.sleep(0)  # sends it, before the inputs fill the window
            if options.in_order:
                finished.put_nowait(call)
            else:
                call.add_done_callback(finished.put_nowait)

    feeder = asyncio.create_task(feed())
    feeder.add_done_callback(finished.put_nowait)
    try:
        while calls or not feeder.done() or not finished.empty():
            done = await finished.get()
            if done is feeder:
                feeder.result()
                continue
            response = await done
            calls.discard(done)
            if slots is not None:
                slots.release()
            yield response
    finally:
        await _cancel_all([feeder, *calls])


async def _task(send: Callable[[DataRequest], Awaitable[Response]], request: DataRequest) -> Response:
    return await send(request)


async def _cancel_all(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def travel_options(extras: PostExtras) -> dict[str, Any]:
    """Returns the fields of ``CallOptions`` that the extra keywords of a call set.

    Raises:
        ConfigError: The timeout is no positive number, the metadata can't be sent, or there is no such compression.
    """
    timeout = extras.get('timeout')
    if timeout is not None:
        timeout = real_number('timeout', timeout, 'give a positive number of seconds, or None')
    return {
        'timeout_s': timeout,
        'compression': compression_name(extras.get('compression')),
        'metadata': (
            *metadata_of('metadata', extras.get('metadata')),
            *metadata_of('headers', extras.get('headers')),
        ),
    }
