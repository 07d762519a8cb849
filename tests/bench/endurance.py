"""Scale and endurance of the system alone: ``python -m tests.bench.endurance [--quick] [--only NAMES] [--json FILE]``.

- ``callers``: CPU time of the server for a request, with more and more callers, by unary calls and on one fast lane
- ``chain``: latency of one caller through more and more Executors, and what each adds
- ``memory``: growth of every process over many requests through a Flow of two, after a warm-up
- ``clients``: idle streaming clients, a connection each, on one gateway: its memory for each of them
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from tests.bench.payload import prepare
from tests.bench.sides import JINA
from tests.bench.usage import usage
from tests.support.processes import Peer, free_port, peer

START_TIMEOUT_S = 120.0
PER_PROCESS = 2500
"""Idle clients in one process."""
DESCRIPTORS = 1000
"""Open files of a gateway besides its clients, at most."""


@dataclass(frozen=True)
class Row:
    """One figure."""

    name: str
    case: str
    level: int
    value: float
    unit: str


@dataclass(frozen=True)
class Scale:
    """How much is run."""

    callers: tuple[int, ...] = (1, 10, 100, 1000)
    lengths: tuple[int, ...] = (1, 2, 4, 8, 16)
    rounds: int = 3
    seconds: float = 2.0
    requests: int = 500_000
    warm_up: int = 50_000
    clients: int = 10_000
    idle_s: float = 20.0


QUICK = Scale((1, 100), (1, 4), 1, 0.5, 30_000, 15_000, 300, 1.0)


@contextmanager
def served(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[tuple[Peer, int]]:
    """Runs the benchmark's Executor; gives the process and its port."""
    port = free_port()
    with peer(JINA.command('servers/framework.py', *arguments, '--port', str(port)), env=env) as server:
        server.read_json(timeout_s=START_TIMEOUT_S)
        yield server, port


def drive(port: int, payload: Path, callers: int, seconds: float, *arguments: str) -> dict[str, float]:
    """Runs the load generator once."""
    options = ['--port', str(port), '--payload', str(payload), '--callers', str(callers), '--seconds', str(seconds)]
    with peer(JINA.command('load/raw_grpc.py', *options, *arguments)) as load:
        figures = load.read_json(timeout_s=seconds + 60)
    assert not figures['errors'], figures['first_error']
    return figures


def callers(scale: Scale, payload: Path) -> list[Row]:
    """CPU milliseconds of the server for a request. Callers are counted in turns, so that all meet the same noise."""
    found: dict[tuple[str, int], list[float]] = {}
    for kind in ('deployment', 'flow'):
        with served(kind) as (server, port):
            for _ in range(scale.rounds):
                for level in scale.callers:
                    for way in ('unary', 'lane'):
                        before = usage(server.members()).cpu_s
                        figures = drive(port, payload, level, scale.seconds, *(['--lane'] if way == 'lane' else []))
                        spent = usage(server.members()).cpu_s - before
                        requests = figures['operations'] + figures['warm_up']
                        found.setdefault((f'{kind}, {way}', level), []).append(spent / requests * 1e3)
    return [
        Row('callers', case, level, median(values), 'ms CPU/request') for (case, level), values in sorted(found.items())
    ]


def chain(scale: Scale, payload: Path) -> list[Row]:
    """Median latency of one caller and CPU of all processes by the number of Executors, and what each further one adds."""
    latency: dict[int, list[float]] = {length: [] for length in scale.lengths}
    work: dict[int, list[float]] = {length: [] for length in scale.lengths}
    for length in scale.lengths:
        # One Flow at a time: the processes of another would only take the caches from it.
        with served('flow', '--length', str(length)) as (server, port):
            for _ in range(scale.rounds):
                before = usage(server.members()).cpu_s
                figures = drive(port, payload, 1, scale.seconds)
                spent = usage(server.members()).cpu_s - before
                latency[length].append(figures['p50_ms'])
                work[length].append(spent / (figures['operations'] + figures['warm_up']) * 1e3)
    rows: list[Row] = []
    for case, unit, found in (('latency', 'ms', latency), ('CPU', 'ms CPU/request', work)):
        whole = [Row('chain', case, length, median(values), unit) for length, values in found.items()]
        rows += whole
        rows += [
            Row('chain', f'{case} of a hop', more.level, (more.value - less.value) / (more.level - less.level), unit)
            for less, more in pairwise(whole)
        ]
    return rows


