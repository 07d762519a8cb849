"""A request's way through the graph of Executors.

Requests stay bytes between two Executors: what one answers is what the next one gets. Documents are touched in two
places only: a join copies their bytes into one list, and a ``when`` filter decodes them to choose among their bytes.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jina.core.codec import content_of_doc_bytes, decode_docs, iter_doc_bytes, merge_contents
from jina.core.errors import DeadlineError, InputError, RequestTypeError
from jina.core.logging.logger import JinaLogger
from jina.core.parameters import RESULTS_KEY
from jina.core.request import DataRequest
from jina.core.schema import doc_list_of
from jina.core.topology import GATEWAY, REQUEST, Plan, Step
from jina.core.wire import DataRequestListProto, DataRequestProto, HeaderProto, StatusProto
from jina.runtime.connections import Metadata, PeerGroup
from jina.runtime.discovery import Directory
from jina.runtime.service import Cancel, Finished, begin_by_task

if TYPE_CHECKING:
    from docarray import BaseDoc

_TRACE_KEYS: Final = frozenset({'traceparent', 'tracestate', 'baggage'})
_SECOND_NS: Final = 1_000_000_000


class _State:
    """A request between two Executors: serialised, parsed, or both. Never changed, as branches share it."""

    __slots__ = ('_raw', 'request')

    def __init__(self, request: DataRequest, raw: bytes | None = None) -> None:
        self.request = request
        self._raw = raw

    @property
    def raw(self) -> bytes:
        if self._raw is None:
            self._raw = self.request.to_bytes()
        return self._raw


class _Visit:
    """One request's notes: when it was where, and what it still may take."""

    __slots__ = ('began', 'deadline', 'ended', 'endpoint', 'metadata', 'started', 'status', 'target')

    def __init__(
        self, request: DataRequest, steps: int, metadata: Sequence[tuple[str, str]], timeout: float | None
    ) -> None:
        header: HeaderProto = request.header
        self.began = time.time_ns()
        self.endpoint = header.exec_endpoint
        self.metadata: Metadata = tuple(pair for pair in metadata if pair[0] in _TRACE_KEYS) if metadata else ()
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.started = [0] * steps
        self.ended = [0] * steps
        self.status: list[StatusProto | None] = [None] * steps
        self.target: re.Pattern[str] | None = None
        if header.target_executor:
            try:
                self.target = re.compile(header.target_executor)
            except re.error as error:
                raise InputError(
                    f'target_executor {header.target_executor!r} is no regular expression: {error}',
                    hint='give the name of an Executor, or a pattern that matches the start of names',
                ) from error
            header.target_executor = ''

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

    def arrived(self, index: int, answer: bytes) -> _State:
        """Notes what an Executor answered, and returns it."""
        response = DataRequest.from_bytes(answer)
        self.ended[index] = time.time_ns()
        if response.is_error:
            self.status[index] = response.status
        return _State(response, answer)


@dataclass(frozen=True)
class _Segment:
    """Steps that follow each other without a branch; one task walks them."""

    steps: tuple[Step, ...]
    floating: bool

    @property
    def end(self) -> int:
        return self.steps[-1].index


