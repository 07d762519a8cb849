"""The serving frameworks that the benchmarks compare with, each in an environment of its own.

They are talked to over HTTP; nothing of them is imported here and none is ever a dependency. The first call builds an
environment with the newest versions in the package index, later calls return it. ``python tools/peer_env.py NAME``
builds one and prints its interpreter.

To take newer versions, remove its folder in ``.cache/peers``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # tools/ is not a package: scripts import each other by name

import bootstrap

REQUIREMENTS = {
    'mosec': ('mosec',),
    'litserve': ('litserve',),
    'bentoml': ('bentoml', 'uvloop', 'httptools'),  # its uvicorn takes them when they are there
    'ray': ('ray[serve]',),
}
"""What is installed for each peer; the first requirement is the peer itself."""
PYTHON_VERSIONS = ('3.11', '3.12', '3.10', '3.13')
"""Interpreters, in the order in which they are taken: each peer runs on the first."""
_VERSIONS = """
import importlib.metadata, json, platform
found = {each.metadata["Name"].lower(): each.version for each in importlib.metadata.distributions()}
print(json.dumps({**found, "python": platform.python_version()}))
"""


def peer_python(name: str) -> Path:
    """The interpreter of the environment that holds a peer, which is built if need be.

    Raises:
        BootstrapError: The peer can't be installed; the message is the installer's.
    """
    folder = bootstrap.cache_folder() / 'peers' / name
    folder.parent.mkdir(exist_ok=True)
    stamp = hashlib.sha256('\0'.join(REQUIREMENTS[name]).encode()).hexdigest()
    with bootstrap.locked(f'peers/{name}'):
        marker = folder / '.stamp'
        if not marker.is_file() or marker.read_text() != stamp:
            _build(name, folder)
            marker.write_text(stamp)
    return folder / 'bin' / 'python'


def versions(python: Path) -> dict[str, str]:
    """The versions of all distributions that an interpreter has, and its own as ``python``."""
    result = subprocess.run([str(python), '-I', '-c', _VERSIONS], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(result.stdout)
    return found


def _build(name: str, folder: Path) -> None:
    found = bootstrap.interpreters(PYTHON_VERSIONS)
    base = next((found[version] for version in PYTHON_VERSIONS if version in found), None)
    if base is None:
        raise bootstrap.BootstrapError(f'{name} needs Python {" or ".join(PYTHON_VERSIONS)}; none was found')
    print(f'building the environment {folder}', file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    bootstrap.uv('venv', '--quiet', '--python', base, folder)
    python = folder / 'bin' / 'python'
    result = bootstrap.uv(
        'pip', 'install', '--quiet', '--python', python, *REQUIREMENTS[name], check=False, capture=True
    )
    if result.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise bootstrap.BootstrapError(f'{name} cannot be installed: {result.stderr.strip()}')


def main() -> int:
    """Builds the environments that are named on the command line and prints their interpreters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='+', choices=list(REQUIREMENTS))
    for name in parser.parse_args().names:
        print(peer_python(name))
    return 0


if __name__ == '__main__':
    sys.exit(main())
