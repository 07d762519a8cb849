"""What a gateway needs from the connections of one Deployment, whether replicas or shards are behind them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Protocol, TypeAlias

from jina.core.payloads import Payload
from jina.core.wire import EndpointsProto

Metadata: TypeAlias = 'tuple[tuple[str, str], ...]'
GroupDone: TypeAlias = 'Callable[[bytes, Callable[[], Coroutine[Any, Any, bytes]] | None], None]'
"""Takes a serialised response, or a function whose coroutine goes on after a failure."""


class Group(Protocol):
    """The connections of one Deployment. ``PeerGroup`` and ``ShardGroup`` implement it.

    Attributes:
        name: Name of the Deployment.
    """

    name: str

    @property
    def addresses(self) -> list[str]:
        """``host:port`` of everything behind it."""
        ...

    async def process(
        self, raw: Payload, endpoint: str, *, metadata: Metadata = (), timeout: float | None = None, many: bool = False
    ) -> bytes:
        """Send one serialised request and return its serialised response.

        Raises:
            TransportError: No try succeeded.
        """
        ...

    def begin(
        self, raw: Payload, endpoint: str, done: GroupDone, *, metadata: Metadata = (), timeout: float | None = None
    ) -> Callable[[], object] | None:
        """Send one serialised request if that is possible at once, and call ``done`` later; else give None."""
        ...

    def stream_doc(
        self, raw: bytes, endpoint: str, *, metadata: Metadata = (), timeout: float | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Send one serialised document request and yield the serialised responses of its stream.

        Raises:
            TransportError: No try succeeded, or the stream broke.
        """
        ...

    async def discover(self, *, timeout: float | None = None) -> EndpointsProto:
        """Ask for the endpoints.

        Raises:
            TransportError: No try succeeded.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
