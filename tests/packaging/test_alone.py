"""Each wheel alone in an empty environment, with its own tests."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.requirements import ROOT, bootstrap

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.mark.parametrize('name', bootstrap.DISTRIBUTIONS)
def test_wheel_alone(name: str) -> None:
    run_tool('test', name)


def run_tool(*arguments: str) -> None:
    command = [sys.executable, str(ROOT / 'tools' / 'wheels.py'), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:]
