"""gRPC: a stream with all requests of a call, or a unary call per request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from jina.client.results import error_of
from jina.client.transports.base import CallOptions, RequestSource, Transport, exchange_one_by_one
from jina.client.transports.streams import MOST_LEFT, StreamExchange, is_overload, may_retry, was_left
from jina.client.trust import SYSTEM_TRUST, TlsTrust, trust_hint
from jina.core import wire
from jina.core.config import PodAddress
from jina.core.environment import fast_lane_disabled, local_lane_disabled
from jina.core.errors import (
    AccessError,
    ConnectError,
    DeadlineError,
    NotSupportedError,
    OverloadError,
    ServerError,
    TransportError,
)
from jina.core.grpc_stream import GrpcStream
from jina.core.lane import Lane, LaneError, LaneMissingError, SharedLane
from jina.core.local_stream import LocalStream, may_enter, open_door
from jina.core.request import DataRequest, Response, SingleDocumentRequest
from jina.core.status import StatusMessage

__all__ = ['GrpcTransport']

# The stubs of grpc.aio demand arguments that are optional, and lack EOF.
_Channel: TypeAlias = Any
_StreamCall: TypeAlias = Any
_EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined,unused-ignore]

_HEALTH_CHECK: Final = '/grpc.health.v1.Health/Check'
_SERVING: Final = b'\x08\x01'
_COMPRESSIONS: Final = {
    'nocompression': grpc.Compression.NoCompression,
    'deflate': grpc.Compression.Deflate,
    'gzip': grpc.Compression.Gzip,
}
_SERVICE_CONFIG: Final = 'grpc.service_config'
_UNREACHABLE: Final = 'failed to connect to all addresses'
_GATEWAY_MARK: Final = '|Gateway:'
_CLIENT_OPTIONS: Final[dict[str, object]] = {
    'grpc.use_local_subchannel_pool': 1,  # a new channel must not inherit the back-off of a failed one
}


class GrpcTransport(Transport):
    """A gRPC channel to one server.

    Args:
        address: The server.
        channel_options: Options that override the default channel options.
        metadata: Metadata of every call.
        trust: Which certificate it trusts.
        proxy: Go through the HTTP proxy that the environment names.
    """

    def __init__(
        self,
        address: PodAddress,
        channel_options: Mapping[str, object] | None = None,
        metadata: tuple[tuple[str, str], ...] = (),
        trust: TlsTrust = SYSTEM_TRUST,
        *,
        proxy: bool = False,
    ) -> None:
        self._address = address
        self._trust = trust
        self._options = {'grpc.enable_http_proxy': int(proxy), **(channel_options or {})}
        self._metadata = metadata
        self._channels: dict[bool, _Channel] = {}
        self._limits = wire.message_limits(wire.merge_grpc_options(self._options))
        # What every call is to carry, and TLS, are gRPC's.
        is_local = not (metadata or address.tls or proxy or local_lane_disabled())
        self._shared = SharedLane(self._connect, self._limits, self._enter if is_local else None)
        # A service config is about single calls.
        self._no_lane = fast_lane_disabled() or _SERVICE_CONFIG in self._options
        self._shared.missing = self._no_lane

    def _channel(self, retry: bool = False) -> _Channel:
        """Returns the channel. With ``retry``, the service config of the user does not apply: it could retry, too."""
        own = retry and _SERVICE_CONFIG in self._options
        channel = self._channels.get(own)
        if channel is None:
            options = {**_CLIENT_OPTIONS, **self._options}
            if own:
                del options[_SERVICE_CONFIG]
            if self._trust.server_name is not None:
                options['grpc.ssl_target_name_override'] = self._trust.server_name
            merged = wire.merge_grpc_options(options)
            if self._address.tls:
                credentials = grpc.ssl_channel_credentials(self._trust.roots())
                channel = grpc.aio.secure_channel(self._address.target, credentials, options=merged)
            else:
                channel = grpc.aio.insecure_channel(self._address.target, options=merged)
            self._channels[own] = channel
        return channel

    def _forget_channels(self) -> None:
        """Makes the next call connect afresh; a failed channel would refuse calls until its own back-off is over.

        Calls in flight keep their channel alive, it goes with the last of them.
        """
        self._channels = {}
        self._shared.missing = self._no_lane  # who comes back may be another version

    async def close(self) -> None:
        await self._shared.close()
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()

    def exchange(self, source: RequestSource, options: CallOptions) -> AsyncGenerator[list[Response], None]:
        if options.stream and source.total != 1:
            return StreamExchange(self, source, options).responses()

        async def send(request: DataRequest) -> Response:
            return await self._send(request, options)

        return exchange_one_by_one(send, source, options)

    async def _send(self, request: DataRequest, options: CallOptions) -> Response:
        attempt, left = 1, 0
        while True:
            try:
                # Serialised for each attempt: a large request should not be kept until its response has come.
                return Response.from_bytes(await self._call(request, options))
            except (grpc.aio.AioRpcError, LaneError) as error:
                failure = self.translate(error, attempt)
                if was_left(error) and left < MOST_LEFT:
                    left += 1
                    continue
                if attempt >= options.retry.max_attempts or not may_retry(error):
                    raise failure from error
            await options.retry.pause(attempt)
            attempt += 1

    async def _call(self, request: DataRequest, options: CallOptions) -> bytes:
        """Sends one request, on the fast lane that all single requests share if streams are wanted and there is one."""
        if options.stream and options.compression is None and not (self._shared.missing or _has_key(options)):
            try:
                return await self._shared.request(
                    request.to_payload(), timeout=options.timeout_s, metadata=options.metadata
                )
            except LaneMissingError:
                self._shared.missing = True
        call = self._channel(options.retry.max_attempts > 1).unary_unary(wire.PROCESS_SINGLE_DATA)
        answer: bytes = await call(
            request.to_bytes(),
            timeout=options.timeout_s,
            metadata=(*self._metadata, *options.metadata),
            compression=compression_of(options.compression),
        )
        return answer

    async def _enter(self, door: str) -> LocalStream | None:
        return await open_door(door) if may_enter(door, self._address.target) else None

    def _connect(self) -> GrpcStream:
        return GrpcStream(self._channel().stream_stream(wire.FAST_LANE)(metadata=self._metadata))

    def open_lane(self, options: CallOptions) -> Lane | None:
        """Starts a fast lane for the requests of one call; None if the server is known to have none."""
        if self._shared.missing:
            return None
        call = self._channel(options.retry.max_attempts > 1).stream_stream(wire.FAST_LANE)(
            timeout=options.timeout_s,
            metadata=(*self._metadata, *options.metadata),
            compression=compression_of(options.compression),
        )
        return Lane(GrpcStream(call), options.prefetch, self._limits)

    def note_missing_lane(self) -> None:
        """Remembers that the server has no fast lane, until it is connected afresh."""
        self._shared.missing = True

    def open_stream(self, options: CallOptions) -> _StreamCall:
        """Starts the bidirectional call."""
        metadata = [*self._metadata, *options.metadata]
        if options.prefetch is not None:
            metadata.append((wire.PREFETCH_KEY, str(options.prefetch)))
        # Results are put in order here: a busy server of the original may hang when it is asked to do that.
        return self._channel(options.retry.max_attempts > 1).stream_stream(wire.CALL)(
            timeout=options.timeout_s, metadata=metadata, compression=compression_of(options.compression)
        )

    async def stream_doc(
        self, request: SingleDocumentRequest, options: CallOptions
    ) -> AsyncGenerator[SingleDocumentRequest, None]:
        metadata = (*self._metadata, *options.metadata)
        started, left = False, 0
        while True:
            call = self._channel().unary_stream(wire.STREAM_DOC)(
                request.to_bytes(),
                timeout=options.timeout_s,
                metadata=metadata,
                compression=compression_of(options.compression),
            )
            try:
                while (raw := await call.read()) is not _EOF:
                    started = True
                    response = SingleDocumentRequest.from_bytes(raw)
                    if response.is_error:
                        raise error_of(response)
                    yield response
                return
            except grpc.aio.AioRpcError as error:
                failure = self.translate(error)
                if started or not was_left(error) or left == MOST_LEFT:
                    raise failure from error
                left += 1
            finally:
                call.cancel()

    async def check_health(self, timeout_s: float | None) -> None:
        answer = await self._ask(_HEALTH_CHECK, timeout_s)
        if answer != _SERVING:
            raise TransportError(f'the server at {self._address} says that it is not serving')

    async def dry_run(self, timeout_s: float | None) -> None:
        try:
            status = StatusMessage.from_bytes(await self._ask(wire.DRY_RUN, timeout_s))
        except NotSupportedError:
            await self.check_health(timeout_s)  # an Executor has nothing behind it
            return
        if not status.is_ok():
            raise ServerError(f'the server at {self._address} is not ready: {status.proto.description}')

    async def status(self, timeout_s: float | None) -> wire.JinaInfoProto:
        """Returns the versions and the environment of the server; a gateway also tells its graph."""
        return wire.JinaInfoProto.FromString(await self._ask(wire.STATUS, timeout_s))

    async def endpoints(self, timeout_s: float | None) -> wire.EndpointsProto:
        """Returns the names and schemas of the server's endpoints."""
        return wire.EndpointsProto.FromString(await self._ask(wire.ENDPOINT_DISCOVERY, timeout_s))

    async def _ask(self, method: str, timeout_s: float | None) -> bytes:
        """Calls a method with an empty message."""
        try:
            answer: bytes = await self._channel().unary_unary(method)(b'', timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self.translate(error) from error
        return answer

    def translate(
        self, error: grpc.aio.AioRpcError | LaneError, attempts: int = 1
    ) -> TransportError | NotSupportedError | AccessError:
        """Returns our error for one of gRPC's."""
        code, details = error.code(), error.details() or ''
        tries = f' after {attempts} attempts' if attempts > 1 else ''
        message = f'gRPC error: StatusCode.{code.name} from {self._address}{tries}: {details}'
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineError(
                message, hint='raise the timeout of post or timeout_send of the server', code=code.name
            )
        if code == grpc.StatusCode.UNAUTHENTICATED:
            return AccessError(f'the server at {self._address} refused the call: {details}')
        if is_overload(error):
            return OverloadError(f'gRPC error: StatusCode.{code.name} from {self._address}{tries}: {details}')
        if code == grpc.StatusCode.UNIMPLEMENTED:
            return NotSupportedError(message, hint='is this the port of another service?')
        if was_left(error):
            self._forget_channels()
        if code == grpc.StatusCode.UNAVAILABLE and _GATEWAY_MARK not in details:
            self._forget_channels()
            return ConnectError(message, hint=self._advise(details), code=code.name)
        return TransportError(message, code=code.name)

    def _advise(self, details: str) -> str:
        """Returns what to do when no gRPC server answers; who asks the port then may know better."""
        text = details.lower()
        if 'wrong_version_number' in text:
            return 'the server does not use TLS: leave out tls=True, use grpc:// or http://'
        if 'ssl' in text or 'tls' in text or 'verification check' in text:
            return f'TLS failed: {trust_hint(details, self._address.host)}'
        if _UNREACHABLE in text or 'resol' in text:
            return f'check the host {self._address.host!r} and the port {self._address.port}'
        return 'the server closed the connection: was it stopped?'


def _has_key(options: CallOptions) -> bool:
    """Tells whether a call brings a key of its own; the shared lane was opened with another one, or without."""
    return any(name in ('authorization', 'x-api-key') for name, _ in options.metadata)


def compression_of(name: str | None) -> grpc.Compression | None:
    """Returns gRPC's constant for a compression name in lower case; None stays None."""
    return None if name is None else _COMPRESSIONS[name]
