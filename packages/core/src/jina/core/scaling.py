"""The names of the metrics by which a cluster adds and removes replicas: those who export and those who measure agree on them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

__all__ = ['SCALING_METRICS', 'ScalingMetric']

ScalingMetric: TypeAlias = Literal['concurrency', 'rps']

SCALING_METRICS: Final[Mapping[ScalingMetric, str]] = MappingProxyType(
    {'concurrency': 'jina_concurrent_requests', 'rps': 'jina_requests_per_second'}
)
"""Names in the cluster's API of metrics, by what ``autoscale`` calls them."""
