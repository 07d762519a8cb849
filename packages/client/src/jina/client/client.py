"""Clients: synchronous and asynchronous, one per protocol, all over the same calls."""

from __future__ import annotations

import asyncio
import weakref
from abc import abstractmethod
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, aclosing, asynccontextmanager, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar, cast, overload

from jina.client.host import address_of
from jina.client.loop import INLINE, BackgroundLoop, Caller, background_loop, close_with_loop, drop_poller_notes
from jina.client.mixin import HealthCheckMixin, MutateMixin, PostMixin, ProfileMixin
from jina.client.port_probe import explained
from jina.client.profiling import Profile, profile_of
from jina.client.read_ahead import ReadAhead
from jina.client.results import read_document
from jina.client.signatures import AsyncCalls, SyncCalls
from jina.client.trust import TlsTrust
from jina.core.config import ClientOptions, PodAddress
from jina.core.config.build import build
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError, ConnectError, JinaError

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList
    from jina.client.options import ClientKeywords
    from jina.client.post import PostCall
    from jina.client.tracing import ClientTracing
    from jina.client.transports.base import CallOptions, Transport
    from jina.core.logging import JinaLogger
    from jina.core.request import Response, SingleDocumentRequest
    from typing_extensions import Self, Unpack

__all__ = [
    'AsyncClient',
    'AsyncGRPCClient',
    'AsyncHTTPClient',
    'AsyncWebSocketClient',
    'BaseClient',
    'Client',
    'GRPCClient',
    'HTTPClient',
    'SyncClient',
    'WebSocketClient',
]

_T = TypeVar('_T')
_REMARKS: Final = 1000
"""Different remarks of servers that a client logs: they hold the names of endpoints, which may be made up by the call."""


