"""What an Executor with a tracer or a meter records by itself: a span and a time for each call of an endpoint method.

The wrappers are put around the methods once, when the endpoints are read, so that an Executor without them pays nothing.
"""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from jina.core.endpoints import Endpoint, EndpointTable
from jina.core.measures import SECONDS, Ledger

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from typing_extensions import Self

    from jina.core.executor import BaseExecutor
    from jina.core.measures import Measures

__all__ = [
    'PREFIX',
    'Record',
    'attributes_of',
    'current_endpoint',
    'instrumented',
    'measures_of',
    'recorded',
    'recorded_seconds',
]

Record: TypeAlias = 'Callable[[float], object]'
"""Takes a value."""

PREFIX: Final = 'jina_'
"""How the names of all metrics begin."""
_END: Final = object()

current_endpoint: ContextVar[str | None] = ContextVar('jina_endpoint', default=None)
"""The endpoint whose method runs; set only while metrics or traces are recorded."""


def attributes_of(executor: BaseExecutor, endpoint: str | None) -> dict[str, str]:
    """Returns what tells the metrics and spans of one Executor from those of others.

    Args:
        executor: The Executor.
        endpoint: The endpoint, if one is being called.
    """
    attributes = {
        'executor': type(executor).__name__,
        'runtime_name': getattr(executor.runtime_args, 'name', None) or executor.metas.name,
    }
    return attributes if endpoint is None else {**attributes, 'executor_endpoint': endpoint}


def instrumented(table: EndpointTable, executor: BaseExecutor) -> EndpointTable:
    """Returns the endpoints with a span and a time around each call of their methods.

    Args:
        table: The endpoints of the Executor.
        executor: The Executor; its ``tracer`` and its ``meter`` may each be None.
    """
    return EndpointTable(_Recorder(endpoint, executor).endpoint() for endpoint in table)


def measures_of(executor: BaseExecutor) -> Measures | None:
    """Returns what the process of an Executor measures; None when metrics are off."""
    return getattr(executor.runtime_args, 'measures', None)


def recorded_seconds(executor: BaseExecutor, name: str, description: str, endpoint: str) -> Record | None:
    """Returns what records times of an endpoint: in the measures of the process, or with the Executor's meter.

    Args:
        executor: The Executor.
        name: Name of the metric behind ``jina_``.
        description: What it tells.
        endpoint: The endpoint.

    Returns:
        Takes seconds; None if the Executor has neither.
    """
    return recorded(executor, name, description, endpoint, unit='s', bounds=SECONDS)


def recorded(
    executor: BaseExecutor, name: str, description: str, endpoint: str, *, unit: str, bounds: Sequence[float]
) -> Record | None:
    """The same as :func:`recorded_seconds` for any unit, with the bounds of the buckets."""
    attributes = attributes_of(executor, endpoint)
    measures = measures_of(executor)
    if measures is not None:
        own = measures.distribution(f'{PREFIX}{name}', description, attributes, unit=unit, bounds=bounds)
        return own.record
    if executor.meter is not None:
        histogram = executor.meter.create_histogram(f'{PREFIX}{name}', unit, description)
        return functools.partial(histogram.record, attributes=attributes)
    return None


_Begin: TypeAlias = 'Callable[[Context | None], tuple[Span | None, Context | None]]'
"""Takes the context of the caller; returns the span of a call and the context for its method, see ``SpanRecorder``."""


def _row_record(executor: BaseExecutor, endpoint: str) -> Callable[[tuple[float, int]], object]:
    """Returns what records seconds and documents of a call."""
    description = 'Time spent calling the method of an endpoint'
    measures = measures_of(executor)
    if measures is not None:
        attributes = attributes_of(executor, endpoint)
        seconds = measures.distribution(f'{PREFIX}process_request_seconds', description, attributes, unit='s')
        documents = measures.counter(
            f'{PREFIX}document_processed', 'Documents given to the method of an endpoint', attributes
        )
        return Ledger(seconds, documents).record
    record = recorded_seconds(executor, 'process_request_seconds', description, endpoint)
    return _forget if record is None else lambda row: record(row[0])


def _forget(_: tuple[float, int]) -> None:
    """Where rows go that nobody asked for."""


def _begin_function(executor: BaseExecutor, name: str, endpoint: str) -> _Begin:
    """Returns what begins the spans of calls: the tracer itself, if it is one that does so at little cost."""
    from opentelemetry.trace import SpanKind, get_current_span, set_span_in_context  # noqa: PLC0415 - with a tracer only

    from jina.core.span_recording import SpanRecorder  # noqa: PLC0415 - with a tracer only

    tracer, attributes = executor.tracer, attributes_of(executor, endpoint)
    assert tracer is not None
    if isinstance(tracer, SpanRecorder):
        return functools.partial(tracer.begin_inside, tracer.form(name, SpanKind.INTERNAL, attributes))
    follows_callers = getattr(executor.runtime_args, 'traces_follow_callers', False)

    def begin(context: Context | None) -> tuple[Span | None, Context | None]:
        if follows_callers and context is not None:
            caller = get_current_span(context).get_span_context()
            if caller.is_valid and not caller.trace_flags.sampled:
                return None, context
        span = tracer.start_span(name, context=context, attributes=attributes)
        return span, set_span_in_context(span, context)

    return begin


def _begin_nothing(context: Context | None) -> tuple[None, Context | None]:
    return None, context


def _number_of_documents(arguments: dict[str, Any]) -> int:
    docs = arguments.get('docs')
    return 1 if docs is None else len(docs)


