"""Counters and distributions of a process, cheap enough to be kept for every request.

A record here is an addition, or a value put on a list that is counted later, a thousand at a time. Nothing is sent from
here: an exporter reads the sums whenever it likes. That is what OpenTelemetry's instruments do too, at many times the cost,
since they look up the attributes at each record. The attributes of these are given once.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, TypeVar

__all__ = [
    'BYTES',
    'ITEMS',
    'SECONDS',
    'Attributes',
    'Counter',
    'Distribution',
    'Family',
    'Gauge',
    'Ledger',
    'Measures',
    'Series',
]

Attributes: TypeAlias = 'Mapping[str, str]'
Kind: TypeAlias = Literal['counter', 'gauge', 'distribution']

SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Upper bounds of the buckets for times."""
BYTES: Final = tuple(float(4**power) for power in range(3, 16))
"""Upper bounds of the buckets for sizes of messages: 64 bytes to 1 GiB."""
ITEMS: Final = tuple(float(2**power) for power in range(13))
"""Upper bounds of the buckets for numbers of documents: 1 to 4096."""


_AT_ONCE: Final = 1024
"""Values of a distribution that are counted together."""


class Counter:
    """A number that only grows."""

    __slots__ = ('_lock', '_value', 'sources')

    def __init__(self) -> None:
        self._value = 0
        self._lock = threading.Lock()
        self.sources: list[Callable[[], object]] = []
        """Called before it is read: they may have something to add."""

    @property
    def value(self) -> int:
        """The number now."""
        for bring in self.sources:
            bring()
        return self._value

    def add(self, number: int = 1) -> None:
        """Adds to the number."""
        with self._lock:
            self._value += number

    def take(self, values: Sequence[float]) -> None:
        """Adds all values of a column of a ledger."""
        self.add(int(sum(values)))


class Gauge:
    """A number that grows and shrinks.

    Args:
        read: Gives the number when it is asked for; then nothing is recorded.
    """

    __slots__ = ('_lock', '_read', '_value', 'alone')

    def __init__(self, read: Callable[[], float] | None = None) -> None:
        self._read = read
        self._value = 0.0
        self._lock = threading.Lock()
        self.alone = 0
        """What one thread adds and takes, always the same one: it needs no lock for it."""

    @property
    def is_read(self) -> bool:
        """Whether the number is read somewhere instead of recorded."""
        return self._read is not None

    @property
    def value(self) -> float:
        """The number now."""
        return self._value + self.alone if self._read is None else self._read()

    def add(self, number: float) -> None:
        """Adds to the number; a negative one is taken from it."""
        with self._lock:
            self._value += number


class Distribution:
    """How often values between certain bounds were recorded, and their sum.

    Args:
        bounds: Upper bounds of the buckets, rising; above the last one there is one more bucket.
    """

    __slots__ = ('_counts', '_highest', '_lock', '_lowest', '_total', '_uncounted', 'bounds', 'sources')

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self._total = 0.0
        self._lowest = float('inf')
        self._highest = float('-inf')
        self._uncounted: list[float] = []
        self._lock = threading.Lock()
        self.sources: list[Callable[[], object]] = []
        """Called before it is read: they may have something to add."""

    def record(self, value: float) -> None:
        """Counts a value."""
        uncounted = self._uncounted
        uncounted.append(value)  # one step of the interpreter: threads need no lock for it
        if len(uncounted) >= _AT_ONCE:
            with self._lock:
                self._count()

    def take(self, values: Sequence[float]) -> None:
        """Counts all values of a column of a ledger."""
        self._uncounted += values
        if len(self._uncounted) >= _AT_ONCE:
            with self._lock:
                self._count()

    def read(self) -> tuple[list[int], float, float, float]:
        """Returns the counts of all buckets, the sum, the lowest and the highest value, all of one moment."""
        for bring in self.sources:
            bring()
        with self._lock:
            self._count()
            return list(self._counts), self._total, self._lowest, self._highest

    def _count(self) -> None:
        """Sorts what was recorded, so that a search for each bound counts the buckets."""
        number = len(self._uncounted)
        if not number:  # another thread was faster
            return
        values = sorted(self._uncounted[:number])
        del self._uncounted[:number]  # what others have put behind them stays
        below = 0
        for bucket, bound in enumerate(self.bounds):
            up_to = bisect_right(values, bound, below)
            self._counts[bucket] += up_to - below
            below = up_to
        self._counts[-1] += number - below
        self._total += sum(values)
        self._lowest = min(self._lowest, values[0])
        self._highest = max(self._highest, values[-1])


