"""Command line: ``python -m tests.hostile --requests 100000`` attacks with so many requests, others in each run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Runs the tests of this folder; returns pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--requests', type=int, default=100_000, help='requests in all (default 100,000)')
    options, arguments = parser.parse_known_args()
    command = [sys.executable, '-m', 'pytest', str(Path(__file__).parent), '-v', '-s', '--durations=0', *arguments]
    return subprocess.run(command, env={**os.environ, 'HOSTILE_REQUESTS': str(options.requests)}).returncode


if __name__ == '__main__':
    sys.exit(main())
