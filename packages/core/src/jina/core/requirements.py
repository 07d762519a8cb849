"""Installation of the ``requirements.txt`` that lies beside an Executor."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from jina.core.errors import ConfigError

REQUIREMENTS_FILE: Final = 'requirements.txt'
_SHOWN_LINES: Final = 10


def install_requirements(folder: Path) -> None:
    """Installs what the ``requirements.txt`` of a folder asks for into the running environment, if there is one.

    Processes that do so at the same time take turns.

    Args:
        folder: Folder of an Executor.

    Raises:
        ConfigError: It failed, or there is no installer.
    """
    file = folder / REQUIREMENTS_FILE
    if not file.is_file():
        return
    command = [*_installer(), '-r', str(file)]
    with _turn():
        result = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    if result.returncode:
        said = '\n'.join(result.stdout.rstrip().splitlines()[-_SHOWN_LINES:])
        raise ConfigError(
            f'{file}: the installation failed with status {result.returncode}:\n{said}\n',
            hint=f'try it by hand: {shlex.join(command)}',
        )
    importlib.invalidate_caches()


def _installer() -> list[str]:
    if importlib.util.find_spec('pip') is not None:
        return [sys.executable, '-m', 'pip', 'install', '--disable-pip-version-check', '--quiet']
    uv = shutil.which('uv')
    if uv is not None:
        return [uv, 'pip', 'install', '--quiet', '--python', sys.executable]
    raise ConfigError(
        f'install_requirements needs pip or uv, and {sys.executable} has neither',
        hint=f'run: {sys.executable} -m ensurepip, or leave install_requirements out and install them yourself',
    )


@contextmanager
def _turn() -> Iterator[None]:
    """Waits until no other process installs into this environment."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows, where installers clash as they do everywhere
    except ModuleNotFoundError:
        yield
        return
    name = f'jina-install-{hashlib.sha256(sys.prefix.encode()).hexdigest()[:12]}.lock'
    lock = os.open(Path(tempfile.gettempdir()) / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
