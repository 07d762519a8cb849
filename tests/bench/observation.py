"""What metrics and traces cost: ``python -m tests.bench.observation [--quick] [--json FILE]``.

CPU time of all server processes for one request, with 16 callers that send prepared bytes by unary calls and on one fast
lane, to servers that differ in nothing but what they record. They run side by side and get their load in turns. What is
added hardly depends on the request, so there is a small one, which shows it best, and one with some work in it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tests.bench.endurance import drive, served
from tests.bench.payload import Payloads, prepare
from tests.bench.sides import JINA
from tests.bench.usage import usage
from tests.support.processes import peer

CALLERS = 16
OFF = 'nothing'
SAMPLED = {'OTEL_TRACES_SAMPLER': 'parentbased_traceidratio', 'OTEL_TRACES_SAMPLER_ARG': '0.01'}


@dataclass(frozen=True)
class Kind:
    """A server, and what is sent to it."""

    arguments: tuple[str, ...]
    payload: str
    ways: tuple[str, ...]


KINDS = {
    'Deployment': Kind(('deployment',), 'text', ('unary', 'lane')),
    'Flow of two': Kind(('flow', '--length', '2'), 'text', ('unary', 'lane')),
    'Deployment, 100 vectors': Kind(('deployment', '--executor', 'Vectors'), 'vectors', ('unary',)),
    'Flow of two, 100 vectors': Kind(('flow', '--length', '2', '--executor', 'Vectors'), 'vectors', ('unary',)),
}


@dataclass(frozen=True)
class Row:
    """One kind of server and what it records."""

    server: str
    way: str
    """``unary`` or ``lane``."""
    recorded: str
    cpu_us: float
    share: float
    """What is added to the CPU time of a request where nothing is recorded; the median of the rounds."""


def measure(name_of_kind: str, payloads: Payloads, *, rounds: int, seconds: float) -> list[Row]:
    """Measures one kind of server."""
    kind = KINDS[name_of_kind]
    payload: Path = getattr(payloads, kind.payload)
    with ExitStack() as stack:
        collector = stack.enter_context(peer(JINA.command('servers/collector.py')))
        traces = ('--traces', str(collector.read_json()['port']))
        cases = {
            OFF: ((), {}),
            'metrics': (('--metrics',), {}),
            'metrics, 1 % of the traces': (('--metrics', *traces), SAMPLED),
            'metrics, all traces': (('--metrics', *traces), {}),
        }
        servers = {
            name: stack.enter_context(served(*kind.arguments, *more, env=env)) for name, (more, env) in cases.items()
        }
        spent: dict[tuple[str, str], list[float]] = {}
        for _ in range(rounds):
            for way in kind.ways:
                for name, (server, port) in servers.items():
                    before = usage(server.members()).cpu_s
                    figures = drive(port, payload, CALLERS, seconds, *(['--lane'] if way == 'lane' else []))
                    cost = (usage(server.members()).cpu_s - before) / (figures['operations'] + figures['warm_up'])
                    spent.setdefault((way, name), []).append(cost * 1e6)
    return [
        Row(
            name_of_kind,
            way,
            name,
            median(costs),
            median(more / off for more, off in zip(costs, spent[way, OFF], strict=True)) - 1,
        )
        for (way, name), costs in spent.items()
    ]


def table(rows: Sequence[Row]) -> str:
    """The report as a Markdown table."""
    lines = ['| server | way | recorded | CPU a request | more |', '| --- | --- | --- | ---: | ---: |']
    lines += [f'| {row.server} | {row.way} | {row.recorded} | {row.cpu_us:.1f} µs | {row.share:+.0%} |' for row in rows]
    return '\n'.join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(prog='python -m tests.bench.observation', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a smoke run')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--json', metavar='FILE', help='write all figures here')
    options = parser.parse_args(arguments)
    size = {'rounds': 1, 'seconds': 0.4} if options.quick else {'rounds': options.rounds, 'seconds': 2.0}
    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        payloads = prepare(Path(folder))
        rows = [row for name in KINDS for row in measure(name, payloads, **size)]
    print(table(rows))
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0


if __name__ == '__main__':
    sys.exit(main())
