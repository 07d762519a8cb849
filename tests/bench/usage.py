"""CPU time and memory of a server and all processes in its session, read from ``/proc``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf('SC_CLK_TCK')


@dataclass(frozen=True)
class Usage:
    """What a process tree has used so far."""

    cpu_s: float
    """User and system time of the living processes and of their ended children."""
    pss_mb: float
    """Proportional set size: shared pages count by the number of processes that share them."""
    rss_mb: float
    """Resident set size, shared pages counted in full by each process."""
    processes: int


def usage(pids: Sequence[int]) -> Usage:
    """The sum over ``pids``; processes that end meanwhile are left out."""
    cpu = pss = rss = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
            cpu += sum(int(field) for field in fields[11:15]) / TICKS_PER_S
            sizes = dict(
                line.split(':', 1)
                for line in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()[1:]
                if ':' in line
            )
            pss += int(sizes['Pss'].split()[0]) / 1024
            rss += int(sizes['Rss'].split()[0]) / 1024
    return Usage(cpu, pss, rss, len(pids))
