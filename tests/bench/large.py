"""One large tensor a document, end to end: ``python -m tests.bench.large [--quick] [--json FILE]``.

Client, gateway and Executors are real processes. Each row gives the rate at which arrays pass a hop (a request to a
process, or its answer) and, for each process, by how much its memory has grown at most, in sizes of the array.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.sides import JINA
from tests.support.processes import free_port, peer, wait_for_port

LARGE = 64 << 20
HOPS = {'deployment': 1, 'flow': 3}
"""How often an array travels from one process to another on its way to the last Executor."""


@dataclass(frozen=True)
class Row:
    """One way through the system."""

    name: str
    seconds: float
    """Median time from the call of ``Client.post`` to the decoded answer."""
    rate: float
    """Gigabytes per second and hop: each hop carries the array there and back."""
    memory: dict[str, float]
    """Growth of the largest resident size of each process, in sizes of the array."""


def measure(kind: str, *, size: int, rounds: int) -> Row:
    """Sends arrays through a Deployment, or through a Flow of two."""
    port = free_port()
    command = JINA.command('servers/framework.py', kind, '--executor', 'Arrays', '--port', str(port))
    with peer(command) as server:
        server.read_json(timeout_s=120)
        wait_for_port(port, timeout_s=60)
        load = JINA.command('load/large.py', '--port', str(port), '--size', str(size), '--rounds', str(rounds))
        before = {pid: peak_bytes(pid) for pid in server.members()}
        with peer(load) as client:
            found: dict[str, Any] = client.read_json(timeout_s=300)
        memory = {'Client': found['grown'] / size}
        for pid, was in before.items():
            if peak_bytes(pid) - was > size / 4:
                memory[name_of(pid)] = (peak_bytes(pid) - was) / size
    seconds = median(found['seconds'])
    return Row(kind, seconds, 2 * HOPS[kind] * size / seconds / 1e9, memory)


def peak_bytes(pid: int) -> int:
    """The largest resident size that a process has had."""
    lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith('VmHWM:'))


def name_of(pid: int) -> str:
    """The name that a pod gives its process."""
    return Path(f'/proc/{pid}/comm').read_text().strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints a line per way."""
    parser = argparse.ArgumentParser(prog='python -m tests.bench.large', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a smoke run: few rounds with a smaller array')
    parser.add_argument('--json', metavar='FILE', help='write all figures here')
    options = parser.parse_args(arguments)
    size = LARGE >> 1 if options.quick else LARGE
    rows = []
    for kind in HOPS:
        row = measure(kind, size=size, rounds=3 if options.quick else 5)
        rows.append(row)
        shares = ', '.join(f'{name} {share:.2f} ×' for name, share in row.memory.items())
        print(f'{size >> 20} MB array, {kind}: {row.rate:.2f} GB/s a hop; memory: {shares}', flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(row) for row in rows], indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
