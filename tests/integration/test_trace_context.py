"""Traces from the metadata of a caller to that of the next one, with a tracer of the SDK and with one that only notes."""

from __future__ import annotations

from typing import Any

import pytest
from jina.core.span_recording import SpanRecorder
from jina.runtime.trace_context import Spans, Trace, context_of
from jina.telemetry import Collector, set_up_telemetry
from opentelemetry import baggage
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanKind, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACE, SPAN = '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'
RECORDED, NOT_RECORDED = f'00-{TRACE}-{SPAN}-01', f'00-{TRACE}-{SPAN}-00'


@pytest.fixture(params=['sdk', 'recorder'])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def tracer_of(kind: str, monkeypatch: pytest.MonkeyPatch, *, records: bool) -> Tracer:
    if kind == 'sdk':
        sampler = ParentBased(ALWAYS_ON if records else ALWAYS_OFF)
        return TracerProvider(sampler=sampler, shutdown_on_exit=False).get_tracer('a')
    monkeypatch.setenv('OTEL_TRACES_SAMPLER', 'parentbased_always_on' if records else 'parentbased_always_off')
    tracer = set_up_telemetry('a', traces=Collector('127.0.0.1', 9)).tracer()  # nothing is ended, so nothing is sent
    assert isinstance(tracer, SpanRecorder)
    return tracer


class Begin:
    """Begins spans with either kind of tracer."""

    def __init__(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind = kind
        self.monkeypatch = monkeypatch

    def __call__(self, trace: Trace, *, records: bool = True, follows: bool = True) -> tuple[Any, Trace]:
        spans = Spans(tracer_of(self.kind, self.monkeypatch, records=records), follows_callers=follows)
        return spans.place('work', SpanKind.SERVER).begin(trace)


@pytest.fixture
def begin(kind: str, monkeypatch: pytest.MonkeyPatch) -> Begin:
    return Begin(kind, monkeypatch)


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


@pytest.mark.parametrize('more', [(), (('tracestate', 'a=1'),)])
def test_a_span_takes_its_place_in_the_trace(begin: Begin, more: Trace) -> None:
    span, sent = begin((('x', 'y'), ('traceparent', RECORDED), *more, ('baggage', 'user=7')))
    assert span is not None
    own = dict(sent)['traceparent']
    assert own.startswith(f'00-{TRACE}-') and own.endswith('-01') and SPAN not in own
    assert {**dict(sent), 'traceparent': ''} == {'x': 'y', 'traceparent': '', **dict(more), 'baggage': 'user=7'}
    context = context_of(sent)
    assert baggage.get_baggage('user', context) == '7'


def test_every_span_has_an_id_of_its_own(begin: Begin) -> None:
    parents = [dict(begin(trace)[1])['traceparent'] for trace in [(), (), (('traceparent', RECORDED),)] * 3]
    assert len(set(parents)) == len(parents)
    assert all(get_current_span(context_of([('traceparent', one)])).get_span_context().is_valid for one in parents)


def test_a_trace_that_the_caller_does_not_record_travels_as_it_is(begin: Begin) -> None:
    given = (('x', 'y'), ('traceparent', NOT_RECORDED))
    assert begin(given) == (None, given)
    span, sent = begin(given, follows=False)
    assert span is None  # the sampler says the same
    assert dict(sent)['traceparent'].startswith(f'00-{TRACE}-')


def test_a_trace_that_begins_here_and_is_not_recorded_is_told_to_the_others(begin: Begin) -> None:
    span, sent = begin((), records=False)
    assert span is None
    ((key, value),) = sent
    assert key == 'traceparent' and int(value[-2:], 16) & 1 == 0
    assert begin(sent) == (None, sent)


@pytest.mark.parametrize('parent', [f'00-{"0" * 32}-{SPAN}-00', f'00-{TRACE}-{"0" * 16}-00', 'nonsense'])
def test_nonsense_begins_a_trace(begin: Begin, parent: str) -> None:
    span, sent = begin([('traceparent', parent)])
    assert span is not None
    assert dict(sent)['traceparent'] != parent