def memory(scale: Scale) -> list[Row]:
    """Growth of every process in MB, between the end of the warm-up and the last request."""
    with served('flow', '--length', '2') as (server, port):
        options = ['--port', str(port), '--requests', str(scale.requests), '--mark', str(scale.warm_up)]
        with peer(JINA.command('load/endless.py', *options)) as load:
            sizes: list[dict[str, float]] = []
            done = 0
            while done < scale.requests:
                done = load.read_json(timeout_s=600)['done']
                sizes.append(resident((*server.members(), *load.members())))
    return [
        Row('memory', name, scale.requests, sizes[-1][name] - size, 'MB') for name, size in sorted(sizes[0].items())
    ]


def clients(scale: Scale, payload: Path) -> list[Row]:
    """Memory of the gateway for an idle client in kB, its CPU meanwhile, and that it still answers all of them."""
    counts = [min(PER_PROCESS, scale.clients - first) for first in range(0, scale.clients, PER_PROCESS)]
    with served('flow', '--length', '1') as (server, port), ExitStack() as stack:
        drive(port, payload, 1, 0.3)
        gateway = next(pid for pid in server.members() if 'gateway' in process_name(pid))
        before = usage([gateway])
        command = ['--port', str(port), '--payload', str(payload), '--seconds', str(scale.idle_s), '--clients']
        loads = [stack.enter_context(peer(JINA.command('load/idle_clients.py', *command, str(n)))) for n in counts]
        for load, count in zip(loads, counts, strict=True):
            assert load.read_json(timeout_s=300)['answered'] == count
        held = usage([gateway])
        began = time.monotonic()
        latency = drive(port, payload, 1, min(1.0, scale.idle_s / 2))['p50_ms']
        busy = (usage([gateway]).cpu_s - held.cpu_s) / (time.monotonic() - began)
        for load, count in zip(loads, counts, strict=True):
            assert load.read_json(timeout_s=300)['answered'] == 2 * count
    return [
        Row('clients', 'gateway', scale.clients, (held.rss_mb - before.rss_mb) * 1024 / scale.clients, 'kB/client'),
        Row('clients', 'another caller meanwhile', 1, latency, 'ms'),
        Row('clients', 'CPU meanwhile', scale.clients, busy, 'cores'),
    ]


def resident(pids: Sequence[int]) -> dict[str, float]:
    """Resident memory in MB by name and id of the process."""
    return {f'{process_name(pid)} {pid}': usage([pid]).rss_mb for pid in pids}


def process_name(pid: int) -> str:
    """The name of a process."""
    return Path(f'/proc/{pid}/comm').read_text().strip()


def measure(scale: Scale, only: Sequence[str] = ()) -> list[Row]:
    """All rows of the report."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix='endurance-') as folder:
        text = prepare(Path(folder)).text
        parts: dict[str, Callable[[], list[Row]]] = {
            'callers': lambda: callers(scale, text),
            'chain': lambda: chain(scale, text),
            'memory': lambda: memory(scale),
            'clients': lambda: clients(scale, text),
        }
        for name in only or parts:
            print(f'{name} ...', file=sys.stderr, flush=True)
            rows += parts[name]()
    return rows


def table(rows: Sequence[Row]) -> str:
    """The report as a Markdown table."""
    lines = ['| part | case | level | |', '| --- | --- | ---: | ---: |']
    lines += [f'| {row.name} | {row.case} | {row.level:,} | {row.value:.3g} {row.unit} |' for row in rows]
    return '\n'.join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(prog='python -m tests.bench.endurance', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a smoke run: few callers, requests and clients')
    parser.add_argument('--only', nargs='+', default=(), choices=('callers', 'chain', 'memory', 'clients'))
    parser.add_argument('--rounds', type=int, help='rounds of callers and chain (default 3)')
    parser.add_argument('--seconds', type=float, help='length of one load of callers and chain (default 2)')
    parser.add_argument('--json', metavar='FILE', help='write all figures here')
    options = parser.parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    scale = QUICK if options.quick else Scale()
    scale = replace(scale, rounds=options.rounds or scale.rounds, seconds=options.seconds or scale.seconds)
    if most != resource.RLIM_INFINITY and most < scale.clients + DESCRIPTORS:
        parser.error(f'{scale.clients} clients need {scale.clients + DESCRIPTORS} open files, and {most} are allowed')
    rows = measure(scale, options.only)
    print(table(rows))
    if options.json:
        machine = {'cores': os.cpu_count()}
        Path(options.json).write_text(
            json.dumps({'machine': machine, 'scale': asdict(scale), 'rows': [asdict(row) for row in rows]}, indent=1)
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
