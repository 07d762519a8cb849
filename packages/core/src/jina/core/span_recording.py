"""How the spans of requests are recorded at little cost, and what stands for the span of a caller.

A tracer of OpenTelemetry's SDK takes longer to make a span than a small request takes as a whole. One that is a
``SpanRecorder`` too is told of a span when it is over, in a row of values that were at hand anyway, and leaves the rest to
the time when spans are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from opentelemetry import context as current
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

__all__ = ['RECORDED', 'SPAN_KEY', 'CallerSpan', 'SpanNote', 'SpanRecorder', 'context_switch']

SPAN_KEY: Final[str] = next(iter(set_span_in_context(INVALID_SPAN, Context())))
"""Where a context of OpenTelemetry keeps its span."""
RECORDED: Final = frozenset('13579bdf')
"""Last characters of those ``traceparent`` that say that the trace is recorded."""

SpanNote: TypeAlias = 'tuple[Any, str, str, float, float, str]'
"""A span that is over: what its recorder made of its form, its own ``traceparent`` and that of its parent (empty if it begins the
trace), when it began and when it ended in seconds of ``perf_counter``, and what went wrong (empty if nothing did)."""


class CallerSpan(NonRecordingSpan):
    """The span of a caller, kept as it was sent: hardly anybody looks into it.

    Args:
        header: Its ``traceparent``, in the form of ``trace_headers.PARENT_FORM``.
    """

    def __init__(self, header: str) -> None:
        self.header = header

    def get_span_context(self) -> SpanContext:
        """Its ids and flags."""
        trace, span, flags = (int(part, 16) for part in self.header.split('-')[1:])
        return SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags))

    def __repr__(self) -> str:
        return f'CallerSpan({self.header!r})'


@runtime_checkable
class SpanRecorder(Protocol):
    """A tracer that records the spans of requests at little cost. Its sampler follows the caller."""

    def form(self, name: str, kind: SpanKind, attributes: Mapping[str, str]) -> Any:
        """Returns what all spans of one kind have in common, for notes and for ``begin_inside``."""
        ...

    def header(self, parent: str) -> str:
        """Returns the ``traceparent`` of a new span. Its last character is one of ``RECORDED`` if the span is to be recorded.

        Args:
            parent: That of the caller, who records the trace, in the form of ``trace_headers.PARENT_FORM``; empty to begin a trace.
        """
        ...

    def keep(self, note: SpanNote) -> object:
        """Takes a span that is recorded and over."""
        ...

    def begin_inside(self, form: Any, context: Context | None) -> tuple[Span | None, Context | None]:
        """Starts a span inside of which code of users runs.

        Args:
            form: From ``form``.
            context: Has the span that it belongs to; None for that which is current.

        Returns:
            The span, None if it isn't recorded; and the context for what runs inside of it.
        """
        ...


def context_switch() -> tuple[Callable[[Context], Any], Callable[[Any], object]]:
    """Returns what makes a context the current one, and what takes it back: ``attach`` and ``detach`` of OpenTelemetry, or the
    two steps of the interpreter that they come to where nobody has replaced them."""
    runtime = getattr(current, '_RUNTIME_CONTEXT', None)
    variable = getattr(runtime, '_current_context', None)
    if type(runtime) is ContextVarsRuntimeContext and isinstance(variable, ContextVar):
        return variable.set, variable.reset
    return current.attach, current.detach
