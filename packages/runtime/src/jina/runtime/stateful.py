"""A worker whose state is replicated: writes are answered by all replicas, in the order that they have agreed on."""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from jina.core.config import ExecutorOptions, RaftOptions, build, peers_of
from jina.core.envelope import read_endpoint
from jina.core.errors import ConfigError, ConsensusError, LifecycleError, RequestTypeError, TransportError
from jina.core.executor import BaseExecutor
from jina.core.logging.logger import JinaLogger
from jina.core.payloads import Payload, as_bytes
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.schema import EndpointSchema
from jina.core.stateful import snapshot_methods
from jina.core.trace_headers import TRACE_KEYS
from jina.core.wire import EndpointsProto
from jina.runtime.answers import read_many
from jina.runtime.fast_lane import Finish, begin_task
from jina.runtime.raft.consensus import Consensus
from jina.runtime.service import Cancel, Finished, begin_by_task
from jina.runtime.stream_items import Render, StreamItem, wire_item
from jina.runtime.worker import WorkerService
from jina.runtime.write_memory import WriteKey, WriteMemory

_TRACE_HEAD: Final = 2
"""Bytes with the length of the trace context in front of a command."""
_PATIENCE_S: Final = 10.0
"""After so long a replica says what it waits for."""
_PAUSE_S: Final = 0.1


