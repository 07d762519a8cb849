"""The trace that a request belongs to, on its way through a process: as metadata from the last one, to the next one.

It is that of W3C Trace Context (https://www.w3.org/TR/trace-context/): the header ``traceparent`` names the trace and the
span that called, ``tracestate`` and ``baggage`` travel with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from jina.core.span_recording import PARENT_FORM, SPAN_KEY, CallerSpan, OpenSpan, SpanRecorder, is_recorded
from jina.core.trace_headers import PARENT, TRACE_KEYS
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = ['Place', 'Spans', 'Trace', 'context_of']

Trace: TypeAlias = 'Sequence[tuple[str, str]]'
"""Metadata; pairs that don't concern traces may be among them."""

_STATE: Final = 'tracestate'
_PROPAGATOR: Final = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


def context_of(trace: Trace) -> Context | None:
    """Returns the context for spans of this trace, None if there is no trace."""
    parent = None
    for key, value in trace:
        if key == PARENT:
            parent = value
        elif key in TRACE_KEYS:
            break
    else:
        if parent is None:
            return None
        if PARENT_FORM.fullmatch(parent) is not None:
            # what most requests have, in a small part of the time that the propagator takes
            return Context({SPAN_KEY: CallerSpan(parent)})
    return _PROPAGATOR.extract({key: value for key, value in trace if key in TRACE_KEYS})


class Place:
    """A place in the code where spans are begun, and what they have in common.

    Args:
        name: Their name.
        kind: Whether they serve or call.
        attributes: What they say about themselves.
        form: The same for a ``SpanRecorder``.
    """

    __slots__ = ('attributes', 'form', 'kind', 'name')

    def __init__(self, name: str, kind: SpanKind, attributes: Mapping[str, str], form: Any) -> None:
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.form = form


class Spans:
    """Begins the spans of a process.

    Args:
        tracer: What records them.
        follows_callers: No span of a trace is recorded that the caller doesn't record; then none is made.
    """

    def __init__(self, tracer: Tracer, *, follows_callers: bool = False) -> None:
        self._tracer = tracer
        self._recorder = tracer if isinstance(tracer, SpanRecorder) else None
        self._follows_callers = follows_callers

    def place(self, name: str, kind: SpanKind, attributes: Mapping[str, str] | None = None) -> Place:
        """Returns what ``begin`` takes."""
        given = attributes or {}
        return Place(name, kind, given, None if self._recorder is None else self._recorder.form(name, kind, given))

    def begin(self, place: Place, trace: Trace) -> tuple[OpenSpan | None, Trace]:
        """Starts a span inside of a trace, or one that begins a trace.

        Args:
            place: Where.
            trace: The trace, as metadata.

        Returns:
            The span, None if it isn't recorded; and the metadata for what is called inside of it, which has everything
            else of ``trace`` too.
        """
        parent = ''
        plain = True
        for key, value in trace:
            if key == PARENT:
                parent = value
            elif key == _STATE:
                plain = False
        if parent:
            if PARENT_FORM.fullmatch(parent) is None:
                plain = False
            elif self._follows_callers and not is_recorded(parent):
                return None, trace
        if self._recorder is None or not plain:
            return self._begin_by_sdk(place, trace)
        span, header = self._recorder.begin(place.form, parent)
        if len(trace) == (1 if parent else 0):
            return span, ((PARENT, header),)
        return span, (*(pair for pair in trace if pair[0] != PARENT), (PARENT, header))

    def _begin_by_sdk(self, place: Place, trace: Trace) -> tuple[OpenSpan | None, Trace]:
        # An empty context, not the current one: what runs on the event loop at this moment is another request.
        context: Any = context_of(trace) or Context()
        span = self._tracer.start_span(place.name, context=context, kind=place.kind, attributes=place.attributes)
        own = span.get_span_context()
        added = [(PARENT, f'00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}')]
        if own.trace_state:
            added.append((_STATE, own.trace_state.to_header()))
        replaced = {key for key, _ in added}
        others = [pair for pair in trace if pair[0] not in replaced]
        return (_SdkSpan(span) if span.is_recording() else None), (*others, *added)


class _SdkSpan:
    """A span of the SDK."""

    __slots__ = ('_span',)

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, failure: str = '') -> None:
        """Ends it."""
        if failure:
            self._span.set_status(Status(StatusCode.ERROR, failure))
        self._span.end()
