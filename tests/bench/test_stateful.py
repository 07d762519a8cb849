"""The comparison of replicas that agree with those that don't."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.stateful import PLAIN

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(180)
def test_it_measures_both(tmp_path: Path) -> None:
    file = tmp_path / 'rates.json'
    command = [sys.executable, '-m', 'tests.bench.stateful', '--rounds', '1', '--docs', '400', '--json', str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    rates = json.loads(file.read_text())
    assert set(rates) == {'jina', PLAIN}
    assert set(rates['jina']) == set(rates[PLAIN]) == set(done.stdout.split('\n')[n][:26].strip() for n in (1, 2, 3))
    assert all(rate > 0 for side in rates.values() for rate in side.values())
