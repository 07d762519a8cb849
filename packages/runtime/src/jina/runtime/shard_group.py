"""Connections to the shards of a Deployment: one or all of them get a request, and their results become one."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jina.core.errors import ConnectError, NotSupportedError, TransportError
from jina.core.payloads import Payload
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.schema import RemoteEndpoint, remote_endpoints
from jina.core.structs import dict_to_struct, struct_to_dict
from jina.core.wire import DEFAULT_ENDPOINT, DRY_RUN_ENDPOINT, DataRequestListProto, EndpointsProto
from jina.runtime.connections import PeerGroup
from jina.runtime.discovery import check_pair
from jina.runtime.group import GroupDone, Metadata
from jina.runtime.patient_group import PatientGroup
from jina.runtime.polling import PollingPlan
from jina.runtime.stream_items import failed_item
from jina.runtime.waiting_room import WaitingRoom
from jina.runtime.walker import State, merge_states

if TYPE_CHECKING:
    from typing_extensions import Self

FAILURES: Final[ContextVar[list[int] | None]] = ContextVar('failures', default=None)
"""Who sets it gets the number of shards whose Executor failed at a request, unless only one was asked."""


class ShardGroup:
    """The shards of one Deployment, each with its replicas.

    Args:
        name: Name of the Deployment.
        shards: The replicas of each shard.
        polling: Which shards get a request.
        joiner: The Executor that gets the results of all shards, one by one; None returns them merged.
    """

    def __init__(
        self,
        name: str,
        shards: Sequence[PeerGroup],
        polling: PollingPlan,
        *,
        joiner: PeerGroup | None = None,
    ) -> None:
        self.name = name
        self._groups = list(shards)
        self._shards: list[PeerGroup | PatientGroup] = [*shards]
        self._polling = polling
        self._joiner: PeerGroup | PatientGroup | None = joiner
        self._joined: dict[str, RemoteEndpoint] | None = None
        self._last = -1
        self._original = self
        self.rooms: list[WaitingRoom] = [group.room for group in (*shards, *([joiner] if joiner else []))]
        """Where requests wait that came by ``patient``."""

    def patient(self) -> Self:
        """Returns the same shards for requests that wait for each of them whose replicas are all at their limits.

        The others get such a request only once.
        """
        twin = copy.copy(self)
        twin._shards = [PatientGroup(group) for group in self._groups]
        twin._joiner = PatientGroup(self._joiner) if isinstance(self._joiner, PeerGroup) else self._joiner
        return twin

    @property
    def addresses(self) -> list[str]:
        """``host:port`` of each replica of each shard."""
        return [address for shard in self._shards for address in shard.addresses]

    def count_asked(self, endpoint: str) -> int:
        """Returns how many shards get a request."""
        return len(self._shards) if self._polling.asks_all(endpoint) else 1

    async def update(self, shards: Sequence[Sequence[str]], grace: float) -> None:
        """Changes the replicas of the shards, see ``PeerGroup.update``.

        Args:
            shards: The addresses of each shard; their number stays.
            grace: Seconds to wait for the answers of replicas that leave.
        """
        pairs = zip(self._groups, shards, strict=True)
        await asyncio.gather(*(shard.update(addresses, grace) for shard, addresses in pairs))

    async def process(
        self, raw: Payload, endpoint: str, *, metadata: Metadata = (), timeout: float | None = None, many: bool = False
    ) -> bytes:
        """Sends one serialised request to one shard or to all, and returns one serialised response.

        Args:
            raw: A serialised ``DataRequestProto``, or ``DataRequestListProto`` with ``many``.
            endpoint: The endpoint.
            metadata: Sent besides that of the Deployment.
            timeout: Seconds that the caller still waits; None for no limit.
            many: Send several requests that the Executors join.

        Raises:
            TransportError: A shard that was asked can't be reached.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._polling.asks_all(endpoint):
            sent = [self._send(shard, raw, endpoint, metadata, timeout, many) for shard in self._shards]
            answers = await _all_or_first_failure(sent)
            origins: Sequence[int] = range(len(self._shards))
        else:
            first = self._turn()
            try:
                answers = [
                    await self._shards[first].process(raw, endpoint, metadata=metadata, timeout=timeout, many=many)
                ]
            except ConnectError as error:
                answers = [await self._elsewhere(first, error, raw, endpoint, metadata, deadline, many)]
            origins = (first,)
        return await self._join(answers, origins, endpoint, metadata, deadline)

    def begin(
        self, raw: Payload, endpoint: str, done: GroupDone, *, metadata: Metadata = (), timeout: float | None = None
    ) -> Callable[[], object] | None:
        """Sends one serialised request to one shard if that is possible at once, and calls ``done`` later.

        Args:
            raw: A serialised ``DataRequestProto``.
            endpoint: The endpoint.
            done: Takes the serialised response, or a function whose coroutine goes on after a failure.
            metadata: Sent besides that of the Deployment.
            timeout: Seconds that the caller still waits; None for no limit.

        Returns:
            What cancels the request; None if nothing was sent, and ``process`` has to be awaited.
        """
        if self._polling.asks_all(endpoint) or self._joins(endpoint):
            return None
        deadline = None if timeout is None else time.monotonic() + timeout
        before = self._last
        number = self._turn()

        def answered(answer: bytes, retry: Callable[[], Coroutine[Any, Any, bytes]] | None) -> None:
            done(answer, None if retry is None else partial(go_on, retry))

        async def go_on(retry: Callable[[], Coroutine[Any, Any, bytes]]) -> bytes:
            try:
                return await retry()
            except ConnectError as error:
                return await self._elsewhere(number, error, raw, endpoint, metadata, deadline, False)

        cancel = self._shards[number].begin(raw, endpoint, answered, metadata=metadata, timeout=timeout)
        if cancel is None:
            self._last = before  # it is the turn of the same shard again
        return cancel

    async def stream_doc(
        self, raw: bytes, endpoint: str, *, metadata: Metadata = (), timeout: float | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Sends one serialised document request to one shard and yields the serialised responses of its stream.

        Raises:
            TransportError: The shard can't be reached, or the stream broke.
        """
        reason = ''
        if self._polling.asks_all(endpoint):
            reason = f'{endpoint!r} goes to all shards of {self.name!r}, and a stream comes from one'
        elif self._joins(endpoint):
            reason = f'{endpoint!r} of {self.name!r} ends in uses_after, which takes no streams'
        if reason:
            error = NotSupportedError(reason, hint="set polling to ANY for this endpoint, or don't stream")
            yield failed_item(SingleDocumentRequest.from_bytes(raw), error).to_bytes()
            return
        shard = self._shards[self._turn()]
        async with contextlib.aclosing(
            shard.stream_doc(raw, endpoint, metadata=metadata, timeout=timeout)
        ) as responses:
            async for response in responses:
                yield response

    async def discover(self, *, timeout: float | None = None) -> EndpointsProto:
        """Asks a shard, and the Executor behind the shards, for their endpoints.

        Args:
            timeout: Seconds for each try.

        Raises:
            TransportError: Nobody answers.
            TopologyError: What the shards give isn't what the Executor behind them takes.
        """
        proto = await self._discover_shard(timeout)
        if self._joiner is None:
            return proto
        joined = await self._joiner.discover(timeout=timeout)
        self._joined = remote_endpoints(joined)
        return self._with_joiner(proto)

    async def close(self) -> None:
        """Closes all connections; calls in flight are cancelled."""
        groups = [*self._shards, *([self._joiner] if self._joiner else [])]
        await asyncio.gather(*(group.close() for group in groups))

    def _turn(self) -> int:
        """Returns the shard whose turn it is, without those that are down."""
        count = len(self._shards)
        for step in range(1, count + 1):
            number = (self._last + step) % count
            if not self._shards[number].is_down:
                break
        else:
            number = (self._last + 1) % count
        self._last = number
        return number

    def _joins(self, endpoint: str) -> bool:
        """Whether the Executor behind the shards gets the results. True as long as its endpoints aren't known."""
        if self._joiner is None:
            return False
        table = self._original._joined  # who asks for endpoints asks the original
        return table is None or endpoint in table or DEFAULT_ENDPOINT in table

    def _send(
        self,
        shard: PeerGroup | PatientGroup,
        raw: Payload,
        endpoint: str,
        metadata: Metadata,
        timeout: float | None,
        many: bool,
    ) -> asyncio.Future[bytes]:
        """Sends a request to one shard, without a task as long as nothing fails."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        cancel: Callable[[], object] | None = None

        def answered(answer: bytes, retry: Callable[[], Coroutine[Any, Any, bytes]] | None) -> None:
            nonlocal cancel
            cancel = None
            if retry is None:
                future.set_result(answer)
            else:
                task = loop.create_task(retry())
                cancel = task.cancel
                task.add_done_callback(partial(_copy_outcome, future))

        def ended(_: object) -> None:
            if future.cancelled() and cancel is not None:
                cancel()

        if not many:
            cancel = shard.begin(raw, endpoint, answered, metadata=metadata, timeout=timeout)
        if cancel is None and not future.done():
            return loop.create_task(shard.process(raw, endpoint, metadata=metadata, timeout=timeout, many=many))
        future.add_done_callback(ended)
        return future

    async def _elsewhere(
        self,
        first: int,
        error: ConnectError,
        raw: Payload,
        endpoint: str,
        metadata: Metadata,
        deadline: float | None,
        many: bool,
    ) -> bytes:
        """Sends a request that any shard may answer to the others, after one can't be reached.

        Raises:
            TransportError: None of them can.
        """
        for step in range(1, len(self._shards)):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            shard = self._shards[(first + step) % len(self._shards)]
            try:
                return await shard.process(raw, endpoint, metadata=metadata, timeout=left, many=many)
            except ConnectError as failure:
                error = failure
        raise error

    async def _join(
        self,
        answers: Sequence[bytes],
        origins: Sequence[int],
        endpoint: str,
        metadata: Metadata,
        deadline: float | None,
    ) -> bytes:
        """Makes one response of those of the shards ``origins``."""
        failures = FAILURES.get()
        if failures is not None:
            failures.append(sum(DataRequest.from_bytes(answer).is_error for answer in answers))
        if self._joiner is None or not self._joins(endpoint):
            return answers[0] if len(answers) == 1 else _merged(answers)
        requests = [DataRequest.from_bytes(answer) for answer in answers]
        failed = next((number for number, request in enumerate(requests) if request.is_error), None)
        if failed is not None:
            return answers[failed]
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if len(answers) == 1:
            return await self._joiner.process(answers[0], endpoint, metadata=metadata, timeout=left)
        batch = DataRequestListProto()
        for number, request in zip(origins, requests, strict=True):
            proto = batch.requests.add()
            proto.CopyFrom(request.proto)
            del proto.routes[:]
            proto.routes.add(executor=f'{self.name}/shard-{number}')
        raw = batch.SerializeToString()
        return await self._joiner.process(raw, endpoint, metadata=metadata, timeout=left, many=True)

    async def _discover_shard(self, timeout: float | None) -> EndpointsProto:
        failure: TransportError | None = None
        for shard in sorted(self._shards, key=lambda shard: shard.is_down):
            try:
                return await shard.discover(timeout=timeout)
            except TransportError as error:
                failure = error
                if error.code == 'UNIMPLEMENTED':
                    break
        assert failure is not None
        raise failure

    def _with_joiner(self, proto: EndpointsProto) -> EndpointsProto:
        """Returns the endpoints of the shards with the results of the Executor behind them."""
        assert self._joined is not None
        given = remote_endpoints(proto)
        schemas = struct_to_dict(proto.schemas)
        for endpoint, entry in schemas.items():
            taken = self._joined.get(endpoint) or self._joined.get(DEFAULT_ENDPOINT)
            if taken is None or endpoint == DRY_RUN_ENDPOINT:
                continue
            source = given.get(endpoint)
            if source is not None and endpoint in (taken.name, source.name):
                check_pair(endpoint, (self.name, source), (f'{self.name}/uses_after', taken), ())
            entry['output'] = {'name': taken.output_name, 'model': taken.output_schema}
        result = EndpointsProto()
        result.CopyFrom(proto)
        result.schemas.Clear()
        result.schemas.CopyFrom(dict_to_struct(schemas, what='schemas'))
        return result


def _merged(answers: Sequence[bytes]) -> bytes:
    states = [State(DataRequest.from_bytes(answer), answer) for answer in answers]
    for state, answer in zip(states, answers, strict=True):
        if state.request.is_error:
            return answer
    return merge_states(states).request.to_bytes()


async def _all_or_first_failure(futures: Sequence[asyncio.Future[bytes]]) -> list[bytes]:
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_EXCEPTION)
        for future in futures:
            if future.done():
                future.result()
        return [future.result() for future in futures]
    finally:
        for future in futures:
            if not future.cancel() and not future.cancelled():
                future.exception()  # retrieved, so that asyncio doesn't report what follows from the first failure


def _copy_outcome(future: asyncio.Future[bytes], task: asyncio.Task[bytes]) -> None:
    if future.done():
        return
    if task.cancelled():
        future.cancel()
    elif (error := task.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())
