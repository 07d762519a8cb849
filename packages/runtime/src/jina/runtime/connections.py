"""Connections of a gateway: one channel per replica, the choice among replicas, and retries.

Requests and responses are bytes here; nothing is parsed. They travel on the fast lane, or by a unary call each to a peer
that doesn't have it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from jina.core.calls import EOF, CallError, StatusCode
from jina.core.config.address import parse_host
from jina.core.environment import fast_lane_disabled, http2_client_disabled, local_lane_disabled
from jina.core.errors import ConfigError, ConnectError, DeadlineError, OverloadError, TransportError
from jina.core.lane import Done, LaneError, LaneMissingError, SharedLane
from jina.core.local_stream import LocalStream, may_enter, open_door
from jina.core.payloads import Payload
from jina.core.wire import (
    ENDPOINT_DISCOVERY,
    ENDPOINT_KEY,
    FAST_LANE,
    PROCESS_DATA,
    PROCESS_SINGLE_DATA,
    STREAM_DOC,
    EndpointsProto,
    merge_grpc_options,
    message_limits,
)
from jina.runtime.group import GroupDone, Metadata
from jina.runtime.http2.channel import Http2Channel
from jina.runtime.http2.client_settings import ClientSettings
from jina.runtime.waiting_room import WaitingRoom

if TYPE_CHECKING:
    from jina.runtime.grpc_channel import GrpcChannel

OpenChannel: TypeAlias = 'Callable[[str], Any]'
"""Takes ``host:port`` and gives a channel, or None."""
MakePeer: TypeAlias = 'Callable[[str, str, ConnectionSettings, Callable[[], None], Metadata], Peer]'

_RETRIED: Final = frozenset(
    {
        StatusCode.UNAVAILABLE,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.NOT_FOUND,
        StatusCode.CANCELLED,
        StatusCode.UNKNOWN,
        StatusCode.INTERNAL,
    }
)
HEAD_MARK: Final = ' |Head: '
"""Stands in what a head says about Executors behind it that can't be reached."""
_MINIMUM_TRIES: Final = 3
_RECONNECT_PAUSE_S: Final = 0.1
_NOTICE_S: Final = 0.1
PROXY_OPTION: Final = 'grpc.enable_http_proxy'
_CHANNEL_OPTIONS: Final[dict[str, object]] = {
    # A replica that comes back should be used again at once, not after gRPC's default of up to two minutes: the retries of one
    # call last longer than the pause between two attempts to connect.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 200,
    # Without this, channels of one process to one address share their back-off.
    'grpc.use_local_subchannel_pool': 1,
    # Proxies of the environment are for the internet, Executors are neighbours.
    PROXY_OPTION: 0,
}


async def _read(call: Any, limit: float | None) -> Any:
    """Returns the next response of a stream."""
    return await (call.read() if limit is None else asyncio.wait_for(call.read(), limit))


@dataclass(frozen=True)
class ConnectionSettings:
    """How a gateway talks to Executors.

    Attributes:
        retries: Further tries after the first one; negative means one more than ``max(3, replicas)`` tries in all.
        timeout: Seconds for one try; None for no limit.
        compression: Compression of requests: ``Deflate`` or ``Gzip``; None for none.
        channel_options: gRPC channel options of the user.
        open_channel: Gives the channel to an address; None, or for None, it is connected as usual.
        make_peer: Makes a replica that is watched, from the name of its Deployment and what ``Peer`` takes.
        cafile: File with the certificates that are trusted; None for those that the system trusts.
        owner: Who calls, as messages name it: ``Gateway`` or ``Head``.
    """

    retries: int = -1
    timeout: float | None = None
    compression: str | None = None
    channel_options: Mapping[str, object] = field(default_factory=dict)
    open_channel: OpenChannel | None = None
    make_peer: MakePeer | None = None
    cafile: str | None = None
    owner: str = 'Gateway'


def parse_address(address: str) -> tuple[str, bool]:
    """Splits ``[scheme://]host[:port]`` into ``host:port`` and whether the scheme asks for TLS.

    Raises:
        ConfigError: The scheme is unknown, or the port is no number.
    """
    parsed = parse_host(address)
    host = f'[{parsed.host}]' if ':' in parsed.host else parsed.host
    return f'{host}:{parsed.port or (443 if parsed.tls else 80)}', bool(parsed.tls)


