"""Sends spans over OTLP/gRPC: those of the SDK as its exporter does, and notes of the same kind from a pattern."""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from jina.core.protobuf_bytes import field, field_head
from jina.core.span_recording import SpanNote
from jina.telemetry.recording import SpanForm, wall_clock_ns
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind

__all__ = ['SpanExporter']

_EXPORT: Final = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
_AT_ONCE: Final = 512
"""Spans of any length in one message; the SDK's default."""
_RESOURCE_SPANS: Final = 1
_SCOPE_SPANS: Final = 2
_SPANS: Final = 2
_STATUS: Final = 15
_MESSAGE: Final = 2
_CODE_ERROR: Final = b'\x18\x02'
"""Field 3 of a status: STATUS_CODE_ERROR."""
_TRACE_ID: Final = b'\x0a\x10'
_SPAN_ID: Final = b'\x12\x08'
_PARENT_ID: Final = b'\x22\x08'
"""Fields 1, 2 and 4 with their lengths."""
_START: Final = b'\x39'
_END: Final = b'\x41'
_FLAGS: Final = b'\x85\x01'
"""Fields 7, 8 and 16 with the types of their values."""
_KNOWN_WHETHER_REMOTE: Final = 0x100
_REMOTE: Final = 0x200
_HEADER: Final = Struct('x16s8sB')
"""A ``traceparent`` as bytes: ids and flags."""
_NO_PARENT: Final = f'{0:052x}'
_ANY: Final = SpanContext(1, 1, is_remote=False)


class _Layout:
    """How notes of one form are written that all have a parent, or none: only few of their bytes differ.

    Args:
        common: What they have in common, as fields of a span.
        with_parent: They have a parent.
        remote: It is in another process.

    Attributes:
        head: What stands before the id of the trace.
        common: What stands before the times.
        flags: Those of the span; more come from its trace.
        pack: Writes a note as a field of the message.
    """

    __slots__ = ('_start', 'common', 'flags', 'head', 'pack')

    def __init__(self, common: bytes, *, with_parent: bool, remote: bool) -> None:
        parent = len(_PARENT_ID) + 8 if with_parent else 0
        size = len(_TRACE_ID) + 16 + len(_SPAN_ID) + 8 + parent + len(common) + 2 * 9 + len(_FLAGS) + 4
        self._start = field_head(_SPANS, size)
        self.head = self._start + _TRACE_ID
        self.common = common + _START
        self.flags = _KNOWN_WHETHER_REMOTE | (_REMOTE if remote else 0)
        ids = f'{len(self.head)}s16s2s8s' + ('2s8s' if with_parent else '0s0s')
        self.pack = Struct(f'<{ids}{len(self.common)}sQ1sQ2sI').pack

    def without_head(self, written: bytes) -> bytes:
        """Returns what follows the length of the field, so that more fields can be added."""
        return written[len(self._start) :]


class _Stub:
    """Calls a collector with bytes.

    Args:
        channel: The way to it.
    """

    def __init__(
        self, channel: Any
    ) -> None:  # gRPC's stubs insist on serializers, and without them bytes pass as they are
        self.Export = channel.unary_unary(_EXPORT)


class SpanExporter(OTLPSpanExporter):
    """The SDK's exporter, which takes notes too.

    Args:
        resource: The process that the notes are of.
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

    @property
    def _stub(self) -> Any:
        """What the SDK's exporter calls the collector with."""
        return _Stub

    @_stub.setter
    def _stub(self, given: Any) -> None:
        """The SDK's own takes messages, not bytes."""

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Sends spans of the SDK and notes."""
        if len(spans) <= _AT_ONCE:
            return super().export(spans)
        # Notes are short. Other spans, and what is said of failures, have any length, and collectors limit that of a message.
        short = [span for span in spans if type(span) is tuple and not span[-1]]
        others = [span for span in spans if type(span) is not tuple or span[-1]]
        parts = [short, *(others[start : start + _AT_ONCE] for start in range(0, len(others), _AT_ONCE))]
        results = [super(SpanExporter, self).export(part) for part in parts if part]
        return SpanExportResult.FAILURE if SpanExportResult.FAILURE in results else SpanExportResult.SUCCESS

    def _translate_data(self, data: Sequence[Any]) -> Any:
        notes = [span for span in data if type(span) is tuple]
        encoded = self._encode(notes) if notes else b''
        if len(notes) < len(data):  # two messages one after the other are one that has what is in both
            others = super()._translate_data([span for span in data if type(span) is not tuple])
            encoded += others.SerializeToString()
        return encoded if isinstance(self._client, _Stub) else self._message.FromString(encoded)

    def _encode(self, notes: Sequence[SpanNote]) -> bytes:
        """Returns a serialised ``ExportTraceServiceRequest``."""
        wall_clock = wall_clock_ns()
        # one step for all ids, which stand at the same places
        own = unhexlify(''.join([note[1] for note in notes]).replace('-', ''))
        parents = unhexlify(''.join([note[2] or _NO_PARENT for note in notes]).replace('-', ''))
        spans = []
        for (form, _, parent, began, ended, failure), (trace, span, flags), (_, caller, _) in zip(
            notes, _HEADER.iter_unpack(own), _HEADER.iter_unpack(parents), strict=True
        ):
            layouts = form.layouts or self._lay_out(form)
            layout = layouts[1 if parent else 0]
            start, end = int(began * 1e9) + wall_clock, int(ended * 1e9) + wall_clock
            # fmt: off
            written = layout.pack(
                layout.head, trace, _SPAN_ID, span, _PARENT_ID, caller, layout.common,
                start, _END, end, _FLAGS, flags | layout.flags,
            )
            # fmt: on
            if failure:
                status = field(_MESSAGE, failure.encode('utf-8', 'replace')) + _CODE_ERROR
                written = field(_SPANS, layout.without_head(written) + field(_STATUS, status))
            spans.append(written)
        return field(_RESOURCE_SPANS, self._resource + field(_SCOPE_SPANS, self._scope + b''.join(spans)))

    def _lay_out(self, form: SpanForm) -> tuple[_Layout, _Layout]:
        """Returns how notes of a form without and with a parent are written."""
        pattern = self._pattern(form.name, kind=form.kind, attributes=form.attributes)
        span = pattern.resource_spans[0].scope_spans[0].spans[0]
        common = type(span)(name=span.name, kind=span.kind, attributes=span.attributes).SerializeToString()
        first = _Layout(common, with_parent=False, remote=False)
        form.layouts = layouts = first, _Layout(common, with_parent=True, remote=form.kind is SpanKind.SERVER)
        return layouts

    def _pattern(self, name: str, **facts: Any) -> Any:
        """Returns what the SDK makes of a span."""
        if 'resource' not in facts:
            facts['resource'] = Resource.get_empty()
        return super()._translate_data([ReadableSpan(name, context=_ANY, **facts)])
