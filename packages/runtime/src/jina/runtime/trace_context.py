"""The trace that a request belongs to, on its way through a process: as metadata from the last one, to the next one.

It is that of W3C Trace Context (https://www.w3.org/TR/trace-context/): the header ``traceparent`` names the trace and the
span that called, ``tracestate`` and ``baggage`` travel with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from jina.core.trace_headers import TRACE_KEYS
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

__all__ = ['Trace', 'begin_span', 'context_of', 'end_span']

Trace: TypeAlias = 'Sequence[tuple[str, str]]'
"""Metadata; pairs that don't concern traces may be among them."""

_PROPAGATOR: Final = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


def context_of(trace: Trace) -> Context | None:
    """Returns the context for spans of this trace, None if there is no trace."""
    carrier = {key: value for key, value in trace if key in TRACE_KEYS}
    return _PROPAGATOR.extract(carrier) if carrier else None


def begin_span(
    tracer: Tracer, name: str, kind: SpanKind, trace: Trace, attributes: dict[str, str] | None = None
) -> tuple[Span, Trace]:
    """Starts a span inside of a trace, or one that begins a trace.

    Args:
        tracer: What records it.
        name: Its name.
        kind: Whether it serves or calls.
        trace: The trace, as metadata.
        attributes: What it says about itself.

    Returns:
        The span, and the metadata for what is called inside of it; that has everything else of ``trace`` too.
    """
    # An empty context, not the current one: what runs on the event loop at this moment is another request.
    context: Any = context_of(trace) or {}
    span = tracer.start_span(name, context=context, kind=kind, attributes=attributes)
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span, context))
    return span, (*(pair for pair in trace if pair[0] not in TRACE_KEYS), *carrier.items())


def end_span(span: Span, failure: str = '') -> None:
    """Ends a span.

    Args:
        span: The span.
        failure: What went wrong; empty if nothing did.
    """
    if failure:
        span.set_status(Status(StatusCode.ERROR, failure))
    span.end()
