"""A worker that clients call itself, and that gives requests to other replicas when they have less to do.

A Deployment that starts with one replica has nothing in front of it. When it gets more, its first process shares the work
out: its address stays, and no connection of a client ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from jina.core.config import DeploymentOptions, ExecutorOptions
from jina.core.errors import JinaError, TransportError
from jina.core.payloads import Payload
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.runtime.answers import serialise
from jina.runtime.connections import ConnectionSettings, PeerGroup
from jina.runtime.fast_lane import Finish, begin_task
from jina.runtime.service import Cancel, Finished, begin_by_task
from jina.runtime.stream_items import Render, StreamItem, received_item

if TYPE_CHECKING:
    from jina.runtime.worker import WorkerService

Retry: TypeAlias = 'Callable[[], Coroutine[Any, Any, bytes]]'


class WorkSharing:
    """Decides for each request whether the worker or another replica answers it: who has the fewest in flight.

    Args:
        worker: The worker of this process.
        options: Its options.
    """

    def __init__(self, worker: WorkerService, options: ExecutorOptions) -> None:
        self.own = 0
        """Requests in flight in this process."""
        self._worker = worker
        limit = options.timeout_send
        self._settings = ConnectionSettings(
            retries=options.retries,
            timeout=None if limit is None or limit < 0 else limit / 1000,
            channel_options=options.grpc_channel_options or {},
        )
        self._metadata = options.grpc_metadata if isinstance(options, DeploymentOptions) else None
        self._name = options.name or 'executor'
        self._group: PeerGroup | None = None

    async def update(self, addresses: Sequence[str], grace: float) -> None:
        """Changes the other replicas. Those that leave get no new requests and answer those they have.

        Args:
            addresses: One address per replica, perhaps none.
            grace: Seconds to wait for the answers of those that leave.
        """
        group = self._group
        if not addresses:
            self._group = None
            if group is not None:
                await group.retire(grace)
        elif group is None:
            self._group = PeerGroup(self._name, addresses, self._settings, metadata=self._metadata)
        else:
            await group.update(addresses, grace)

    async def close(self) -> None:
        """Closes the connections to the other replicas."""
        if self._group is not None:
            await self._group.close()

    def begin(
        self, raw: Payload, finish: Finish, *, metadata: Sequence[tuple[str, str]], timeout: float | None
    ) -> Callable[[], object] | None:
        """Starts to answer a serialised request, here or at another replica; see ``WorkerService.begin``."""
        group = self._elsewhere()
        if group is not None:
            return self._send(group, raw, finish, timeout)
        call = _Counted(self)

        def finished(raw: Payload, failed: bool, error: JinaError | None = None) -> None:
            call.end()
            finish(raw, failed, error)

        return call.begun(self._worker.begin(raw, finished, metadata=metadata, timeout=timeout, here=True))

    def begin_request(self, request: DataRequest, finished: Finished) -> Cancel | None:
        """Starts to answer a request, here or at another replica; see ``WorkerService.begin_request``."""
        if self._elsewhere() is not None:
            return begin_by_task(self.process(request, None), finished)
        call = _Counted(self)

        def done(response: DataRequest | None, error: Exception | None) -> None:
            call.end()
            finished(response, error)

        return call.begun(self._worker.begin_here(request, done))

    async def process(self, request: DataRequest, timeout: float | None) -> DataRequest:
        """Answers one request, here or at another replica; see ``WorkerService.process``."""
        group = self._elsewhere()
        if group is not None:
            with contextlib.suppress(TransportError):  # then it is answered here
                answer = DataRequest.from_bytes(await group.process(request.to_payload(), '', timeout=timeout))
                self._worker.declare_results(answer)
                return answer
        with self._busy():
            return await self._worker.process_here(request)

    async def stream(
        self, request: SingleDocumentRequest, timeout: float | None, render: Render
    ) -> AsyncGenerator[StreamItem, None]:
        """Answers one document with many, here or at another replica; see ``WorkerService.stream``."""
        group = self._elsewhere()
        if group is not None:
            async with contextlib.aclosing(group.stream_doc(request.to_bytes(), '', timeout=timeout)) as responses:
                async for raw in responses:
                    item = received_item(raw)
                    yield item if item.is_error else render(item)
            return
        with self._busy():
            async with contextlib.aclosing(self._worker.stream_here(request, render)) as items:
                async for own in items:
                    yield own

    def _elsewhere(self) -> PeerGroup | None:
        """Returns the other replicas if one of them has less to do."""
        group = self._group
        return group if group is not None and group.least_in_flight < self.own else None

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        self.own += 1
        try:
            yield
        finally:
            self.own -= 1

    def _send(
        self, group: PeerGroup, raw: Payload, finish: Finish, timeout: float | None
    ) -> Callable[[], object] | None:
        """Gives a serialised request to another replica, without a task as long as nothing fails."""
        retrying: Callable[[], object] | None = None

        def answered(answer: bytes, retry: Retry | None) -> None:
            nonlocal retrying
            if retry is None:
                finish(answer, DataRequest.from_bytes(answer).is_error)
            else:
                retrying = begin_task(self._answer(retry, raw), finish)

        cancel = group.begin(raw, '', answered, timeout=timeout)
        if cancel is None:
            return begin_task(self._answer(partial(group.process, raw, '', timeout=timeout), raw), finish)
        return lambda: (retrying or cancel)()

    async def _answer(self, ask: Retry, raw: Payload) -> tuple[Payload, bool]:
        try:
            answer = await ask()
        except TransportError:  # nobody else can: it is answered here
            with self._busy():
                return serialise(await self._worker.process_here(DataRequest.from_bytes(raw)))
        return answer, DataRequest.from_bytes(answer).is_error


class _Counted:
    """One request in flight in this process."""

    __slots__ = ('_cancel', '_over', '_sharing')

    def __init__(self, sharing: WorkSharing) -> None:
        self._sharing = sharing
        self._over = False
        self._cancel: Callable[[], object] | None = None
        sharing.own += 1

    def begun(self, cancel: Callable[[], object] | None) -> Callable[[], object] | None:
        """Returns what cancels the request, None if it is answered already."""
        self._cancel = cancel
        return None if cancel is None else self._abandon

    def end(self) -> None:
        """It is answered, or nobody waits any more."""
        if not self._over:
            self._over = True
            self._sharing.own -= 1

    def _abandon(self) -> None:
        self.end()
        if self._cancel is not None:
            self._cancel()
