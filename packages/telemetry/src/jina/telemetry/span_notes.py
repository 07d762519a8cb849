"""Spans of requests as the bytes that are sent of them.

All spans of one form have nearly all of their bytes in common.
"""

from __future__ import annotations

import time
from binascii import unhexlify
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, Final

from jina.core.protobuf_bytes import field, field_head
from jina.core.span_recording import SpanNote
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind

__all__ = ['SpanForm', 'wall_clock_ns', 'wrapping', 'written']

_RESOURCE_SPANS: Final = 1
_SCOPE_SPANS: Final = 2
_SPANS: Final = 2
_STATUS: Final = 15
_MESSAGE: Final = 2
_CODE_ERROR: Final = b'\x18\x02'
"""Field 3 of a status: STATUS_CODE_ERROR."""
_TRACE_ID: Final = b'\x0a\x10'
_START: Final = b'\x39'
_END: Final = b'\x41'
_FLAGS: Final = Struct('<HI')
_FLAGS_TAG: Final = 0x0185
"""Fields 1, 7, 8 and 16 with the types of their values. Fields 2 and 4 stand in hexadecimal between the ids."""
_KNOWN_WHETHER_REMOTE: Final = 0x100
_REMOTE: Final = 0x200
_RECORDED_FLAGS: Final = (1, 3)
"""What the ``traceparent`` of a span that is recorded may have: that it is, and that the id of the trace is random."""
_ANY: Final = SpanContext(1, 1, is_remote=False)


def wall_clock_ns() -> int:
    """Returns what to add to a time of ``perf_counter`` for nanoseconds since 1970."""
    return time.time_ns() - time.perf_counter_ns()


class SpanForm:
    """What spans have in common that are made at one place.

    Args:
        name: Their name.
        kind: Whether they serve or call.
        attributes: Their attributes.

    Attributes:
        first: How those are written that begin a trace.
        child: How those are written that have a parent.
    """

    __slots__ = ('attributes', 'child', 'first', 'kind', 'name')

    def __init__(self, name: str, kind: SpanKind, attributes: Mapping[str, str]) -> None:
        self.name = name
        self.kind = kind
        self.attributes = dict(attributes)
        pattern = _pattern(name, resource=Resource.get_empty(), kind=kind, attributes=self.attributes)
        span = pattern.resource_spans[0].scope_spans[0].spans[0]
        common = type(span)(name=span.name, kind=span.kind, attributes=span.attributes).SerializeToString()
        self.first = _Layout(common, ids=26, remote=False)
        self.child = _Layout(common, ids=36, remote=kind is SpanKind.SERVER)


class _Layout:
    """How spans of one form are written that all have a parent, or none.

    Args:
        common: What they have in common, as fields of a span.
        ids: Size of their ids, with what stands between them.
        remote: Their parent is in another process.

    Attributes:
        head: What stands before the ids.
        common: What stands before the times.
        flags: What stands at the end, by the last character of the ``traceparent``.
        pack: Writes a span as a field of the message.
    """

    __slots__ = ('_start', 'common', 'flags', 'head', 'pack')

    def __init__(self, common: bytes, *, ids: int, remote: bool) -> None:
        self._start = field_head(_SPANS, len(_TRACE_ID) + ids + len(common) + 2 * 9 + _FLAGS.size)
        self.head = self._start + _TRACE_ID
        self.common = common + _START
        known = _KNOWN_WHETHER_REMOTE | (_REMOTE if remote else 0)
        self.flags = {str(flags): _FLAGS.pack(_FLAGS_TAG, flags | known) for flags in _RECORDED_FLAGS}
        self.pack = Struct(f'<{len(self.head)}s{ids}s{len(self.common)}sQ1sQ{_FLAGS.size}s').pack

    def failed(self, span: bytes, failure: str) -> bytes:
        """Returns a span that was written, with what went wrong."""
        status = field(_MESSAGE, failure.encode('utf-8', 'replace')) + _CODE_ERROR
        return field(_SPANS, span[len(self._start) :] + field(_STATUS, status))


def written(note: SpanNote, wall_clock: int) -> bytes:
    """Returns a span that is over as a field of the message.

    Args:
        note: The span; its form is a ``SpanForm``.
        wall_clock: From ``wall_clock_ns``.
    """
    form, header, parent, began, ended, failure = note
    if parent:
        layout = form.child
        ids = unhexlify(f'{header[3:35]}1208{header[36:52]}2208{parent[36:52]}')
    else:
        layout = form.first
        ids = unhexlify(f'{header[3:35]}1208{header[36:52]}')
    start, end = int(began * 1e9) + wall_clock, int(ended * 1e9) + wall_clock
    span: bytes = layout.pack(layout.head, ids, layout.common, start, _END, end, layout.flags[header[-1]])
    return layout.failed(span, failure) if failure else span


def wrapping(resource: Resource, scope: str) -> Callable[[bytes], bytes]:
    """Returns what makes a message of spans that were written: an ``ExportTraceServiceRequest``, serialised.

    Args:
        resource: The process that the spans are of.
        scope: Name of the tracer that they are attributed to.
    """
    (of_resource,) = _pattern('', resource=resource, instrumentation_scope=InstrumentationScope(scope)).resource_spans
    (of_scope,) = of_resource.scope_spans
    del of_scope.spans[:]
    before_spans = of_scope.SerializeToString()
    del of_resource.scope_spans[:]
    before_scope = of_resource.SerializeToString()

    def wrap(spans: bytes) -> bytes:
        return field(_RESOURCE_SPANS, before_scope + field(_SCOPE_SPANS, before_spans + spans))

    return wrap


def _pattern(name: str, **facts: Any) -> Any:
    """Returns what the SDK makes of a span."""
    return encode_spans([ReadableSpan(name, context=_ANY, **facts)])
