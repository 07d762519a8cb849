"""A tracer that is told of the spans of requests when they are over, and makes no objects of them.

What user code adds to the span of its method, an attribute or an event, makes it a span of the SDK, with the same ids.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from random import getrandbits
from time import perf_counter
from typing import Any, Final

from jina.core.span_recording import RECORDED, SPAN_KEY, CallerSpan, SpanNote
from jina.telemetry.span_notes import SpanForm, wall_clock_ns
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, Tracer

__all__ = ['ChosenIds', 'RecordingTracer', 'sampled_below']

_FOLLOWS_CALLERS: Final = re.compile(
    r'ParentBased\{root:(?:(AlwaysOnSampler)|AlwaysOffSampler|TraceIdRatioBased\{([0-9.e-]+)\}),'
    r'remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,'
    r'localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler\}'
)
_LEFT_TO_THE_SDK: Final = re.compile(r'OTEL_\w*(LIMIT|CONFIGURATOR)')
"""Variables that change what a span holds."""
_ALL: Final = 1 << 64
_RANDOM: Final = frozenset('2367abef')
"""Last digits of flags that say that the id of the trace is random."""


def sampled_below(provider: TracerProvider) -> int | None:
    """Returns below which number the lower half of the id of a new trace has to be, for the trace to be recorded.

    Args:
        provider: Has the sampler.

    Returns:
        None if it isn't as simple as that, or spans have limits: then the SDK has to decide and to record.
    """
    if any(_LEFT_TO_THE_SDK.fullmatch(name) for name in os.environ):
        return None
    found = _FOLLOWS_CALLERS.fullmatch(provider.sampler.get_description())  # type: ignore[no-untyped-call, unused-ignore]
    if found is None:
        return None
    always, rate = found.groups()
    return _ALL if always else TraceIdRatioBased.get_bound_for_rate(float(rate)) if rate else 0


class ChosenIds(RandomIdGenerator):
    """Ids of the SDK's spans: random ones, unless this thread has chosen those of the next one."""

    def __init__(self) -> None:
        self._chosen = threading.local()

    def choose(self, trace_id: int, span_id: int) -> None:
        """Chooses the ids of the next span that this thread makes; that of the trace counts if it begins one."""
        self._chosen.trace_id, self._chosen.span_id = trace_id, span_id

    def generate_trace_id(self) -> int:
        """Returns the id of a new trace."""
        return int(self._chosen.__dict__.get('trace_id') or super().generate_trace_id())

    def generate_span_id(self) -> int:
        """Returns the id of a new span."""
        self._chosen.__dict__.pop('trace_id', None)
        return int(self._chosen.__dict__.pop('span_id', None) or super().generate_span_id())


class _MethodSpan(Span):
    """The span that the code of a method finds: a note when it is over, unless somebody adds something to it.

    Args:
        tracer: Gets the note.
        form: What it has in common with others.
        header: Its ``traceparent``.
        parent: That of its parent; empty if it begins the trace.
    """

    def __init__(self, tracer: RecordingTracer, form: SpanForm, header: str, parent: str) -> None:
        self._tracer = tracer
        self._form = form
        self._header = header
        self._parent = parent
        self._ended = False
        self._full: Span | None = None
        self._began = perf_counter()

    @property
    def _sdk(self) -> Span:
        """The same as a span of the SDK, which takes over."""
        if self._full is None:
            if self._ended:
                self._full = NonRecordingSpan(self.get_span_context())
            else:
                self._full = self._tracer.complete(self._form, self._header, self._parent, self._began)
        return self._full

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sdk, name)

    def get_span_context(self) -> SpanContext:
        """Its ids and flags."""
        trace, span, flags = (int(part, 16) for part in self._header.split('-')[1:])
        return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(flags))

    def is_recording(self) -> bool:
        """Whether it isn't over."""
        return not self._ended if self._full is None else self._full.is_recording()

    def end(self, end_time: int | None = None) -> None:
        """Ends it, now or at a time in nanoseconds."""
        if self._full is not None or end_time is not None:
            self._sdk.end(end_time)
        elif not self._ended:
            self._ended = True
            self._tracer.keep((self._form, self._header, self._parent, self._began, perf_counter(), ''))

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Sets several attributes."""
        self._sdk.set_attributes(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        """Sets an attribute."""
        self._sdk.set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Adds an event."""
        self._sdk.add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """Adds a link to another span."""
        self._sdk.add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """Changes its name."""
        self._sdk.update_name(name)

    def set_status(self, status: Any, description: str | None = None) -> None:
        """Sets its status."""
        self._sdk.set_status(status, description)

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        """Adds an exception as an event."""
        self._sdk.record_exception(exception, attributes, timestamp, escaped)


