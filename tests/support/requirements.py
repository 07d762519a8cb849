"""Components outside Python that tests need: skipped with the reason where they are missing, an error in CI."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

__all__ = [
    'ROOT',
    'bootstrap',
    'missing',
    'original_env',
    'peer_env',
    'require_original',
    'require_program',
    'torch_env',
    'wheels',
]

ROOT = Path(__file__).resolve().parent.parent.parent

sys.path.append(str(ROOT / 'tools'))

import bootstrap  # noqa: E402  tools/ is not a package
import original_env  # noqa: E402
import peer_env  # noqa: E402
import torch_env  # noqa: E402
import wheels  # noqa: E402


def missing(reason: str) -> None:
    """Skips the test; in CI, where every component should be there, fails it."""
    if os.environ.get('CI'):
        pytest.fail(reason)
    pytest.skip(reason)


def require_program(name: str, *, package: str) -> str:
    """The path of a program that Debian's ``package`` brings."""
    path = shutil.which(name)
    if path is None:
        missing(f'{name} is not installed; run: apt-get install {package}')
    return str(path)


def require_original() -> Path:
    """The interpreter of the original package's environment, built on first use."""
    try:
        return original_env.original_python()
    except bootstrap.BootstrapError as error:
        missing(str(error))
        raise
