"""Sends spans over OTLP/gRPC: those of the SDK as its exporter does, and records of the same kind from a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from jina.core.protobuf_bytes import field
from jina.telemetry.recording import SpanForm, SpanRecord, wall_clock_ns
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind

__all__ = ['SpanExporter']

_RESOURCE_SPANS: Final = 1
_SCOPE_SPANS: Final = 2
_SPANS: Final = 2
_STATUS: Final = 15
_MESSAGE: Final = 2
_CODE_ERROR: Final = b'\x18\x02'
"""Field 3 of a status: STATUS_CODE_ERROR."""
_TIMES_AND_FLAGS: Final = Struct('<BQBQHI')
_START: Final = 0x39
_END: Final = 0x41
_FLAGS: Final = 0x0185
"""Field numbers 7, 8 and 16 with the types of their values."""
_KNOWN_WHETHER_REMOTE: Final = 0x100
_REMOTE: Final = 0x200
_ANY: Final = SpanContext(1, 1, is_remote=False)


class SpanExporter(OTLPSpanExporter):
    """The SDK's exporter, which takes records too.

    Args:
        resource: The process that the records are of.
        scope: Name of the tracer that they are attributed to.
        endpoint: Address of the collector; None for what the SDK's variables say.
        insecure: Don't use TLS; None for what the SDK's variables say.
    """

    def __init__(self, resource: Resource, scope: str, *, endpoint: str | None, insecure: bool | None) -> None:
        super().__init__(endpoint=endpoint, insecure=insecure)
        pattern = self._pattern('', resource=resource, instrumentation_scope=InstrumentationScope(scope))
        self._message: Any = type(pattern)
        (of_resource,) = pattern.resource_spans
        (of_scope,) = of_resource.scope_spans
        del of_scope.spans[:]
        self._scope: bytes = of_scope.SerializeToString()
        del of_resource.scope_spans[:]
        self._resource: bytes = of_resource.SerializeToString()

    def _translate_data(self, data: Sequence[Any]) -> Any:
        records = [span for span in data if type(span) is SpanRecord]
        if not records:
            return super()._translate_data(data)
        message = self._message.FromString(self._encode(records))
        if len(records) < len(data):
            message.MergeFrom(super()._translate_data([span for span in data if type(span) is not SpanRecord]))
        return message

    def _encode(self, records: Sequence[SpanRecord]) -> bytes:
        """Returns a serialised ``ExportTraceServiceRequest``."""
        wall_clock = wall_clock_ns()
        spans = b''.join(field(_SPANS, self._span(record, wall_clock)) for record in records)
        return field(_RESOURCE_SPANS, self._resource + field(_SCOPE_SPANS, self._scope + spans))

    def _span(self, record: SpanRecord, wall_clock: int) -> bytes:
        form = record.form
        flags = int(record.flags, 16) | _KNOWN_WHETHER_REMOTE
        ids = f'0a10{record.trace_id}1208{record.span_id}'  # fields 1 and 2 with their lengths
        if record.parent:
            ids = f'{ids}2208{record.parent}'  # field 4
            if form.kind is SpanKind.SERVER:
                flags |= _REMOTE
        times = _TIMES_AND_FLAGS.pack(
            *(_START, int(record.began * 1e9) + wall_clock),
            *(_END, int(record.ended * 1e9) + wall_clock),
            *(_FLAGS, flags),
        )
        encoded = bytes.fromhex(ids) + (form.encoded or self._encode_form(form)) + times
        if record.failure:
            message = record.failure.encode('utf-8', 'replace')
            encoded += field(_STATUS, field(_MESSAGE, message) + _CODE_ERROR)
        return encoded

    def _encode_form(self, form: SpanForm) -> bytes:
        pattern = self._pattern(form.name, kind=form.kind, attributes=form.attributes)
        span = pattern.resource_spans[0].scope_spans[0].spans[0]
        form.encoded = type(span)(name=span.name, kind=span.kind, attributes=span.attributes).SerializeToString()
        return form.encoded

    def _pattern(self, name: str, **facts: Any) -> Any:
        """Returns what the SDK makes of a span."""
        if 'resource' not in facts:
            facts['resource'] = Resource.get_empty()
        return super()._translate_data([ReadableSpan(name, context=_ANY, **facts)])
