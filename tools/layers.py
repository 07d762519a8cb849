"""Checks the import contracts of ``pyproject.toml`` with import-linter.

Import-linter looks for a package in one folder, and ours is spread over ``packages/*/src``: the sources are merged, as
an installation merges them, and checked there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str]) -> int:
    """Runs ``lint-imports`` with ``arguments``; returns its exit code."""
    with tempfile.TemporaryDirectory(prefix='layers-') as folder:
        for source in sorted(ROOT.glob('packages/*/src/jina')):
            ignored = shutil.ignore_patterns('__pycache__')
            shutil.copytree(source, Path(folder) / 'jina', dirs_exist_ok=True, ignore=ignored)
        program = Path(sys.executable).with_name('lint-imports')
        command = [str(program), '--config', str(ROOT / 'pyproject.toml'), '--no-cache', *arguments]
        return subprocess.run(command, cwd=folder, env={**os.environ, 'PYTHONPATH': folder}).returncode


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
