from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from jina.runtime.heap import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == 'keep' else None

def work():
    messages = [bytearray(b'x' * 500_000) for _ in range(6)]

for _ in range(20):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    work()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **variables: str) -> tuple[str, int]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(('MALLOC_', 'GLIBC_'))}
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, how],
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    kept, count = done.stdout.split()
    return kept, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the C library is not glibc')
def test_freed_memory_is_used_again() -> None:
    kept, count = faults('keep')
    assert kept == 'True'
    assert count < faults('leave')[1] / 5


def test_settings_of_the_user_win() -> None:
    assert faults('keep', MALLOC_ARENA_MAX='2')[0] == 'False'
