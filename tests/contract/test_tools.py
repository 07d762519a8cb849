"""The tools know the distributions as they are, and the import contracts catch what they should."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.distributions import ROOT, distributions
from tests.support.requirements import bootstrap, wheels


def test_bootstrap_knows_what_each_distribution_needs() -> None:
    folders = {distribution.name: distribution.folder.name for distribution in distributions()}
    assert set(bootstrap.DISTRIBUTIONS) == set(folders.values())
    for distribution in distributions():
        needed = {distribution.folder.name, *(folders[name] for name in distribution.siblings)}
        assert set(bootstrap._with_siblings([distribution.folder.name])) == needed


def test_bootstrap_refuses_unknown_distributions() -> None:
    with pytest.raises(bootstrap.BootstrapError, match='packages/cor is not a distribution; choose from core, '):
        bootstrap.environment('unused-environment', projects=['cor'])


def test_isolated_wheels_cover_all_extras() -> None:
    for distribution in distributions():
        extras = set(distribution.manifest['project'].get('optional-dependencies', {}))
        assert extras == set(filter(None, wheels.EXTRAS.get(distribution.folder.name, '').split(',')))


def layers(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / 'tools' / 'layers.py')]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


@pytest.fixture(scope='module')
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of everything that the import contracts look at."""
    root = tmp_path_factory.mktemp('copy')
    for item in ('packages', 'tools'):
        shutil.copytree(ROOT / item, root / item, ignore=shutil.ignore_patterns('__pycache__', 'tests'))
    shutil.copy(ROOT / 'pyproject.toml', root)
    return root


@pytest.mark.parametrize(
    ('file', 'code', 'broken'),
    [
        (
            'core/src/jina/core/version.py',
            'import jina.runtime',
            'Dependencies between distributions point down only BROKEN',
        ),
        (
            'runtime/src/jina/runtime/service.py',
            'def f() -> None:\n    import jina.client',
            'Dependencies between distributions point down only BROKEN',
        ),
        (
            'core/src/jina/core/version.py',
            'import fastapi',
            'Core stays free of servers, SDKs and container engines BROKEN',
        ),
        (
            'client/src/jina/client/_probe.py',
            'import jina.core._proto',
            'Generated protobuf code is used through jina.core.wire only BROKEN',
        ),
    ],
)
def test_import_contracts_catch_violations(copy: Path, file: str, code: str, broken: str) -> None:
    target = copy / 'packages' / file
    before = target.read_text() if target.exists() else None
    target.write_text(f'{before or ""}\n{code}\n')
    try:
        done = layers(copy)
        assert done.returncode == 1
        assert broken in done.stdout
    finally:
        target.unlink() if before is None else target.write_text(before)


def test_import_contracts_are_kept(copy: Path) -> None:
    done = layers(copy)
    assert done.returncode == 0, done.stdout
