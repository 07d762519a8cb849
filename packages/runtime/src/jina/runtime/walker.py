"""A request's way through the graph of Executors.

Requests stay bytes between two Executors: what one answers is what the next one gets. Documents are touched in two
places only: a join copies their bytes into one list, and a ``when`` filter looks into them to choose among their bytes.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jina.core.codec import merge_contents
from jina.core.errors import DeadlineError, InputError
from jina.core.logging.logger import JinaLogger
from jina.core.parameters import RESULTS_KEY
from jina.core.payloads import Payload
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.topology import GATEWAY, REQUEST, Plan, Step
from jina.core.trace_headers import TRACE_KEYS
from jina.core.wire import DataRequestListProto, DataRequestProto, StatusProto
from jina.runtime.discovery import Directory
from jina.runtime.filtering import defaults_of, filter_content
from jina.runtime.group import Group, Metadata
from jina.runtime.missing_endpoint import MissingEndpoints
from jina.runtime.target import target_pattern

if TYPE_CHECKING:
    import re

_SECOND_NS: Final = 1_000_000_000


class State:
    """A request between two Executors: serialised, parsed, or both. Never changed, as branches share it."""

    __slots__ = ('_raw', 'request')

    def __init__(self, request: DataRequest, raw: Payload | None = None) -> None:
        self.request = request
        self._raw = raw

    @property
    def raw(self) -> Payload:
        if self._raw is None:
            self._raw = self.request.to_payload()
        return self._raw


class Visit:
    """One request's notes: when it was where, and what it still may take."""

    __slots__ = ('began', 'deadline', 'ended', 'endpoint', 'metadata', 'started', 'status', 'target')

    def __init__(
        self,
        request: DataRequest | SingleDocumentRequest,
        steps: int,
        metadata: Sequence[tuple[str, str]],
        timeout: float | None,
    ) -> None:
        self.began = time.time_ns()
        self.endpoint = request.exec_endpoint
        self.metadata: Metadata = tuple(pair for pair in metadata if pair[0] in TRACE_KEYS) if metadata else ()
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.started = [0] * steps
        self.ended = [0] * steps
        self.status: list[StatusProto | None] = [None] * steps
        self.target: re.Pattern[str] | None = None
        if request.target_executor:
            self.target = target_pattern(request.target_executor)
            request.target_executor = ''

    def time_left(self) -> float | None:
        """Seconds that the caller still waits.

        Raises:
            DeadlineError: It doesn't any more.
        """
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DeadlineError(f'the time limit of the request to {self.endpoint!r} is over')
        return left


@dataclass(frozen=True)
class _Segment:
    """Steps that follow each other without a branch; one task walks them."""

    steps: tuple[Step, ...]
    floating: bool

    @property
    def end(self) -> int:
        return self.steps[-1].index


