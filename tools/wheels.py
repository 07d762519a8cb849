"""Builds the wheels and tests each alone: in an empty environment, with nothing but what it declares.

    python tools/wheels.py build              all wheels and sdists into .cache/dist
    python tools/wheels.py test core runtime  each in an environment of its own, in turn on the newest two Pythons here
    python tools/wheels.py lowest             all, with the lowest declared versions, on the oldest Python here

Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # tools/ is not a package: scripts import each other by name

import bootstrap

TEST_TOOLS = (
    'pytest>=8.3',
    'pytest-asyncio>=1.0',
    'pytest-timeout>=2.3',
    'pytest-xdist>=3.6',
    'pytest-rerunfailures>=15.0',
    'hypothesis>=6.100',
)
TEST_TOOLS_OF = {
    'export': ('jsonschema>=4.20', 'kubernetes-validate>=1.34'),  # check what it writes
    'telemetry': ('opentelemetry-proto>=1.30',),  # the receiver that its tests run
    'runtime': (
        'aiohttp>=3.10',
        'h2>=4.1',
    ),  # the HTTP client, and the other implementation of HTTP/2, that its tests use
    'orchestrate': (  # its tests serve HTTP and WebSocket, and draw Flows
        'jina-runtime[http,websocket]',
        'jina-client[http,websocket]',
        'jina-export',
    ),
}
"""What the tests of a distribution need beside ``TEST_TOOLS`` and what the distribution declares."""
EXTRAS = {
    'runtime': 'http,websocket,graphql,reload',
    'client': 'http,websocket',
    'orchestrate': 'reload',
    'export': 'png',
    'jina': 'graphql,all',
}
"""Extras, separated by commas, that a distribution is tested with."""
EVERYTHING = (
    'jina-core',
    'jina-runtime[http,websocket,graphql]',
    'jina-client[http,websocket]',
    'jina-telemetry',
    'jina-export[png]',
    'jina-orchestrate',
    'jina',
)


def build() -> Path:
    """Builds all wheels and sdists, unless the sources are those of the last build.

    Returns:
        The folder that holds them.
    """
    folder = bootstrap.cache_folder() / 'dist'
    digest = hashlib.sha256()
    for file in sorted(bootstrap.ROOT.glob('packages/**/*')):
        if file.is_file() and '__pycache__' not in file.parts:
            digest.update(str(file.relative_to(bootstrap.ROOT)).encode() + b'\0' + file.read_bytes())
    with bootstrap.locked('dist'):
        stamp = folder / '.stamp'
        if not stamp.is_file() or stamp.read_text() != digest.hexdigest():
            shutil.rmtree(folder, ignore_errors=True)
            command = ['hatch', 'build', '--all', str(folder)]
            done = subprocess.run(
                command, cwd=bootstrap.ROOT, env=bootstrap.hatch_variables(), capture_output=True, text=True
            )
            if done.returncode:
                raise bootstrap.BootstrapError(f'{" ".join(command)} failed:\n{done.stdout}{done.stderr}')
            stamp.write_text(digest.hexdigest())
    return folder


def own_wheels() -> Path:
    """A constraints file that ties the names of our distributions to the built wheels, whatever a registry has."""
    folder = build()
    file = folder / 'own.txt'
    file.write_text(''.join(f'{_name_of(wheel)} @ {wheel.as_uri()}\n' for wheel in sorted(folder.glob('*.whl'))))
    return file


def install(
    folder: Path, requirements: Sequence[str], *, python: Path | str, resolution: Sequence[str | Path] = ()
) -> Path:
    """Makes an empty environment in ``folder`` and installs wheels from ``build()`` into it with uv.

    Args:
        folder: Where the environment is made; what is there is removed.
        requirements: Our distributions by name, and third-party packages.
        python: The base interpreter.
        resolution: Further arguments of ``uv pip install``.

    Returns:
        The interpreter of the environment.
    """
    shutil.rmtree(folder, ignore_errors=True)
    bootstrap.uv('venv', '--quiet', '--python', python, folder)
    interpreter = folder / 'bin' / 'python'
    # the wheels keep their version from build to build, so a cached one could be an older build
    refreshed: list[str | Path] = []
    for wheel in build().glob('*.whl'):
        refreshed += ['--refresh-package', _name_of(wheel)]
    limits: list[str | Path] = ['--constraints', own_wheels()]
    bootstrap.uv('pip', 'install', '--quiet', '--python', interpreter, *limits, *refreshed, *resolution, *requirements)
    return interpreter


def test_alone(folder_name: str, python: Path | str) -> int:
    """Runs the tests of one distribution against its wheel; returns pytest's exit code."""
    name = 'jina' if folder_name == 'jina' else f'jina-{folder_name}'
    extra = f'[{EXTRAS[folder_name]}]' if folder_name in EXTRAS else ''
    with tempfile.TemporaryDirectory(prefix='wheel-') as folder:
        requirements = [name + extra, *TEST_TOOLS, *TEST_TOOLS_OF.get(folder_name, ())]
        interpreter = install(Path(folder) / 'env', requirements, python=python)
        # properties that many examples are tried for hold whatever else is installed
        return _run_tests(interpreter, [folder_name], Path(folder), '-m', 'not hypothesis')


