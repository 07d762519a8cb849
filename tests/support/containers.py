"""A container engine for tests, and a base image made of this machine's own Python: no registry is needed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.requirements import ROOT, bootstrap, wheels

BASE = 'jina-test-base:latest'
BASE_PATH = 'ENV PATH=/usr/bin:/bin'
BUILD_ARGUMENTS = ('--build-arg', f'BASE={BASE}', '--build-arg', 'PIP_ARGS=--no-index --find-links /build/wheels')
"""Of ``build`` of a folder with a Dockerfile and wheels: they take the place of registries."""
_LIBRARY = re.compile(r'=> (/\S+)|^\s*(/\S+) \(0x', re.MULTILINE)
_FURTHER = (
    *('libgcc_s.so.1', 'libstdc++.so.6', 'libm.so.6', 'librt.so.1', 'libpthread.so.0', 'libdl.so.2', 'libutil.so.1'),
    *('libnss_dns.so.2', 'libnss_files.so.2', 'libresolv.so.2'),
)
_PROGRAMS = ('sh', 'rm', 'sleep', 'cat', 'ls', 'env', 'mkdir')
_PRUNED = ('test', 'idlelib', 'tkinter', 'site-packages', 'config-', '__pycache__', 'lib2to3', 'turtledemo')


class Engine:
    """A Docker engine that only this process uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / 'docker.sock'
        self.variables = {**os.environ, 'DOCKER_HOST': f'unix://{self.socket}', 'DOCKER_BUILDKIT': '0'}

    def run(self, *command: str | Path, check: bool = True, timeout: float = 300) -> str:
        """Runs ``docker ...`` or another program that asks the engine; returns what it printed."""
        done = subprocess.run(
            [str(word) for word in command],
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0 or not check, f'{command}: {done.stdout[-4000:]}'
        return done.stdout

    def build(self, folder: Path, tag: str) -> None:
        """Builds the image of a folder with a Dockerfile and wheels on the base of tests."""
        self.run('docker', 'build', '-t', tag, *BUILD_ARGUMENTS, folder, timeout=600)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Waits until no other test runs an engine: a second one gives the bridge of the first another address."""
    with (Path(tempfile.gettempdir()) / 'jina-tests-engine.lock').open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """Starts an engine; skips the test where there is none or no right to start one."""
    program = shutil.which('dockerd')
    if program is None or os.geteuid() != 0 or shutil.which('docker') is None:
        pytest.skip('needs dockerd, docker and root')
    with _alone(), tempfile.TemporaryDirectory(prefix='docker-', dir='/var/tmp') as name:
        running = Engine(Path(name))
        folder = running.folder
        command = [program, '--host', f'unix://{running.socket}', '--data-root', str(folder / 'data')]
        command += ['--exec-root', str(folder / 'exec'), '--pidfile', str(folder / 'pid')]
        with (folder / 'log').open('w') as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_until_up(running, process)
            yield running
        finally:
            process.terminate()
            process.wait(60)
            for mount in ('exec', 'data'):
                subprocess.run(f'umount -q $(grep -o "{folder}/{mount}[^ ]*" /proc/mounts)', shell=True, stderr=-3)


def _wait_until_up(running: Engine, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while 'Server Version' not in running.run('docker', 'info', check=False):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.skip(f'the engine did not start: {(running.folder / "log").read_text()[-600:]}')
        time.sleep(0.2)


def base_image(running: Engine) -> None:
    """Makes the base image."""
    with base_archive() as file:
        running.run('docker', 'import', '--change', BASE_PATH, file, BASE)


@contextlib.contextmanager
def base_archive() -> Iterator[Path]:
    """A file with the files of the base image: this Python, a shell, and the libraries that they need."""
    with tempfile.NamedTemporaryFile(suffix='.tar') as file:
        _write_base(Path(file.name))
        yield Path(file.name)


def _write_base(file: Path) -> None:
    prefix = Path(sys.base_prefix)
    with tarfile.open(file, 'w') as archive:
        seen: set[str] = set()
        interpreter = Path(os.path.realpath(sys.executable))
        binaries = [interpreter, *prefix.glob('lib/python3*/lib-dynload/*.so')]
        programs = [Path(path) for name in _PROGRAMS if (path := shutil.which(name))]
        for library in _libraries([*binaries, *programs]):
            _add(archive, library, seen)
        for program in programs:
            archive.add(os.path.realpath(program), arcname=f'usr/bin/{program.name}')
        archive.add(prefix, arcname=str(prefix)[1:], filter=_pruned)
        _link(archive, 'usr/bin/python3', str(interpreter))
        for folder in ('lib', 'lib64', 'bin'):
            _link(archive, folder, f'usr/{folder}')
        for folder in ('tmp', 'var/tmp'):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            archive.addfile(entry)


def _libraries(binaries: Sequence[Path]) -> list[Path]:
    found = subprocess.run(['ldd', *map(str, binaries)], capture_output=True, text=True).stdout
    loaded = {Path(first or second) for first, second in _LIBRARY.findall(found)}
    cached = subprocess.run(['ldconfig', '-p'], capture_output=True, text=True).stdout
    for name in _FURTHER:  # of packages' extension modules, and of name look-ups
        loaded.update(
            Path(path) for path in re.findall(rf'^\s*{re.escape(name)} .*x86-64.* => (\S+)', cached, re.MULTILINE)
        )
    return sorted(loaded)


def _add(archive: tarfile.TarFile, path: Path, seen: set[str]) -> None:
    """Adds a library under the name that it is looked for by, as a file."""
    name = str(path)
    name = name if name.startswith('/usr') else f'/usr{name}'
    if name not in seen and not str(path).startswith(sys.base_prefix):
        seen.add(name)
        archive.add(os.path.realpath(path), arcname=name[1:])


def _link(archive: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)


def _pruned(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = Path(entry.name).parts
    unused = any(part == name or (name.endswith('-') and part.startswith(name)) for part in parts for name in _PRUNED)
    return None if unused or 'share' in parts or entry.name.endswith('.a') else entry


def gather_wheels(folder: Path) -> None:
    """Puts the wheels of all our distributions, and of what they need, into a folder."""
    built = sorted(wheels.build().glob('*.whl'))
    wanted = [f'{wheel}[http,websocket]' if 'runtime' in wheel.name else str(wheel) for wheel in built]
    download_wheels(folder, wanted)
    for wheel in built:  # as they are now, whatever was downloaded before
        shutil.copy(wheel, folder)


def download_wheels(folder: Path, wanted: Sequence[str], *, name: str = 'container-wheels') -> None:
    """Puts wheels of requirements, and of what they need, into a folder.

    Args:
        folder: The new folder.
        wanted: The requirements.
        name: Name of the cache that keeps them.
    """
    cache = bootstrap.cache_folder() / name
    python = sys.executable if _has_pip() else bootstrap.cache_folder() / 'tools' / 'bin' / 'python'
    command = [python, '-m', 'pip', 'wheel', '-qq', '-w', cache, '--find-links', wheels.build(), *wanted]
    with bootstrap.locked(name):
        subprocess.run(command, check=True, cwd=ROOT)
        shutil.copytree(cache, folder)


def _has_pip() -> bool:
    return subprocess.run([sys.executable, '-m', 'pip', '-V'], capture_output=True).returncode == 0
