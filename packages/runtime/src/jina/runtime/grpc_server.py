"""The gRPC server of workers and gateways.

Handlers take and return bytes: the envelope is parsed once, by the service's own request classes, and documents never
are here. There is no generated service code.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast, runtime_checkable
from urllib.parse import unquote

from jina.core import wire
from jina.core.calls import StatusCode
from jina.core.environment import (
    environment_facts,
    fast_lane_disabled,
    http2_server_disabled,
    local_lane_disabled,
    system_facts,
)
from jina.core.errors import JinaError, NotSupportedError, PortInUseError, RequestTypeError, TransportError
from jina.core.local_stream import LocalStream, is_loopback
from jina.core.payloads import Payload, as_bytes
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.runtime import grpc_traffic, reflection
from jina.runtime.access import OPEN, AccessHandler, Protection
from jina.runtime.admission import LimitedService
from jina.runtime.answers import read_many, serialise
from jina.runtime.call_stream import CallStream
from jina.runtime.dry_run import dry_run_status
from jina.runtime.fast_lane import Begin, Finish, LaneServer, begin_task
from jina.runtime.health import Health, ServingStatus
from jina.runtime.http2.server import Http2Server
from jina.runtime.http2.settings import Settings
from jina.runtime.local_door import LocalDoor
from jina.runtime.methods import AnyMethod, CallDetails, Context, Method, Methods, MethodTable
from jina.runtime.request_size import RECEIVE_OPTION, RequestSize
from jina.runtime.service import Cancel, RequestService
from jina.runtime.stream_writer import StreamWriter
from jina.runtime.unary_method import Reply, UnaryMethod, abort

if TYPE_CHECKING:
    from jina.runtime.grpcio_server import GrpcioServer

CountShards: TypeAlias = 'Callable[..., Callable[[bool], tuple[tuple[str, str], ...]]]'

_IS_ERROR: Final = ((wire.IS_ERROR_KEY, 'true'),)
_RANDOM_PORT_TRIES: Final = 100
_SERVER_OPTIONS: Final[dict[str, object]] = {
    # Linux would let a second server share the port in silence and steal half of the calls.
    'grpc.so_reuseport': 0,
    'grpc.enable_http_proxy': 0,
    # gRPC cancels calls at random while more than 1,000 wait for the event loop, and all beyond 3,000. A burst of callers
    # is to be answered.
    'grpc.server.max_pending_requests': 100_000,
    'grpc.server.max_pending_requests_hard_limit': 100_000,
    # Peers ask every ten seconds whether the server is there, also while they have no call. It must not take that ill.
    'grpc.http2.min_ping_interval_without_data_ms': 5000,
}


@runtime_checkable
class JoiningService(Protocol):
    """A service that can take several requests as one: a worker behind parallel branches."""

    async def process_many(
        self, requests: Sequence[DataRequest], *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers the requests of several branches with one response."""
        ...