class Walker:
    """Takes requests through a compiled plan.

    Args:
        plan: The graph.
        groups: Connections by name of the Deployment.
        directory: What is known of the endpoints.
        logger: Told about failures in branches that nobody waits for.
    """

    def __init__(self, plan: Plan, groups: Mapping[str, PeerGroup], directory: Directory, logger: JinaLogger) -> None:
        self._plan = plan
        self._groups = [groups[step.name] for step in plan.steps]
        self._directory = directory
        self._logger = logger
        self._segments = _segments(plan)
        self._floating: set[asyncio.Task[_State]] = set()
        self._simple = plan.is_chain and all(step.when is None for step in plan.steps)

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
        plan = self._plan
        try:
            visit = _Visit(request, len(plan.steps), metadata, timeout)
        except InputError as error:
            request.add_exception(error)
            return request
        state = _State(request)
        if plan.is_chain:
            for step in plan.steps:
                state = await self._take(step, (state,), visit)
        elif plan.steps:
            state = await self._branch(state, visit)
        return self.arrive(state, visit)

    def begin(self, request: DataRequest, finished: Finished) -> Cancel | None:
        """Starts ``walk``; through a chain of Executors without a task, as long as nothing fails.

        Args:
            request: The request; it may be changed, and be the response.
            finished: Called with the response, or with a ``TransportError``.

        Returns:
            What cancels it, None if it is finished already.
        """
        if not self._simple:
            return begin_by_task(self.walk(request), finished)
        try:
            visit = _Visit(request, len(self._plan.steps), (), None)
        except InputError as error:
            request.add_exception(error)
            finished(request, None)
            return None
        way = _Way(self, visit, finished)
        way.advance(_State(request))
        return way.cancel

    def pass_on(self, way: _Way, index: int, state: _State, visit: _Visit) -> Cancel | None:
        """Sends a request to the Executor of a step; None if it passes that by.

        Args:
            way: Told the outcome.
            index: Number of the step.
            state: The request.
            visit: Notes about it.
        """
        step = self._plan.steps[index]
        visit.started[index] = time.time_ns()
        if self._passes_by(step.name, visit):
            return None
        cancel = self._groups[index].begin(state.raw, visit.endpoint, way.answered)
        if cancel is None:
            task = asyncio.ensure_future(self._groups[index].process(state.raw, visit.endpoint))
            task.add_done_callback(way.task_done)
            cancel = task.cancel
        return cancel

    async def drain(self, timeout: float | None = None) -> None:
        """Waits for the branches that no response waited for.

        Args:
            timeout: Seconds; what isn't done by then is cancelled.
        """
        if self._floating:
            _, pending = await asyncio.wait(self._floating, timeout=timeout)
            for task in pending:
                task.cancel()

    async def _branch(self, start: _State, visit: _Visit) -> _State:
        """Walks a graph with one task per segment; the outputs are awaited, floating segments are left behind."""
        tasks: dict[int, asyncio.Task[_State]] = {}
        for segment in self._segments:
            task = asyncio.create_task(self._walk_segment(segment, start, tasks, visit))
            tasks[segment.end] = task
            if segment.floating:
                self._floating.add(task)
                task.add_done_callback(self._floating_done)
        outputs = [tasks[index] for index in self._plan.outputs]
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
        return _merge([task.result() for task in outputs])

    async def _walk_segment(
        self, segment: _Segment, start: _State, tasks: Mapping[int, asyncio.Task[_State]], visit: _Visit
    ) -> _State:
        # Shielded: a source may be awaited by others too, and its own failure cancels this task anyway.
        sources = segment.steps[0].sources
        states = [start if source == REQUEST else await asyncio.shield(tasks[source]) for source in sources]
        state = await self._take(segment.steps[0], states, visit)
        for step in segment.steps[1:]:
            state = await self._take(step, (state,), visit)
        return state

    async def _take(self, step: Step, states: Sequence[_State], visit: _Visit) -> _State:
        """Sends the results of a step's sources to its Executor, unless the request passes it by."""
        failed = next((state for state in states if state.request.is_error), None)
        if failed is not None:
            return failed
        index, name = step.index, step.name
        visit.started[index] = time.time_ns()
        if self._passes_by(name, visit):
            return states[0] if len(states) == 1 else _merge(states)
        many = step.no_reduce and len(states) > 1
        if not many and len(states) > 1:
            states = (_merge(states),)
        if step.when is not None:
            try:
                states = [await self._filter(step, step.when, state, visit) for state in states]
            except Exception as error:  # noqa: BLE001 - docarray's filter raises anything for a query that doesn't fit
                return _failed(states[0], error)
        raw = self._join(step, states) if many else states[0].raw
        answer = await self._groups[index].process(
            raw, visit.endpoint, metadata=visit.metadata, timeout=visit.time_left(), many=many
        )
        return visit.arrived(index, answer)

    def _passes_by(self, name: str, visit: _Visit) -> bool:
        """Tells whether a request is nothing to an Executor."""
        return (visit.target is not None and not visit.target.match(name)) or not self._directory.serves(
            name, visit.endpoint
        )

    def _join(self, step: Step, states: Sequence[_State]) -> bytes:
        """Puts the results of several branches side by side, each with its Deployment as the last route."""
        batch = DataRequestListProto()
        for source, state in zip(step.sources, states, strict=True):
            proto = batch.requests.add()
            proto.CopyFrom(state.request.proto)
            del proto.routes[:]
            proto.routes.add(executor=GATEWAY if source == REQUEST else self._plan.steps[source].name)
        return batch.SerializeToString()

    async def _filter(self, step: Step, query: dict[str, Any], state: _State, visit: _Visit) -> _State:
        """Leaves out the documents that don't match; their bytes are chosen, never encoded again."""
        if not self._directory.known(step.name):
            await self._directory.wait()
        endpoint = self._directory.lookup(step.name, visit.endpoint)
        content = state.request.raw_content
        if not content or endpoint is None:
            return state
        kept = filter_content(content, query, endpoint.types().input_model)
        return state if kept is content else _State(_with_content(state.request, kept))

    def arrive(self, state: _State, visit: _Visit) -> DataRequest:
        """Returns the response, with the gateway's own routes: itself, then every Executor that the request came to."""
        response = state.request
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
        return response

    def _floating_done(self, task: asyncio.Task[_State]) -> None:
        self._floating.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._logger.error('a floating Executor could not be reached: %s', error)
        elif task.result().request.is_error:
            self._logger.error('a floating Executor failed: %s', task.result().request.status.description)


