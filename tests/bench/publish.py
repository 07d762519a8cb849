"""Writes ``docs/benchmarks.md`` and its pictures from a run: ``python -m tests.bench.publish results.json [MORE ...]``.

With several files, a later one replaces the scenarios of an earlier one that it has too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from tests.bench.plots import draw, name_of, pictures
from tests.bench.results import Figure, Results
from tests.bench.scenarios import LOADS, PROBES, LoadScenario, ProbeScenario
from tests.bench.targets import markdown, outcomes
from tests.support.requirements import ROOT

TEMPLATE = Path(__file__).with_name('benchmarks.template.md')
ASSETS = 'assets/benchmarks'
ALT = {
    'rates.svg': 'Rates relative to the bare stack',
    'peers.svg': 'Rates of other HTTP frameworks relative to the bare stack',
    'latency.svg': 'Median latency of one caller',
}


def page(results: Results) -> str:
    """The whole page."""
    parts = {
        'rounds': _rounds(results),
        'seconds': f'{results.settings["seconds"]:g}',
        'machine': _machine(results),
        'versions': _versions(results),
        'targets': markdown(outcomes(results)),
        'pictures': '\n\n'.join(f'![{ALT[name]}]({ASSETS}/{name})' for name in pictures(results)),
        'ahead': _ahead(results),
        'stages': _stages(results),
        'tables': '\n\n'.join([*_load_tables(results), *_probe_tables(results)]),
        'codec': _codec(results),
    }
    return Template(TEMPLATE.read_text()).substitute(parts)


def merge(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One document of several; a scenario is taken from the last one that has it."""
    merged = dict(documents[-1])
    samples: dict[str, list[dict[str, Any]]] = {}
    versions: dict[str, dict[str, str]] = {}
    for document in documents:
        found: dict[str, list[dict[str, Any]]] = {}
        for sample in document['samples']:
            # of an error its last line: the rest are paths of a machine
            errors = [error.strip().splitlines()[-1] for error in sample['errors']]
            found.setdefault(sample['scenario'], []).append({**sample, 'errors': errors})
        samples |= found
        versions |= document['versions']
    order = [scenario.name for scenario in (*LOADS, *PROBES)]
    names = sorted(samples, key=lambda name: order.index(name) if name in order else len(order))
    merged['settings'] = {key: min(each['settings'][key] for each in documents) for key in documents[-1]['settings']}
    merged |= {'samples': [sample for name in names for sample in samples[name]], 'versions': versions}
    merged.pop('targets', None)  # they are checked again, over all figures
    return merged


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table whose first columns stand to the left, the others to the right."""
    ruler = ['---' if number < left else '---:' for number in range(len(heading))]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in (heading, ruler, *rows))


def _rounds(results: Results) -> str:
    """How many rounds each row of the load scenarios has, which differs in a page of several runs."""
    names = {scenario.name for scenario in LOADS}
    found = {
        len(sample['figures']['rate'])
        for sample in results.samples
        if sample['scenario'] in names and 'rate' in sample['figures']
    }
    return ' to '.join(map(str, sorted({min(found), max(found)}))) if found else '0'


def _machine(results: Results) -> str:
    machine = results.machine
    return f'{machine["cores"]} cores, {machine["processor"]}, {machine["system"]} {machine["release"]}, loopback.'


def _versions(results: Results) -> str:
    rows = [
        (name_of(side), ', '.join(f'{name} {version}' for name, version in found.items()))
        for side, found in results.versions.items()
    ]
    return table(('side', 'versions'), rows, left=2)


def _ahead(results: Results) -> str:
    """One line for each side and row in which it answers more than we do."""
    lines = []
    for scenario in LOADS:
        for side in results.sides(scenario.name):
            ratios = []
            for level in results.levels(scenario.name):
                ours, theirs = (results.get(Figure(scenario.name, name, level)) for name in ('jina', side))
                if ours and theirs and theirs > ours:
                    ratios.append(f'{theirs / ours:.2f} × with {level}')
            if ratios:
                lines.append(f'- {scenario.title}: **{name_of(side)}** {", ".join(ratios)} {scenario.level_name}.')
    return '\n'.join(lines) or 'Nowhere in this run.'


def _load_tables(results: Results) -> Iterable[str]:
    for scenario in LOADS:
        rows = [
            _load_row(scenario, side, level, results)
            for level in results.levels(scenario.name)
            for side in results.sides(scenario.name)
            if 'rate' in results.medians(scenario.name, side, level)
        ]
        if rows:
            heading = (
                scenario.level_name,
                'side',
                scenario.unit,
                'ours is',
                'p50 ms',
                'p99 ms',
                'CPU ms',
                'PSS MB',
            )
            yield '\n'.join([f'### {scenario.title}\n', table(heading, rows, left=2), *_failures(scenario, results)])


def _load_row(scenario: LoadScenario, side: str, level: int | str, results: Results) -> list[str]:
    found = results.medians(scenario.name, side, level)
    ours = results.get(Figure(scenario.name, 'jina', level))
    times = f'{ours / found["rate"]:.2f} ×' if ours and found['rate'] and side != 'jina' else ''
    latencies = [f'{found[name]:.2f}' for name in ('p50_ms', 'p99_ms')]
    rest = [f'{found["cpu_ms"]:.3f}', f'{found["pss_mb"]:.0f}']
    return [str(level), name_of(side), f'{found["rate"]:,.0f}', times, *latencies, *rest]


def _probe_tables(results: Results) -> Iterable[str]:
    for probe in PROBES:
        rows = []
        for side in results.sides(probe.name):
            found = results.medians(probe.name, side, '')
            rows.append(
                [name_of(side), *(f'{found[name]:,.2f}' if name in found else 'failed' for name in probe.units)]
            )
        if rows:
            heading = ['side', *(f'{name} {unit}'.strip() for name, unit in probe.units.items())]
            yield '\n'.join([f'### {probe.title}\n', table(heading, rows), *_failures(probe, results)])


def _failures(scenario: LoadScenario | ProbeScenario, results: Results) -> list[str]:
    """What went wrong, below the table: a side with errors is not left out silently."""
    return [f'\n{name_of(side)} had errors: {error}' for side, error in results.errors(scenario.name).items()]


def _stages(results: Results) -> str:
    rows = [
        (str(request), stage, f'{value:.1f} µs')
        for request in results.levels('stages')
        for stage, value in results.medians('stages', 'jina', request).items()
    ]
    return table(('request', 'stage', 'CPU'), rows, left=2) if rows else 'Not measured in this run.'


def _codec(results: Results) -> str:
    rows = []
    for documents in results.levels('codec'):
        ours, theirs = (results.medians('codec', side, documents) for side in ('jina', 'docarray'))
        rows += [(str(documents), name, f'{ours[name]:.2f}', f'{theirs[name]:.2f}') for name in ours]
    return table(('documents', '', 'ours', 'docarray'), rows, left=2) if rows else 'Not measured in this run.'


def publish(document: dict[str, Any], docs: Path) -> list[Path]:
    """Writes the page, its pictures and the figures below ``docs``."""
    results = Results(document)
    files = draw(results, docs / ASSETS)
    figures = docs / ASSETS / 'results.json'
    figures.write_text(json.dumps(document, indent=1) + '\n')
    target = docs / 'benchmarks.md'
    target.write_text(page(results))
    return [target, figures, *files]


def main(arguments: Sequence[str] | None = None) -> int:
    """Publishes and prints the names of the files."""
    parser = argparse.ArgumentParser(prog='python -m tests.bench.publish', description=__doc__)
    parser.add_argument('results', type=Path, nargs='+', help='what the harness wrote with --json')
    parser.add_argument('--docs', type=Path, default=ROOT / 'docs', help='folder of the documentation')
    options = parser.parse_args(arguments)
    for file in publish(merge([json.loads(file.read_text()) for file in options.results]), options.docs):
        print(file)
    return 0


if __name__ == '__main__':
    sys.exit(main())