class RecordingTracer(Tracer):
    """A tracer whose users get spans of the SDK, and that records the spans of requests itself.

    Args:
        tracer: Makes spans of the SDK.
        keep: Takes spans that are over.
        ids: Gives the ids of spans of the SDK.
        below: From ``sampled_below``.

    Attributes:
        keep: As it was given.
    """

    def __init__(self, tracer: SdkTracer, keep: Callable[[SpanNote], object], ids: ChosenIds, below: int) -> None:
        self._tracer = tracer
        self._ids = ids
        self._below = below
        self._upper = f'00-{getrandbits(64) or 1:016x}'
        self._unrecorded = f'-{getrandbits(64) or 1:016x}-02'
        self.keep = keep

    def start_span(self, *arguments: Any, **named: Any) -> Span:
        """Starts a span of the SDK; takes what its tracers take."""
        return self._tracer.start_span(*arguments, **named)

    def start_as_current_span(self, *arguments: Any, **named: Any) -> Any:
        """Starts a span of the SDK that is current inside of a ``with``; takes what its tracers take."""
        return self._tracer.start_as_current_span(*arguments, **named)

    def form(self, name: str, kind: SpanKind, attributes: Mapping[str, str]) -> SpanForm:
        """Returns what all spans of one kind have in common."""
        return SpanForm(name, kind, attributes)

    def header(self, parent: str) -> str:
        """Returns the ``traceparent`` of a new span. Its last character is one of ``RECORDED`` if the span is to be recorded.

        Args:
            parent: That of the caller, who records the trace; empty to begin a trace.
        """
        if parent:
            flags = '03' if parent[-1] in _RANDOM else '01'
            return f'{parent[:36]}{getrandbits(64) or 1:016x}-{flags}'
        lower = getrandbits(64) or 1
        if lower >= self._below:
            # Nobody is ever shown this span: its own id needs not be another one each time.
            return f'{self._upper}{lower:016x}{self._unrecorded}'
        return f'00-{getrandbits(64):016x}{lower:016x}-{getrandbits(64) or 1:016x}-03'

    def begin_inside(self, form: SpanForm, context: Context | None) -> tuple[Span | None, Context | None]:
        """Starts a span inside of which code of users runs.

        Args:
            form: From ``form``.
            context: Has the span that it belongs to; None for that which is current.

        Returns:
            The span, None if it isn't recorded; and the context for what runs inside of it.
        """
        given = get_current() if context is None else context
        outer = given.get(SPAN_KEY)
        own: CallerSpan | _MethodSpan
        if type(outer) is CallerSpan:
            parent = outer.header
            if parent[-1] not in RECORDED:
                return None, given
            span = _MethodSpan(self, form, self.header(parent), parent)
            return span, Context({SPAN_KEY: span} if len(given) == 1 else {**given, SPAN_KEY: span})
        if outer is not None:
            full = self._tracer.start_span(form.name, context=given, kind=form.kind, attributes=form.attributes)
            return full, Context({**given, SPAN_KEY: full})
        header = self.header('')
        own = _MethodSpan(self, form, header, '') if header[-1] in RECORDED else CallerSpan(header)
        return (own if type(own) is _MethodSpan else None), Context({**given, SPAN_KEY: own})

    def complete(self, form: SpanForm, header: str, parent: str, began: float) -> Span:
        """Returns a span of the SDK that stands from now on for one that would have become a note.

        Args:
            form: What it has in common with others.
            header: Its ``traceparent``.
            parent: That of its parent; empty if it begins the trace.
            began: When it began, in seconds of ``perf_counter``.
        """
        caller = Context({SPAN_KEY: CallerSpan(parent)}) if parent else Context()
        self._ids.choose(int(header[3:35], 16), int(header[36:52], 16))
        return self._tracer.start_span(
            form.name,
            context=caller,
            kind=form.kind,
            attributes=form.attributes,
            start_time=int(began * 1e9) + wall_clock_ns(),
        )
