"""Imports and memory beside the original's. The limits are far from what is usual: they catch a lost laziness, not noise."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.usage import usage
from tests.support.processes import peer
from tests.support.requirements import require_original

FOLDER = Path(__file__).parent
BARE = 'pass'

pytestmark = [pytest.mark.original, pytest.mark.timeout(240)]


def variables(interpreter: Path) -> dict[str, str]:
    """What the search path of our own packages must be for an interpreter: nothing for the original's."""
    return {} if interpreter == Path(sys.executable) else {'PYTHONPATH': ''}


def cpu_seconds(interpreter: Path, code: str) -> float:
    """CPU time of a fresh interpreter that runs some code: the least of three, the compilation of modules left out."""
    environment = {**os.environ, **variables(interpreter), 'PYTHONDONTWRITEBYTECODE': ''}
    command = [interpreter, '-c', code]
    subprocess.run(command, env=environment, capture_output=True, timeout=120, check=True)
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=environment, capture_output=True, timeout=120, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


@pytest.mark.parametrize(
    'code',
    ['from jina import Executor, requests', 'from jina.core.cli.main import main; main(["--help"])'],
    ids=['executor', 'help'],
)
def test_import(code: str) -> None:
    ours = cpu_seconds(Path(sys.executable), code) - cpu_seconds(Path(sys.executable), BARE)
    original = require_original()
    theirs = cpu_seconds(original, 'import jina') - cpu_seconds(original, BARE)
    # usual is 0.15
    assert ours < 0.4 * theirs


def test_memory_of_an_idle_executor() -> None:
    sizes = []
    for interpreter in (Path(sys.executable), require_original()):
        with peer([interpreter, FOLDER / 'idle.py'], env=variables(interpreter)) as program:
            sizes.append(usage([program.read_json(timeout_s=120)['pid']]).pss_mb)
    ours, theirs = sizes
    # usual is 0.6
    assert ours < 0.8 * theirs
