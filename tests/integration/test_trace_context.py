"""Traces from the metadata of a caller to that of the next one."""

from __future__ import annotations

import pytest
from jina.runtime.trace_context import Spans, context_of
from opentelemetry import baggage
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanKind, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACE, SPAN = '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'
RECORDED, NOT_RECORDED = f'00-{TRACE}-{SPAN}-01', f'00-{TRACE}-{SPAN}-00'


def spans(*, records: bool = True, follows: bool = True) -> Spans:
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON if records else ALWAYS_OFF), shutdown_on_exit=False)
    return Spans(provider.get_tracer('a'), follows_callers=follows)


@pytest.mark.parametrize(
    'parent',
    [
        RECORDED,
        NOT_RECORDED,
        f'00-{TRACE}-{SPAN}-03',
        f'00-{"0" * 32}-{SPAN}-01',
        f'00-{TRACE}-{"0" * 16}-01',
        f'01-{TRACE}-{SPAN}-01',
        f'00-{TRACE}-{SPAN}-01-more',
        f'00-{TRACE.upper()}-{SPAN}-01',
        'ff',
        '',
    ],
)
def test_the_context_is_that_of_the_propagator(parent: str) -> None:
    expected = TraceContextTextMapPropagator().extract({'traceparent': parent})
    found = context_of([('other', 'x'), ('traceparent', parent)])
    assert found is not None
    assert get_current_span(found).get_span_context() == get_current_span(expected).get_span_context()


def test_no_trace() -> None:
    assert context_of([('other', 'x')]) is None


def test_a_span_takes_its_place_in_the_trace() -> None:
    given = (('x', 'y'), ('traceparent', RECORDED), ('tracestate', 'a=1'), ('baggage', 'user=7'))
    span, sent = spans().begin('work', SpanKind.SERVER, given)
    assert span is not None
    own = span.get_span_context()
    assert f'{own.trace_id:032x}' == TRACE and f'{own.span_id:016x}' != SPAN
    assert dict(sent) == {
        'x': 'y',
        'traceparent': f'00-{TRACE}-{own.span_id:016x}-01',
        'tracestate': 'a=1',
        'baggage': 'user=7',
    }
    context = context_of(sent)
    assert baggage.get_baggage('user', context) == '7'


def test_a_trace_that_the_caller_does_not_record_travels_as_it_is() -> None:
    given = (('x', 'y'), ('traceparent', NOT_RECORDED))
    assert spans().begin('work', SpanKind.SERVER, given) == (None, given)
    span, sent = spans(follows=False).begin('work', SpanKind.SERVER, given)
    assert span is None  # the sampler says the same
    assert dict(sent)['traceparent'].startswith(f'00-{TRACE}-')


def test_a_trace_that_begins_here_and_is_not_recorded_is_told_to_the_others() -> None:
    span, sent = spans(records=False).begin('work', SpanKind.SERVER, ())
    assert span is None
    ((key, value),) = sent
    assert key == 'traceparent' and int(value[-2:], 16) & 1 == 0
    assert spans().begin('next', SpanKind.CLIENT, sent) == (None, sent)


@pytest.mark.parametrize('parent', [f'00-{"0" * 32}-{SPAN}-00', f'00-{TRACE}-{"0" * 16}-00', 'nonsense'])
def test_nonsense_begins_a_trace(parent: str) -> None:
    span, sent = spans().begin('work', SpanKind.SERVER, [('traceparent', parent)])
    assert span is not None
    assert dict(sent)['traceparent'] != parent
