from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from jina.orchestrate import journal


@pytest.fixture
def fd() -> Iterator[int]:
    descriptor = journal.create()
    yield descriptor
    os.close(descriptor)


def test_lines_are_read_in_order(fd: int) -> None:
    writer = journal.Journal(fd)
    writer.append(b'one\ntwo\n')
    writer.append(b'three')
    assert journal.last_lines(fd) == ['one', 'two', 'three']


def test_only_the_newest_lines_are_given(fd: int) -> None:
    writer = journal.Journal(fd)
    for number in range(50):
        writer.append(f'line {number}\n'.encode())
    assert journal.last_lines(fd, 3) == ['line 47', 'line 48', 'line 49']


def test_ring_wraps_without_losing_the_end(fd: int) -> None:
    writer = journal.Journal(fd)
    for number in range(5000):
        writer.append(f'line number {number}\n'.encode())
    lines = journal.last_lines(fd, 10_000)
    assert lines[-1] == 'line number 4999'
    assert lines == [f'line number {number}' for number in range(5000 - len(lines), 5000)]
    assert len(lines) > 500


def test_output_larger_than_the_journal(fd: int) -> None:
    writer = journal.Journal(fd)
    writer.append(b'start\n' + b'x' * 100_000 + b'\nend\n')
    assert journal.last_lines(fd)[-1] == 'end'


def test_empty_journal(fd: int) -> None:
    assert journal.last_lines(fd) == []
