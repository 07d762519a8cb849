"""Rules for Prometheus Adapter, which gives a Kubernetes cluster the metrics that it scales by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from jina.core.scaling import SCALING_METRICS, ScalingMetric

__all__ = ['adapter_values', 'scaling_expressions']

_GROUPED: Final = 'sum by (<<.GroupBy>>)'
_WHERE: Final = '<<.LabelMatchers>>'
_WINDOW: Final = '1m'


@dataclass(frozen=True)
class _Measured:
    """How a metric of a pod is found.

    Attributes:
        series: A series that the pods have which have the metric.
        query: PromQL in the adapter's template syntax.
    """

    series: str
    query: str


_MEASURED: Final[dict[ScalingMetric, _Measured]] = {
    'concurrency': _Measured(
        'jina_number_of_pending_requests',
        f'{_GROUPED} (avg_over_time(jina_number_of_pending_requests{{{_WHERE}}}[{_WINDOW}]))',
    ),
    'rps': _Measured(
        'jina_successful_requests_total',
        ' + '.join(
            f'{_GROUPED} (rate(jina_{outcome}_requests_total{{{_WHERE}}}[{_WINDOW}]))'
            for outcome in ('successful', 'failed')
        ),
    ),
}


def adapter_values() -> dict[str, Any]:
    """Returns values for the Helm chart ``prometheus-adapter``: each rule gives pods one metric."""
    resources = {'overrides': {name: {'resource': name} for name in ('namespace', 'pod')}}
    rules = [
        {
            'seriesQuery': f'{measured.series}{{namespace!="",pod!=""}}',
            'resources': resources,
            'name': {'matches': f'^{measured.series}$', 'as': SCALING_METRICS[metric]},
            'metricsQuery': measured.query,
        }
        for metric, measured in _MEASURED.items()
    ]
    return {'rules': {'custom': rules}}


def scaling_expressions(*, namespace: str, pods: str, interval: str = _WINDOW) -> Iterator[tuple[ScalingMetric, str]]:
    """Yields the PromQL of each metric as the adapter asks it.

    Args:
        namespace: The namespace.
        pods: Names of the pods, with ``|`` between them.
        interval: Window of rates and means.
    """
    where = f'namespace="{namespace}",pod=~"{pods}"'
    for metric, measured in _MEASURED.items():
        query = measured.query.replace('<<.GroupBy>>', 'pod').replace(_WHERE, where)
        yield metric, query.replace(f'[{_WINDOW}]', f'[{interval}]')