def _open_channel(address: str, secure: bool, settings: ConnectionSettings) -> Http2Channel | GrpcChannel:
    given = None if settings.open_channel is None else settings.open_channel(address)
    options = _options(settings)
    if given is None and not (secure or settings.compression or http2_client_disabled()):
        found = ClientSettings.of(dict(options))
        if found is not None:
            return Http2Channel(address, found)
    from jina.runtime.grpc_channel import GrpcChannel, connect  # noqa: PLC0415 - grpcio, for what only its channels do

    if given is None:
        roots = _trusted(settings.cafile) if secure else None
        given = connect(address, options, compression=settings.compression, secure=secure, roots=roots)
    return GrpcChannel(given)


def _trusted(cafile: str | None) -> bytes | None:
    if cafile is None:
        return None
    from jina.core.tls import read_pem  # noqa: PLC0415 - most gateways need no ssl module

    return read_pem(cafile, 'ssl_cafile', 'CERTIFICATE')


def _options(settings: ConnectionSettings) -> list[tuple[str, object]]:
    return merge_grpc_options({**_CHANNEL_OPTIONS, **settings.channel_options})


class Peer:
    """One replica: a channel, the calls on it, and whether it is known to be down.

    Args:
        address: ``host:port``, with a scheme if TLS is wanted.
        settings: How to connect.
        on_return: Called when the replica answers again after it was down.
        metadata: Sent when the fast lane begins; a key in it opens the lane.
    """

    def __init__(
        self, address: str, settings: ConnectionSettings, on_return: Callable[[], None], metadata: Metadata = ()
    ) -> None:
        self.address, secure = parse_address(address)
        self.in_flight = 0
        self.down = False
        self._idle: asyncio.Event | None = None
        self._channel = _open_channel(self.address, secure, settings)
        self._unary = self._channel.unary(PROCESS_SINGLE_DATA)
        self._unary_many = self._channel.unary(PROCESS_DATA)
        connect = self._channel.stream(FAST_LANE, metadata)
        # TLS and compression are promises about the way; a channel of another kind leads elsewhere.
        direct = not (
            secure or settings.compression or settings.open_channel or settings.channel_options.get(PROXY_OPTION)
        )
        self._local = direct and not local_lane_disabled()
        self._lane = SharedLane(connect, message_limits(_options(settings)), self._enter if self._local else None)
        self._lane.missing = fast_lane_disabled()
        self.stream_doc: Any = self._channel.responses(STREAM_DOC)
        self.discover = self._channel.unary(ENDPOINT_DISCOVERY)
        self._on_return = on_return
        self._watch: asyncio.Task[None] | None = None

    async def process(
        self, raw: Payload, *, own: Metadata, more: Metadata, timeout: float | None = None, many: bool = False
    ) -> bytes:
        """Sends one request and returns the response.

        Args:
            raw: A serialised ``DataRequestProto``, or ``DataRequestListProto`` with ``many``.
            own: Metadata that only a unary call needs: the request says the same.
            more: Metadata of the Deployment and of the request.
            timeout: Seconds; None for no limit.
            many: Send a list of requests.

        Raises:
            CallError: The call failed.
        """
        if not self._lane.missing:
            try:
                return await self._lane.request(raw, many=many, timeout=timeout, metadata=more)
            except LaneMissingError:
                self._lane.missing = True  # this peer doesn't have it: nothing has happened to the request yet
        call = self._unary_many if many else self._unary
        return await call(raw, timeout=timeout, metadata=own + more)  # type: ignore[no-any-return]

    def begin(
        self, raw: Payload, done: Done, *, more: Metadata, timeout: float | None = None
    ) -> Callable[[], None] | None:
        """Sends one request on the fast lane and calls ``done`` later; None if ``process`` has to be awaited."""
        return None if self._lane.missing else self._lane.begin(raw, done, timeout=timeout, metadata=more)

    async def _enter(self, door: str) -> LocalStream | None:
        return await open_door(door) if may_enter(door, self.address) else None

    def mark_down(self) -> None:
        """Takes the replica out of the choice until its channel is ready again."""
        if not self.down:
            self.down = True
            self._watch = asyncio.create_task(self._wait_for_return())

    async def wait_until_up(self, timeout: float) -> None:
        """Returns when the replica answers again, or after ``timeout`` seconds."""
        if self._watch is not None and not self._watch.done():
            await asyncio.wait((self._watch,), timeout=timeout)

    async def retire(self, grace: float) -> None:
        """Closes the channel when its last call is answered, after ``grace`` seconds in any case."""
        if self.in_flight:
            self._idle = asyncio.Event()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._idle.wait(), grace)
        await self.close()

    def end_call(self) -> None:
        """Notes that a call is over."""
        self.in_flight -= 1
        if self._idle is not None and not self.in_flight:
            self._idle.set()

    async def close(self) -> None:
        """Closes the channel."""
        if self._watch is not None:
            self._watch.cancel()
        await self._lane.close()
        await self._channel.close()

    async def _wait_for_return(self) -> None:
        if self._local:  # whose end is noticed sooner than that of the channel
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._channel.lost(), _NOTICE_S)
        await self._channel.ready()
        self.down = False
        self._lane.missing = fast_lane_disabled()  # who is back may be another version
        self._on_return()


