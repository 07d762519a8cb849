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
    """

    __slots__ = ('_common', '_flags', '_head', '_pack', '_start')

    def __init__(self, common: bytes, *, with_parent: bool, remote: bool) -> None:
        parent = len(_PARENT_ID) + 8 if with_parent else 0
        size = len(_TRACE_ID) + 16 + len(_SPAN_ID) + 8 + parent + len(common) + 2 * 9 + len(_FLAGS) + 4
        self._start = field_head(_SPANS, size)
        self._head = self._start + _TRACE_ID
        self._common = common + _START
        self._flags = _KNOWN_WHETHER_REMOTE | (_REMOTE if remote else 0)
        ids = f'{len(self._head)}s16s2s8s' + ('2s8s' if with_parent else '0s0s')
        self._pack = Struct(f'<{ids}{len(self._common)}sQ1sQ2sI').pack

    def write(self, trace: bytes, span: bytes, flags: int, parent: bytes, began: int, ended: int) -> bytes:
        """Returns a note as a field of the message."""
        return self._pack(
            *(self._head, trace, _SPAN_ID, span, _PARENT_ID, parent, self._common),
            *(began, _END, ended, _FLAGS, flags | self._flags),
        )

    def without_head(self, written: bytes) -> bytes:
        """Returns what follows the length of the field, so that more fields can be added."""
        return written[len(self._start) :]


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

    def _translate_data(self, data: Sequence[Any]) -> Any:
        notes = [span for span in data if type(span) is tuple]
        if not notes:
            return super()._translate_data(data)
        message = self._message.FromString(self._encode(notes))
        if len(notes) < len(data):
            message.MergeFrom(super()._translate_data([span for span in data if type(span) is not tuple]))
        return message

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
            written = layout.write(
                trace, span, flags, caller, int(began * 1e9) + wall_clock, int(ended * 1e9) + wall_clock
            )
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