def test_lowest(folder_names: Sequence[str], python: Path | str) -> int:
    """Runs the tests of distributions with the lowest third-party versions they declare; returns pytest's exit code."""
    manifests = [f'packages/{item}/pyproject.toml' for item in bootstrap.DISTRIBUTIONS]
    tools = [*TEST_TOOLS, *(tool for item in folder_names for tool in TEST_TOOLS_OF.get(item, ()))]
    with tempfile.TemporaryDirectory(prefix='lowest-') as folder:
        lowest = Path(folder) / 'lowest.txt'
        compiling = [
            'pip',
            'compile',
            '--quiet',
            '--resolution=lowest-direct',
            '--all-extras',
            '--no-header',
            '--no-annotate',
        ]
        bootstrap.uv(*compiling, '--python', python, '--constraints', own_wheels(), '--output-file', lowest, *manifests)
        # our own distributions are tied to the built wheels already
        resolved = [line for line in lowest.read_text().splitlines() if not line.startswith('jina')]
        lowest.write_text('\n'.join(resolved) + '\n')
        _print_floors(resolved)
        interpreter = install(
            Path(folder) / 'env',
            [*EVERYTHING, 'jina-orchestrate[reload]', *tools],
            python=python,
            resolution=['--constraints', lowest],
        )
        return _run_tests(interpreter, folder_names, Path(folder), '-n', '2', '--dist', 'loadfile')


def _run_tests(interpreter: Path, folder_names: Sequence[str], folder: Path, *arguments: str) -> int:
    """Runs copies of the tests, so that nothing of the checkout can be imported by accident."""
    for name in folder_names:
        shutil.copytree(bootstrap.ROOT / 'packages' / name / 'tests', folder / 'packages' / name / 'tests')
    shutil.copy(bootstrap.ROOT / 'pyproject.toml', folder)
    variables = {key: value for key, value in os.environ.items() if not key.startswith(('PYTEST_', 'PYTHONPATH'))}
    command = [str(interpreter), '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '--durations=5', 'packages']
    return subprocess.run([*command, *arguments, *bootstrap.second_try()], cwd=folder, env=variables).returncode


def _print_floors(resolved: Sequence[str]) -> None:
    """Shows the floor that each manifest declares beside the lowest version that fits with all others."""
    versions = dict(line.split(' ')[0].split('==') for line in resolved if '==' in line)
    text = ''.join(file.read_text() for file in sorted(bootstrap.ROOT.glob('packages/*/pyproject.toml')))
    print('lowest versions (declared floor, lowest that fits):', flush=True)
    for name, floor in sorted(set(re.findall(r'"([\w-]+)(?:\[[\w,]+\])?>=([\w.]+)', text))):
        if name in versions:
            print(f'  {name} {floor} {versions[name]}', flush=True)


def _name_of(wheel: Path) -> str:
    return wheel.name.partition('-')[0].replace('_', '-')


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one of the commands; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('command', choices=['build', 'test', 'lowest'])
    parser.add_argument('distributions', nargs='*', help='folders in packages/ (default: all)')
    parser.add_argument('--python', help='version of the interpreter, such as 3.12')
    options = parser.parse_args(arguments)
    chosen = options.distributions or list(bootstrap.DISTRIBUTIONS)
    if options.command == 'build':
        print(build())
        return 0
    found = bootstrap.interpreters([options.python] if options.python else ('3.10', '3.11', '3.12', '3.13'))
    if not found:
        raise bootstrap.BootstrapError(f'Python {options.python or "3.10 to 3.13"} was not found')
    if options.command == 'lowest':
        return test_lowest(chosen, next(iter(found.values())))
    newest = list(found.values())[:-3:-1]
    return max(test_alone(name, newest[bootstrap.DISTRIBUTIONS.index(name) % len(newest)]) for name in chosen)


if __name__ == '__main__':
    sys.exit(main())
