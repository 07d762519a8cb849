"""What a server needs from the thing that it serves: one shape for workers and gateways, for gRPC and HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.wire import EndpointsProto


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

    def stream(
        self, request: SingleDocumentRequest, *, timeout: float | None = None
    ) -> AsyncIterator[SingleDocumentRequest]:
        """Answer one document with many, as they are made. Failures are a last response with an error status.

        Args:
            request: The document and the endpoint.
            timeout: Seconds that the caller still waits; None for no limit.

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
