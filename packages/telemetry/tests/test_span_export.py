"""Notes as bytes, beside what the SDK's own encoder makes of the same spans."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
import pytest
from jina.core.span_recording import SpanNote
from jina.telemetry.span_export import SpanExporter
from jina.telemetry.span_notes import SpanForm, wall_clock_ns, written
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from .otlp_receiver import Receiver

RESOURCE: Final = Resource({'service.name': 'a/rep-0', 'number': 7})
SCOPE: Final = 'a/rep-0'
FORMS: Final = (
    SpanForm('/jina.JinaRPC/Call', SpanKind.SERVER, {}),
    SpanForm('process', SpanKind.CLIENT, {'deployment': 'ä' * 100, 'address': '1.2.3.4:5'}),
    SpanForm('m', SpanKind.INTERNAL, {str(number): 'x' * number for number in range(40)}),
    SpanForm('', SpanKind.SERVER, {'empty': ''}),
)


@pytest.fixture
def exporter() -> SpanExporter:
    return SpanExporter(RESOURCE, SCOPE, endpoint='127.0.0.1:9', insecure=True)


def all_written(notes: list[SpanNote], wall_clock: int = 0) -> list[Any]:
    return [written(one, wall_clock) for one in notes]


def sent(exporter: SpanExporter, spans: list[Any]) -> Any:
    return ExportTraceServiceRequest.FromString(exporter._translate_data(spans))


def header(rng: random.Random, trace: str, flags: str) -> str:
    return f'00-{trace}-{rng.getrandbits(64) | 1:016x}-{flags}'


def note(rng: random.Random, form: SpanForm) -> SpanNote:
    trace, flags = f'{rng.getrandbits(128) | 1:032x}', rng.choice(['01', '03'])
    parent = rng.choice(['', header(rng, trace, flags)])
    began = rng.uniform(0, 1e6)
    failure = rng.choice(['', '', 'it broke', 'ü' * 300])
    return form, header(rng, trace, flags), parent, began, began + rng.random(), failure


def as_sdk(note: SpanNote, wall_clock: int) -> ReadableSpan:
    """The same span as an object of the SDK."""
    form, own, parent, began, ended, failure = note
    _, trace, span, flags = own.split('-')
    context = SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=TraceFlags(int(flags, 16)))
    caller = None
    if parent:
        caller = SpanContext(int(trace, 16), int(parent[36:52], 16), is_remote=form.kind is SpanKind.SERVER)
    return ReadableSpan(
        form.name,
        context,
        caller,
        RESOURCE,
        form.attributes,
        kind=form.kind,
        instrumentation_scope=InstrumentationScope(SCOPE),
        status=Status(StatusCode.ERROR, failure) if failure else Status(),
        start_time=int(began * 1e9) + wall_clock,
        end_time=int(ended * 1e9) + wall_clock,
    )


def comparable(message: Any, notes: list[SpanNote]) -> Any:
    """A message of the SDK with the flags that newer versions write, those of the trace too, and without empty statuses."""
    for span, (_, own, *_) in zip(message.resource_spans[0].scope_spans[0].spans, notes, strict=True):
        span.flags = (span.flags & ~0xFF) | int(own[-2:], 16)
        if not span.status.ByteSize():
            span.ClearField('status')
    return message


def test_notes_are_what_the_sdk_would_have_sent(exporter: SpanExporter) -> None:
    wall_clock = wall_clock_ns()
    rng = random.Random(7)
    notes = [note(rng, rng.choice(FORMS)) for _ in range(400)]
    expected = encode_spans([as_sdk(one, wall_clock) for one in notes])
    assert sent(exporter, all_written(notes, wall_clock)) == comparable(expected, notes)


def test_spans_of_both_kinds_are_one_message(exporter: SpanExporter) -> None:
    rng = random.Random(8)
    notes = [note(rng, form) for form in FORMS]
    kept = all_written(notes)
    mixed = [kept[0], as_sdk(notes[1], 0), kept[2], as_sdk(notes[3], 0)]
    message = sent(exporter, mixed)
    names = [span.name for of in message.resource_spans for scope in of.scope_spans for span in scope.spans]
    assert sorted(names) == sorted(form.name for form in FORMS)


def test_text_that_is_no_unicode_does_not_stop_the_others(exporter: SpanExporter) -> None:
    rng = random.Random(9)
    form, own, parent, began, ended, _ = note(rng, FORMS[0])
    notes = [(form, own, parent, began, ended, 'lone \ud800'), note(rng, FORMS[0])]
    message = sent(exporter, all_written(notes))
    assert message.resource_spans[0].scope_spans[0].spans[0].status.message == 'lone ?'


def test_many_spans_of_any_length_are_several_messages(receiver: Receiver) -> None:
    rng = random.Random(10)
    short = all_written([(*note(rng, FORMS[0])[:5], '') for _ in range(1000)])
    failed = all_written([(*note(rng, FORMS[0])[:5], 'it broke' * 200) for _ in range(200)])
    whole = [as_sdk(note(rng, FORMS[1]), 0) for _ in range(500)]
    spans = [*short, *failed, *whole]
    rng.shuffle(spans)
    exporter = SpanExporter(RESOURCE, SCOPE, endpoint=f'127.0.0.1:{receiver.port}', insecure=True)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()
    sizes = [
        sum(len(scope.spans) for of in message.resource_spans for scope in of.scope_spans)
        for message in receiver.traces.queue
    ]
    assert sizes == [1000, 512, 188]


def test_a_collector_that_takes_no_traces() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port('127.0.0.1:0')
    server.start()
    rng = random.Random(11)
    exporter = SpanExporter(RESOURCE, SCOPE, endpoint=f'127.0.0.1:{port}', insecure=True)
    assert exporter.export(all_written([note(rng, FORMS[0])] * 600)) is SpanExportResult.FAILURE
    exporter.shutdown()
    server.stop(None)