class _Recorder:
    """Makes the instrumented form of one endpoint."""

    def __init__(self, endpoint: Endpoint, executor: BaseExecutor) -> None:
        self.name = endpoint.name
        self.record = _row_record(executor, endpoint.name)
        self.begin: _Begin = _begin_nothing
        self._traces = executor.tracer is not None
        self._endpoint = endpoint
        self._function = endpoint.function
        self._gives_context = endpoint.accepts is None or 'tracing_context' in endpoint.accepts
        if self._traces:
            method = str(getattr(self._function, '__name__', self.name))
            self.begin = _begin_function(executor, method, endpoint.name)

    def endpoint(self) -> Endpoint:
        """Returns the endpoint whose calls are recorded."""
        wrapper: Callable[..., Any]
        if self._endpoint.is_generator:
            wrapper = functools.partial(self._generate_async if self._endpoint.is_async else self._generate)
        elif self._traces:
            wrapper = self._traced_async() if self._endpoint.is_async else self._traced()
        else:
            wrapper = self._timed_async() if self._endpoint.is_async else self._timed()
        accepts = self._endpoint.accepts
        if self._traces and accepts is not None:
            accepts |= {'tracing_context'}  # it says where the span belongs, whether the method wants to know or not
        # under the name of the method, for the messages of errors
        function = functools.update_wrapper(wrapper, self._function)
        return replace(self._endpoint, function=function, accepts=accepts)

    def _timed(self) -> Callable[..., Any]:
        """A call without a span, which needs no more than two looks at the clock."""
        function, name, record = self._function, self.name, self.record
        clock, enter, leave = time.perf_counter, current_endpoint.set, current_endpoint.reset

        def timed(**arguments: Any) -> Any:
            docs = arguments.get('docs')
            count = 1 if docs is None else len(docs)
            named = enter(name)
            began = clock()
            try:
                return function(**arguments)
            finally:
                record((clock() - began, count))
                leave(named)

        return timed

    def _timed_async(self) -> Callable[..., Any]:
        async def timed(**arguments: Any) -> Any:
            count = _number_of_documents(arguments)
            named = current_endpoint.set(self.name)
            began = time.perf_counter()
            try:
                return await self._function(**arguments)
            finally:
                self.record((time.perf_counter() - began, count))
                current_endpoint.reset(named)

        return timed

    def _traced(self) -> Callable[..., Any]:
        """The same as a ``_Call``, which costs as much again for a context manager or two."""
        from jina.core.span_recording import context_switch  # noqa: PLC0415 - loaded with the tracer

        attach, detach = context_switch()
        function, name, record, begin, given = self._function, self.name, self.record, self.begin, self._gives_context
        clock, enter, leave = time.perf_counter, current_endpoint.set, current_endpoint.reset

        def traced(**arguments: Any) -> Any:
            docs = arguments.get('docs')
            count = 1 if docs is None else len(docs)
            began = clock()
            span, context = begin(arguments.get('tracing_context') if given else arguments.pop('tracing_context', None))
            if given:
                arguments['tracing_context'] = context
            named = enter(name)
            token = None if context is None else attach(context)
            try:
                return function(**arguments)
            except Exception as error:
                if span is not None:
                    _fail(span, error)
                raise
            finally:
                record((clock() - began, count))
                if token is not None:
                    detach(token)
                leave(named)
                if span is not None:
                    span.end()

        return traced

    def _traced_async(self) -> Callable[..., Any]:
        async def traced(**arguments: Any) -> Any:
            with self._start(arguments) as call, call.current():
                return await self._function(**arguments)

        return traced

    def _start(self, arguments: dict[str, Any]) -> _Call:
        """Begins a call, and gives the method the context if it wants it."""
        count = _number_of_documents(arguments)
        call = _Call(self, arguments.pop('tracing_context', None), count)
        if self._gives_context:
            arguments['tracing_context'] = call.context
        return call

    def _generate(self, **arguments: Any) -> Iterator[Any]:
        # Each step may run in another thread, and the consumer between two of them isn't part of the method.
        with self._start(arguments) as call:
            with call.current():
                items = self._function(**arguments)
            try:
                while True:
                    with call.current():
                        item = next(items, _END)
                    if item is _END:
                        return
                    yield item
            finally:
                close = getattr(items, 'close', None)  # a decorator may give another kind of iterator
                if close is not None:
                    with call.current():
                        close()

    async def _generate_async(self, **arguments: Any) -> AsyncIterator[Any]:
        with self._start(arguments) as call:
            with call.current():
                items = self._function(**arguments)
            try:
                while True:
                    with call.current():
                        item = await anext(items, _END)
                    if item is _END:
                        return
                    yield item
            finally:
                close = getattr(items, 'aclose', None)
                if close is not None:
                    with call.current():
                        await close()


def _fail(span: Span, error: Exception) -> None:
    """Says in a span that its method raised an exception."""
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - loaded with the tracer

    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, f'{type(error).__name__}: {error}'))


class _Call:
    """One call: its span from beginning to end, and its time. Use as a context manager."""

    def __init__(self, recorder: _Recorder, parent: Context | None, documents: int) -> None:
        self._recorder = recorder
        self._documents = documents
        self._start = time.perf_counter()
        self._span, self.context = recorder.begin(parent)
        """What new spans of the method take as their parent."""

    @contextmanager
    def current(self) -> Iterator[None]:
        """Makes the span the current one, so that spans and metrics inside of the method know where they belong."""
        named = current_endpoint.set(self._recorder.name)
        try:
            if self.context is None:
                yield
                return
            from opentelemetry.context import attach, detach  # noqa: PLC0415 - loaded with the tracer

            token = attach(self.context)
            try:
                yield
            finally:
                detach(token)
        finally:
            current_endpoint.reset(named)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recorder.record((time.perf_counter() - self._start, self._documents))
        if self._span is None:
            return
        if isinstance(error, Exception):
            _fail(self._span, error)
        self._span.end()
