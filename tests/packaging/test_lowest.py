"""All distributions with the lowest versions that they declare, on the oldest Python here.

In a file of its own, so that it runs beside the other long tests.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.requirements import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_lowest_versions() -> None:
    command = [sys.executable, str(ROOT / 'tools' / 'wheels.py'), 'lowest']
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:]
