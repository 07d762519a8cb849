"""The tests that need torch run in an environment of its own, where a CPU build of torch lies on the machine."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.distributions import ROOT
from tests.support.requirements import bootstrap, torch_env

FILES = ('packages/core/tests/test_tensor_readers.py', 'tests/torch')


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_torch_tensors_survive_every_path() -> None:
    try:
        python = Path(sys.executable) if importlib.util.find_spec('torch') else torch_env.torch_python()
    except bootstrap.BootstrapError as error:
        pytest.skip(str(error))
    # The environment isn't compiled as a whole, and each process that imports torch shall not compile it anew.
    unset = ('PYTEST_', 'PYTHONDONTWRITEBYTECODE')
    variables = {key: value for key, value in os.environ.items() if not key.startswith(unset)}
    command = [str(python), '-m', 'pytest', *FILES, '-q', '-p', 'no:cacheprovider', '--durations=3']
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, f'{done.stdout}\n{done.stderr}'
    # none of them was left out for lack of torch
    skipped = [line for line in done.stdout.splitlines() if line.startswith('SKIPPED') and 'needs a GPU' not in line]
    assert not skipped, done.stdout
    assert re.search(r'^\d{2,} passed', done.stdout, re.MULTILINE), done.stdout
