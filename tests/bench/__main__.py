"""Command line of the benchmark harness."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.payload import prepare
from tests.bench.programs import PROGRAMS, run_program
from tests.bench.report import as_document, load_table, probe_table
from tests.bench.results import Results
from tests.bench.runner import Sample, Settings, run_load, run_probe
from tests.bench.scenarios import LOADS, PROBES
from tests.bench.sides import PEERS, SIDES
from tests.bench.targets import lines, outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the chosen scenarios and prints the tables; returns 1 if one of our own figures is missing."""
    options = _parser().parse_args(arguments)
    if options.list:
        print('\n'.join(f'{scenario.name:<18} {scenario.title}' for scenario in (*LOADS, *PROBES, *PROGRAMS)))
        return 0
    # A side whose environment holds no compiled modules would compile all of them at each of its starts.
    os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
    peers = _chosen_peers(options.peers)
    settings = Settings(
        rounds=options.rounds or (1 if options.quick else 3),
        seconds=options.seconds or (0.3 if options.quick else 3.0),
        max_levels=1 if options.quick else 99,
        sides=frozenset(options.sides.split(',')) if options.sides else frozenset(),
        peers=peers,
    )
    samples, tables = _measure(settings, re.compile(options.only), quick=options.quick)
    print('\n'.join(tables))
    document = as_document(samples, settings)
    found = outcomes(Results(document))
    print(f'\ntargets\n{lines(found)}')
    document['targets'] = [
        {'name': each.target.name, 'value': each.value, 'limit': each.bound, 'met': each.is_met} for each in found
    ]
    if options.json:
        Path(options.json).write_text(json.dumps(document, indent=1))
    return int(any(sample.errors for sample in samples if sample.side == 'jina'))


def _measure(settings: Settings, wanted: re.Pattern[str], *, quick: bool) -> tuple[list[Sample], list[str]]:
    """Runs the scenarios whose names match; returns the figures and the tables to print."""
    samples: list[Sample] = []
    tables: list[str] = []
    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        payloads = prepare(Path(folder))
        for load in (scenario for scenario in LOADS if wanted.search(scenario.name)):
            if load.with_peers and not settings.peers:
                continue
            print(f'{load.name}: {load.title}', flush=True)
            found = run_load(load, settings, payloads, _progress)
            samples += found
            tables.append(load_table(load, found))
    for probe in (scenario for scenario in PROBES if wanted.search(scenario.name)):
        print(f'{probe.name}: {probe.title}', flush=True)
        found = run_probe(probe, settings, _progress)
        samples += found
        tables.append(probe_table(probe, found))
    for program in (program for program in PROGRAMS if wanted.search(program.name)):
        print(f'{program.name}: {program.title}', flush=True)
        found, table = run_program(program, quick=quick)
        samples += found
        tables.append(f'\n{program.title}\n{table}')
    return samples, tables


def _chosen_peers(text: str | None) -> frozenset[str]:
    """Names from the command line; ``all`` stands for every peer."""
    known = {side.name for side in PEERS}
    chosen = known if text == 'all' else set(filter(None, (text or '').split(',')))
    if unknown := chosen - known:
        raise SystemExit(f'unknown peers {", ".join(sorted(unknown))}; choose from {", ".join(sorted(known))}')
    return frozenset(chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='python -m tests.bench', description=__doc__)
    parser.add_argument(
        '--quick', action='store_true', help='a smoke run: one round, short loads, the first level only'
    )
    parser.add_argument('--only', default='', metavar='REGEX', help='names of the scenarios to run')
    parser.add_argument(
        '--sides', help=f'sides to run, comma separated: {",".join(side.name for side in SIDES if not side.is_peer)}'
    )
    parser.add_argument(
        '--peers',
        nargs='?',
        const='all',
        metavar='NAMES',
        help='compare HTTP with other frameworks too, each installed on first use: '
        f'{",".join(side.name for side in PEERS)} or all',
    )
    parser.add_argument('--rounds', type=int, help='rounds (default 3)')
    parser.add_argument('--seconds', type=float, help='length of one load (default 3)')
    parser.add_argument('--json', metavar='FILE', help='write all figures here')
    parser.add_argument('--list', action='store_true', help='list the scenarios')
    return parser


def _progress(line: str) -> None:
    print(line, flush=True)


if __name__ == '__main__':
    sys.exit(main())
