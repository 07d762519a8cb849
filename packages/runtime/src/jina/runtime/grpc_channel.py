"""A channel of grpc.aio whose calls end and fail in the words of ``jina.core.calls``. Only who calls others imports this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from jina.core.grpc_stream import GrpcStream, failure_of
from jina.core.payloads import Payload, as_bytes
from jina.runtime.group import Metadata

__all__ = ['GrpcChannel', 'connect']


def connect(
    address: str,
    options: list[tuple[str, object]],
    *,
    compression: str | None = None,
    secure: bool = False,
    roots: bytes | None = None,
) -> Any:
    """Opens a channel of grpc.aio.

    Typed as Any: gRPC's stubs insist on serializers, and without them bytes pass as they are.

    Args:
        address: ``host:port``.
        options: Options of the channel.
        compression: Compression of requests: ``Deflate`` or ``Gzip``; None for none.
        secure: Whether to use TLS.
        roots: The certificates that are trusted; None for those that the system trusts.
    """
    chosen = None if compression is None else grpc.Compression[compression]
    if secure:
        credentials = grpc.ssl_channel_credentials(roots)
        return grpc.aio.secure_channel(address, credentials, options=options, compression=chosen)
    return grpc.aio.insecure_channel(address, options=options, compression=chosen)


class GrpcChannel:
    """Makes calls.

    Args:
        channel: The channel of grpc.aio, or what has its methods.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def unary(self, path: str) -> Callable[..., Any]:
        """Returns a coroutine function that sends a message and returns the answer.

        Args:
            path: Full name of the method.
        """
        call = self._channel.unary_unary(path)

        async def ask(raw: Payload, *, timeout: float | None = None, metadata: Metadata = ()) -> bytes:
            try:
                answer: bytes = await call(as_bytes(raw), timeout=timeout, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                raise failure_of(error) from error
            return answer

        return ask

    def responses(self, path: str) -> Callable[..., GrpcStream]:
        """Returns what sends a message and returns the stream of its responses."""
        call = self._channel.unary_stream(path)

        def begin(raw: bytes, *, timeout: float | None = None, metadata: Metadata = ()) -> GrpcStream:
            return GrpcStream(call(raw, timeout=timeout, metadata=metadata))

        return begin

    def stream(self, path: str, metadata: Metadata) -> Callable[[], GrpcStream]:
        """Returns what begins a stream in both directions."""
        call = self._channel.stream_stream(path)
        return lambda: GrpcStream(call(metadata=metadata))

    async def ready(self) -> None:
        """Returns when there is a connection."""
        await self._channel.channel_ready()

    async def lost(self) -> None:
        """Returns when there is no connection any more; at once if there is none."""
        await self._channel.wait_for_state_change(grpc.ChannelConnectivity.READY)

    async def close(self) -> None:
        """Closes the channel; its calls are cancelled."""
        await self._channel.close()
