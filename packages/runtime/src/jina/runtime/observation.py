"""What a process records about itself: made from its options, once, before anything is served."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jina.core.config import ExecutorOptions, GatewayOptions
from jina.core.environment import restarts
from jina.core.measures import Measures
from jina.core.telemetry import load_telemetry

if TYPE_CHECKING:
    from jina.runtime.trace_context import Spans
    from opentelemetry.trace import Tracer

__all__ = ['Observation', 'observe', 'watch_loop']

_LAG_INTERVAL_S: Final = 0.25
_YOUNG_OBJECTS: Final = 4000
"""What is noted of each request under way makes some more objects than there are else. By the interpreter's own measure a
few requests at once were enough for a search for garbage, in which nothing is ever found: that cost more than all notes."""


@dataclass(frozen=True)
class Observation:
    """Where a process puts what it records.

    Attributes:
        runtime_name: Name of the process.
        tracer: Records spans; None without tracing.
        spans: Begins those of requests; None without tracing.
        measures: Counts and times; None without metrics.
        telemetry: Sends or serves all of it.
    """

    runtime_name: str
    tracer: Tracer | None
    spans: Spans | None
    measures: Measures | None
    telemetry: Any

    @property
    def instruments(self) -> dict[str, Any]:
        """What an Executor finds in its ``runtime_args``."""
        meter = None if self.measures is None else self.telemetry.meter()
        return {
            'tracer': self.tracer,
            'traces_follow_callers': self.telemetry.follows_callers,
            'meter': meter,
            'measures': self.measures,
        }

    def close(self) -> None:
        """Sends what was recorded last."""
        self.telemetry.shutdown()


def observe(options: ExecutorOptions | GatewayOptions) -> Observation:
    """Sets up what the options ask for.

    Args:
        options: ``tracing``, ``metrics``, ``monitoring`` and what belongs to them are used.

    Raises:
        MissingExtraError: ``jina-telemetry`` isn't installed.
        PortInUseError: Another process listens on the port for Prometheus.
    """
    _search_less_for_garbage()
    name = options.runtime_name
    measures = Measures({'runtime_name': name}) if options.metrics or options.monitoring else None
    if measures is not None:
        started_again = measures.counter('jina_restarts', 'Starts of the process after it had ended by itself')
        started_again.add(restarts())  # the processes before this one can't tell any more
    telemetry = load_telemetry('process')(options, measures)
    if not options.tracing:
        return Observation(name, None, None, measures, telemetry)
    from jina.runtime.trace_context import Spans  # noqa: PLC0415 - OpenTelemetry, for those who record

    tracer = telemetry.tracer()
    return Observation(name, tracer, Spans(tracer, follows_callers=telemetry.follows_callers), measures, telemetry)


def _search_less_for_garbage() -> None:
    young, *older = gc.get_threshold()
    if young:  # not switched off
        gc.set_threshold(max(young, _YOUNG_OBJECTS), *older)


def watch_loop(measures: Measures) -> asyncio.Task[None]:
    """Records by how much the event loop is late, until the task is cancelled."""
    lag = measures.distribution('jina_event_loop_lag_seconds', 'How late the event loop runs what is due', unit='s')

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                due = loop.time() + _LAG_INTERVAL_S
                await asyncio.sleep(_LAG_INTERVAL_S)
                lag.record(max(0.0, loop.time() - due))

    return asyncio.get_running_loop().create_task(watch())
