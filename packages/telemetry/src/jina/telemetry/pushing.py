"""Sends the metrics of a process to a collector at equal intervals."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

_LOGGER = logging.getLogger(__name__)


class MetricsPusher:
    """A thread that exports; it starts at once.

    OpenTelemetry's own periodic reader exports the instruments of its provider and nothing else.

    Args:
        exporter: Where metrics are sent.
        read: Gives the metrics.
        interval_s: Time between two exports in seconds.
    """

    def __init__(self, exporter: MetricExporter, read: Callable[[], MetricsData], *, interval_s: float) -> None:
        self._exporter = exporter
        self._read = read
        self._interval_s = interval_s
        self._ending = threading.Event()
        self._exporting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name='metrics', daemon=True)
        self._thread.start()

    def flush(self, timeout_s: float) -> bool:
        """Exports now; returns whether the collector took it."""
        with self._exporting:
            try:
                result = self._exporter.export(self._read(), timeout_millis=timeout_s * 1000)
            except Exception:
                _LOGGER.exception('the metrics were not exported')
                return False
            return result is MetricExportResult.SUCCESS

    def shutdown(self, timeout_s: float) -> None:
        """Exports for the last time and ends the thread."""
        if self._ending.is_set():
            return
        self._ending.set()
        self.flush(timeout_s)
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._ending.wait(self._interval_s):
            self.flush(self._interval_s + 10)