class BaseClient(PostMixin, MutateMixin, HealthCheckMixin, ProfileMixin):
    """What all clients have. Connections open at the first call, one per event loop, and are kept.

    Args:
        options: Checked options; or give them as keywords.
        values: The options of ``jina.core.config.ClientOptions``.

    Raises:
        ConfigError: An option is wrong, or given twice.
    """

    protocol: ClassVar[ProtocolType]

    def __init__(self, options: ClientOptions | None = None, **values: Unpack[ClientKeywords]) -> None:
        self.options: ClientOptions = options or build(ClientOptions, values, where='Client')
        self.address: PodAddress = address_of(self.options, self.protocol)
        if self.address.protocol != self.protocol:
            raise ConfigError(f'{type(self).__name__} can not talk to {self.address}', hint='use Client(host=...)')
        self.show_progress = False
        """True shows a progress bar at every call."""
        self._transports: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Transport] = weakref.WeakKeyDictionary()
        self._logger: JinaLogger | None = None
        self._remarks: set[str] = set()
        self._tracing: ClientTracing | None = None
        if self.options.grpc_channel_options and self.protocol != ProtocolType.GRPC:
            self.remark(f'grpc_channel_options are for gRPC: they mean nothing to a client for {self.protocol}')
        if self.options.tracing:
            from jina.client.tracing import ClientTracing  # noqa: PLC0415 - OpenTelemetry, for those who record

            self._tracing = ClientTracing(self.options, type(self).__name__, self.protocol)
        if self.options.suppress_root_logging:
            from jina.core.logging import suppress_root_handlers  # noqa: PLC0415 - rarely asked for

            suppress_root_handlers()

    def teardown_instrumentation(self) -> None:
        """Sends the spans that were recorded last and ends the thread that does so. Without tracing it does nothing."""
        tracing, self._tracing = self._tracing, None
        if tracing is not None:
            tracing.shutdown()

    def _span(
        self, method: Literal['call', 'stream'], endpoint: str, options: CallOptions
    ) -> AbstractContextManager[CallOptions]:
        """Records a call if this client traces; gives the options to make it with."""
        if self._tracing is None:
            return nullcontext(options)
        return self._tracing.span(method, endpoint, options)

    @property
    def client(self) -> BaseClient:
        """The client itself."""
        return self

    @property
    def prefetch(self) -> int | None:
        """Requests in flight that were asked for at construction; None leaves it to the server."""
        return self.options.prefetch if 'prefetch' in self.options.model_fields_set else None

    @property
    def logger(self) -> JinaLogger:
        """The logger of this client."""
        if self._logger is None:
            from jina.core.logging import JinaLogger  # noqa: PLC0415 - rich is heavy, and most clients log nothing

            self._logger = JinaLogger(
                type(self).__name__,
                log_config=self.options.log_config,
            )
        return self._logger

    def report(self, message: str) -> None:
        """Logs an error that doesn't end the call."""
        self.logger.error(message)

    def remark(self, note: str) -> None:
        """Logs what the server remarks about a response, each remark once."""
        if note not in self._remarks and len(self._remarks) < _REMARKS:
            self._remarks.add(note)
            self.logger.warning(note)

    def remark_compression(self, options: CallOptions) -> None:
        """Logs that only gRPC compresses, if another client is asked to."""
        if options.compression in ('deflate', 'gzip') and self.protocol != ProtocolType.GRPC:
            self.remark(f'compression is for gRPC: a client for {self.protocol} sends everything as it is')

    @abstractmethod
    def make_call(self, call: PostCall) -> Any:
        """Makes the call that ``post`` prepared."""

    @abstractmethod
    def make_stream(self, request: SingleDocumentRequest, options: CallOptions) -> Any:
        """Makes the call that ``stream_doc`` prepared."""

    @abstractmethod
    def make_check(self, *, dry_run: bool, timeout_s: float | None) -> Any:
        """Checks readiness."""

    @abstractmethod
    def make_profile(self, *, show: bool) -> Any:
        """Makes the call that ``profiling`` prepared."""

    @abstractmethod
    def make_mutation(self, query: str, variables: Mapping[str, Any] | None, options: CallOptions) -> Any:
        """Makes the call that ``mutate`` prepared."""

    async def _mutate(self, query: str, variables: Mapping[str, Any] | None, options: CallOptions) -> dict[str, Any]:
        """Sends GraphQL, over HTTP if the client was told no protocol: the documented calls name only a port."""
        address = address_of(self.options, ProtocolType.HTTP)
        if address.protocol == self.protocol:
            async with self._lease() as transport:
                return await transport.mutate(query, variables, options)
        transport = open_transport(address, self.options)
        try:
            return await transport.mutate(query, variables, options)
        finally:
            await transport.close()

    @asynccontextmanager
    async def _lease(self) -> AsyncGenerator[Transport, None]:
        """Yields a transport for one call."""
        yield self._open()

    def _open(self) -> Transport:
        """Returns the transport of the running loop, which is kept; opens one if there is none."""
        loop = asyncio.get_running_loop()
        transport = self._transports.get(loop)
        if transport is None:
            transport = self._transports[loop] = open_transport(self.address, self.options)
        return transport

    async def _close_here(self) -> None:
        """Closes the transport of the running loop."""
        transport = self._transports.pop(asyncio.get_running_loop(), None)
        if transport is not None:
            await transport.close()

    async def _documents(
        self, transport: Transport, request: SingleDocumentRequest, options: CallOptions
    ) -> AsyncGenerator[BaseDoc, None]:
        try:
            async with aclosing(transport.stream_doc(request, options)) as responses:
                async for response in responses:
                    yield read_document(response, options.doc_list_type, request.exec_endpoint)
        except ConnectError as error:
            raise await self._explained(error) from error.__cause__

    async def _explained(self, error: ConnectError) -> ConnectError:
        return error if self.options.proxy else await explained(error, self.address)

    async def _is_ready(self, transport: Transport, *, dry_run: bool, timeout_s: float | None) -> bool:
        try:
            await (transport.dry_run(timeout_s) if dry_run else transport.check_health(timeout_s))
        except JinaError as error:
            self.logger.debug(f'not ready: {error}')
            return False
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the options: in another process the client opens connections of its own, as at its first call here."""
        return _made_again, (type(self), self.options, self.show_progress)

    def __repr__(self) -> str:
        return f'<{type(self).__name__} of {self.address}>'


class SyncClient(SyncCalls, BaseClient):
    """A client whose calls block. Usable from several threads, in notebooks and in running event loops."""

    def make_call(self, call: PostCall) -> DocList[Any] | BaseDoc | list[Response] | None:
        async def run(caller: Caller) -> DocList[Any] | BaseDoc | list[Response] | None:
            try:
                return await traced.run(self._open(), caller, self)
            except ConnectError as error:
                raise await self._explained(error) from error.__cause__

        with self._span('call', call.endpoint, call.options) as options:
            traced = call if options is call.options else replace(call, options=options)
            return self.background().run(run)

    def make_stream(self, request: SingleDocumentRequest, options: CallOptions) -> Generator[BaseDoc, None, None]:
        loop = self.background()

        async def start(_: Caller) -> ReadAhead[BaseDoc]:
            return ReadAhead(self._documents(self._open(), request, traced))

        if self._tracing is None:
            traced = options
            return _iterate(loop, loop.run(start))
        span = self._span('stream', request.exec_endpoint, options)
        traced = span.__enter__()  # here and not in the generator: the caller's span is current now
        return _within(span, _iterate(loop, loop.run(start)))

    def make_check(self, *, dry_run: bool, timeout_s: float | None) -> bool:
        return self.background().run(lambda _: self._is_ready(self._open(), dry_run=dry_run, timeout_s=timeout_s))

    def make_mutation(self, query: str, variables: Mapping[str, Any] | None, options: CallOptions) -> dict[str, Any]:
        return self.background().run(lambda _: self._mutate(query, variables, options))

    def make_profile(self, *, show: bool) -> Profile:
        profile = self.background().run(lambda _: profile_of(self._open(), self.address))
        if show:
            profile.show()
        return profile

    def background(self) -> BackgroundLoop:
        """The loop that calls run on."""
        return background_loop()

    def _open(self) -> Transport:
        loop = self.background()
        known = self._transports.get(loop.loop)
        transport = super()._open()
        if known is None:
            loop.register(transport)
            weakref.finalize(self, _close_unused, loop, transport).atexit = False
        return transport

    def close(self) -> None:
        """Closes the connection. A later call opens a new one."""
        if self._transports:
            self.background().run(lambda _: self._close_here())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(AsyncCalls, BaseClient):
    """A client whose calls are asynchronous iterators and coroutines, on the loop that they are awaited on.

    What it keeps open is closed by ``close``, at the end of an ``async with``, and when ``asyncio.run`` ends.
    """

    _entered = False

    def __init__(self, options: ClientOptions | None = None, **values: Unpack[ClientKeywords]) -> None:
        super().__init__(options, **values)
        self._guards: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = (
            weakref.WeakKeyDictionary()
        )

    def _open(self) -> Transport:
        loop = asyncio.get_running_loop()
        if loop not in self._transports:
            for past in [known for known in self._transports if known.is_closed()]:
                self._transports.pop(past, None)
                self._guards.pop(past, None)
            self._guards[loop] = close_with_loop(super()._open().abandon)
        return self._transports[loop]

    def make_call(self, call: PostCall) -> AsyncGenerator[Any, None]:
        return self._results(call)

    async def _results(self, call: PostCall) -> AsyncGenerator[Any, None]:
        with self._span('call', call.endpoint, call.options) as options:
            call = call if options is call.options else replace(call, options=options)
            try:
                async with (
                    self._lease() as transport,
                    aclosing(call.responses(transport, INLINE, self)) as responses,
                ):
                    async for response in responses:
                        yield response if call.return_responses else call.shape.shape(call.shape.read(response))
            except ConnectError as error:
                raise await self._explained(error) from error.__cause__

    async def make_stream(self, request: SingleDocumentRequest, options: CallOptions) -> AsyncGenerator[BaseDoc, None]:
        with self._span('stream', request.exec_endpoint, options) as traced:
            async with (
                self._lease() as transport,
                aclosing(self._documents(transport, request, traced)) as documents,
            ):
                async for document in documents:
                    yield document

    async def make_check(self, *, dry_run: bool, timeout_s: float | None) -> bool:
        async with self._lease() as transport:
            return await self._is_ready(transport, dry_run=dry_run, timeout_s=timeout_s)

    async def make_mutation(
        self, query: str, variables: Mapping[str, Any] | None, options: CallOptions
    ) -> dict[str, Any]:
        return await self._mutate(query, variables, options)

    async def make_profile(self, *, show: bool) -> Profile:
        async with self._lease() as transport:
            profile = await profile_of(transport, self.address)
        if show:
            profile.show()
        return profile

    @asynccontextmanager
    async def _lease(self) -> AsyncGenerator[Transport, None]:
        """Yields a transport: the kept one, or a new one where nobody would close the kept connections later."""
        if self.protocol == ProtocolType.GRPC or self._entered or self.options.reuse_session:
            yield self._open()
            return
        transport = open_transport(self.address, self.options)
        try:
            yield transport
        finally:
            await transport.close()

    async def close(self) -> None:
        """Closes the connection of the running loop. A later call opens a new one."""
        await self._close_here()
        guard = self._guards.pop(asyncio.get_running_loop(), None)
        if guard is not None:
            await guard.aclose()

    async def __aenter__(self) -> Self:
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        await self.close()


class GRPCClient(SyncClient):
    """The synchronous client for gRPC."""

    protocol = ProtocolType.GRPC


class AsyncGRPCClient(AsyncClient):
    """The asynchronous client for gRPC."""

    protocol = ProtocolType.GRPC


class HTTPClient(SyncClient):
    """The synchronous client for HTTP."""

    protocol = ProtocolType.HTTP


class AsyncHTTPClient(AsyncClient):
    """The asynchronous client for HTTP."""

    protocol = ProtocolType.HTTP


class WebSocketClient(SyncClient):
    """The synchronous client for WebSocket."""

    protocol = ProtocolType.WEBSOCKET


class AsyncWebSocketClient(AsyncClient):
    """The asynchronous client for WebSocket."""

    protocol = ProtocolType.WEBSOCKET


_CLASSES: Final[dict[tuple[ProtocolType, bool], type[BaseClient]]] = {
    (ProtocolType.GRPC, False): GRPCClient,
    (ProtocolType.GRPC, True): AsyncGRPCClient,
    (ProtocolType.HTTP, False): HTTPClient,
    (ProtocolType.HTTP, True): AsyncHTTPClient,
    (ProtocolType.WEBSOCKET, False): WebSocketClient,
    (ProtocolType.WEBSOCKET, True): AsyncWebSocketClient,
}


@overload
def Client(*, asyncio: Literal[True], **options: Any) -> AsyncClient: ...


@overload
def Client(*, asyncio: Literal[False] = False, **options: Any) -> SyncClient: ...


@overload
def Client(*, asyncio: bool, **options: Any) -> SyncClient | AsyncClient: ...


def Client(**options: Any) -> SyncClient | AsyncClient:
    """Makes a client for the protocol of the server.

    Args:
        options: The options of ``jina.core.config.ClientOptions``: ``host`` (a name or a URI like
            ``grpc://localhost:1234``), ``port``, ``protocol``, ``tls``, ``ssl_cafile``, ``api_key``, ``asyncio``, ``prefetch``,
            ``grpc_channel_options``, ``reuse_session``, ``log_config`` and so on.

    Returns:
        A client whose calls block, or, with ``asyncio=True``, one whose calls are asynchronous.

    Raises:
        ConfigError: An option is wrong, or given twice.
    """
    checked = build(ClientOptions, options, where='Client')
    kind = _CLASSES[address_of(checked).protocol, checked.asyncio]
    return cast('SyncClient | AsyncClient', kind(checked))


def _made_again(kind: type[BaseClient], options: ClientOptions, show_progress: bool) -> BaseClient:
    client = kind(options)
    client.show_progress = show_progress
    return client


def open_transport(address: PodAddress, options: ClientOptions) -> Transport:
    """Returns a transport for the running loop; the libraries of other protocols aren't loaded.

    Raises:
        MissingExtraError: The library of the protocol isn't installed.
    """
    headers = (('authorization', f'Bearer {options.api_key}'),) if options.api_key else ()
    trust = TlsTrust(options.ssl_cafile, options.ssl_server_name)
    if address.protocol == ProtocolType.HTTP:
        from jina.client.transports.http import HttpTransport  # noqa: PLC0415 - optional extra

        return HttpTransport(address, headers, trust, proxy=options.proxy)
    if address.protocol == ProtocolType.WEBSOCKET:
        from jina.client.transports.websocket import WebSocketTransport  # noqa: PLC0415 - optional extra

        return WebSocketTransport(address, headers, trust, proxy=options.proxy)
    from jina.client.transports.grpc import GrpcTransport  # noqa: PLC0415 - heavy

    drop_poller_notes()
    return GrpcTransport(address, options.grpc_channel_options, headers, trust, proxy=options.proxy)


def _within(span: AbstractContextManager[Any], items: Generator[BaseDoc, None, None]) -> Generator[BaseDoc, None, None]:
    """Yields documents and ends their span after the last one."""
    with ExitStack() as stack:
        stack.push(span)
        yield from items


def _close_unused(loop: BackgroundLoop, transport: Transport) -> None:
    """Closes the transport of a client that nobody holds any more."""
    if not loop.loop.is_closed():
        loop.spawn(transport.close())


def _iterate(loop: BackgroundLoop, items: ReadAhead[_T]) -> Generator[_T, None, None]:
    """Turns what is read on the background loop into an iterator."""
    with loop.busy():
        try:
            while ready := loop.run(lambda _: items.take()):
                yield from ready
        finally:
            loop.run(lambda _: items.close())
