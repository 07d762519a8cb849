"""Nothing is left behind by starts and stops: no process, thread, descriptor (and so no socket or port), or temporary file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / 'support' / 'cycles.py'
COUNT = int(os.environ.get('JINA_TEST_CYCLES', '8'))
"""Set the variable to 200 for the long form."""
GROWTH_KIB = 2_000 + 60 * COUNT


@pytest.mark.timeout(120 + 10 * COUNT)
def test_many_starts_and_stops(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(COUNT)],
        env={**os.environ, 'TMPDIR': str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    before, after = found['before'], found['after']
    print(json.dumps(found, indent=1))
    for name in ('threads', 'descriptors', 'zygote descriptors', 'processes', 'files'):
        assert after[name] == before[name], name
    for name in ('memory_kib', 'zygote memory_kib'):
        assert after[name] - before[name] < GROWTH_KIB, name
    assert os.listdir(tmp_path) == []
