"""What an Executor records when it has a tracer and a meter, as a real OTLP/gRPC receiver gets it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.endpoints import dynamic_batching, monitor, requests
from jina.core.executor import Executor
from jina.telemetry import set_up_telemetry
from opentelemetry.trace import Status, StatusCode, get_current_span, set_span_in_context

from .otlp_receiver import Receiver, attributes

FAILED = 2
"""STATUS_CODE_ERROR of OTLP."""


class Worked(Executor):
    """The examples of the documentation of the original, and one method of every kind."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.counter = None if self.meter is None else self.meter.create_counter('my_count', 'my count')
        self.seen: list[Any] = []

    @requests(on='/foo')
    def foo(self, docs: DocList[TextDoc], tracing_context: Any, **kwargs: Any) -> DocList[TextDoc]:
        assert self.tracer is not None
        with self.tracer.start_as_current_span('process_docs', context=tracing_context) as process_span:
            process_span.set_attribute('sampling_rate', 0.01)
            with self.tracer.start_as_current_span('update_docs') as update_span:
                self.seen.append(get_current_span() is update_span)
                try:
                    update_span.set_attribute('len_updated_docs', len(docs))
                    raise RuntimeError('no update')
                except RuntimeError as error:
                    update_span.set_status(Status(StatusCode.ERROR))
                    update_span.record_exception(error)
        return docs

    @requests(on='/encode')
    def encode(self, docs: DocList[TextDoc], **kwargs: Any) -> None:
        if self.counter is not None:
            self.counter.add(len(docs))
        with self.monitor('processing_seconds', 'Time processing my document'):
            self.helped()

    @monitor()
    def helped(self) -> None: ...

    @monitor(name='my_custom_metrics_seconds', documentation='This is my custom documentation')
    def named(self, value: int) -> int:
        return value + 1

    @requests(on='/await')
    async def awaits(self, doc: TextDoc, tracing_context: Any) -> TextDoc:
        self.seen.append(tracing_context)
        await asyncio.sleep(0)
        self.seen.append(get_current_span())
        return doc

    @requests(on='/fail')
    def fails(self, **kwargs: Any) -> None:
        raise ValueError('not today')

    @requests(on='/count')
    def counts(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        for _ in range(3):
            self.seen.append(get_current_span().is_recording())
            yield doc

    @requests(on='/tick')
    async def ticks(self, doc: TextDoc, **kwargs: Any) -> AsyncIterator[TextDoc]:
        try:
            while True:
                yield doc
        finally:
            self.seen.append(get_current_span().is_recording())

    @requests(on='/plain')
    def plain(self, docs: DocList[TextDoc]) -> DocList[TextDoc]:
        return docs

    @requests(on='/plain-async')
    async def plain_async(self, docs: DocList[TextDoc]) -> DocList[TextDoc]:
        return docs

    @dynamic_batching(preferred_batch_size=2)
    @requests(on='/batch')
    def batched(self, docs: DocList[TextDoc], **kwargs: Any) -> None: ...


Make = Callable[..., Worked]


@pytest.fixture
def make(receiver: Receiver) -> Iterator[Make]:
    """Makes an Executor that sends to the receiver."""
    with contextlib.ExitStack() as stack:

        def made(*, traces: bool = False, metrics: bool = False) -> Worked:
            telemetry = stack.enter_context(
                set_up_telemetry(
                    'worked/rep-0',
                    traces=receiver.collector if traces else None,
                    metrics=receiver.collector if metrics else None,
                )
            )
            runtime_args = {
                'name': 'worked/rep-0',
                'tracer': telemetry.tracer() if traces else None,
                'meter': telemetry.meter() if metrics else None,
            }
            executor = Worked(runtime_args=runtime_args)
            executor.close = telemetry.shutdown  # type: ignore[method-assign]
            return executor

        yield made


def call(executor: Worked, endpoint: str, **arguments: Any) -> Any:
    """Calls the method as a worker does."""
    found = executor.endpoints.lookup(endpoint)
    assert found is not None
    return found.function(**found.arguments({'parameters': {}, 'tracing_context': None, **arguments}))


TEXTS = DocList[TextDoc]([TextDoc(text='a'), TextDoc(text='b')])


def test_a_request_gives_the_three_spans_of_the_example(make: Make, receiver: Receiver) -> None:
    executor = make(traces=True)
    assert call(executor, '/foo', docs=TEXTS) is TEXTS
    assert executor.seen == [True]
    executor.close()
    spans = {span.name: span for span in receiver.spans()}
    assert set(spans) == {'foo', 'process_docs', 'update_docs'}
    outer, middle, inner = spans['foo'], spans['process_docs'], spans['update_docs']
    assert (outer.parent_span_id, middle.parent_span_id, inner.parent_span_id) == (b'', outer.span_id, middle.span_id)
    assert {outer.trace_id} == {middle.trace_id, inner.trace_id}
    assert attributes(outer) == {'executor': 'Worked', 'executor_endpoint': '/foo', 'runtime_name': 'worked/rep-0'}
    assert middle.attributes[0].value.double_value == 0.01
    # the swallowed exception belongs to the inner span alone
    assert [span.status.code for span in (outer, middle, inner)] == [0, 0, FAILED]
    assert [len(span.events) for span in (outer, middle, inner)] == [0, 0, 1]


def test_an_exception_of_the_method_fails_its_span(make: Make, receiver: Receiver) -> None:
    executor = make(traces=True, metrics=True)
    with pytest.raises(ValueError, match='not today'):
        call(executor, '/fail')
    executor.close()
    (span,) = receiver.spans()
    assert (span.name, span.status.code, span.status.message) == ('fails', FAILED, 'ValueError: not today')
    assert [event.name for event in span.events] == ['exception']
    (point,) = receiver.points()['jina_process_request_seconds']
    assert point.count == 1


async def test_an_async_method_runs_inside_of_its_span(make: Make, receiver: Receiver) -> None:
    executor = make(traces=True)
    await call(executor, '/await', doc=TextDoc())
    context, current = executor.seen
    assert get_current_span(context) is current
    assert not get_current_span().is_recording()
    executor.close()
    assert [span.name for span in receiver.spans()] == ['awaits']


async def test_streams_are_recorded_as_one_call(make: Make, receiver: Receiver) -> None:
    executor = make(traces=True, metrics=True)
    for _ in call(executor, '/count', doc=TextDoc()):
        # what happens between two documents isn't part of the method
        assert not get_current_span().is_recording()
    ticks = call(executor, '/tick', doc=TextDoc())
    await anext(ticks)
    assert not get_current_span().is_recording()
    await ticks.aclose()
    assert executor.seen == [True] * 4
    executor.close()
    assert {(span.name, span.status.code) for span in receiver.spans()} == {('counts', 0), ('ticks', 0)}
    points = receiver.points()['jina_process_request_seconds']
    assert {(attributes(point)['executor_endpoint'], point.count) for point in points} == {('/count', 1), ('/tick', 1)}


def test_metrics_of_the_examples(make: Make, receiver: Receiver) -> None:
    executor = make(metrics=True)
    call(executor, '/encode', docs=TEXTS)
    call(executor, '/encode', docs=TEXTS)
    assert executor.named(1) == 2
    executor.close()
    points = receiver.points()
    assert set(points) == {
        'my_count',
        'jina_process_request_seconds',
        'jina_processing_seconds',
        'jina_helped_seconds',
        'jina_my_custom_metrics_seconds',
    }
    assert points['my_count'][0].as_int == 4
    own = {'executor': 'Worked', 'runtime_name': 'worked/rep-0'}
    for name in ('jina_process_request_seconds', 'jina_processing_seconds', 'jina_helped_seconds'):
        (point,) = points[name]
        assert point.count == 2
        assert attributes(point) == {**own, 'executor_endpoint': '/encode'}
    (point,) = points['jina_my_custom_metrics_seconds']
    assert attributes(point) == own  # called from outside of a request
    assert receiver.spans() == []


async def test_nothing_is_recorded_when_both_are_off(make: Make, receiver: Receiver) -> None:
    executor = make()
    assert (executor.tracer, executor.meter, executor.counter) == (None, None, None)
    call(executor, '/encode', docs=TEXTS)
    await call(executor, '/await', doc=TextDoc())
    assert executor.named(1) == 2
    assert executor.seen[0] is None
    found = executor.endpoints.lookup('/encode')
    assert found is not None
    assert found.function == executor.encode  # the method itself: nothing is put around it
    executor.close()
    assert receiver.spans() == []
    assert receiver.points() == {}


def test_the_other_facts_of_an_endpoint_stay(make: Make) -> None:
    plain, recorded = make().endpoints, make(traces=True).endpoints
    for endpoint in plain:
        other = recorded.lookup(endpoint.name)
        assert (other.schema, other.accepts, other.mode, other.is_async, other.is_generator, other.batching) == (
            endpoint.schema,
            endpoint.accepts and endpoint.accepts | {'tracing_context'},
            endpoint.mode,
            endpoint.is_async,
            endpoint.is_generator,
            endpoint.batching,
        )
        assert other.function.__qualname__ == endpoint.function.__qualname__


@pytest.mark.parametrize(('endpoint', 'name'), [('/plain', 'plain'), ('/plain-async', 'plain_async')])
async def test_the_span_of_a_method_that_wants_no_context_has_its_parent(
    make: Make, receiver: Receiver, endpoint: str, name: str
) -> None:
    executor = make(traces=True, metrics=True)
    assert executor.tracer is not None
    with executor.tracer.start_as_current_span('outer') as outer:
        context = set_span_in_context(outer)
    returned = call(executor, endpoint, docs=TEXTS, tracing_context=context)
    assert (await returned if asyncio.iscoroutine(returned) else returned) is TEXTS
    executor.close()
    spans = {span.name: span for span in receiver.spans()}
    assert spans[name].parent_span_id == spans['outer'].span_id
