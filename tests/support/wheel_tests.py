"""Runs ``tools/wheels.py`` for the tests of wheels."""

from __future__ import annotations

import subprocess
import sys

from tests.support.requirements import ROOT


def run_wheel_tests(*arguments: str) -> None:
    """Runs one of its commands; the test fails with the end of the output if the command does."""
    command = [sys.executable, str(ROOT / 'tools' / 'wheels.py'), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:]