class _RouteSheet:
    """The routes of requests that came to every Executor: they differ in their times alone.

    Args:
        names: Names of the Deployments.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._proto = DataRequestProto()
        self._times: list[tuple[Any, Any]] = []
        for name in (GATEWAY, *names):
            route = self._proto.routes.add(executor=name)
            self._times.append((route.start_time, route.end_time))

    def fill(self, visit: Visit) -> bytes:
        """Returns the serialised routes of a request."""
        spans = zip((visit.began, *visit.started), (time.time_ns(), *visit.ended), strict=True)
        for (start, end), (began, ended) in zip(self._times, spans, strict=True):
            _set_time(start, began)
            _set_time(end, ended)
        return self._proto.SerializeToString()


class Walker:
    """Takes requests through a compiled plan.

    Args:
        plan: The graph.
        groups: Connections by name of the Deployment.
        directory: What is known of the endpoints.
        logger: Told about failures in branches that nobody waits for.
    """

    def __init__(self, plan: Plan, groups: Mapping[str, Group], directory: Directory, logger: JinaLogger) -> None:
        self._plan = plan
        self.steps = plan.steps
        """In an order in which each step comes after its sources."""
        self.groups = [groups[step.name] for step in plan.steps]
        """The connections of each step, in the same order."""
        self._directory = directory
        self._logger = logger
        self._segments = _segments(plan)
        self._sheet = _RouteSheet([step.name for step in plan.steps])
        self._floating: set[asyncio.Task[State]] = set()
        self._missing = MissingEndpoints(logger.warning)

    def among(self, groups: Mapping[str, Group]) -> Walker:
        """Returns the same walker with other connections to the same Executors."""
        twin = copy.copy(self)
        twin.groups = [groups[step.name] for step in self._plan.steps]
        return twin

    async def walk(
        self, request: DataRequest, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Returns the response to a request, with routes and status.

        Args:
            request: The request; it may be changed, and be the response.
            metadata: Metadata of the caller.
            timeout: Seconds that the caller still waits; None for no limit.

        Raises:
            TransportError: An Executor can't be reached, or takes too long.
        """
        try:
            visit = self.visit(request, metadata, timeout)
        except InputError as error:
            request.add_exception(error)
            return request
        return self.complete(await self.walk_on(State(request), visit), visit)

    async def walk_on(self, state: State, visit: Visit) -> State:
        """Returns what a request has become at the end of the graph, without routes.

        Raises:
            TransportError: An Executor can't be reached, or takes too long.
        """
        plan = self._plan
        if plan.is_chain:
            for step in plan.steps:
                state = await self.take(step, (state,), visit)
        elif plan.steps:
            state = await self._branch(state, visit)
        return state

    def visit(self, request: DataRequest, metadata: Sequence[tuple[str, str]], timeout: float | None) -> Visit:
        """Returns the notes of a request, with which its way begins.

        Raises:
            InputError: ``target_executor`` is no pattern.
        """
        return Visit(request, len(self.steps), metadata, timeout)

    def concerns(self, step: Step, visit: Visit) -> bool:
        """Notes that a request has come to a step, and returns whether it goes to the Executor there."""
        visit.started[step.index] = time.time_ns()
        if visit.target is not None and not visit.target.match(step.name):
            return False
        return self._directory.serves(step.name, visit.endpoint)

    def arrived(self, step: Step, answer: bytes, visit: Visit) -> State:
        """Notes and returns what an Executor has answered.

        Raises:
            RequestTypeError: It answered something else than a response.
        """
        response = DataRequest.from_bytes(answer)
        visit.ended[step.index] = time.time_ns()
        if response.is_error:
            visit.status[step.index] = response.status
        return State(response, answer)

    def complete(self, state: State, visit: Visit) -> DataRequest:
        """Returns the response, with routes."""
        response = state.request
        self._add_routes(response, visit)
        return response

    @property
    def floating_branches(self) -> int:
        """Number of branches that no response waited for and that aren't done."""
        return len(self._floating)

    async def drain(self, timeout: float | None = None) -> None:
        """Waits for the branches that no response waited for.

        Args:
            timeout: Seconds; what isn't done by then is cancelled.
        """
        if self._floating:
            _, pending = await asyncio.wait(self._floating, timeout=timeout)
            for task in pending:
                task.cancel()

    async def _branch(self, start: State, visit: Visit) -> State:
        """Walks a graph with one task per segment; the outputs are awaited, floating segments are left behind."""
        tasks: dict[int, asyncio.Task[State]] = {}
        for segment in self._segments:
            task = asyncio.create_task(self._walk_segment(segment, start, tasks, visit))
            tasks[segment.end] = task
            if segment.floating:
                self._floating.add(task)
                task.add_done_callback(self._floating_done)
        outputs = [tasks[index] for index in self._plan.outputs]
        if not outputs:
            return start
        awaited = [tasks[segment.end] for segment in self._segments if not segment.floating]
        try:
            if len(awaited) == 1:
                await awaited[0]
            else:
                await _all_or_first_failure(awaited)
        finally:
            for task in awaited:
                if not task.cancel() and not task.cancelled():
                    task.exception()  # retrieved, so that asyncio doesn't report the failures that follow from the first
        return merge_states([task.result() for task in outputs])

    async def _walk_segment(
        self, segment: _Segment, start: State, tasks: Mapping[int, asyncio.Task[State]], visit: Visit
    ) -> State:
        # Shielded: a source may be awaited by others too, and its own failure cancels this task anyway.
        sources = segment.steps[0].sources
        states = [start if source == REQUEST else await asyncio.shield(tasks[source]) for source in sources]
        state = await self.take(segment.steps[0], states, visit)
        for step in segment.steps[1:]:
            state = await self.take(step, (state,), visit)
        return state

    async def take(self, step: Step, states: Sequence[State], visit: Visit) -> State:
        """Sends the results of a step's sources to its Executor, unless the request passes it by."""
        failed = next((state for state in states if state.request.is_error), None)
        if failed is not None:
            return failed
        if not self.concerns(step, visit):
            return states[0] if len(states) == 1 else merge_states(states)
        many = step.no_reduce and len(states) > 1
        if not many and len(states) > 1:
            states = (merge_states(states),)
        if step.when is not None:
            states = [self.filter(step, state, visit) for state in states]
            failed = next((state for state in states if state.request.is_error), None)
            if failed is not None:
                return failed
        raw = self._join(step, states) if many else states[0].raw
        answer = await self.groups[step.index].process(
            raw, visit.endpoint, metadata=visit.metadata, timeout=visit.time_left(), many=many
        )
        return self.arrived(step, answer, visit)

    def _join(self, step: Step, states: Sequence[State]) -> bytes:
        """Puts the results of several branches side by side, each with its Deployment as the last route."""
        batch = DataRequestListProto()
        for source, state in zip(step.sources, states, strict=True):
            proto = batch.requests.add()
            proto.CopyFrom(state.request.proto)
            del proto.routes[:]
            proto.routes.add(executor=GATEWAY if source == REQUEST else self._plan.steps[source].name)
        return batch.SerializeToString()

    def filter(self, step: Step, state: State, visit: Visit) -> State:
        """Leaves out the documents that don't match the condition of a step; their bytes are chosen, never encoded again."""
        content = state.request.raw_content
        if step.when is None or not content:
            return state
        try:
            kept = filter_content(content, step.when, defaults_of(self._directory.lookup(step.name, visit.endpoint)))
        except Exception as error:  # noqa: BLE001 - what a peer sends may be anything
            return _failed(state, error)
        return state if kept is content else State(_with_content(state.request, kept))

    def _add_routes(self, response: DataRequest, visit: Visit) -> None:
        """Replaces the routes by the gateway's own: itself, then every Executor that the request came to."""
        if all(visit.ended) and not any(visit.status):
            response.replace_routes(self._sheet.fill(visit))
            return
        if self.steps and not any(visit.ended) and visit.target is None and not response.is_error:
            response.status.description = self._missing.note(visit.endpoint, self._directory.names())
        routes = response.routes
        del routes[:]
        route = routes.add(executor=GATEWAY)
        _set_time(route.start_time, visit.began)
        _set_time(route.end_time, time.time_ns())
        for step in self._plan.steps:
            started = visit.started[step.index]
            if not started:
                continue
            route = routes.add(executor=step.name)
            _set_time(route.start_time, started)
            ended, status = visit.ended[step.index], visit.status[step.index]
            if ended:
                _set_time(route.end_time, ended)
            if status is not None:
                route.status.CopyFrom(status)

    def _floating_done(self, task: asyncio.Task[State]) -> None:
        self._floating.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._logger.error('a floating Executor could not be reached: %s', error)
        elif task.result().request.is_error:
            self._logger.error('a floating Executor failed: %s', task.result().request.status.description)


