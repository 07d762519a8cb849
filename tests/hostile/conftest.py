from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.settings import REQUESTS
from tests.hostile.victim import Target, Victim
from tests.support.processes import peer

_GROWTH_KIB = 24 << 10
"""What a process may grow by in the last two thirds of a long run."""


@pytest.fixture(scope='session')
def victim() -> Iterator[Victim]:
    """The servers. At the end their memory is compared with what it was after a third of the requests."""
    with peer([sys.executable, str(Path(__file__).with_name('serve.py'))]) as program:
        ports = program.read_json(timeout_s=120)
        loop = asyncio.new_event_loop()
        victim = Victim(program, loop, Target('flow', *ports['flow']), Target('deployment', *ports['deployment']))
        try:
            victim.check()
            yield victim
            victim.check()
            _report(victim)
        finally:
            loop.run_until_complete(victim.close())
            loop.close()


def _report(victim: Victim) -> None:
    total = sum(victim.sent.values())
    print(f'\n{total} requests in all (asked for {REQUESTS})')
    for kind, number in sorted(victim.sent.items()):
        found = {outcome: count for (of, outcome), count in victim.outcomes.items() if of == kind}
        shown = ', '.join(f'{outcome}: {count}' for outcome, count in sorted(found.items(), key=lambda item: -item[1]))
        print(f'  {kind:<24} {number:>7}  {shown}')
    print('resident memory in MiB of each process, by requests sent')
    for sent, memory in victim.samples:
        print(f'  {sent:>7}  ' + ' '.join(f'{kib / 1024:7.1f}' for kib in memory.values()))
    if REQUESTS < 50_000:
        return
    settled = next(memory for sent, memory in victim.samples if sent >= total / 3)
    last = victim.samples[-1][1]
    grown = {pid: last[pid] - settled[pid] for pid in last}
    assert max(grown.values()) < _GROWTH_KIB, f'processes grew by {grown} KiB'
