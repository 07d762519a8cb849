"""The trace that a request belongs to, on its way through a process: as metadata from the last one, to the next one.

It is that of W3C Trace Context (https://www.w3.org/TR/trace-context/): the header ``traceparent`` names the trace and the
span that called, ``tracestate`` and ``baggage`` travel with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from jina.core.span_recording import RECORDED, SPAN_KEY, CallerSpan, SpanRecorder
from jina.core.trace_headers import CHECKED_PARENT, PARENT, PARENT_FORM, TRACE_KEYS
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = ['Place', 'Spans', 'Trace', 'context_of']

Trace: TypeAlias = 'Sequence[tuple[str, str]]'
"""Metadata; pairs that don't concern traces may be among them."""

_STATE: Final = 'tracestate'
_WITH_MORE: Final = (_STATE, 'baggage')
_PROPAGATOR: Final = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


def context_of(trace: Trace) -> Context | None:
    """Returns the context for spans of this trace, None if there is no trace."""
    parent = None
    checked = False
    for key, value in trace:
        if key == PARENT:
            parent, checked = value, key is CHECKED_PARENT
        elif key in _WITH_MORE:
            break
    else:
        if parent is None:
            return None
        if checked or PARENT_FORM.fullmatch(parent) is not None:
            # what most requests have, in a small part of the time that the propagator takes
            return Context({SPAN_KEY: CallerSpan(parent)})
    return _PROPAGATOR.extract({key: value for key, value in trace if key in TRACE_KEYS})


class Place(Protocol):
    """A place in the code where spans are begun."""

    def begin(self, trace: Trace) -> tuple[Any, Trace]:
        """Starts a span inside of a trace, or one that begins a trace.

        Args:
            trace: The trace, as metadata.

        Returns:
            What ``end`` takes, None if the span isn't recorded; and the metadata for what is called inside of it, which has
            everything else of ``trace`` too.
        """
        ...

    def end(self, span: Any, began: float, ended: float, failure: str = '') -> None:
        """Ends a span.

        Args:
            span: What ``begin`` gave.
            began: When it began, in seconds of ``perf_counter``.
            ended: When it ended.
            failure: What went wrong; empty if nothing did.
        """
        ...


class Spans:
    """Begins the spans of a process.

    Args:
        tracer: What records them.
        follows_callers: No span of a trace is recorded that the caller doesn't record; then none is made.
    """

    def __init__(self, tracer: Tracer, *, follows_callers: bool = False) -> None:
        self._tracer = tracer
        self._follows_callers = follows_callers

    def place(self, name: str, kind: SpanKind, attributes: Mapping[str, str] | None = None) -> Place:
        """Returns where spans are begun that have a name, a kind and attributes in common."""
        place = _SdkPlace(self._tracer, name, kind, attributes or {}, follows_callers=self._follows_callers)
        if isinstance(self._tracer, SpanRecorder):
            return _RecorderPlace(self._tracer, self._tracer.form(name, kind, attributes or {}), place)
        return place


class _SdkPlace:
    """Makes spans of the SDK."""

    def __init__(
        self, tracer: Tracer, name: str, kind: SpanKind, attributes: Mapping[str, str], *, follows_callers: bool
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._attributes = attributes
        self._follows_callers = follows_callers

    def begin(self, trace: Trace) -> tuple[Any, Trace]:
        """Starts a span, see ``Place``."""
        if self._follows_callers:
            parent = ''
            for key, value in trace:
                if key == PARENT:
                    parent = value
            if parent and parent[-1] not in RECORDED and PARENT_FORM.fullmatch(parent) is not None:
                return None, trace
        # An empty context, not the current one: what runs on the event loop at this moment is another request.
        context: Any = context_of(trace) or Context()
        span = self._tracer.start_span(self._name, context=context, kind=self._kind, attributes=self._attributes)
        own = span.get_span_context()
        added = [(CHECKED_PARENT, f'00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}')]
        if own.trace_state:
            added.append((_STATE, own.trace_state.to_header()))
        replaced = {key for key, _ in added}
        others = [pair for pair in trace if pair[0] not in replaced]
        return (span if span.is_recording() else None), (*others, *added)

    def end(self, span: Any, began: float, ended: float, failure: str = '') -> None:
        """Ends a span, see ``Place``."""
        if failure:
            span.set_status(Status(StatusCode.ERROR, failure))
        span.end()


class _RecorderPlace:
    """Notes spans as a pair of texts: the ``traceparent`` of the span and that of its parent."""

    def __init__(self, recorder: SpanRecorder, form: Any, sdk: _SdkPlace) -> None:
        self._form = form
        self._header = recorder.header
        self._keep = recorder.keep
        self._sdk = sdk

    def begin(self, trace: Trace) -> tuple[Any, Trace]:
        """Starts a span, see ``Place``."""
        parent, checked = '', False
        for key, value in trace:
            if key == PARENT:
                parent, checked = value, key is CHECKED_PARENT
            elif key == _STATE:
                return self._sdk.begin(trace)
        if not parent:
            header = self._header('')
            sent = (*trace, (CHECKED_PARENT, header))
            return ((header, '') if header[-1] in RECORDED else None), sent
        if not checked and PARENT_FORM.fullmatch(parent) is None:
            return self._sdk.begin(trace)
        if parent[-1] not in RECORDED:
            return None, trace
        header = self._header(parent)
        if len(trace) == 1:
            return (header, parent), ((CHECKED_PARENT, header),)
        return (header, parent), (*[pair for pair in trace if pair[0] != PARENT], (CHECKED_PARENT, header))

    def end(self, span: Any, began: float, ended: float, failure: str = '') -> None:
        """Ends a span, see ``Place``."""
        if type(span) is tuple:
            header, parent = span
            self._keep((self._form, header, parent, began, ended, failure))
        else:
            self._sdk.end(span, began, ended, failure)
