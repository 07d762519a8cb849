"""What a batch costs, learned from the batches that ran."""

from __future__ import annotations

from typing import Final

_KEPT: Final = 0.9
"""Weight of the past when a new batch is measured: the last ten or so decide."""


class BatchCost:
    """Estimates the time of a batch by its size, as a fixed part and a part per unit: a line through the last batches."""

    def __init__(self) -> None:
        self._weight = 0.0
        self._size = 0.0
        self._time = 0.0
        self._size_square = 0.0
        self._product = 0.0

    def measured(self, size: float, time_s: float) -> None:
        """Learns from a batch."""
        self._weight = self._weight * _KEPT + 1
        self._size = self._size * _KEPT + size
        self._time = self._time * _KEPT + time_s
        self._size_square = self._size_square * _KEPT + size * size
        self._product = self._product * _KEPT + size * time_s

    def expected_s(self, size: float) -> float:
        """Returns the time that a batch of this size will take; 0 as long as none ran."""
        fixed, per_unit = self._line()
        return max(0.0, fixed + per_unit * size)

    def fitting(self, time_s: float, most: float) -> float:
        """Returns the size of a batch that takes at most this time; ``most`` if even the fixed part takes longer."""
        fixed, per_unit = self._line()
        if fixed >= time_s or per_unit <= 0:
            return most
        return max(1.0, min(most, (time_s - fixed) / per_unit))

    def _line(self) -> tuple[float, float]:
        if not self._weight:
            return 0.0, 0.0
        size, time_s = self._size / self._weight, self._time / self._weight
        spread = self._size_square / self._weight - size * size
        if spread <= 1e-6 * size * size:
            return time_s, 0.0  # all batches had one size: nothing is known about others
        per_unit = max(0.0, (self._product / self._weight - size * time_s) / spread)
        fixed = time_s - per_unit * size
        return (fixed, per_unit) if fixed >= 0 else (0.0, time_s / size)
