"""What a user's type checker says about Executors and clients."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('mypy')

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / 'typing_cases'
ARGUMENTS = (
    '--explicit-package-bases',
    '--namespace-packages',
    '--follow-imports=silent',
    '--show-error-codes',
    '--no-error-summary',
)
CONFIG = '[mypy]\nstrict = true\n[mypy-docarray.*]\nfollow_imports = silent\n'


def mypy(file: Path, folder: Path) -> dict[int, set[str]]:
    """Checks a file; returns line to codes of errors."""
    config = folder / 'mypy.ini'
    config.write_text(CONFIG)
    sources = [str(path) for path in sorted(ROOT.glob('packages/*/src'))]
    output = subprocess.run(
        [sys.executable, '-m', 'mypy', *ARGUMENTS, f'--config-file={config}', f'--cache-dir={folder}', str(file)],
        capture_output=True,
        text=True,
        env={**os.environ, 'MYPYPATH': os.pathsep.join(sources)},
        check=False,
    )
    assert not output.stderr, output.stderr
    found: dict[int, set[str]] = {}
    for line in output.stdout.splitlines():
        match = re.match(r'(.*?):(\d+): error: .*\[([\w-]+)\]$', line)
        if match:
            assert Path(match[1]).name == file.name, line
            found.setdefault(int(match[2]), set()).add(match[3])
    return found


def pyright(file: Path, folder: Path) -> set[int]:
    """Checks a file against the distributions as they lie when they are installed; returns the lines of errors."""
    (folder / 'site' / 'jina').mkdir(parents=True)
    for part in ROOT.glob('packages/*/src/jina/*'):
        (folder / 'site' / 'jina' / part.name).symlink_to(part)
    (folder / file.name).symlink_to(file)
    config = folder / 'pyrightconfig.json'
    config.write_text(json.dumps({'include': [file.name], 'extraPaths': ['site'], 'typeCheckingMode': 'standard'}))
    output = subprocess.run(
        [sys.executable, '-m', 'basedpyright', '-p', config, '--pythonpath', sys.executable, '--outputjson'],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(output.stdout)
    assert report['summary']['filesAnalyzed'] == 1, report
    found = [entry for entry in report['generalDiagnostics'] if entry['severity'] == 'error']
    assert {Path(entry['file']).name for entry in found} <= {file.name}
    return {entry['range']['start']['line'] + 1 for entry in found}


def refused_lines(name: str) -> dict[int, set[str]]:
    """Line to the codes of mypy that its comment names."""
    wanted = {
        number: set(match[1].split())
        for number, line in enumerate((CASES / f'{name}.py').read_text().splitlines(), 1)
        if (match := re.search(r'# refused: ([\w -]+)', line))
    }
    assert bool(wanted) is (name == 'refused')
    return wanted


@pytest.mark.timeout(300)
@pytest.mark.parametrize('name', ['accepted', 'refused'])
def test_cases_with_mypy(name: str, tmp_path: Path) -> None:
    assert mypy(CASES / f'{name}.py', tmp_path) == refused_lines(name)


@pytest.mark.timeout(300)
@pytest.mark.parametrize('name', ['accepted', 'refused'])
def test_cases_with_pyright(name: str, tmp_path: Path) -> None:
    pytest.importorskip('basedpyright')
    assert pyright(CASES / f'{name}.py', tmp_path) == set(refused_lines(name))
