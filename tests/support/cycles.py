"""Starts and stops a Flow many times and prints, as JSON, what the process and its helper hold before and after.

Usage: ``python cycles.py COUNT``. Run it with ``TMPDIR`` naming an empty folder.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, Flow, requests
from jina.orchestrate import launcher

WARM_UP = 3
"""Cycles after which nothing may be added any more."""


class Echo(Executor):
    @requests
    def echo(self, docs: DocList[TextDoc], **kwargs: object) -> DocList[TextDoc]:
        return docs


def cycle() -> None:
    flow = Flow(protocol=['grpc', 'http'], quiet=True).add(uses=Echo).add(uses=Echo, replicas=2)
    with flow:
        assert flow.post('/', TextDoc(text='x'), return_type=DocList[TextDoc])[0].text == 'x'


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f'/proc/{pid}/task').iterdir():
        found += [int(child) for child in (task / 'children').read_text().split()]
    return found


def descriptors(pid: int) -> int:
    return len(os.listdir(f'/proc/{pid}/fd'))


def memory_kib(pid: int) -> int:
    for line in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines():
        if line.startswith('Pss:'):
            return int(line.split()[1])
    raise AssertionError('no Pss')


def held() -> dict[str, object]:
    """What is held now, after what is on its way has arrived."""
    gc.collect()
    zygote = launcher.current().pid
    deadline = time.monotonic() + 10
    while children(zygote) and time.monotonic() < deadline:
        time.sleep(0.02)
    return {
        'threads': sorted(thread.name for thread in threading.enumerate()),
        'descriptors': descriptors(os.getpid()),
        'zygote descriptors': descriptors(zygote),
        'processes': len(children(os.getpid())) + len(children(zygote)),
        'files': sorted(os.listdir(tempfile.gettempdir())),
        'memory_kib': memory_kib(os.getpid()),
        'zygote memory_kib': memory_kib(zygote),
    }


def main(count: int) -> None:
    for _ in range(WARM_UP):
        cycle()
    before = held()
    begin = time.monotonic()
    for _ in range(count):
        cycle()
    print(json.dumps({'before': before, 'after': held(), 'seconds': time.monotonic() - begin}))


if __name__ == '__main__':
    main(int(sys.argv[1]))