class Ledger:
    """Values of several series that are recorded in one step, as a row, and shared out among the series later.

    Args:
        series: The series of each column: a distribution, or a counter that gets the sum.
        rows: Counts the rows.
    """

    __slots__ = ('_limit', '_lock', '_rows', '_series', '_values')

    def __init__(self, *series: Distribution | Counter, rows: Counter | None = None) -> None:
        self._series = series
        self._rows = rows
        self._values: list[float] = []
        self._limit = _AT_ONCE * len(series)
        self._lock = threading.Lock()
        for one in (*series, *([] if rows is None else [rows])):
            one.sources.append(self.share_out)

    def record(self, row: tuple[float, ...]) -> None:
        """Records a row: one value for each series."""
        values = self._values
        values += row  # one step of the interpreter: threads need no lock for it
        if len(values) >= self._limit:
            self.share_out()

    def share_out(self) -> None:
        """Gives the series what was recorded."""
        with self._lock:
            number = len(self._values)
            if not number:  # another thread was faster
                return
            values = self._values[:number]
            del self._values[:number]  # what others have put behind them stays
            width = len(self._series)
            for column, series in enumerate(self._series):
                series.take(values[column::width])
            if self._rows is not None:
                self._rows.add(number // width)


Series: TypeAlias = Counter | Gauge | Distribution
_Series = TypeVar('_Series', Counter, Gauge, Distribution)


@dataclass(frozen=True)
class Family:
    """All series of one metric.

    Attributes:
        name: Its name, without the ``_total`` that Prometheus adds to counters.
        kind: What its series are.
        description: What it tells.
        unit: Unit as in OpenTelemetry (``s``, ``By``), or empty.
        series: Series by their attributes, names and values in the order of the names.
    """

    name: str
    kind: Kind
    description: str
    unit: str = ''
    series: dict[tuple[tuple[str, str], ...], Series] = field(default_factory=dict)


class Measures:
    """The metrics of one process.

    Args:
        attributes: Attributes that all of them have.
    """

    def __init__(self, attributes: Attributes | None = None) -> None:
        self.attributes: dict[str, str] = dict(attributes or {})
        self._families: dict[str, Family] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Family]:
        with self._lock:
            return iter(list(self._families.values()))

    def counter(self, name: str, description: str, attributes: Attributes | None = None, *, unit: str = '') -> Counter:
        """Returns the counter with these attributes; the same one each time."""
        return self._series(Family(name, 'counter', description, unit), attributes, Counter)

    def gauge(
        self,
        name: str,
        description: str,
        attributes: Attributes | None = None,
        *,
        unit: str = '',
        read: Callable[[], float] | None = None,
    ) -> Gauge:
        """Returns the gauge with these attributes; the same one each time.

        Args:
            name: Name of the metric.
            description: What it tells.
            attributes: Attributes beside those of all metrics.
            unit: Unit as in OpenTelemetry.
            read: Gives the number when it is asked for; replaces that of an earlier call.
        """
        family = Family(name, 'gauge', description, unit)
        if read is not None:
            self.forget(name, attributes)
        return self._series(family, attributes, lambda: Gauge(read))

    def distribution(
        self,
        name: str,
        description: str,
        attributes: Attributes | None = None,
        *,
        unit: str = '',
        bounds: Sequence[float] = SECONDS,
    ) -> Distribution:
        """Returns the distribution with these attributes; the same one each time."""
        return self._series(Family(name, 'distribution', description, unit), attributes, lambda: Distribution(bounds))

    def forget(self, name: str, attributes: Attributes | None = None) -> None:
        """Drops one series, of something that is gone."""
        with self._lock:
            family = self._families.get(name)
            if family is not None:
                family.series.pop(self._key(attributes), None)

    def _series(self, wanted: Family, attributes: Attributes | None, make: Callable[[], _Series]) -> _Series:
        with self._lock:
            family = self._families.setdefault(wanted.name, wanted)
            if family.kind != wanted.kind:
                raise ValueError(f'{wanted.name} is a {family.kind}, not a {wanted.kind}')
            key = self._key(attributes)
            found = family.series.get(key)
            if found is None:
                found = family.series[key] = make()
            return found  # type: ignore[return-value]

    def _key(self, attributes: Attributes | None) -> tuple[tuple[str, str], ...]:
        return tuple(sorted({**self.attributes, **(attributes or {})}.items()))
