"""What metrics and traces cost, shortened: the figures are there, and no bound is that only another machine misses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.requirements import ROOT


@pytest.mark.timeout(300)
def test_the_cost_of_each_kind(tmp_path: Path) -> None:
    file = tmp_path / 'figures.json'
    command = [sys.executable, '-m', 'tests.bench.observation', '--quick', '--json', str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(file.read_text())
    assert len(rows) == (2 * 2 + 2) * 4
    cost = {(row['server'], row['way'], row['recorded']): row['cpu_us'] for row in rows}
    assert min(cost.values()) > 0
    for server, way, recorded in cost:
        # Spans are made and sent: that can't cost nothing, and beside little work it shows.
        if recorded == 'metrics, all traces' and 'vectors' not in server:
            assert cost[server, way, recorded] > cost[server, way, 'nothing']
