"""Spans that are notes until they are sent, as a real OTLP/gRPC receiver gets them, beside those of the SDK."""

from __future__ import annotations

import time
from time import perf_counter

import pytest
from jina.core.span_recording import RECORDED as RECORDED_ENDS
from jina.core.span_recording import SPAN_KEY, CallerSpan, SpanRecorder
from jina.telemetry import Telemetry, set_up_telemetry
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, get_current_span, use_span

from .otlp_receiver import Receiver, attributes

TRACE, SPAN = '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'
RECORDED = f'00-{TRACE}-{SPAN}-01'
SERVER, CLIENT, INTERNAL = 2, 3, 1


def recorder_of(telemetry: Telemetry) -> SpanRecorder:
    tracer = telemetry.tracer()
    assert isinstance(tracer, SpanRecorder)
    return tracer


def of(parent: str) -> Context:
    """The context below a caller."""
    return Context({SPAN_KEY: CallerSpan(parent)})


def test_all_of_a_span_arrives(receiver: Receiver) -> None:
    began = time.time_ns()
    with set_up_telemetry('a/rep-0', traces=receiver.collector) as telemetry:
        recorder = recorder_of(telemetry)
        server = recorder.form('serve', SpanKind.SERVER, {'jina.endpoint': '/ä'})
        client = recorder.form('call', SpanKind.CLIENT, {})
        header = recorder.header(RECORDED)
        outer = perf_counter()
        inner = perf_counter()
        recorder.keep((client, recorder.header(header), header, inner, perf_counter(), 'it broke: ü'))
        recorder.keep((server, header, RECORDED, outer, perf_counter(), ''))
    ended = time.time_ns()
    (batch,) = receiver.traces.get(timeout=10).resource_spans
    assert attributes(batch.resource)['service.name'] == 'a/rep-0'
    (scope,) = batch.scope_spans
    assert scope.scope.name == 'a/rep-0'
    first, second = scope.spans
    assert (first.name, first.kind, second.name, second.kind) == ('call', CLIENT, 'serve', SERVER)
    assert first.trace_id.hex() == second.trace_id.hex() == TRACE
    assert (second.parent_span_id.hex(), first.parent_span_id) == (SPAN, second.span_id)
    assert header == f'00-{TRACE}-{second.span_id.hex()}-01'
    assert (attributes(second), attributes(first)) == ({'jina.endpoint': '/ä'}, {})
    assert (first.status.code, first.status.message, second.status.code) == (2, 'it broke: ü', 0)
    assert (first.flags, second.flags) == (0x101, 0x301)
    times = [second.start_time_unix_nano, first.start_time_unix_nano]
    times += [first.end_time_unix_nano, second.end_time_unix_nano]
    assert times == sorted(times)
    assert began - 1e6 < times[0] and times[-1] < ended + 1e6


def test_spans_of_both_kinds_arrive_together(receiver: Receiver) -> None:
    with set_up_telemetry('a', traces=receiver.collector) as telemetry:
        recorder = recorder_of(telemetry)
        header, began = recorder.header(''), perf_counter()
        with telemetry.tracer().start_as_current_span('whole', context=of(header)):
            recorder.keep((recorder.form('noted', SpanKind.SERVER, {}), header, '', began, perf_counter(), ''))
    spans = {span.name: span for span in receiver.spans()}
    assert set(spans) == {'noted', 'whole'}
    assert spans['whole'].parent_span_id == spans['noted'].span_id
    assert spans['whole'].trace_id == spans['noted'].trace_id
    assert spans['noted'].parent_span_id == b''


def change(span: Span) -> None:
    """Everything that code may do with a span."""
    span.set_attribute('number', 7)
    span.set_attributes({'text': 'x'})
    span.add_event('happened', {'a': 'b'})
    span.add_link(get_current_span(of(RECORDED)).get_span_context())
    span.update_name('renamed')
    span.record_exception(ValueError('broken'))
    span.set_status(Status(StatusCode.ERROR, 'broken'))


