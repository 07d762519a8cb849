"""The original package in an environment of its own: a peer for interoperability tests and benchmarks.

It is a black box that is talked to over sockets; nothing of it is imported here and it is never a dependency. The
first call builds the environment (about half a minute), later calls return it. ``python tools/original_env.py``
builds it and prints its interpreter.

``JINA_ORIGINAL_ENV`` names an existing virtual environment to use instead.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # tools/ is not a package: scripts import each other by name

import bootstrap

ORIGINAL_VERSION = '3.34.0'
CONSTRAINTS = (
    # the newest set under which all its protocols start, and the fastest: pydantic 2 makes it three times slower
    'grpcio==1.68.0',
    'grpcio-health-checking==1.68.0',
    'grpcio-reflection==1.68.0',
    'protobuf<6',
    'opentelemetry-api==1.29.0',
    'opentelemetry-sdk==1.29.0',
    'opentelemetry-proto==1.29.0',
    'opentelemetry-exporter-prometheus==0.50b0',
    'opentelemetry-instrumentation-grpc==0.50b0',
    'opentelemetry-instrumentation-fastapi==0.50b0',
    'opentelemetry-instrumentation-aiohttp-client==0.50b0',
    'opentelemetry-exporter-otlp==1.29.0',
    'opentelemetry-exporter-otlp-proto-grpc==1.29.0',
    'docarray==0.41.0',
    'uvicorn==0.23.1',
    'websockets<14',
    'numpy<2',
    'pydantic==1.10.27',
    'fastapi==0.112.4',
    'starlette==0.37.2',
    'setuptools<80',  # one of its dependencies imports pkg_resources without declaring it
)
PYTHON_VERSIONS = ('3.11', '3.10')
"""Interpreters that it installs on, best first."""


def original_python() -> Path:
    """The interpreter of the environment that holds the original package, which is built if need be.

    Raises:
        BootstrapError: No interpreter it installs on is there, or ``JINA_ORIGINAL_ENV`` doesn't hold it.
    """
    override = os.environ.get('JINA_ORIGINAL_ENV')
    if override:
        python = Path(override) / 'bin' / 'python'
        if _installed_version(python) != ORIGINAL_VERSION:
            raise bootstrap.BootstrapError(f'JINA_ORIGINAL_ENV={override!r} does not hold jina {ORIGINAL_VERSION}')
        return python
    folder = bootstrap.cache_folder() / 'original'
    stamp = hashlib.sha256('\0'.join((ORIGINAL_VERSION, *CONSTRAINTS)).encode()).hexdigest()
    with bootstrap.locked('original'):
        marker = folder / '.stamp'
        if not marker.is_file() or marker.read_text() != stamp:
            _build(folder)
            marker.write_text(stamp)
    return folder / 'bin' / 'python'


def _build(folder: Path) -> None:
    found = bootstrap.interpreters(PYTHON_VERSIONS)
    base = next((found[version] for version in PYTHON_VERSIONS if version in found), None)
    if base is None:
        raise bootstrap.BootstrapError(f'the original needs Python {" or ".join(PYTHON_VERSIONS)}; none was found')
    shutil.rmtree(folder, ignore_errors=True)
    bootstrap.uv('venv', '--quiet', '--python', base, folder)
    python = folder / 'bin' / 'python'
    bootstrap.uv('pip', 'install', '--quiet', '--python', python, f'jina=={ORIGINAL_VERSION}', *CONSTRAINTS)
    installed = _installed_version(python)
    if installed != ORIGINAL_VERSION:
        raise bootstrap.BootstrapError(f'{folder} holds jina {installed!r} instead of {ORIGINAL_VERSION!r}')


def _installed_version(python: Path) -> str:
    command = [str(python), '-c', 'import importlib.metadata as m, jina; print(m.version("jina"))']
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, 'JINA_OPTOUT_TELEMETRY': '1'}
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ''


if __name__ == '__main__':
    print(original_python())
