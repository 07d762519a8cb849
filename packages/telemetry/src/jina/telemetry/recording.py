"""A tracer that keeps the spans of requests as a few values each until they are sent.

Everything that the spans of one kind have in common is encoded once. What user code adds to the span of its method, an
attribute or an event, makes it a span of the SDK, with the same ids.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Mapping
from random import getrandbits
from time import perf_counter
from types import SimpleNamespace
from typing import Any, Final

from jina.core.span_recording import SPAN_KEY, CallerSpan, is_recorded
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, Tracer

__all__ = ['ChosenIds', 'RecordingTracer', 'SpanForm', 'SpanRecord', 'sampled_below']

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


class SpanForm:
    """What spans have in common that are made at one place.

    Args:
        name: Their name.
        kind: Whether they serve or call.
        attributes: Their attributes.

    Attributes:
        encoded: All of this in a message of OTLP; empty before the first of them is sent.
    """

    __slots__ = ('attributes', 'encoded', 'kind', 'name')

    def __init__(self, name: str, kind: SpanKind, attributes: Mapping[str, str]) -> None:
        self.name = name
        self.kind = kind
        self.attributes = dict(attributes)
        self.encoded = b''


class SpanRecord:
    """A span, as little of it as can be: ids as they travel, and times of the clock that only runs forward.

    Args:
        tracer: Gets it when it is over.
        form: What it has in common with others.
        trace_id: The id of its trace, in hexadecimal.
        span_id: Its own.
        parent: That of its parent; empty if it begins the trace.
        flags: Its flags.
    """

    __slots__ = ('began', 'ended', 'failure', 'flags', 'form', 'parent', 'span_id', 'trace_id', 'tracer')
    context: Final = SimpleNamespace(trace_flags=SimpleNamespace(sampled=True))
    """What a span processor of the SDK asks for."""

    def __init__(
        self, tracer: RecordingTracer, form: SpanForm, trace_id: str, span_id: str, parent: str, flags: str
    ) -> None:
        self.tracer = tracer
        self.form = form
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent = parent
        self.flags = flags
        self.failure = ''
        self.ended = 0.0
        self.began = perf_counter()

    def end(self, failure: str = '') -> None:
        """Ends it.

        Args:
            failure: What went wrong; empty if nothing did.
        """
        self.ended = perf_counter()
        self.failure = failure
        self.tracer.keep(self)


class _MethodSpan(Span):
    """The span that the code of a method finds: a record, until somebody adds something to it.

    Args:
        record: What it begins as.
    """

    def __init__(self, record: SpanRecord) -> None:
        self._record = record
        self._full: Span | None = None

    @property
    def _sdk(self) -> Span:
        """The same as a span of the SDK, which takes over."""
        if self._full is None:
            record = self._record
            self._full = NonRecordingSpan(self.get_span_context()) if record.ended else record.tracer.complete(record)
        return self._full

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sdk, name)

    def get_span_context(self) -> SpanContext:
        """Its ids and flags."""
        record = self._record
        flags = TraceFlags(int(record.flags, 16))
        return SpanContext(int(record.trace_id, 16), int(record.span_id, 16), is_remote=False, trace_flags=flags)

    def is_recording(self) -> bool:
        """Whether it isn't over."""
        return not self._record.ended if self._full is None else self._full.is_recording()

    def end(self, end_time: int | None = None) -> None:
        """Ends it, now or at a time in nanoseconds."""
        if self._full is not None or end_time is not None:
            self._sdk.end(end_time)
        elif not self._record.ended:
            self._record.end()

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
        processor: Takes spans that are over.
        ids: Gives the ids of spans of the SDK.
        below: From ``sampled_below``.
    """

    def __init__(self, tracer: SdkTracer, processor: SpanProcessor, ids: ChosenIds, below: int) -> None:
        self._tracer = tracer
        self._ids = ids
        self._below = below
        self._upper = f'00-{getrandbits(64) or 1:016x}'
        self._unrecorded = f'-{getrandbits(64) or 1:016x}-02'
        self.keep: Any = processor.on_end
        """Takes a span that is over."""

    def start_span(self, *arguments: Any, **named: Any) -> Span:
        """Starts a span of the SDK; takes what its tracers take."""
        return self._tracer.start_span(*arguments, **named)

    def start_as_current_span(self, *arguments: Any, **named: Any) -> Any:
        """Starts a span of the SDK that is current inside of a ``with``; takes what its tracers take."""
        return self._tracer.start_as_current_span(*arguments, **named)

    def form(self, name: str, kind: SpanKind, attributes: Mapping[str, str]) -> SpanForm:
        """Returns what all spans of one kind have in common."""
        return SpanForm(name, kind, attributes)

    def begin(self, form: SpanForm, parent: str) -> tuple[SpanRecord | None, str]:
        """Starts a span that nobody can reach but who ends it.

        Args:
            form: From ``form``.
            parent: The ``traceparent`` of the caller; empty to begin a trace.

        Returns:
            The span, None if it isn't recorded; and the ``traceparent`` for what is called inside of it.
        """
        if parent:
            if not is_recorded(parent):
                return None, parent
            trace_id, caller, flags = parent[3:35], parent[36:52], '03' if parent[-1] in _RANDOM else '01'
        else:
            lower = getrandbits(64) or 1
            if lower >= self._below:
                # Nobody is ever shown this span: its own id needs not be another one each time.
                return None, f'{self._upper}{lower:016x}{self._unrecorded}'
            trace_id, caller, flags = f'{getrandbits(64):016x}{lower:016x}', '', '03'
        span_id = f'{getrandbits(64) or 1:016x}'
        return SpanRecord(self, form, trace_id, span_id, caller, flags), f'00-{trace_id}-{span_id}-{flags}'

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
        if type(outer) is CallerSpan:
            parent = outer.header
            if not is_recorded(parent):
                return None, given
        elif outer is None:
            parent = ''
        else:
            span = self._tracer.start_span(form.name, context=given, kind=form.kind, attributes=form.attributes)
            return span, Context({**given, SPAN_KEY: span})
        record, header = self.begin(form, parent)
        own = CallerSpan(header) if record is None else _MethodSpan(record)
        return (None if record is None else own), Context({**given, SPAN_KEY: own})

    def complete(self, record: SpanRecord) -> Span:
        """Returns a span of the SDK that stands for a record from now on."""
        caller = Context()
        if record.parent:
            caller = Context({SPAN_KEY: CallerSpan(f'00-{record.trace_id}-{record.parent}-{record.flags}')})
        self._ids.choose(int(record.trace_id, 16), int(record.span_id, 16))
        return self._tracer.start_span(
            record.form.name,
            context=caller,
            kind=record.form.kind,
            attributes=record.form.attributes,
            start_time=int(record.began * 1e9) + wall_clock_ns(),
        )


def wall_clock_ns() -> int:
    """Returns what to add to a time of ``perf_counter`` for nanoseconds since 1970."""
    return time.time_ns() - time.perf_counter_ns()
