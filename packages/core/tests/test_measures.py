"""What a process measures: nothing is lost between recording and reading."""

from __future__ import annotations

import random
import threading
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jina.core.measures import BYTES, ITEMS, SECONDS, Distribution, Ledger, Measures


def counted(values: list[float], bounds: tuple[float, ...]) -> list[int]:
    """The counts of the buckets, one value after the other."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return counts


@given(
    bounds=st.sampled_from([SECONDS, BYTES, ITEMS]),
    values=st.lists(st.one_of(st.floats(0, 1e10), st.sampled_from([*SECONDS, *BYTES, *ITEMS])), max_size=40),
    times=st.sampled_from([1, 30, 100]),
)
def test_values_fall_into_their_buckets(bounds: tuple[float, ...], values: list[float], times: int) -> None:
    distribution = Distribution(bounds)
    for value in values * times:
        distribution.record(value)
    counts, total, lowest, highest = distribution.read()
    assert counts == counted(values * times, bounds)
    assert total == pytest.approx(sum(values) * times)
    assert (lowest, highest) == ((min(values), max(values)) if values else (float('inf'), float('-inf')))
    assert distribution.read()[0] == counts


def test_threads_lose_nothing() -> None:
    distribution, counter = Distribution((0.5,)), Measures().counter('a', 'b')
    over = threading.Event()
    seen: list[int] = []

    def record() -> None:
        values = random.Random(7)
        for _ in range(20_000):
            distribution.record(values.random())
            counter.add()

    def read() -> None:
        while not over.is_set():
            seen.append(sum(distribution.read()[0]))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=record) for _ in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    reader.join()
    assert sum(distribution.read()[0]) == counter.value == 80_000
    assert seen == sorted(seen)


def test_a_row_of_a_ledger_is_shared_out_when_any_of_its_series_is_read() -> None:
    measures = Measures()
    sizes, documents = measures.distribution('a', 'b', bounds=BYTES), measures.counter('c', 'd')
    rows = measures.counter('e', 'f')
    ledger = Ledger(sizes, documents, rows=rows)
    for size in range(3000):
        ledger.record((size, 2))
    sizes.record(7)
    assert documents.value == 6000
    assert rows.value == 3000
    counts, total, lowest, highest = sizes.read()
    assert (sum(counts), total, lowest, highest) == (3001, sum(range(3000)) + 7, 0, 2999)
    ledger.record((1, 1))
    assert (rows.value, documents.value, sum(sizes.read()[0])) == (3001, 6001, 3002)


def test_threads_lose_no_row_and_mix_none() -> None:
    measures = Measures()
    small, large = measures.distribution('a', 'b', bounds=(0.5,)), measures.distribution('c', 'd', bounds=(0.5,))
    rows = measures.counter('e', 'f')
    ledger = Ledger(small, large, rows=rows)
    over = threading.Event()

    def record() -> None:
        for _ in range(20_000):
            ledger.record((0.25, 0.75))

    def read() -> None:
        while not over.is_set():
            small.read(), rows.value

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=record) for _ in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    reader.join()
    assert (small.read()[0], large.read()[0], rows.value) == ([80_000, 0], [0, 80_000], 80_000)


def test_what_one_thread_changes_alone_counts_with_the_rest() -> None:
    gauge = Measures().gauge('a', 'b')
    gauge.add(2)
    gauge.alone += 3
    gauge.alone -= 1
    assert gauge.value == 4
