"""Installing ``jina`` gives the whole framework."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import requires, version

import pytest

DISTRIBUTIONS = ('jina-core', 'jina-runtime', 'jina-client', 'jina-telemetry', 'jina-export', 'jina-orchestrate')


@pytest.mark.parametrize('name', DISTRIBUTIONS)
def test_every_distribution_comes_along_in_the_same_version(name: str) -> None:
    assert version(name) == version('jina')
    assert any(requirement.startswith(name) for requirement in requires('jina') or [])


def test_every_public_name_is_there() -> None:
    import jina

    for name in jina.__all__:
        assert getattr(jina, name) is not None


@pytest.mark.parametrize('name', ['jina', 'jina-serve'])
def test_programs_know_all_commands(name: str) -> None:
    program = os.path.join(os.path.dirname(sys.executable), name)
    done = subprocess.run(
        [program, '--help'], capture_output=True, text=True, timeout=60, env={**os.environ, 'JINA_FULL_CLI': '1'}
    )
    assert done.returncode == 0, done.stderr
    for command in ('executor', 'deployment', 'flow', 'gateway', 'ping', 'export'):
        assert command in done.stdout


def test_version_of_the_program() -> None:
    program = os.path.join(os.path.dirname(sys.executable), 'jina')
    done = subprocess.run([program, '--version'], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == version('jina')