class PeerGroup:
    """The replicas of one Deployment: picks the least loaded one, moves on to another one on failure.

    Args:
        name: Name of the Deployment.
        addresses: One address per replica.
        settings: How to connect.
        metadata: Sent with every call.
        on_return: Called when a replica answers again after it was down.
    """

    def __init__(
        self,
        name: str,
        addresses: Sequence[str],
        settings: ConnectionSettings,
        *,
        metadata: Mapping[str, str] | None = None,
        on_return: Callable[[], None] = lambda: None,
    ) -> None:
        if not addresses:
            raise ConfigError(f'deployment {name!r} has no address', hint='give one in deployments_addresses')
        self.name = name
        self._settings = settings
        self._metadata: Metadata = tuple((metadata or {}).items())
        self._on_return = on_return
        self._make: Callable[[str, ConnectionSettings, Callable[[], None], Metadata], Peer]
        self._make = Peer if settings.make_peer is None else partial(settings.make_peer, name)
        self._peers = [self._make(address, settings, on_return, self._metadata) for address in addresses]
        self.room = WaitingRoom()
        """Those who wait while all replicas are at their limits; each answer may mean that there is room."""
        self.on_down: Callable[[], object] = lambda: None
        """Called when a replica is found to be down."""
        self._next = 0
        self._endpoint_metadata: dict[str, Metadata] = {}

    @property
    def _tries(self) -> int:
        retries = self._settings.retries
        return 1 + retries if retries >= 0 else max(_MINIMUM_TRIES, len(self._peers)) + 1

    @property
    def addresses(self) -> list[str]:
        """``host:port`` of each replica."""
        return [peer.address for peer in self._peers]

    @property
    def is_down(self) -> bool:
        """Whether no replica is known to be up."""
        return all(peer.down for peer in self._peers)

    @property
    def misses_one(self) -> bool:
        """Whether a replica is known to be down."""
        return any(peer.down for peer in self._peers)

    @property
    def least_in_flight(self) -> float:
        """Calls that wait for an answer of the replica with the fewest; infinite if all are down."""
        return min((peer.in_flight for peer in self._peers if not peer.down), default=math.inf)

    async def update(self, addresses: Sequence[str], grace: float) -> None:
        """Changes the replicas. Those that are not named any more get no new requests and answer those they have.

        Args:
            addresses: One address per replica, at least one.
            grace: Seconds to wait for the answers of those that leave.
        """
        known = {peer.address: peer for peer in self._peers}
        kept = []
        for address in addresses:
            host = parse_address(address)[0]
            kept.append(known.pop(host) if host in known else self._new_peer(address))
        self._peers = kept
        await asyncio.gather(*(peer.retire(grace) for peer in known.values()))

    def _new_peer(self, address: str) -> Peer:
        return self._make(address, self._settings, self._on_return, self._metadata)

    async def retire(self, grace: float) -> None:
        """Closes the channels when their last calls are answered, after ``grace`` seconds in any case."""
        await asyncio.gather(*(peer.retire(grace) for peer in self._peers))

    async def process(
        self, raw: Payload, endpoint: str, *, metadata: Metadata = (), timeout: float | None = None, many: bool = False
    ) -> bytes:
        """Sends one serialised request to one replica and returns its serialised response.

        Args:
            raw: A serialised ``DataRequestProto``, or ``DataRequestListProto`` with ``many``.
            endpoint: The endpoint, sent as metadata too.
            metadata: Sent besides that of the Deployment.
            timeout: Seconds that the caller still waits; None for no limit.
            many: Send several requests that the Executor joins.

        Raises:
            TransportError: No try succeeded.
        """
        own = self._own_metadata(endpoint)
        more = self._metadata + metadata if metadata else self._metadata
        deadline = None if timeout is None else time.monotonic() + timeout
        peer = self._choose(())
        peer.in_flight += 1
        try:
            answer = await peer.process(raw, own=own, more=more, timeout=self._limit(timeout), many=many)
            self.room.wake()
            return answer
        except CallError as error:
            failure: CallError = error
        finally:
            peer.end_call()

        async def send(peer: Peer, left: float | None) -> bytes:
            return await peer.process(raw, own=own, more=more, timeout=self._limit(left), many=many)

        return await self._retry(send, (peer, failure), deadline)

    def begin(
        self, raw: Payload, endpoint: str, done: GroupDone, *, metadata: Metadata = (), timeout: float | None = None
    ) -> Callable[[], object] | None:
        """Sends one serialised request to one replica if that is possible at once, and calls ``done`` later.

        Args:
            raw: A serialised ``DataRequestProto``.
            endpoint: The endpoint.
            done: Takes the serialised response, or a function whose coroutine goes on after a failure like ``process``. It
                is not called if the request is cancelled, and must not raise.
            metadata: Sent besides that of the Deployment.
            timeout: Seconds that the caller still waits; None for no limit.

        Returns:
            What cancels the request; None if nothing was sent, and ``process`` has to be awaited.
        """
        more = self._metadata + metadata if metadata else self._metadata
        deadline = None if timeout is None else time.monotonic() + timeout
        turn = self._next
        peer = self._choose(())

        def answered(answer: bytes, failure: LaneError | None) -> None:
            peer.end_call()
            if failure is None:
                self.room.wake()
            done(answer, None if failure is None else partial(self._retry, send, (peer, failure), deadline))

        async def send(peer: Peer, left: float | None) -> bytes:
            own = self._own_metadata(endpoint)
            return await peer.process(raw, own=own, more=more, timeout=self._limit(left))

        cancel = peer.begin(raw, answered, more=more, timeout=self._limit(timeout))
        if cancel is None:
            self._next = turn  # it is the turn of the same replica again
            return None
        peer.in_flight += 1
        return partial(_cancel, peer, cancel)

    def _limit(self, left: float | None) -> float | None:
        """Seconds for one try, when the caller still waits so long."""
        limit = self._settings.timeout
        if limit is None or left is None:
            return left if limit is None else limit
        return min(limit, left)

    async def stream_doc(
        self, raw: bytes, endpoint: str, *, metadata: Metadata = (), timeout: float | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Sends one serialised document request and yields the serialised responses of its stream.

        Another replica is tried only as long as nothing was received. The limit for one try holds for each response.

        Raises:
            TransportError: No try succeeded, or the stream broke.
        """
        limit = self._settings.timeout
        sent = self._own_metadata(endpoint) + self._metadata + metadata
        tried: list[Peer] = []
        while True:
            peer = self._choose(tried)
            tried.append(peer)
            started = False
            peer.in_flight += 1
            call = peer.stream_doc(raw, timeout=timeout, metadata=sent)
            try:
                while (response := await _read(call, limit)) is not EOF:
                    started = True
                    yield response
                self.room.wake()
                return
            except asyncio.TimeoutError as error:
                if started or len(tried) >= self._tries:
                    raise DeadlineError(
                        f'no document from {peer.address} ({self.name}) within {limit} s',
                        hint='raise timeout_send of the gateway',
                        code='DEADLINE_EXCEEDED',
                    ) from error
            except CallError as error:
                self._note_failure(peer, error)
                elsewhere = _is_overload(error) and len(tried) < len(self._peers)
                again = elsewhere or (len(tried) < self._tries and _may_retry(error))
                if started or not again:
                    raise self._translate(error) from error
            finally:
                call.cancel()  # nothing happens to a call that is over; one that nobody reads any more must end
                peer.end_call()
            await peer.wait_until_up(_RECONNECT_PAUSE_S)

    async def discover(self, *, timeout: float | None = None) -> EndpointsProto:
        """Asks one replica for its endpoints.

        Args:
            timeout: Seconds for each try.

        Raises:
            TransportError: No try succeeded.
        """
        peer = self._choose(())
        try:
            raw = await peer.discover(b'', timeout=timeout, metadata=self._metadata)
        except CallError as error:

            async def ask(peer: Peer, _: float | None) -> bytes:
                limit = self._settings.timeout if timeout is None else timeout
                return await peer.discover(b'', timeout=limit, metadata=self._metadata)  # type: ignore[no-any-return]

            raw = await self._retry(ask, (peer, error), None)
        return EndpointsProto.FromString(raw)

    async def close(self) -> None:
        """Closes all channels; calls in flight are cancelled."""
        await asyncio.gather(*(peer.close() for peer in self._peers))

    async def _retry(
        self,
        send: Callable[[Peer, float | None], Awaitable[bytes]],
        first: tuple[Peer, CallError],
        deadline: float | None,
    ) -> bytes:
        """Goes on after a failed first try, until the monotonic time ``deadline``; ``send`` gets the seconds left."""
        peer, error = first
        tried: list[Peer] = []
        while True:
            self._note_failure(peer, error)
            tried.append(peer)
            if _is_overload(error):
                if len(tried) >= len(self._peers):
                    raise self._translate(error) from error
            elif not _may_retry(error) or len(tried) >= self._tries:
                raise self._translate(error) from error
            peer = self._choose(tried)
            if peer.down:
                await peer.wait_until_up(_RECONNECT_PAUSE_S)
                if peer not in self._peers:  # another one took its place meanwhile
                    peer = self._choose(tried)
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise self._translate(error) from error
            peer.in_flight += 1
            try:
                answer = await send(peer, left)
                self.room.wake()
                return answer
            except CallError as failure:
                error = failure
            finally:
                peer.end_call()

    def _choose(self, tried: Collection[Peer]) -> Peer:
        """Returns the replica with the fewest calls in flight among those that are up and not tried; ties in turn."""
        peers = self._peers
        if len(peers) == 1:
            return peers[0]
        self._next = (self._next + 1) % len(peers)
        turn = peers[self._next :] + peers[: self._next]
        fresh = [peer for peer in turn if peer not in tried]
        candidates = [peer for peer in fresh if not peer.down] or fresh
        if not candidates:
            # All were tried: go round again, in the order of the first round.
            order = [peer for peer in dict.fromkeys(tried) if peer in peers]
            return order[len(tried) % len(order)]
        return min(candidates, key=_load)

    def _own_metadata(self, endpoint: str) -> Metadata:
        """What the original's peers expect with an internal call."""
        found = self._endpoint_metadata.get(endpoint)
        if found is None:
            if len(self._endpoint_metadata) > 1000:
                self._endpoint_metadata.clear()  # endpoints are the client's words: don't collect them without limit
            found = ((ENDPOINT_KEY, endpoint),) if _is_ascii(endpoint) else ()
            self._endpoint_metadata[endpoint] = found
        return found

    def _note_failure(self, peer: Peer, error: CallError) -> None:
        if error.status is StatusCode.UNAVAILABLE and not _is_behind_head(error) and not peer.down:
            peer.mark_down()
            self.on_down()

    def _translate(self, error: CallError) -> TransportError:
        """Returns our error for a call that failed for good."""
        code = error.status
        if _is_overload(error):
            return OverloadError(str(error.details()))
        addresses = '{' + ', '.join(repr(address) for address in self.addresses) + '}'
        said = f'{error.details()} |{self._settings.owner}: '
        if code in _RETRIED:
            message = (
                f'{said}Communication error with deployment {self.name} at address(es) {addresses}. '
                'Head or worker(s) may be down.'
            )
        else:
            message = f'{said}deployment {self.name} at address(es) {addresses} answered {code.name}.'
        if code is StatusCode.DEADLINE_EXCEEDED:
            return DeadlineError(message)
        if code in (StatusCode.UNAVAILABLE, StatusCode.NOT_FOUND):
            return ConnectError(message, code=code.name)
        return TransportError(message, code=code.name)


def _is_overload(error: CallError) -> bool:
    """Tells whether the replica has too much to do; another one may have less."""
    return error.status is StatusCode.RESOURCE_EXHAUSTED and OverloadError.MARK in error.details()


def _cancel(peer: Peer, cancel: Callable[[], None]) -> None:
    peer.end_call()
    cancel()


def _may_retry(error: CallError) -> bool:
    # A head has tried already, and other shards may have answered: they would do their work once more.
    return error.status in _RETRIED and not _is_behind_head(error)


def _is_behind_head(error: CallError) -> bool:
    return HEAD_MARK in error.details()


def _load(peer: Peer) -> int:
    return peer.in_flight


def _is_ascii(text: str) -> bool:
    """True if gRPC accepts the text as a metadata value."""
    return text.isascii() and text.isprintable()
