"""PyTorch in an environment of its own, for the tests of torch tensors.

The package index serves builds with CUDA, several GB large, so no installer is let near it: the environment is built
only where a CPU build lies on this machine, in a folder that pip's option ``find-links`` (or ``PIP_FIND_LINKS``)
names. Elsewhere the answer is a quick no. ``python tools/torch_env.py`` builds it and prints its interpreter.
"""

from __future__ import annotations

import ast
import platform
import subprocess
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # tools/ is not a package: scripts import each other by name

import bootstrap

PROJECTS = ('orchestrate', 'client[http,websocket]', 'runtime[http,websocket]')
"""Distributions that the tests use."""
LARGEST_BYTES = 500_000_000
"""CPU builds have 200 MB, those with CUDA more than 500 MB even without the libraries that they require."""


def torch_python() -> Path:
    """The interpreter of the environment with torch, which is built if need be.

    Raises:
        BootstrapError: There is no CPU build of torch on this machine.
    """
    wheel, python = _find()
    return bootstrap.environment(
        'torch',
        projects=PROJECTS,
        requirements=[f'torch @ {wheel.as_uri()}'],
        groups=['test'],
        python=python,
        # the tests import a small part of torch and of what it requires
        compiled=False,
    )


def _find() -> tuple[Path, Path]:
    """The build and an interpreter that it is for: of this version if possible."""
    folders = _local_folders()
    where = ', '.join(map(str, folders)) or 'pip has no find-links'
    running = f'{sys.version_info.major}.{sys.version_info.minor}'
    wheels = [
        wheel for folder in folders for wheel in sorted(folder.glob('torch-*.whl')) if _is_for_this_machine(wheel)
    ]
    wheels.sort(key=lambda wheel: _python_of(wheel) == running, reverse=True)
    for wheel in wheels:
        version = _python_of(wheel)
        python = Path(sys.executable) if version == running else bootstrap.interpreters([version]).get(version)
        if python is not None:
            return wheel, python
    raise bootstrap.BootstrapError(
        f'no CPU build of torch on this machine ({where}); set PIP_FIND_LINKS to a folder with one'
    )


def _local_folders() -> list[Path]:
    """The folders in which pip looks for wheels before it asks an index."""
    pip = [str(bootstrap.tools() / 'python'), '-m', 'pip', '--disable-pip-version-check', 'config', 'list']
    lines = subprocess.run(pip, capture_output=True, text=True, check=True).stdout.splitlines()
    values = [line.partition('=')[2] for line in lines if line.partition('=')[0].endswith('find-links')]
    places = [place for value in values for place in str(ast.literal_eval(value)).split()]
    paths = [urllib.request.url2pathname(place.removeprefix('file://')) for place in places]
    return [path for path in map(Path, dict.fromkeys(paths)) if path.is_dir()]


def _is_for_this_machine(wheel: Path) -> bool:
    """Whether it runs here, on the CPU, as far as its name and its size tell."""
    system = {'linux': 'linux', 'darwin': 'macosx', 'win32': 'win'}.get(sys.platform, sys.platform)
    tag = wheel.stem.rpartition('-')[2].lower()
    fits = system in tag and tag.endswith(platform.machine().lower())
    return fits and wheel.stat().st_size <= LARGEST_BYTES


def _python_of(wheel: Path) -> str:
    """The Python version in its name: ``3.11`` for ``torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl``."""
    tag = wheel.stem.split('-')[-3]
    return f'{tag[2:3]}.{tag[3:]}'


if __name__ == '__main__':
    print(torch_python())
