"""Runs every check and every test of the repository: ``python3 tools/run_tests.py``.

Needs Python 3.10 or newer and git, nothing else: the tools and environments are installed into ``.cache/``. The
checks come first and all of them run, then everything with this version of Python, so that pytest's summary is the last
line; the isolated wheels and the lowest versions among those tests run on the others. With ``--matrix`` the distributions'
tests run on each other version before. Arguments go to the last pytest run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # tools/ is not a package: scripts import each other by name

import bootstrap

CHECKS = ('lint:check', 'types:check', 'protos:check')


def run(title: str, command: Sequence[str], variables: dict[str, str]) -> bool:
    """Runs one step with a heading; tells whether it passed."""
    print(f'\n=== {title}: {" ".join(command)}', flush=True)
    began = time.monotonic()
    code = subprocess.run(command, cwd=bootstrap.ROOT, env=variables).returncode
    print(
        f'=== {title}: {"passed" if code == 0 else f"FAILED ({code})"} in {time.monotonic() - began:.0f} s', flush=True
    )
    return code == 0


def main(arguments: Sequence[str]) -> int:
    """Parses the command line and runs the steps; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--no-checks', action='store_true', help='skip the static checks')
    parser.add_argument(
        '--matrix', action='store_true', help='run the tests of the distributions on all versions of Python'
    )
    parser.add_argument('--workers', default='2', help='processes of pytest (default 2)')
    options, pytest_arguments = parser.parse_known_args(arguments)

    variables = bootstrap.hatch_variables()
    failed: list[str] = []
    if not options.no_checks:
        failed += [check for check in CHECKS if not run(check, ['hatch', 'run', check], variables)]
    if options.matrix:
        running = f'{sys.version_info.major}.{sys.version_info.minor}'
        for version in bootstrap.interpreters():
            if version == running:
                continue
            command = [
                'hatch',
                'test',
                '-py',
                version,
                '--',
                'packages',
                '-q',
                '-n',
                options.workers,
                '--dist',
                'loadfile',
                *bootstrap.second_try(),
            ]
            if not run(f'Python {version}', command, variables):
                failed.append(f'tests on Python {version}')

    command = [
        'hatch',
        'run',
        'python',
        '-m',
        'pytest',
        'packages',
        'tests',
        '-n',
        options.workers,
        '--dist',
        'loadfile',
        '--no-loadscope-reorder',  # files begin in the order that tests/conftest.py gives them
        *bootstrap.second_try(),
    ]
    if failed:
        print(f'\n=== failed before the main test run: {", ".join(failed)}', flush=True)
    print(f'\n=== all tests: {" ".join([*command, *pytest_arguments])}', flush=True)
    code = subprocess.run([*command, *pytest_arguments], cwd=bootstrap.ROOT, env=variables).returncode
    return code or int(bool(failed))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
