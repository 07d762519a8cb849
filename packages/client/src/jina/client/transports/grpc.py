"""gRPC: the stream of `/jina.JinaRPC/Call`, or a unary call per request."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from jina.client.results import error_of
from jina.client.transports.base import CallOptions, RequestSource, Transport, exchange_one_by_one
from jina.core import wire
from jina.core.config import PodAddress
from jina.core.errors import ConfigError, ConnectError, DeadlineError, NotSupportedError, ServerError, TransportError
from jina.core.request import DataRequest, Response, SingleDocumentRequest, StatusMessage

__all__ = ['GrpcTransport']

# The stubs of grpc.aio demand arguments that are optional, and lack EOF.
_Channel: TypeAlias = Any
_StreamCall: TypeAlias = Any
_EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined,unused-ignore]

_HEALTH_CHECK: Final = '/grpc.health.v1.Health/Check'
_SERVING: Final = b'\x08\x01'
_RETRIED: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL})
_COMPRESSIONS: Final = {
    'nocompression': grpc.Compression.NoCompression,
    'deflate': grpc.Compression.Deflate,
    'gzip': grpc.Compression.Gzip,
}
_SERVICE_CONFIG: Final = 'grpc.service_config'
_UNREACHABLE: Final = 'failed to connect to all addresses'
_GATEWAY_MARK: Final = '|Gateway:'
_CLIENT_OPTIONS: Final[dict[str, object]] = {
    'grpc.enable_http_proxy': 0,
    'grpc.use_local_subchannel_pool': 1,  # a new channel must not inherit the back-off of a failed one
}


class GrpcTransport(Transport):
    """A gRPC channel to one server.

    Args:
        address: The server.
        channel_options: Options that override the default channel options.
        metadata: Metadata of every call.
    """

    def __init__(
        self,
        address: PodAddress,
        channel_options: Mapping[str, object] | None = None,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._address = address
        self._options = dict(channel_options or {})
        self._metadata = metadata
        self._channels: dict[bool, _Channel] = {}

    def _channel(self, retry: bool = False) -> _Channel:
        """Returns the channel. With ``retry``, the service config of the user does not apply: it could retry, too."""
        own = retry and _SERVICE_CONFIG in self._options
        channel = self._channels.get(own)
        if channel is None:
            options = {**_CLIENT_OPTIONS, **self._options}
            if own:
                del options[_SERVICE_CONFIG]
            merged = wire.merge_grpc_options(options)
            if self._address.tls:
                channel = grpc.aio.secure_channel(self._address.target, grpc.ssl_channel_credentials(), options=merged)
            else:
                channel = grpc.aio.insecure_channel(self._address.target, options=merged)
            self._channels[own] = channel
        return channel

    def _forget_channels(self) -> None:
        """Makes the next call connect afresh; a failed channel would refuse calls until its own back-off is over.

        Calls in flight keep their channel alive, it goes with the last of them.
        """
        self._channels = {}

    async def close(self) -> None:
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()

    def exchange(self, source: RequestSource, options: CallOptions) -> AsyncGenerator[Response, None]:
        # A single request needs no stream: the unary call carries the same messages and is a third faster.
        if options.stream and source.total != 1:
            return _Stream(self, source, options).responses()

        async def send(request: DataRequest) -> Response:
            return await self._send(request, options)

        return exchange_one_by_one(send, source, options)

    async def _send(self, request: DataRequest, options: CallOptions) -> Response:
        raw = request.to_bytes()
        metadata = (*self._metadata, *options.metadata)
        compression = compression_of(options.compression)
        attempt = 1
        while True:
            call = self._channel(options.retry.max_attempts > 1).unary_unary(wire.PROCESS_SINGLE_DATA)
            try:
                answer = await call(raw, timeout=options.timeout_s, metadata=metadata, compression=compression)
                return Response.from_bytes(answer)
            except grpc.aio.AioRpcError as error:
                failure = self.translate(error, attempt)
                if attempt >= options.retry.max_attempts or error.code() not in _RETRIED:
                    raise failure from error
            await options.retry.pause(attempt)
            attempt += 1

    def open_stream(self, options: CallOptions) -> _StreamCall:
        """Starts the bidirectional call."""
        metadata = [*self._metadata, *options.metadata]
        if options.prefetch is not None:
            metadata.append((wire.PREFETCH_KEY, str(options.prefetch)))
        if options.in_order:
            metadata.append((wire.RESULTS_IN_ORDER_KEY, 'true'))
        return self._channel(options.retry.max_attempts > 1).stream_stream(wire.CALL)(
            timeout=options.timeout_s, metadata=metadata, compression=compression_of(options.compression)
        )

    async def stream_doc(
        self, request: SingleDocumentRequest, options: CallOptions
    ) -> AsyncGenerator[SingleDocumentRequest, None]:
        metadata = (*self._metadata, *options.metadata)
        call = self._channel().unary_stream(wire.STREAM_DOC)(
            request.to_bytes(),
            timeout=options.timeout_s,
            metadata=metadata,
            compression=compression_of(options.compression),
        )
        try:
            while (raw := await call.read()) is not _EOF:
                response = SingleDocumentRequest.from_bytes(raw)
                if response.is_error:
                    raise error_of(response)
                yield response
        except grpc.aio.AioRpcError as error:
            raise self.translate(error) from error
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

    async def _ask(self, method: str, timeout_s: float | None) -> bytes:
        """Calls a method with an empty message."""
        try:
            answer: bytes = await self._channel().unary_unary(method)(b'', timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self.translate(error) from error
        return answer

    def translate(self, error: grpc.aio.AioRpcError, attempts: int = 1) -> TransportError | NotSupportedError:
        """Returns our error for one of gRPC's."""
        code, details = error.code(), error.details() or ''
        tries = f' after {attempts} attempts' if attempts > 1 else ''
        message = f'gRPC error: StatusCode.{code.name} from {self._address}{tries}: {details}'
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineError(
                message, hint='raise the timeout of post or timeout_send of the server', code=code.name
            )
        if code == grpc.StatusCode.UNIMPLEMENTED:
            return NotSupportedError(message, hint='is this the port of another service?')
        if code == grpc.StatusCode.UNAVAILABLE and _GATEWAY_MARK not in details:
            self._forget_channels()
            return ConnectError(message, hint=self._advise(details), code=code.name)
        return TransportError(message, code=code.name)

    def _advise(self, details: str) -> str:
        """Returns what to do when no gRPC server answers."""
        text = details.lower()
        if 'http1' in text or 'http/1' in text:
            return f"the port speaks HTTP, use Client(protocol='http', port={self._address.port})"
        if 'wrong_version_number' in text:
            return 'the server does not use TLS: leave out tls=True, use grpc:// or http://'
        if 'ssl' in text or 'tls' in text:
            return f'TLS failed: does the server use TLS, and is its certificate valid for {self._address.host!r}?'
        if 'connection refused' in text:
            return f'nothing listens on port {self._address.port}: start the server, or correct host and port'
        if _UNREACHABLE in text or 'resol' in text:
            return f'check the host {self._address.host!r} and the port {self._address.port}'
        return 'the server closed the connection: was it stopped, or does the port speak another protocol or TLS?'