class StatefulService:
    """Answers requests with the methods of an Executor, as ``WorkerService``; all replicas answer those that write.

    Args:
        options: Which Executor, and how to run it.
        logger: Logger of the process.
        instruments: ``tracer``, ``meter`` and ``measures`` of the process, those that it has.

    Raises:
        ConfigError: The Executor or its configuration is wrong.
        Exception: What the Executor's ``__init__`` raises.
    """

    def __init__(
        self, options: ExecutorOptions, *, logger: JinaLogger, instruments: Mapping[str, Any] | None = None
    ) -> None:
        peers = peers_of(options)
        if options.replica_id >= len(peers):
            raise ConfigError(
                f'{options.runtime_name} is stateful and has no address for its {options.replicas} replicas',
                hint='give peer_ports, or raft_peers if they run on several machines, and a replica_id from 0 on',
            )
        self.name = options.runtime_name
        self.logger = logger
        self.on_fatal: Callable[[BaseException], None] = lambda _: None
        """Called with an exception that ``exit_on_exceptions`` names."""
        self._timeout = None if options.timeout_ready < 0 else options.timeout_ready / 1000
        self._worker = WorkerService(options, logger=logger, instruments=instruments)
        self._worker.on_fatal = lambda error: self.on_fatal(error)
        # Until it is ready, writes of earlier days are done again, and what they raised has had its consequences then.
        self._fatal, self._worker.fatal = self._worker.fatal, frozenset()
        parts = ('raft', options.name or 'executor', options.shard_id, options.replica_id)
        self._consensus = Consensus(
            build(RaftOptions, options.raft_configuration or {}),
            folder=Path(self.executor._folder_in_workspace(*parts)),
            number=options.replica_id,
            peers=peers,
            machine=ReplicatedExecutor(self._worker),
            logger=logger,
        )
        self._consensus.on_fatal = lambda error: self.on_fatal(error)

    @property
    def executor(self) -> BaseExecutor:
        """The loaded Executor."""
        return self._worker.executor

    @property
    def endpoint_schemas(self) -> dict[str, EndpointSchema]:
        """Types of all endpoints by name."""
        return self._worker.endpoint_schemas

    @property
    def has_warm_up(self) -> bool:
        """Always: it learns what the others know before it answers its first request."""
        return True

    async def start(self) -> None:
        """Warms the Executor up, brings it to the state that it had, and then to that of the other replicas.

        Raises:
            JinaError: The folder or the port belongs to somebody else, or there is no majority of replicas in time.
            Exception: What ``warm_up`` or ``restore`` raises.
        """
        await self._worker.start()
        await self._consensus.start()
        await self._catch_up()
        self._worker.fatal = self._fatal

    async def _catch_up(self) -> None:
        deadline = math.inf if self._timeout is None else time.monotonic() + self._timeout
        was_said = False
        while True:
            try:
                await self._consensus.caught_up(min(_PATIENCE_S, max(0.0, deadline - time.monotonic())))
            except TransportError as error:
                if not was_said:
                    was_said = True
                    self.logger.warning('%s is not ready: %s', self.name, error)
                if time.monotonic() >= deadline:
                    raise ConsensusError(
                        f'{self.name} was not ready after {self._timeout:g} seconds: {error}',
                        hint='start all replicas at the same time, and look whether they reach each other at their peer ports',
                    ) from None
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    def begin(
        self,
        raw: Payload,
        finish: Finish,
        *,
        many: bool = False,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> Callable[[], object] | None:
        """Starts to answer a serialised request, see ``WorkerService.begin``."""
        if not many:
            endpoint = read_endpoint(raw)  # type: ignore[arg-type]  # a message in two pieces can't be indexed
            if endpoint is not None and not self._worker.is_write(endpoint):
                return self._worker.begin(raw, finish, metadata=metadata, timeout=timeout)
        answer: Coroutine[Any, Any, DataRequest]
        try:
            if many:
                answer = self.process_many(read_many(raw), metadata=metadata, timeout=timeout)
            else:
                answer = self.process(DataRequest.from_bytes(raw), metadata=metadata, timeout=timeout)
        except RequestTypeError as error:
            finish(b'', True, error)
            return None
        return begin_task(self._serialised(answer), finish)

    async def _serialised(self, answer: Coroutine[Any, Any, DataRequest]) -> tuple[Payload, bool]:
        return self._worker.serialised(await answer)

    def begin_request(self, request: DataRequest, finished: Finished, *, with_routes: bool = True) -> Cancel | None:
        """Starts to answer a request, see ``WorkerService.begin_request``."""
        if self._worker.is_write(request.exec_endpoint):
            return begin_by_task(self._write(request, None), finished)
        return self._worker.begin_request(request, finished, with_routes=with_routes)

    async def process(
        self, request: DataRequest, *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers one request, see ``WorkerService.process``."""
        if not self._worker.is_write(request.exec_endpoint):
            return await self._worker.process(request, metadata=metadata, timeout=timeout)
        if metadata:
            request.trace = metadata
        return await self._write(request, timeout)

    async def process_many(
        self, requests: Sequence[DataRequest], *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers the requests of several branches with one response, see ``WorkerService.process_many``."""
        if not requests or not self._worker.is_write(requests[0].exec_endpoint):
            return await self._worker.process_many(requests, metadata=metadata, timeout=timeout)
        request = requests[0]
        if metadata:
            request.trace = metadata
        try:
            self._worker.merge(requests)
        except Exception as error:  # noqa: BLE001 - documents of a client that don't fit are its error, not ours
            return self._worker.fail(request, error)
        return await self._write(request, timeout)

    async def _write(self, request: DataRequest, timeout: float | None) -> DataRequest:
        """Has all replicas answer a request; returns the answer of the first."""
        if not request.request_id:
            request.request_id = uuid4().hex
        command = _command(request)
        response = DataRequest.from_bytes(await self._consensus.write(command, timeout))
        self._worker.declare_results(response)
        return response

    def stream(
        self, request: SingleDocumentRequest, *, timeout: float | None = None, render: Render = wire_item
    ) -> AsyncGenerator[StreamItem, None]:
        """Answers one document with many, see ``WorkerService.stream``; that is never a write."""
        return self._worker.stream(request, timeout=timeout, render=render)

    async def endpoints(self) -> EndpointsProto:
        """Names and schemas of the Executor's endpoints."""
        return await self._worker.endpoints()

    async def dry_run(self) -> None:
        """Returns at once: an Executor that is loaded can answer."""

    def flush(self) -> None:
        """Runs what waits for a batch; from now on nothing waits."""
        self._worker.flush()

    async def close(self) -> None:
        """Leaves the other replicas, and closes the Executor."""
        try:
            await self._consensus.close()
        finally:
            await self._worker.close()


class ReplicatedExecutor:
    """An Executor as what the log of writes is applied to.

    Args:
        worker: Runs its methods.
    """

    def __init__(self, worker: WorkerService) -> None:
        self._worker = worker
        self._hooks = snapshot_methods(worker.executor)
        self._memory = WriteMemory()
        self.can_snapshot = self._hooks is not None

    async def apply(self, command: bytes) -> bytes:
        """Answers a write, unless it was answered before: then that is the answer again."""
        trace, payload = _parts(command)
        request = DataRequest.from_bytes(payload)
        key = WriteKey.of(request.request_id, payload)
        if key in self._memory:
            answer = self._memory.answer(key)
            if answer is None:
                request.add_exception(LifecycleError('this write was done before, and its answer is not kept any more'))
                answer = request.to_bytes()
            return answer
        request.trace = trace
        answer = bytes(as_bytes(self._worker.serialised(await self._worker.process_here(request))[0]))
        self._memory.note(key, answer)
        return answer

    async def snapshot(self, folder: Path) -> None:
        """Writes the state of the Executor and the latest answers into a folder."""
        assert self._hooks is not None
        await asyncio.to_thread(os.mkdir, _executor_part(folder))
        await self._worker.run(self._hooks[0], _executor_part(folder))
        await asyncio.to_thread((folder / 'answers').write_bytes, self._memory.dump())

    async def restore(self, folder: Path) -> None:
        """Takes them from there.

        Raises:
            ConfigError: The Executor has no ``restore`` any more.
        """
        if self._hooks is None:
            raise ConfigError(
                f'there is a snapshot in {folder}, and {type(self._worker.executor).__name__} has no restore()',
                hint='add snapshot() and restore() again, or begin anew with another workspace',
            )
        await self._worker.run(self._hooks[1], _executor_part(folder))
        self._memory = WriteMemory.load(await asyncio.to_thread((folder / 'answers').read_bytes))


def _executor_part(folder: Path) -> str:
    return os.path.abspath(folder / 'executor')


def _command(request: DataRequest) -> bytes:
    """A request with the context of its trace, which is no part of it."""
    pairs = [pair for pair in request.trace if pair[0] in TRACE_KEYS]
    trace = json.dumps(pairs).encode() if pairs else b''
    return len(trace).to_bytes(_TRACE_HEAD, 'big') + trace + as_bytes(request.to_payload())


def _parts(command: bytes) -> tuple[list[tuple[str, str]], bytes]:
    end = _TRACE_HEAD + int.from_bytes(command[:_TRACE_HEAD], 'big')
    trace = command[_TRACE_HEAD:end]
    return [(key, value) for key, value in json.loads(trace)] if trace else [], command[end:]
