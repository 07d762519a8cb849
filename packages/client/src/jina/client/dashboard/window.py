"""Rates and percentiles over the last seconds, from counters and buckets that only grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import pairwise

from jina.client.dashboard.exposition import Key, Sample

__all__ = ['SlidingWindow', 'quantile']


class SlidingWindow:
    """What one process has told, one snapshot after the other.

    Args:
        span_s: Snapshots that are older than this, in seconds, are forgotten.
    """

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._snapshots: deque[tuple[float, dict[Key, Sample]]] = deque()

    def add(self, now_s: float, samples: Iterable[Sample]) -> None:
        """Takes a snapshot in."""
        self._snapshots.append((now_s, {sample.key: sample for sample in samples}))
        while len(self._snapshots) > 1 and self._snapshots[0][0] < now_s - self._span_s:
            self._snapshots.popleft()

    def latest(self, name: str, **labels: str) -> list[Sample]:
        """Returns the newest samples of a metric that have these labels."""
        if not self._snapshots:
            return []
        return [sample for sample in self._snapshots[-1][1].values() if _fits(sample, name, labels)]

    def seconds(self, last_s: float) -> float:
        """Returns the time between the first and the last snapshot of the last ``last_s`` seconds."""
        chosen = self._chosen(last_s)
        return chosen[-1][0] - chosen[0][0] if chosen else 0.0

    def growth(self, name: str, last_s: float, **labels: str) -> float:
        """Returns by how much the series of a metric grew, together."""
        return sum(self._grown(name, last_s, labels).values())

    def rate(self, name: str, last_s: float, **labels: str) -> float | None:
        """Returns the growth per second; None before there are two snapshots."""
        seconds = self.seconds(last_s)
        return self.growth(name, last_s, **labels) / seconds if seconds > 0 else None

    def buckets(self, name: str, last_s: float, **labels: str) -> dict[float, float]:
        """Returns how many values of a histogram came, by the upper bounds of its buckets, each with those below it."""
        found: dict[float, float] = {}
        for key, grown in self._grown(f'{name}_bucket', last_s, labels).items():
            bound = float(dict(key[1])['le'])
            found[bound] = found.get(bound, 0.0) + grown
        return found

    def _chosen(self, last_s: float) -> list[tuple[float, dict[Key, Sample]]]:
        if not self._snapshots:
            return []
        since = self._snapshots[-1][0] - last_s
        return [snapshot for snapshot in self._snapshots if snapshot[0] >= since]

    def _grown(self, name: str, last_s: float, labels: Mapping[str, str]) -> dict[Key, float]:
        """A process that starts again counts from 0: then the new value is what it grew by."""
        grown: dict[Key, float] = {}
        for (_, before), (_, after) in pairwise(self._chosen(last_s)):
            for key, sample in after.items():
                if not _fits(sample, name, labels):
                    continue
                old = before[key].value if key in before else 0.0
                step = sample.value - old if sample.value >= old else sample.value
                grown[key] = grown.get(key, 0.0) + step
        return grown


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """Returns the value below which a share of all values lies, as far as buckets tell; None if there are no values.

    Values are taken to be spread evenly in their bucket. Those above the last finite bound count as that bound.

    Args:
        share: From 0 to 1.
        buckets: Numbers of values by upper bound, each with those below it; the last bound is infinite.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank = share * total
    lower, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank and count > below:
            if bound == float('inf'):
                return lower
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, max(count, below)
    return lower


def _fits(sample: Sample, name: str, labels: Mapping[str, str]) -> bool:
    return sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