def _segments(plan: Plan) -> tuple[_Segment, ...]:
    """Groups the steps of a plan, in an order in which sources come first."""
    consumers = {index: 0 for index in range(len(plan.steps))}
    for index in (*plan.outputs, *(source for step in plan.steps for source in step.sources if source != REQUEST)):
        consumers[index] += 1
    floating = frozenset(plan.floating)
    runs: dict[int, list[Step]] = {}
    order: list[list[Step]] = []
    for step in plan.steps:
        source = step.sources[0]
        if len(step.sources) == 1 and source != REQUEST and consumers[source] == 1:
            run = runs[source]
        else:
            run = []
            order.append(run)
        run.append(step)
        runs[step.index] = run
    # A run is placed where its first step is; its first step's sources end earlier runs.
    return tuple(_Segment(tuple(run), run[0].index in floating) for run in order)


async def _all_or_first_failure(tasks: Sequence[asyncio.Task[State]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


def merge_states(states: Sequence[State]) -> State:
    """Joins the results of several branches: the first one's header, all documents and results."""
    failed = next((state for state in states if state.request.is_error), None)
    if failed is not None or len(states) == 1:
        return failed or states[0]
    merged = _with_content(states[0].request, merge_contents([state.request.raw_content for state in states]))
    results = merged.proto.parameters
    for state in states[1:]:
        fields = state.request.proto.parameters.fields
        if RESULTS_KEY in fields:
            results.fields[RESULTS_KEY].struct_value.fields.MergeFrom(fields[RESULTS_KEY].struct_value.fields)
    return State(merged)


def _with_content(request: DataRequest, content: bytes) -> DataRequest:
    """Copies a request with other documents."""
    source = request.proto
    proto = DataRequestProto(header=source.header, data=content)
    proto.parameters.CopyFrom(source.parameters)
    return DataRequest(proto)


def _failed(state: State, error: Exception) -> State:
    copy = _with_content(state.request, state.request.raw_content)
    copy.add_exception(error)
    return State(copy)


def _set_time(timestamp: Any, nanoseconds: int) -> None:
    timestamp.seconds, timestamp.nanos = divmod(nanoseconds, _SECOND_NS)