@pytest.mark.parametrize('parent', ['', RECORDED])
def test_what_code_adds_to_the_span_of_its_method_arrives(receiver: Receiver, parent: str) -> None:
    with set_up_telemetry('a', traces=receiver.collector) as telemetry:
        recorder = recorder_of(telemetry)
        form = recorder.form('method', SpanKind.INTERNAL, {'executor': 'E'})
        span, context = recorder.begin_inside(form, of(parent) if parent else Context())
        assert span is not None and span.is_recording() and get_current_span(context) is span
        ids = span.get_span_context()
        with telemetry.tracer().start_as_current_span('inner', context=context, links=[Link(ids)]):
            change(span)
        assert span.is_recording() and span.get_span_context() == ids
        span.end()
        assert not span.is_recording()
        span.end()
    spans = {span.name: span for span in receiver.spans()}
    assert set(spans) == {'renamed', 'inner'}
    own = spans['renamed']
    assert (own.trace_id, own.span_id) == (ids.trace_id.to_bytes(16, 'big'), ids.span_id.to_bytes(8, 'big'))
    assert own.parent_span_id.hex() == (SPAN if parent else '')
    assert spans['inner'].parent_span_id == own.span_id
    assert {item.key for item in own.attributes} == {'executor', 'number', 'text'}
    assert [event.name for event in own.events] == ['happened', 'exception']
    assert (len(own.links), own.status.code, own.status.message, own.kind) == (1, 2, 'broken', INTERNAL)
    assert own.start_time_unix_nano <= spans['inner'].start_time_unix_nano + 1e6
    assert own.end_time_unix_nano >= spans['inner'].end_time_unix_nano


def test_a_span_that_is_over_changes_no_more(receiver: Receiver) -> None:
    with set_up_telemetry('a', traces=receiver.collector) as telemetry:
        recorder = recorder_of(telemetry)
        span, _ = recorder.begin_inside(recorder.form('method', SpanKind.INTERNAL, {}), Context())
        assert span is not None
        with pytest.raises(ValueError, match='seen'), use_span(span, end_on_exit=True):
            raise ValueError('seen')
        other, _ = recorder.begin_inside(recorder.form('other', SpanKind.INTERNAL, {}), Context())
        assert other is not None
        other.end(time.time_ns() + 5_000_000_000)
        plain, _ = recorder.begin_inside(recorder.form('plain', SpanKind.INTERNAL, {}), Context())
        assert plain is not None
        plain.end()
        change(plain)
    spans = {span.name: span for span in receiver.spans()}
    assert [event.name for event in spans['method'].events] == ['exception']
    assert spans['other'].end_time_unix_nano - spans['other'].start_time_unix_nano > 4e9
    assert (len(spans['plain'].events), spans['plain'].status.code) == (0, 0)


def test_the_sampler_decides_by_the_id_of_the_trace(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OTEL_TRACES_SAMPLER', 'parentbased_traceidratio')
    monkeypatch.setenv('OTEL_TRACES_SAMPLER_ARG', '0.25')
    with set_up_telemetry('a', traces=receiver.collector) as telemetry:
        recorder = recorder_of(telemetry)
        headers = [recorder.header('') for _ in range(4000)]
        for header in headers:
            _, trace, _, flags = header.split('-')
            lower = int(trace[16:], 16)
            assert (header[-1] in RECORDED_ENDS) == bool(int(flags, 16) & 1) == (lower < (1 << 62))
        assert 850 < sum(header[-1] in RECORDED_ENDS for header in headers) < 1150
        assert len(set(headers)) == 4000
        left_out = next(header for header in headers if header[-1] not in RECORDED_ENDS)
        inside, context = recorder.begin_inside(recorder.form('m', SpanKind.INTERNAL, {}), of(left_out))
        assert inside is None
        with telemetry.tracer().start_as_current_span('own', context=context) as own:
            assert not own.is_recording()
            assert f'{own.get_span_context().trace_id:032x}' in left_out


@pytest.mark.parametrize(
    ('variables', 'is_recorder'),
    [
        ({}, True),
        ({'OTEL_TRACES_SAMPLER': 'parentbased_always_off'}, True),
        ({'OTEL_TRACES_SAMPLER': 'parentbased_traceidratio', 'OTEL_TRACES_SAMPLER_ARG': '1e-05'}, True),
        ({'OTEL_TRACES_SAMPLER': 'always_on'}, False),
        ({'OTEL_TRACES_SAMPLER': 'traceidratio', 'OTEL_TRACES_SAMPLER_ARG': '0.5'}, False),
        ({'OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT': '3'}, False),
        ({'OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT': '9'}, False),
        ({'OTEL_SDK_DISABLED': 'true'}, False),
    ],
)
def test_what_only_the_sdk_can_decide_is_left_to_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], is_recorder: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with set_up_telemetry('a', traces=receiver.collector) as telemetry:
        assert isinstance(telemetry.tracer(), SpanRecorder) == is_recorder
