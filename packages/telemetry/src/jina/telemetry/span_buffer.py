"""Where spans wait until they are sent.

OpenTelemetry's own processor asks for the id of the process, takes a lock and looks at two queues for each span. Here a span
is put on a list. The SDK's variables for it count: how many wait at most, how many are sent at once, and how often.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import Any, Final

from jina.core.errors import ConfigError
from jina.core.span_recording import SpanNote
from jina.telemetry.span_notes import wall_clock_ns, written
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_SCHEDULE_DELAY,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

__all__ = ['SpanBuffer']

_LOGGER = logging.getLogger(__name__)
_MOST: Final = 16384
_AT_ONCE: Final = 1024
"""Both are higher than those of the SDK. What is noted of a request is short, and a thread that sends more at once disturbs
the others less often."""
_DELAY_MS: Final = 5000
_LAST_S: Final = 30.0


class SpanBuffer(SpanProcessor):
    """A thread that sends spans, a batch at a time; it starts at once.

    Args:
        exporter: Takes spans of the SDK, and the bytes of others.

    Raises:
        ConfigError: A variable of the SDK is no positive number.
    """

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self._most = _positive(OTEL_BSP_MAX_QUEUE_SIZE, _MOST)
        self._at_once = min(_positive(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, min(_AT_ONCE, self._most)), self._most)
        self._delay_s = _positive(OTEL_BSP_SCHEDULE_DELAY, _DELAY_MS) / 1000
        self._ended = False
        self._kept: list[Any] = []
        self._begin()
        if hasattr(os, 'register_at_fork'):
            begin = weakref.WeakMethod(self._begin_again)
            os.register_at_fork(after_in_child=lambda: None if (found := begin()) is None else found())

    def _begin(self) -> None:
        self._kept.clear()
        self._wall_clock = wall_clock_ns()
        self._notice_at = self._at_once
        self._lost = 0
        self._exporting = threading.Lock()
        self._awake = threading.Event()
        self._thread = threading.Thread(target=self._run, name='traces', daemon=True)
        self._thread.start()

    def _begin_again(self) -> None:
        """What waits in the process that forked is sent by that one."""
        if not self._ended:
            self._begin()

    def on_end(self, span: ReadableSpan) -> None:
        """Takes a span of the SDK that is over."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._keep(span)

    def keep(self, note: SpanNote) -> None:
        """Takes a span of a request that is over; its form is a ``SpanForm``.

        It is written at once: now all values are at hand, later the processor would have to fetch them once more.
        """
        kept = self._kept
        kept.append(written(note, self._wall_clock))
        if len(kept) >= self._notice_at:
            self._notice()

    def _keep(self, span: ReadableSpan) -> None:
        self._kept.append(span)  # one step of the interpreter: threads need no lock for it
        if len(self._kept) >= self._notice_at:
            self._notice()

    def _notice(self) -> None:
        """Wakes the thread, once for each batch; drops what is too much."""
        if self._ended or len(self._kept) > self._most:
            del self._kept[-1:]
            self._lost += 1
            return
        self._notice_at = self._most + 1
        self._awake.set()

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Sends what waits; returns False if the buffer is closed already."""
        if self._ended:
            return False
        self._export(everything=True)
        return True

    def shutdown(self) -> None:
        """Sends what waits and ends the thread."""
        if self._ended:
            return
        self._ended = True
        self._awake.set()
        self._thread.join(_LAST_S)
        self._exporter.shutdown()
        self._notice_at = 0  # from now on everything is dropped

    def _run(self) -> None:
        while not self._ended:
            early = self._awake.wait(self._delay_s)
            self._awake.clear()
            self._wall_clock = wall_clock_ns()  # somebody may have set the clock of the system
            self._export(everything=not early)
        self._export(everything=True)

    def _export(self, *, everything: bool) -> None:
        """Sends all whole batches, or really everything."""
        with self._exporting:
            token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
            try:
                while (number := min(len(self._kept), self._at_once)) and (everything or number == self._at_once):
                    batch = self._kept[:number]
                    del self._kept[:number]  # what others have put behind them stays
                    self._notice_at = self._at_once
                    self._send(batch)
            finally:
                detach(token)

    def _send(self, batch: list[Any]) -> None:
        lost, self._lost = self._lost, 0
        if lost:
            _LOGGER.warning('%d spans were dropped: more come than are sent', lost)
        try:
            self._exporter.export(batch)
        except Exception:
            _LOGGER.exception('%d spans were not exported', len(batch))


def _positive(variable: str, default: int) -> int:
    """Reads a variable of the SDK."""
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number <= 0:
        raise ConfigError(f'environment variable {variable} is {text!r}', hint='give a positive whole number')
    return number
