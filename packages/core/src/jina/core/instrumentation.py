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
from jina.core.measures import SECONDS

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.context import Context
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


def _forget(_: float) -> None:
    """Where times go that nobody asked for."""


class _Recorder:
    """Makes the instrumented form of one endpoint."""

    def __init__(self, endpoint: Endpoint, executor: BaseExecutor) -> None:
        self.name = endpoint.name
        self.tracer = executor.tracer
        self.follows_callers = getattr(executor.runtime_args, 'traces_follow_callers', False)
        seconds = recorded_seconds(
            executor, 'process_request_seconds', 'Time spent calling the method of an endpoint', endpoint.name
        )
        self.seconds: Record = seconds or _forget
        self.attributes = attributes_of(executor, endpoint.name)
        self._documents = None
        measures = measures_of(executor)
        if measures is not None:
            self._documents = measures.counter(
                f'{PREFIX}document_processed', 'Documents given to the method of an endpoint', self.attributes
            )
        self._endpoint = endpoint
        self._function = endpoint.function
        self._gives_context = endpoint.accepts is None or 'tracing_context' in endpoint.accepts

    @property
    def span_name(self) -> str:
        """The name of the method."""
        return str(getattr(self._function, '__name__', self.name))

    def endpoint(self) -> Endpoint:
        """Returns the endpoint whose calls are recorded."""
        wrapper: Callable[..., Any]
        if self._endpoint.is_generator:
            wrapper = self._generate_async if self._endpoint.is_async else self._generate
        elif self.tracer is None:
            wrapper = self._time_async if self._endpoint.is_async else self._time
        else:
            wrapper = self._call_async if self._endpoint.is_async else self._call
        # under the name of the method, for the messages of errors
        return replace(self._endpoint, function=functools.update_wrapper(functools.partial(wrapper), self._function))

    def _count(self, arguments: dict[str, Any]) -> None:
        if self._documents is not None:
            docs = arguments.get('docs')
            self._documents.add(1 if docs is None else len(docs))

    def _time(self, **arguments: Any) -> Any:
        """A call without a span, which needs no more than two looks at the clock."""
        self._count(arguments)
        named = current_endpoint.set(self.name)
        began = time.perf_counter()
        try:
            return self._function(**arguments)
        finally:
            self.seconds(time.perf_counter() - began)
            current_endpoint.reset(named)

    async def _time_async(self, **arguments: Any) -> Any:
        self._count(arguments)
        named = current_endpoint.set(self.name)
        began = time.perf_counter()
        try:
            return await self._function(**arguments)
        finally:
            self.seconds(time.perf_counter() - began)
            current_endpoint.reset(named)

    def _begin(self, arguments: dict[str, Any]) -> _Call:
        self._count(arguments)
        call = _Call(self, arguments.get('tracing_context'))
        if self._gives_context:
            arguments['tracing_context'] = call.context
        return call

    def _call(self, **arguments: Any) -> Any:
        with self._begin(arguments) as call, call.current():
            return self._function(**arguments)

    async def _call_async(self, **arguments: Any) -> Any:
        with self._begin(arguments) as call, call.current():
            return await self._function(**arguments)

    def _generate(self, **arguments: Any) -> Iterator[Any]:
        # Each step may run in another thread, and the consumer between two of them isn't part of the method.
        with self._begin(arguments) as call:
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
        with self._begin(arguments) as call:
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


def _is_left_out(parent: Context | None) -> bool:
    """Whether the caller has a trace, and doesn't record it."""
    if parent is None:
        return False
    from opentelemetry.trace import get_current_span  # noqa: PLC0415 - for Executors with a tracer only

    context = get_current_span(parent).get_span_context()
    return context.is_valid and not context.trace_flags.sampled


class _Call:
    """One call: its span from beginning to end, and its time. Use as a context manager."""

    def __init__(self, recorder: _Recorder, parent: Context | None) -> None:
        self._recorder = recorder
        self._start = time.perf_counter()
        self._span = None
        self.context = parent
        """What new spans of the method take as their parent."""
        if recorder.tracer is not None and not (recorder.follows_callers and _is_left_out(parent)):
            from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - for Executors with a tracer only

            self._span = recorder.tracer.start_span(recorder.span_name, context=parent, attributes=recorder.attributes)
            self.context = set_span_in_context(self._span, parent)

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
        self._recorder.seconds(time.perf_counter() - self._start)
        if self._span is None:
            return
        if isinstance(error, Exception):
            from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - loaded with the tracer

            self._span.record_exception(error)
            self._span.set_status(Status(StatusCode.ERROR, f'{type(error).__name__}: {error}'))
        self._span.end()