class GrpcServer:
    """Serves a worker or a gateway over gRPC, with health and reflection.

    Args:
        service: What answers the requests. ``process_data`` is offered if it can join requests.
        host: Address to bind, for example ``0.0.0.0``.
        port: Port to bind; 0 for any free one, lowest and highest to choose one between them.
        options: gRPC server options of the user.
        compression: Compression of responses: ``Deflate`` or ``Gzip``; None for none.
        prefetch: Requests of one ``Call`` that may be under way, unless the client asks for another number; 0: no limit.
        protection: Encryption, keys, and the length of requests, for which the options of the user count if they say one.
    """

    def __init__(
        self,
        service: RequestService,
        *,
        host: str = '0.0.0.0',
        port: int | tuple[int, int] = 0,
        options: Mapping[str, object] | None = None,
        compression: str | None = None,
        prefetch: int = 1000,
        protection: Protection = OPEN,
    ) -> None:
        self.closed = False
        """True from ``hold`` to ``open``."""
        self.count_shards: CountShards | None = None
        """Of a head: gives the metadata behind its response, see ``HeadService.count_shards``."""
        self._service = service
        self._host = host
        self._port = port
        self._prefetch = prefetch
        self._protection = protection
        # A client's further requests on a stream that was let in wait; the stream isn't read meanwhile.
        self._patient = service.patient() if isinstance(service, LimitedService) else service
        self._capacity = service.admission.capacity if isinstance(service, LimitedService) else None
        self._streams: set[CallStream] = set()
        self._lanes: set[LaneServer] = set()
        self._talks: set[asyncio.Task[Any]] = set()
        self._door = LocalDoor(self._connect_local)
        self._begin: Begin = getattr(service, 'begin', None) or self._begin_task
        self._draining = False
        self.health = Health(wire.SERVICE_NAMES)
        self._size: RequestSize | None = None
        own = _SERVER_OPTIONS
        if protection.request_bytes is not None and RECEIVE_OPTION not in (options or {}):
            self._size = RequestSize(protection.request_bytes, service)
            self._begin = self._size.beginning(self._begin)
            own = {**own, RECEIVE_OPTION: self._size.received}
        merged = wire.merge_grpc_options({**own, **(options or {})})
        self._server = self._make_server(merged, compression)
        self._limits = wire.message_limits(merged)
        if self._size is not None:
            self._limits = self._limits._replace(receive=min(self._size.most, self._limits.receive))
        self.methods: tuple[Methods, ...] = (
            self._own_methods(),
            self.health.methods(),
            reflection.methods(wire.SERVICE_NAMES),
        )
        """What answers calls; the first that knows a method has it."""
        if protection.access is not None:
            self.methods = (AccessHandler(protection.access, service), *self.methods)

    def _make_server(self, options: list[tuple[str, object]], compression: str | None) -> Http2Server | GrpcioServer:
        """Makes the server of our own, if it has all that is asked for."""
        pair = self._protection.pair
        foreign = pair or compression or http2_server_disabled()
        settings = None if foreign else Settings.of(dict(options))
        if settings is not None:
            return Http2Server(settings)
        from jina.runtime.grpcio_server import GrpcioServer  # noqa: PLC0415 - most servers do without grpcio

        return GrpcioServer(options, compression, pair)

    def hold(self) -> None:
        """From its start until ``open``, the server refuses requests as UNAVAILABLE and reports NOT_SERVING."""
        self.closed = True
        self.methods = (_Door(self), *self.methods)

    async def start(self) -> int:
        """Binds the port, starts to serve, and returns the real port.

        Raises:
            PortInUseError: Another process listens there.
        """
        bound = self._bind_in_range(*self._port) if isinstance(self._port, tuple) else self._bind(self._port)
        self._server.add_methods(self.methods)
        await self._server.start()
        # TLS and keys are promises about the way: there is no other one then.
        if self._protection.is_open and not fast_lane_disabled() and not local_lane_disabled():
            await self._door.open(bound)
        self._port = bound
        if not self.closed:
            self.health.set(ServingStatus.SERVING)
        return bound

    def open(self) -> None:
        """Lets requests in and reports SERVING."""
        self.closed = False
        self.health.set(ServingStatus.SERVING)

    def _bind(self, port: int) -> int:
        return self._server.bind(self._host, port, self._service.name)

    def _bind_in_range(self, low: int, high: int) -> int:
        for port in random.sample(range(low, high + 1), min(_RANDOM_PORT_TRIES, high + 1 - low)):
            with contextlib.suppress(PortInUseError):
                return self._bind(port)
        raise PortInUseError(low, f'{self._service.name}, with all others up to {high}')

    async def stop(self, grace: float | None = None) -> None:
        """Refuses new calls, answers those in flight, and closes.

        Args:
            grace: Seconds that calls in flight may still take; None closes at once.
        """
        self._drain()
        await asyncio.gather(self._door.close(grace), self._server.stop(grace))

    async def leave(self, grace: float | None = None) -> None:
        """Has the clients of streams leave, then stops.

        A server of gRPC that stops cancels calls of those who haven't heard yet that it does; who has left makes none.

        Args:
            grace: Seconds that calls in flight may still take; None closes at once.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (grace or 0)
        self._drain()
        if self._talks:
            await asyncio.wait(tuple(self._talks), timeout=grace or 0)
        await self.stop(max(0.0, deadline - loop.time()) or None)

    def _drain(self) -> None:
        self._draining = True
        self.health.close()
        for stream in tuple(self._streams):
            stream.interrupt()
        for lane in tuple(self._lanes):
            lane.drain()

    def _own_methods(self) -> MethodTable:
        checked: Callable[[Any], Any] = (lambda answer: answer) if self._size is None else self._size.checked
        methods: dict[str, AnyMethod] = {
            wire.PROCESS_SINGLE_DATA: self._unary_method(many=False),
            wire.CALL: Method(self._call, request_streaming=True, response_streaming=True),
            wire.STREAM_DOC: Method(checked(self._stream_doc), response_streaming=True),
            wire.ENDPOINT_DISCOVERY: Method(checked(self._discover)),
            wire.DRY_RUN: Method(checked(self._dry_run)),
            wire.STATUS: Method(checked(self._status)),
        }
        if isinstance(self._service, JoiningService):
            methods[wire.PROCESS_DATA] = self._unary_method(many=True)
        if not fast_lane_disabled():
            methods[wire.FAST_LANE] = Method(self._connect, request_streaming=True, response_streaming=True)
        return MethodTable(methods)

    def _begin_unary(
        self, raw: bytes, reply: Reply, *, many: bool, metadata: Sequence[tuple[str, str]], timeout: float | None
    ) -> Cancel | None:
        """Starts the work on a request that came by a call of its own."""
        grpc_traffic.received.add(len(raw))

        def finish(answer: Payload, failed: bool, error: JinaError | None = None) -> None:
            grpc_traffic.sent.add(len(answer))
            reply(answer, error, _IS_ERROR if failed and error is None else ())

        return self._begin(raw, finish, many=many, metadata=metadata, timeout=timeout)

    def _begin_counted(
        self, raw: bytes, reply: Reply, *, many: bool, metadata: Sequence[tuple[str, str]], timeout: float | None
    ) -> Cancel | None:
        """Starts the work on a request to a head, and counts its shards."""
        assert self.count_shards is not None
        trailing = self.count_shards(raw, many=many)

        def counted(answer: Payload, error: JinaError | None = None, told: Sequence[tuple[str, str]] = ()) -> None:
            reply(answer, error, (*told, *trailing(error is not None or bool(told))))

        return self._begin_unary(raw, counted, many=many, metadata=metadata, timeout=timeout)

    def _unary_method(self, *, many: bool) -> UnaryMethod:
        def begin(
            raw: bytes, reply: Reply, *, metadata: Sequence[tuple[str, str]], timeout: float | None
        ) -> Cancel | None:
            if self.count_shards is None:
                return self._begin_unary(raw, reply, many=many, metadata=metadata, timeout=timeout)
            # The count is kept in the context, of which every call has its own.
            start = partial(self._begin_counted, raw, reply, many=many, metadata=metadata, timeout=timeout)
            return copy_context().run(start)

        return UnaryMethod(begin)

    def _begin_task(
        self,
        raw: Payload,
        finish: Finish,
        *,
        many: bool = False,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Starts a request at a service that answers by coroutines."""
        answer = (self._answer_many if many else self._answer)(raw, metadata, timeout)
        return begin_task(answer, finish)

    async def _answer(
        self, raw: Payload, metadata: Sequence[tuple[str, str]], timeout: float | None
    ) -> tuple[Payload, bool]:
        return serialise(await self._service.process(DataRequest.from_bytes(raw), metadata=metadata, timeout=timeout))

    async def _answer_many(
        self, raw: Payload, metadata: Sequence[tuple[str, str]], timeout: float | None
    ) -> tuple[Payload, bool]:
        if not isinstance(self._service, JoiningService):
            raise NotSupportedError(f'{self._service.name} takes no lists of requests')
        return serialise(await self._service.process_many(read_many(raw), metadata=metadata, timeout=timeout))

    async def _connect(self, _: AsyncIterator[bytes], context: Context) -> None:
        if self._draining:
            await context.abort(StatusCode.UNAVAILABLE, f'{self._service.name} {wire.LEAVING}')
        try:
            await self._serve_lane(
                context, self._door.name if self._door.name and is_loopback(_host_of(context)) else ''
            )
        except RequestTypeError as error:
            await abort(context, error)

    async def _connect_local(self, stream: LocalStream) -> None:
        with contextlib.suppress(RequestTypeError, asyncio.InvalidStateError):  # the stream ends; the client is gone
            await self._serve_lane(stream, '')

    async def _serve_lane(self, context: Any, door: str) -> None:
        lane = LaneServer(
            self._begin,
            context,
            name=self._service.name,
            window=self._prefetch,
            limits=self._limits,
            door=door,
        )
        self._lanes.add(lane)
        if self._draining:
            lane.drain()
        with self._talk():
            try:
                await lane.run()
            finally:
                self._lanes.discard(lane)

    @contextlib.contextmanager
    def _talk(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            yield
        finally:
            self._talks.discard(task)

    async def _call(self, requests: AsyncIterator[bytes], context: Context) -> None:
        if self._draining:
            await context.abort(StatusCode.UNAVAILABLE, f'{self._service.name} {wire.LEAVING}')
        metadata = _metadata(context)
        settings = {key: value for key, value in metadata if key.startswith('__')}
        any_failed = False
        service = self._service

        async def answer(raw: bytes) -> bytes:
            nonlocal any_failed, service
            grpc_traffic.received.add(len(raw))
            if self._size is not None:
                self._size.check(len(raw))
            first, service = service, self._patient
            response = await first.process(
                DataRequest.from_bytes(raw), metadata=metadata, timeout=context.time_remaining()
            )
            serialised, failed = serialise(response)
            any_failed |= failed
            grpc_traffic.sent.add(len(serialised))
            return as_bytes(serialised)

        stream = CallStream(
            answer,
            context.write,
            prefetch=self._window(_positive(settings.get(wire.PREFETCH_KEY), self._prefetch)),
            in_order=settings.get(wire.RESULTS_IN_ORDER_KEY, '').lower() == 'true',
        )
        self._streams.add(stream)
        try:
            with self._talk():
                await stream.run(requests)
        except (TransportError, RequestTypeError) as error:
            await abort(context, error)
        finally:
            self._streams.discard(stream)
        if stream.interrupted:
            await context.abort(StatusCode.UNAVAILABLE, f'{self._service.name} {wire.LEAVING}')
        if any_failed:
            context.set_trailing_metadata(_IS_ERROR)

    def _window(self, wanted: int) -> int:
        """Returns how many requests of one ``Call`` may be under way, 0 for no limit."""
        capacity = self._capacity
        return wanted if capacity is None else min(wanted or capacity, capacity)

    async def _stream_doc(self, raw: bytes, context: Context) -> None:
        grpc_traffic.received.add(len(raw))
        writer = StreamWriter(context.write)
        try:
            request = SingleDocumentRequest.from_bytes(raw)
            request.trace = _metadata(context)
            async with contextlib.aclosing(self._service.stream(request, timeout=context.time_remaining())) as items:
                async for item in items:
                    message = item.to_bytes()
                    grpc_traffic.sent.add(len(message))
                    ahead = writer.put(message)
                    if item.is_error:
                        context.set_trailing_metadata(_IS_ERROR)
                        break
                    if not ahead:
                        await writer.room()
            await writer.finish()
        except (TransportError, RequestTypeError) as error:
            await writer.finish()
            await abort(context, error)
        finally:
            writer.abandon()

    async def _discover(self, raw: bytes, context: Context) -> bytes:
        try:
            return (await self._service.endpoints()).SerializeToString()
        except JinaError as error:
            await abort(context, error)

    async def _dry_run(self, raw: bytes, context: Context) -> bytes:
        return (await dry_run_status(self._service, traceback=True)).to_bytes()

    async def _status(self, raw: bytes, context: Context) -> bytes:
        grpc_traffic.publish()
        facts = system_facts()
        topology = getattr(self._service, 'topology', None)
        if topology is not None:  # a gateway's
            facts[wire.TOPOLOGY_FACT] = json.dumps(topology())
        metrics_port = getattr(self._service, 'metrics_port', None)
        if metrics_port is not None:  # of what is observed
            facts[wire.METRICS_FACT] = str(metrics_port)
        return wire.JinaInfoProto(jina=facts, envs=environment_facts()).SerializeToString()


class _Door:
    """Keeps requests out of a server that is closed; its health and its reflection answer."""

    def __init__(self, server: GrpcServer) -> None:
        self._server = server

    def find(self, details: CallDetails) -> Method | None:
        if not self._server.closed or not details.method.startswith('/jina.'):
            return None
        return Method(self._refuse, request_streaming=True, response_streaming=True)

    async def _refuse(self, _: AsyncIterator[bytes], context: Context) -> None:
        await context.abort(StatusCode.UNAVAILABLE, 'the Executor is warming up')


def _metadata(context: Context) -> Sequence[tuple[str, str]]:
    return cast('Sequence[tuple[str, str]]', context.invocation_metadata() or ())


def _host_of(context: Any) -> str:
    """Returns ``host:port`` of a client, empty if it came by another way."""
    kind, _, address = unquote(context.peer()).partition(':')
    return address if kind in ('ipv4', 'ipv6') else ''


def _positive(text: str | None, default: int) -> int:
    """Reads a number that a client sent; nonsense counts as not sent."""
    try:
        return max(0, int(text)) if text else default
    except ValueError:
        return default
