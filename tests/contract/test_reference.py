"""The generated pages are what the code says now."""

from __future__ import annotations

import subprocess
import sys

from tests.support.distributions import ROOT


def test_generated_pages_are_current() -> None:
    command = [sys.executable, str(ROOT / 'tools' / 'generate_reference.py'), '--check']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