class _Stream:
    """All requests of a call over one stream; it is opened again, for what is unanswered, if the network fails."""

    def __init__(self, transport: GrpcTransport, source: RequestSource, options: CallOptions) -> None:
        self._transport = transport
        self._source = source
        self._options = options
        self._slots = asyncio.Semaphore(options.window) if options.window > 0 else None
        self._unanswered: dict[str, bytes] = {}
        self._order: deque[str] = deque()
        self._early: dict[str, Response] = {}
        self._input_error: Exception | None = None

    async def responses(self) -> AsyncGenerator[Response, None]:
        """Yields all responses."""
        attempt, retry = 1, self._options.retry
        while True:
            try:
                async with aclosing(self._attempt()) as responses:
                    async for response in responses:
                        attempt = 1
                        yield response
                return
            except grpc.aio.AioRpcError as error:
                if self._input_error is not None:
                    raise self._input_error from None
                failure = self._transport.translate(error, attempt)
                if attempt >= retry.max_attempts or error.code() not in _RETRIED:
                    raise failure from error
            await retry.pause(attempt)
            attempt += 1

    async def _attempt(self) -> AsyncGenerator[Response, None]:
        call = self._transport.open_stream(self._options)
        writer = asyncio.create_task(self._write(call))
        try:
            while (raw := await self._read(call)) is not None:
                for response in self._accept(Response.from_bytes(raw)):
                    yield response
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
                await call.write(raw)
            while (message := await self._next()) is not None:
                await call.write(message)
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the reader gets the status of the broken call
        except Exception as error:  # noqa: BLE001 - the reader raises it
            self._input_error = error
            call.cancel()

    async def _next(self) -> bytes | None:
        """Returns the next request, recorded as unanswered, once it may be sent. Cancelling this loses none."""
        if self._slots is not None:
            await self._slots.acquire()
        try:
            request = await anext(self._source, None)
        except BaseException:
            self._release()
            raise
        if request is None:
            self._release()
            return None
        raw = request.to_bytes()
        self._unanswered[request.request_id] = raw
        if self._options.in_order:
            self._order.append(request.request_id)
        return raw

    def _accept(self, response: Response) -> list[Response]:
        """Takes a response and returns those that may be handed out now."""
        request_id = response.request_id
        if self._unanswered.pop(request_id, None) is None and self._unanswered:
            # A server that invents ids answers in order, as far as anyone can know.
            request_id = next(iter(self._unanswered))
            del self._unanswered[request_id]
        if not self._options.in_order:
            self._release()
            return [response]
        self._early[request_id] = response
        ready: list[Response] = []
        while self._order and self._order[0] in self._early:
            ready.append(self._early.pop(self._order.popleft()))
            self._release()
        return ready

    def _release(self) -> None:
        if self._slots is not None:
            self._slots.release()


def compression_of(name: str | None) -> grpc.Compression | None:
    """Returns gRPC's constant for a compression name in any case; None stays None.

    Raises:
        ConfigError: There is no such compression.
    """
    if name is None:
        return None
    compression = _COMPRESSIONS.get(str(name).lower())
    if compression is None:
        raise ConfigError(f'compression is {name!r}', hint='use NoCompression, Deflate or Gzip')
    return compression
