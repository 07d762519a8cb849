"""Scale and endurance, shortened: bounds that only a leak, or a cost that grows, can miss."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.requirements import ROOT


def run(tmp_path: Path, part: str) -> dict[tuple[str, int], float]:
    """The figures of one part by case and level."""
    file = tmp_path / 'endurance.json'
    command = [sys.executable, '-m', 'tests.bench.endurance', '--quick', '--only', part, '--json', str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    rows: list[dict[str, Any]] = json.loads(file.read_text())['rows']
    assert rows and all(row['name'] == part for row in rows)
    return {(row['case'], row['level']): row['value'] for row in rows}


@pytest.mark.timeout(300)
def test_a_request_costs_no_more_with_many_callers(tmp_path: Path) -> None:
    found = run(tmp_path, 'callers')
    for case in {case for case, _ in found}:
        few, many = (found[case, level] for level in sorted(level for name, level in found if name == case))
        # Both fall by a third and more, as a wake-up serves several callers.
        assert many < 1.3 * few, (case, found)


@pytest.mark.timeout(300)
def test_every_further_executor_adds_the_same(tmp_path: Path) -> None:
    found = run(tmp_path, 'chain')
    assert found['latency', 4] > 0
    # Three Executors more: each costs less than the first with its gateway, whatever stands before it.
    assert 0 < found['CPU of a hop', 4] < 1.5 * found['CPU', 1], found


@pytest.mark.timeout(300)
def test_many_requests_leave_nothing_behind(tmp_path: Path) -> None:
    found = run(tmp_path, 'memory')
    assert len(found) >= 4  # gateway, two Executors, the client
    # The bound for 500,000 requests: a leak of a request's bytes alone takes as much in 15,000.
    assert all(growth < 5 for growth in found.values()), found


@pytest.mark.timeout(300)
def test_a_gateway_holds_idle_streams(tmp_path: Path) -> None:
    found = run(tmp_path, 'clients')
    assert found['gateway', 300] < 400, found
    assert found['another caller meanwhile', 1] < 2000
