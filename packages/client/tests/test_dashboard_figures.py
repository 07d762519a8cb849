"""Scrapes, sliding windows and percentiles of the dashboard."""

from __future__ import annotations

import pytest
from jina.client.dashboard.exposition import Sample, parse_samples
from jina.client.dashboard.scraping import processes_of
from jina.client.dashboard.window import SlidingWindow, quantile
from jina.core.errors import ConfigError

INFINITE = float('inf')


def test_samples_are_read() -> None:
    text = '\n'.join(
        [
            '# HELP jina_a Something',
            '# TYPE jina_a counter',
            'jina_a_total{runtime_name="a/rep-0",odd="x\\"y\\\\z\\n,}"} 3.0',
            'jina_b 1e-3',
            'jina_c_bucket{le="+Inf"} 4 1700000000',
            'jina_broken{le="1"',
            'jina_wrong{} many',
            'python_info 1.0',
            '',
        ]
    )
    assert parse_samples(text, 'jina_') == [
        Sample('jina_a_total', {'runtime_name': 'a/rep-0', 'odd': 'x"y\\z\n,}'}, 3.0),
        Sample('jina_b', {}, 0.001),
        Sample('jina_c_bucket', {'le': '+Inf'}, 4.0),
    ]


def test_the_key_of_a_series_knows_no_order() -> None:
    assert Sample('a', {'x': '1', 'y': '2'}, 1).key == Sample('a', {'y': '2', 'x': '1'}, 2).key


def counted(value: float, **labels: str) -> list[Sample]:
    return [Sample('n', labels, value)]


def test_a_rate_needs_two_snapshots() -> None:
    window = SlidingWindow(30)
    assert window.rate('n', 10) is None
    window.add(0, counted(5))
    assert window.rate('n', 10) is None
    window.add(2, counted(11))
    assert window.rate('n', 10) == 3.0


def test_a_rate_is_about_its_last_seconds() -> None:
    window = SlidingWindow(30)
    for second, value in enumerate([0, 100, 100, 101, 102]):
        window.add(second, counted(value))
    assert window.rate('n', 2) == 1.0
    assert window.rate('n', 30) == 25.5


def test_a_process_that_starts_again_counts_from_zero() -> None:
    window = SlidingWindow(30)
    for second, value in enumerate([100, 110, 3, 5]):
        window.add(second, counted(value))
    assert window.growth('n', 30) == 10 + 3 + 2


def test_old_snapshots_are_forgotten() -> None:
    window = SlidingWindow(3)
    for second in range(10):
        window.add(second, counted(second))
    assert window.seconds(100) == 3
    assert window.growth('n', 100) == 3


def test_labels_choose_series() -> None:
    window = SlidingWindow(30)
    window.add(0, [*counted(0, to='a'), *counted(0, to='b')])
    window.add(1, [*counted(1, to='a'), *counted(4, to='b'), *counted(7, to='c')])
    assert window.growth('n', 30, to='b') == 4
    assert window.growth('n', 30) == 12  # a new series began at 0
    assert [sample.value for sample in window.latest('n', to='a')] == [1]


def test_buckets_of_several_series_are_added() -> None:
    window = SlidingWindow(30)
    bounds = ('0.1', '1.0', '+Inf')

    def histogram(name: str, *counts: int) -> list[Sample]:
        return [Sample('t_bucket', {'le': le, 'of': name}, count) for le, count in zip(bounds, counts, strict=True)]

    window.add(0, histogram('a', 1, 1, 1))
    window.add(1, [*histogram('a', 2, 5, 5), *histogram('b', 0, 2, 3)])
    assert window.buckets('t', 30) == {0.1: 1, 1.0: 6, INFINITE: 7}
    assert window.buckets('t', 30, of='a') == {0.1: 1, 1.0: 4, INFINITE: 4}


@pytest.mark.parametrize(
    ('share', 'buckets', 'expected'),
    [
        (0.5, {}, None),
        (0.5, {1.0: 0, INFINITE: 0}, None),
        (0.5, {1.0: 10, 2.0: 10, INFINITE: 10}, 0.5),
        (0.5, {1.0: 0, 2.0: 10, INFINITE: 10}, 1.5),
        (0.9, {1.0: 5, 2.0: 10, INFINITE: 10}, 1.8),
        (1.0, {1.0: 5, 2.0: 10, INFINITE: 10}, 2.0),
        (0.99, {1.0: 5, 2.0: 6, INFINITE: 10}, 2.0),  # above the last bound: that bound is all that is known
        (0.25, {1.0: 5, 2.0: 5, 4.0: 10, INFINITE: 10}, 0.5),
        (0.75, {1.0: 5, 2.0: 5, 4.0: 10, INFINITE: 10}, 3.0),
    ],
)
def test_quantiles(share: float, buckets: dict[float, float], expected: float | None) -> None:
    assert quantile(share, buckets) == (None if expected is None else pytest.approx(expected))


def test_addresses_of_metrics() -> None:
    found = processes_of(['localhost:1', 'http://localhost:2/metrics', 'localhost:1', '[::1]:3'])
    assert [process.address for process in found] == ['localhost:1', 'localhost:2', '[::1]:3']
    with pytest.raises(ConfigError, match='give host:port'):
        processes_of(['localhost'])
