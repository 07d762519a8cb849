"""The trace that a request belongs to, on its way through a process: as metadata from the last one, to the next one.

It is that of W3C Trace Context (https://www.w3.org/TR/trace-context/): the header ``traceparent`` names the trace and the
span that called, ``tracestate`` and ``baggage`` travel with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from jina.core.trace_headers import TRACE_KEYS
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

__all__ = ['Spans', 'Trace', 'context_of', 'end_span']

Trace: TypeAlias = 'Sequence[tuple[str, str]]'
"""Metadata; pairs that don't concern traces may be among them."""

_PARENT: Final = 'traceparent'
_PROPAGATOR: Final = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
_PARENT_FORM: Final = re.compile(r'00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})')


def context_of(trace: Trace) -> Context | None:
    """Returns the context for spans of this trace, None if there is no trace."""
    carrier = {key: value for key, value in trace if key in TRACE_KEYS}
    if not carrier:
        return None
    if len(carrier) == 1 and (form := _PARENT_FORM.fullmatch(carrier.get(_PARENT, ''))) is not None:
        # what most requests have, in a third of the time that the propagator takes
        trace_id, span_id, flags = (int(part, 16) for part in form.groups())
        parent = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
        return set_span_in_context(NonRecordingSpan(parent), Context())
    return _PROPAGATOR.extract(carrier)


class Spans:
    """Begins the spans of a process.

    Args:
        tracer: What records them.
        follows_callers: No span of a trace is recorded that the caller doesn't record; then none is made.
    """

    def __init__(self, tracer: Tracer, *, follows_callers: bool = False) -> None:
        self._tracer = tracer
        self._follows_callers = follows_callers

    def begin(
        self, name: str, kind: SpanKind, trace: Trace, attributes: dict[str, str] | None = None
    ) -> tuple[Span | None, Trace]:
        """Starts a span inside of a trace, or one that begins a trace.

        Args:
            name: Its name.
            kind: Whether it serves or calls.
            trace: The trace, as metadata.
            attributes: What it says about itself.

        Returns:
            The span, None if it isn't recorded; and the metadata for what is called inside of it, which has everything
            else of ``trace`` too.
        """
        if self._follows_callers:
            for key, value in trace:
                form = _PARENT_FORM.fullmatch(value) if key == _PARENT else None
                if form is not None and not int(form[3], 16) & TraceFlags.SAMPLED:
                    return None, trace
        # An empty context, not the current one: what runs on the event loop at this moment is another request.
        context: Any = context_of(trace) or {}
        span = self._tracer.start_span(name, context=context, kind=kind, attributes=attributes)
        own = span.get_span_context()
        added = [(_PARENT, f'00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}')]
        if own.trace_state:
            added.append(('tracestate', own.trace_state.to_header()))
        replaced = {key for key, _ in added}
        others = [pair for pair in trace if pair[0] not in replaced]
        return (span if span.is_recording() else None), (*others, *added)


def end_span(span: Span, failure: str = '') -> None:
    """Ends a span.

    Args:
        span: The span.
        failure: What went wrong; empty if nothing did.
    """
    if failure:
        span.set_status(Status(StatusCode.ERROR, failure))
    span.end()
