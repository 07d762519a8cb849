"""The measures of a process in the form that OpenTelemetry's exporters take."""

from __future__ import annotations

import time
from collections.abc import Sequence

from jina.core.measures import Counter, Distribution, Family, Gauge, Measures, Series
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Gauge as GaugeData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

_CUMULATIVE = AggregationTemporality.CUMULATIVE


class MeasuredMetrics:
    """Reads measures.

    Args:
        measures: What was recorded.
        resource: The process.
        scope: Name of the meter that the metrics are attributed to.
    """

    def __init__(self, measures: Measures, resource: Resource, scope: str) -> None:
        self._measures = measures
        self._resource = resource
        self._scope = InstrumentationScope(scope)
        self._began = time.time_ns()

    def read(self) -> list[Metric]:
        """Returns what was recorded so far; metrics without any series are left out."""
        now = time.time_ns()
        return [self._metric(family, now) for family in self._measures if family.series]

    def joined(self, others: MetricsData | None) -> MetricsData:
        """Returns the measures together with the metrics of OpenTelemetry's own instruments.

        Args:
            others: What the provider's reader gave, if anything was recorded there.
        """
        own = ResourceMetrics(self._resource, [ScopeMetrics(self._scope, self.read(), '')], '')
        return MetricsData([own, *(others.resource_metrics if others is not None else ())])

    def _metric(self, family: Family, now: int) -> Metric:
        series = list(family.series.items())
        points = [self._point(dict(attributes), one, now) for attributes, one in series]
        return Metric(family.name, family.description, family.unit, _data(series[0][1], points))

    def _point(self, attributes: dict[str, str], series: Series, now: int) -> NumberDataPoint | HistogramDataPoint:
        if not isinstance(series, Distribution):
            return NumberDataPoint(attributes, self._began, now, series.value)
        counts, total, lowest, highest = series.read()
        return HistogramDataPoint(
            attributes=attributes,
            start_time_unix_nano=self._began,
            time_unix_nano=now,
            count=sum(counts),
            sum=total,
            bucket_counts=counts,
            explicit_bounds=series.bounds,
            min=lowest,
            max=highest,
        )


def _data(series: Series, points: Sequence[NumberDataPoint | HistogramDataPoint]) -> Sum | GaugeData | Histogram:
    numbers = [point for point in points if isinstance(point, NumberDataPoint)]
    if isinstance(series, Counter):
        return Sum(numbers, _CUMULATIVE, is_monotonic=True)
    if isinstance(series, Gauge):
        # what is counted up and down is a sum, what is read when it is asked for is not
        return GaugeData(numbers) if series.is_read else Sum(numbers, _CUMULATIVE, is_monotonic=False)
    return Histogram([point for point in points if isinstance(point, HistogramDataPoint)], _CUMULATIVE)
