"""Metrics for Prometheus: an HTTP server that every path of answers with all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from jina.core.errors import PortInUseError
from opentelemetry.sdk.metrics.export import (
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    Sum,
)
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as PrometheusMetric
from prometheus_client.registry import Collector

_NOT_IN_NAMES = re.compile(r'[^a-zA-Z0-9_:]')


class PrometheusServer:
    """Serves the metrics of one process; it starts at once.

    Args:
        read: Gives the metrics.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        owner: Who serves, for messages.

    Attributes:
        port: The real port.

    Raises:
        PortInUseError: Another process listens there.
    """

    def __init__(self, read: Callable[[], MetricsData], *, host: str, port: int, owner: str) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Reader(read))
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise PortInUseError(port, f'{owner}, for Prometheus') from error
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stops to serve."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Reader(Collector):
    def __init__(self, read: Callable[[], MetricsData]) -> None:
        self._read = read

    def collect(self) -> Iterable[PrometheusMetric]:
        metrics = [
            metric
            for resource in self._read().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        return list(_families(metrics))


def _families(metrics: Sequence[Metric]) -> Iterator[PrometheusMetric]:
    for metric in metrics:
        name, help_text = _NOT_IN_NAMES.sub('_', metric.name), metric.description or metric.name
        points: Sequence[Any] = metric.data.data_points
        labels = sorted({_NOT_IN_NAMES.sub('_', key) for point in points for key in point.attributes or ()})
        family: Any
        if isinstance(metric.data, Histogram):
            family = HistogramMetricFamily(name, help_text, labels=labels)
        elif isinstance(metric.data, Sum) and metric.data.is_monotonic:
            family = CounterMetricFamily(name, help_text, labels=labels)
        else:
            family = GaugeMetricFamily(name, help_text, labels=labels)
        for point in points:
            _add(family, labels, point)
        yield family


def _add(family: Any, labels: Sequence[str], point: NumberDataPoint | HistogramDataPoint) -> None:
    given = {_NOT_IN_NAMES.sub('_', key): str(value) for key, value in (point.attributes or {}).items()}
    values = [given.get(label, '') for label in labels]
    if isinstance(point, HistogramDataPoint):
        bounds = [*(repr(float(bound)) for bound in point.explicit_bounds), '+Inf']
        family.add_metric(values, list(zip(bounds, accumulate(point.bucket_counts), strict=True)), sum_value=point.sum)
    else:
        family.add_metric(values, point.value)
