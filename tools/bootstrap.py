"""Virtual environments for development, built once and kept in ``.cache/``: only the standard library is needed.

Example:
    python = environment('demo', projects=['jina'], requirements=['scikit-learn>=1.4'])
    subprocess.run([python, 'docs/examples/search.py'], check=True)
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTIONS = ('core', 'telemetry', 'runtime', 'client', 'export', 'orchestrate', 'jina')
"""Folders in ``packages/``, lowest layer first."""
TOOL_REQUIREMENTS = ('uv>=0.5', 'hatch>=1.18')

COMPILED = {'UV_COMPILE_BYTECODE': '1'}
"""Makes uv compile what it installs: faster first imports, and none of the syntax warnings of others in our output."""


def second_try() -> list[str]:
    """Arguments of pytest that let a failed test run once more where machines are shared (``CI=true``).

    Tests of timing and of killed processes depend on the machine's mood there. The summary counts what was run again; a
    test that needs it more than once in a while is to be mended.
    """
    return ['--reruns', '1'] if os.environ.get('CI') == 'true' else []


class BootstrapError(RuntimeError):
    """An environment can't be built; the message says what to install."""


def cache_folder() -> Path:
    """The folder of all environments: ``.cache`` in the repository, or the value of ``JINA_DEV_CACHE``."""
    folder = Path(os.environ.get('JINA_DEV_CACHE') or ROOT / '.cache')
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds a lock between processes, so that two test runners don't build the same environment at once."""
    with (cache_folder() / f'{name}.lock').open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tools() -> Path:
    """Installs uv and hatch once.

    Returns:
        The folder with their executables.

    Raises:
        BootstrapError: This Python has no ``venv`` module with pip.
    """
    folder = cache_folder() / 'tools'
    stamp = _digest([*TOOL_REQUIREMENTS, sys.version])
    with locked('tools'):
        if not _is_current(folder, stamp):
            print(f'installing {", ".join(TOOL_REQUIREMENTS)} into {folder}', flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            if subprocess.run([sys.executable, '-m', 'venv', str(folder)]).returncode:
                raise BootstrapError(
                    f'{sys.executable} cannot create virtual environments; install its venv module (Debian: python3-venv)'
                )
            pip = [str(folder / 'bin' / 'python'), '-m', 'pip', 'install', '-qq', *TOOL_REQUIREMENTS]
            subprocess.run(pip, check=True)
            (folder / '.stamp').write_text(stamp)
    return folder / 'bin'


def uv(
    *arguments: str | Path, check: bool = True, capture: bool = False, compiled: bool = True
) -> subprocess.CompletedProcess[str]:
    """Runs uv with ``arguments`` from the repository's root; with ``capture`` its output is in the result."""
    command = [str(tools() / 'uv'), *map(str, arguments)]
    # an active environment of the caller must not become uv's target
    variables = {key: value for key, value in os.environ.items() if key not in ('VIRTUAL_ENV', 'CONDA_PREFIX')}
    variables |= COMPILED if compiled else dict.fromkeys(COMPILED, '0')
    return subprocess.run(command, check=check, capture_output=capture, text=True, cwd=ROOT, env=variables)


def environment(
    name: str,
    *,
    projects: Sequence[str] = ('jina',),
    requirements: Sequence[str] = (),
    groups: Sequence[str] = (),
    python: str | Path = sys.executable,
    compiled: bool = True,
) -> Path:
    """Builds a virtual environment with editable installs of our distributions; does nothing when it is up to date.

    Args:
        name: Name of the folder in the cache.
        projects: Distributions as ``folder`` or ``folder[extra,...]``; the siblings they need come along.
        requirements: Further third-party requirements.
        groups: Names of dependency groups of the root ``pyproject.toml``.
        python: The base interpreter.
        compiled: Compile all modules at once instead of at their first import.

    Returns:
        The interpreter of the environment.
    """
    folder = cache_folder() / name
    manifests = [
        path.read_text() for path in [ROOT / 'pyproject.toml', *sorted(ROOT.glob('packages/*/pyproject.toml'))]
    ]
    stamp = _digest([*manifests, *projects, '/', *requirements, '/', *groups, str(python), sys.version])
    with locked(name):
        if not _is_current(folder, stamp):
            print(f'building the environment {folder}', flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            uv('venv', '--quiet', '--python', python, folder)
            wanted = {project.partition('[')[0]: project for project in projects}
            # uv looks for siblings in the registry unless they are named too
            members = [wanted.get(item, item) for item in _with_siblings(list(wanted))]
            editable = [argument for member in members for argument in ('--editable', f'packages/{member}')]
            chosen = [argument for group in groups for argument in ('--group', f'pyproject.toml:{group}')]
            target = folder / 'bin' / 'python'
            uv('pip', 'install', '--quiet', '--python', target, *editable, *chosen, *requirements, compiled=compiled)
            (folder / '.stamp').write_text(stamp)
    return folder / 'bin' / 'python'


def hatch_variables() -> dict[str, str]:
    """Environment variables under which ``hatch`` is on the path and keeps its environments in the cache."""
    binaries = tools()
    folders = [str(binaries), *os.environ.get('PATH', '').split(os.pathsep), *map(str, _pyenv_folders())]
    outside = {key: value for key, value in os.environ.items() if key not in ('HATCH_ENV_ACTIVE', 'VIRTUAL_ENV')}
    return {
        **outside,
        **COMPILED,
        'PATH': os.pathsep.join(folders),
        'HATCH_DATA_DIR': str(cache_folder() / 'hatch'),
        'HATCH_ENV_TYPE_VIRTUAL_UV_PATH': str(binaries / 'uv'),
    }


def interpreters(versions: Sequence[str] = ('3.10', '3.11', '3.12', '3.13')) -> dict[str, Path]:
    """The interpreters on this machine, by version; nothing is downloaded."""
    found: dict[str, Path] = {}
    for version in versions:
        result = uv('python', 'find', '--no-python-downloads', '--system', version, check=False, capture=True)
        installed = [folder / f'python{version}' for folder in _pyenv_folders()]
        if result.returncode == 0:
            found[version] = Path(result.stdout.strip())
        elif existing := [path for path in installed if path.exists()]:
            found[version] = existing[-1]
    return found


def _pyenv_folders() -> list[Path]:
    """Folders of pyenv's interpreters, whose shims on the path work only for the versions that are switched on."""
    root = Path(os.environ.get('PYENV_ROOT') or Path.home() / '.pyenv')
    return [
        folder
        for version in ('3.10', '3.11', '3.12', '3.13')
        for folder in sorted(root.glob(f'versions/{version}.*/bin'))
    ]


def _with_siblings(folders: Sequence[str]) -> list[str]:
    """``folders`` and all distributions below them, in layer order."""
    below = {
        'core': (),
        'telemetry': ('core',),
        'runtime': ('core',),
        'client': ('core',),
        'export': ('core',),
        'orchestrate': ('core', 'runtime', 'client'),
        'jina': DISTRIBUTIONS[:-1],
    }
    needed: set[str] = set(folders)
    for folder in folders:
        if folder not in below:
            raise BootstrapError(f'packages/{folder} is not a distribution; choose from {", ".join(DISTRIBUTIONS)}')
        needed.update(below[folder])
    return [folder for folder in DISTRIBUTIONS if folder in needed]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()


def _is_current(folder: Path, stamp: str) -> bool:
    file = folder / '.stamp'
    return file.is_file() and file.read_text() == stamp
