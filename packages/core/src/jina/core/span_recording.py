"""How the spans of requests are recorded at little cost, and what stands for the span of a caller.

A tracer of OpenTelemetry's SDK takes longer to make a span than a small request takes as a whole. One that is a
``SpanRecorder`` too notes no more than what differs from span to span, and leaves the rest to the time when spans are sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

__all__ = ['PARENT_FORM', 'SPAN_KEY', 'CallerSpan', 'OpenSpan', 'SpanRecorder', 'is_recorded']

PARENT_FORM: Final = re.compile(r'00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})')
"""The form of a ``traceparent``, as W3C Trace Context says."""
SPAN_KEY: Final[str] = next(iter(set_span_in_context(INVALID_SPAN, Context())))
"""Where a context of OpenTelemetry keeps its span."""
_RECORDED: Final = frozenset('13579bdf')


def is_recorded(parent: str) -> bool:
    """Whether a ``traceparent`` says that the trace is recorded.

    Args:
        parent: It, in the form of ``PARENT_FORM``.
    """
    return parent[-1] in _RECORDED


class CallerSpan(NonRecordingSpan):
    """The span of a caller, kept as it was sent: hardly anybody looks into it.

    Args:
        header: Its ``traceparent``, in the form of ``PARENT_FORM``.
    """

    def __init__(self, header: str) -> None:
        self.header = header

    def get_span_context(self) -> SpanContext:
        """Its ids and flags."""
        trace, span, flags = (int(part, 16) for part in self.header.split('-')[1:])
        return SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags))

    def __repr__(self) -> str:
        return f'CallerSpan({self.header!r})'


class OpenSpan(Protocol):
    """A span of a request, from its beginning to its end."""

    def end(self, failure: str = '') -> None:
        """Ends it.

        Args:
            failure: What went wrong; empty if nothing did.
        """
        ...


@runtime_checkable
class SpanRecorder(Protocol):
    """A tracer that records the spans of requests at little cost. Its sampler follows the caller."""

    def form(self, name: str, kind: SpanKind, attributes: Mapping[str, str]) -> Any:
        """Returns what ``begin`` takes: what all spans of one kind have in common."""
        ...

    def begin(self, form: Any, parent: str) -> tuple[OpenSpan | None, str]:
        """Starts a span that nobody can reach but who ends it.

        Args:
            form: From ``form``.
            parent: The ``traceparent`` of the caller, in the form of ``PARENT_FORM``; empty to begin a trace.

        Returns:
            The span, None if it isn't recorded; and the ``traceparent`` for what is called inside of it, which is that of
            the caller if he doesn't record the trace.
        """
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