class _Way:
    """A request's way through a chain of Executors: each answer takes it on.

    Args:
        walker: Sends it.
        visit: Notes about it.
        finished: Called at the end.
    """

    __slots__ = ('_cancel', '_finished', '_index', '_visit', '_walker')

    def __init__(self, walker: Walker, visit: _Visit, finished: Finished) -> None:
        self._walker = walker
        self._visit = visit
        self._finished = finished
        self._index = -1
        self._cancel: Cancel | None = None

    def advance(self, state: _State) -> None:
        """Goes on to the next Executor that the request concerns, or to the end."""
        visit, steps = self._visit, len(self._visit.started)
        while self._index + 1 < steps and not state.request.is_error:
            self._index += 1
            self._cancel = self._walker.pass_on(self, self._index, state, visit)
            if self._cancel is not None:
                return
        self._cancel = None
        self._finished(self._walker.arrive(state, visit), None)

    def answered(self, raw: bytes, error: Exception | None) -> None:
        """Takes what the Executor answered, or what failed on the way to it."""
        if error is None:
            try:
                self.advance(self._visit.arrived(self._index, raw))
            except RequestTypeError as failure:
                error = failure
        if error is not None:
            self._finished(None, error)

    def task_done(self, task: asyncio.Task[bytes]) -> None:
        """Takes the same from a task."""
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.answered(task.result(), None)
        else:
            self.answered(b'', error if isinstance(error, Exception) else RuntimeError(repr(error)))

    def cancel(self) -> None:
        """Ends the work; nobody waits any more."""
        if self._cancel is not None:
            self._cancel()


def filter_content(content: bytes, query: dict[str, Any], doc_type: type[BaseDoc]) -> bytes:
    """Returns the documents of a content that match a query; the same object if all do.

    Args:
        content: A serialised ``DataContentProto``.
        query: A query of docarray's filter language.
        doc_type: Type to decode the documents with.
    """
    from docarray.utils.filter import filter_docs  # noqa: PLC0415 - a gateway needs docarray only for filters

    docs = decode_docs(content, doc_list_of(doc_type))
    matching = {id(doc) for doc in filter_docs(docs, query)}
    if len(matching) == len(docs):
        return content
    return content_of_doc_bytes(
        raw for raw, doc in zip(iter_doc_bytes(content), docs, strict=True) if id(doc) in matching
    )


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


async def _all_or_first_failure(tasks: Sequence[asyncio.Task[_State]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


def _merge(states: Sequence[_State]) -> _State:
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
    return _State(merged)


def _with_content(request: DataRequest, content: bytes) -> DataRequest:
    """Copies a request with other documents."""
    source = request.proto
    proto = DataRequestProto(header=source.header, data=content)
    proto.parameters.CopyFrom(source.parameters)
    return DataRequest(proto)


def _failed(state: _State, error: Exception) -> _State:
    copy = _with_content(state.request, state.request.raw_content)
    copy.add_exception(error)
    return _State(copy)


def _set_time(timestamp: Any, nanoseconds: int) -> None:
    timestamp.seconds, timestamp.nanos = divmod(nanoseconds, _SECOND_NS)
