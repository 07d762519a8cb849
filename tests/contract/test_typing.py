"""What a user's type checker says about Executors and clients."""

from __future__ import annotations

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


@pytest.mark.timeout(300)
@pytest.mark.parametrize('name', ['accepted', 'refused'])
def test_cases(name: str, tmp_path: Path) -> None:
    file = CASES / f'{name}.py'
    wanted = {
        number: set(match[1].split())
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if (match := re.search(r'# refused: ([\w -]+)', line))
    }
    assert bool(wanted) is (name == 'refused')
    assert mypy(file, tmp_path) == wanted
