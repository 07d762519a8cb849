"""What a server needs from the thing that it serves: one shape for workers and gateways, for gRPC and HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from jina.core.errors import JinaError
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.wire import EndpointsProto
from jina.runtime.stream_items import Render, StreamItem, wire_item

Finished: TypeAlias = 'Callable[[DataRequest | None, Exception | None], None]'
"""Takes the response to a request, or what failed instead; called once."""
Cancel: TypeAlias = 'Callable[[], object]'
"""Ends the work on a request that nobody waits for any more."""
RefusalReason: TypeAlias = Literal['overload', 'access', 'size', 'timeout']
"""Why a request is refused: limits of the server, a key that is missing or wrong, too many bytes, or bytes that come too slowly."""


class RequestService(Protocol):
    """Answers requests. ``WorkerService`` and ``GatewayService`` implement it; every server serves it.

    Attributes:
        name: Name of the process in logs and results, for example ``executor/rep-0`` or ``gateway/rep-0``.
    """

    name: str

    async def process(
        self,
        request: DataRequest,
        *,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> DataRequest:
        """Answer one request. What an Executor raises lands in ``header.status`` of the response.

        Args:
            request: The request; it belongs to the service from now on and may be the response itself.
            metadata: Metadata of the caller; trace context in it travels on to Executors.
            timeout: Seconds that the caller still waits; None for no limit.

        Raises:
            TransportError: A peer can't be reached, or took too long.
        """
        ...

    def begin_request(self, request: DataRequest, finished: Finished, *, with_routes: bool = True) -> Cancel | None:
        """Start to answer one request, as ``process`` does, and return at once.

        Args:
            request: The request; it belongs to the service from now on and may be the response itself.
            finished: Called with the outcome, perhaps before this returns.
            with_routes: The response has to tell where the request was; what costs nothing may be there in any case.

        Returns:
            What cancels the work, after which ``finished`` isn't called; None if it is finished already.
        """
        ...

    def stream(
        self, request: SingleDocumentRequest, *, timeout: float | None = None, render: Render = wire_item
    ) -> AsyncGenerator[StreamItem, None]:
        """Answer one document with many, as they are made. Failures are a last response with an error status.

        Args:
            request: The document and the endpoint.
            timeout: Seconds that the caller still waits; None for no limit.
            render: Turns documents into what is sent.

        Raises:
            TransportError: A peer can't be reached, or took too long.
        """
        ...

    async def endpoints(self) -> EndpointsProto:
        """Names and schemas of all endpoints, as ``endpoint_discovery`` gives them."""
        ...

    async def dry_run(self) -> None:
        """Return when a request could be answered.

        Raises:
            TransportError: A peer doesn't answer.
            RemoteError: An Executor failed on the dry-run request.
        """
        ...

    async def close(self) -> None:
        """Finish background work and free what the service holds."""
        ...


def count_refusal(service: Any, reason: RefusalReason) -> None:
    """Counts a request that is refused before the service gets it, where somebody records such things."""
    refused: Callable[[RefusalReason], object] | None = getattr(service, 'refused', None)
    if refused is not None:
        refused(reason)


def waiting(service: Any) -> Any:
    """Returns the same service for requests that wait where Executors behind it would refuse them; itself if there are none."""
    make: Callable[[], Any] | None = getattr(service, 'waiting', None)
    return service if make is None else make()


def begin_by_task(answer: Coroutine[Any, Any, DataRequest], finished: Finished) -> Cancel:
    """Runs a coroutine that gives a response; returns what cancels it."""

    def done(task: asyncio.Task[DataRequest]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            finished(task.result(), None)
            return
        if not isinstance(error, JinaError):
            loop.call_exception_handler({'message': 'a request failed', 'exception': error, 'task': task})
        finished(None, error if isinstance(error, Exception) else RuntimeError(repr(error)))

    loop = asyncio.get_running_loop()
    task = loop.create_task(answer)
    task.add_done_callback(done)
    return task.cancel
