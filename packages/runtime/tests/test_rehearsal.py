from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

BEGINNING = """
import json, os, sys, threading
import jina.runtime.process, docarray.documents
def state():
    return {'threads': threading.active_count(), 'descriptors': sorted(os.listdir('/proc/self/fd'))}
before = state()
"""
LEFT = f"""{BEGINNING}
import jina.runtime.preload
after = state()
print(json.dumps({{
    'before': before, 'after': after, 'grpc': 'grpc' in sys.modules, 'rehearsed': 'jina.runtime.rehearsal' in sys.modules,
}}))
"""
COST = f"""{BEGINNING}
import asyncio, gc
from jina.runtime import rehearsal
if sys.argv[1] == 'rehearsed':
    rehearsal.rehearse()
gc.collect()
gc.freeze()
if pid := os.fork():
    os.waitpid(pid, 0)
    os._exit(0)
def own():
    with open('/proc/self/smaps_rollup') as file:
        return sum(int(line.split()[1]) for line in file if line.startswith('Private_Dirty'))
forked = own()
rehearsal.rehearse()
print(own() - forked, flush=True)
os._exit(0)
"""

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')


def run(code: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, '-c', code, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ''
    return json.loads(done.stdout)


def test_nothing_is_left_that_a_fork_could_break() -> None:
    found = run(LEFT)
    assert found['rehearsed'] and not found['grpc']
    assert found['after'] == found['before']


def test_a_process_that_is_forked_behind_it_writes_less() -> None:
    # usual is 0.6
    assert run(COST, 'rehearsed') < 0.85 * run(COST, 'not yet')
