"""The report: a table per scenario, medians over the rounds, and the same as a document for JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.runner import Sample, Settings
from tests.bench.scenarios import LoadScenario, ProbeScenario
from tests.bench.sides import SIDES
from tests.support.requirements import peer_env

STACKS = {
    'jina': ('jina', 'grpcio', 'protobuf', 'docarray', 'pydantic', 'numpy', 'uvloop', 'httptools'),
    'original': ('jina', 'grpcio', 'protobuf', 'docarray', 'pydantic', 'numpy', 'uvloop', 'fastapi', 'uvicorn'),
    'bare': ('grpcio', 'fastapi', 'uvicorn', 'uvloop', 'httptools', 'pydantic', 'numpy'),
    'mosec': ('mosec',),
    'litserve': ('litserve', 'uvicorn', 'uvloop', 'pydantic', 'pyzmq'),
    'bentoml': ('bentoml', 'uvicorn', 'uvloop', 'pydantic'),
    'ray': ('ray', 'uvicorn', 'uvloop', 'pydantic'),
}
"""The distributions of each side whose versions a report names; other sides are bare stacks too."""
LOAD_COLUMNS = ('side', 'rate', 'x side', 'p50 ms', 'p99 ms', 'CPU ms/unit', 'PSS MB', 'processes')


def load_table(scenario: LoadScenario, samples: Sequence[Sample]) -> str:
    """One block of lines per level, one line per side; ``x side`` is how many times our rate is that of the side."""
    lines = [f'\n{scenario.title}']
    for level in scenario.levels:
        rows = [sample for sample in samples if sample.level == level]
        if not rows:
            continue
        ours = next((median(row.figures['rate']) for row in rows if row.side == 'jina' and 'rate' in row.figures), None)
        body = [_load_row(row, ours, scenario.unit) for row in rows]
        lines += [f'  {level} {scenario.level_name}', *_aligned([LOAD_COLUMNS, *body])]
    lines += [
        f'  {sample.side}: did not start: {_last_line(sample.errors[0])}'
        for sample in samples
        if sample.level == 'start'
    ]
    return '\n'.join(lines)


def probe_table(scenario: ProbeScenario, samples: Sequence[Sample]) -> str:
    """One line per side with the medians of its figures."""
    columns = ['side', *(f'{name} {unit}'.strip() for name, unit in scenario.units.items())]
    body = []
    for sample in samples:
        figures = [sample.figures.get(name) for name in scenario.units]
        body.append([sample.side, *(f'{median(values):,.2f}' if values else 'failed' for values in figures)])
    return '\n'.join([f'\n{scenario.title}', *_aligned([columns, *body])])


def as_document(samples: Iterable[Sample], settings: Settings) -> dict[str, Any]:
    """Everything that was measured, with every round's figures and what it ran on."""
    samples = list(samples)
    machine = {'processor': _processor(), 'cores': os.cpu_count(), 'system': platform.system(), 'release': _release()}
    run = {'rounds': settings.rounds, 'seconds': settings.seconds}
    rows: list[dict[str, Any]] = [
        {**asdict(sample), 'medians': {name: median(values) for name, values in sample.figures.items()}}
        for sample in samples
    ]
    versions = side_versions({sample.side for sample in samples if sample.figures})
    return {'machine': machine, 'settings': run, 'versions': versions, 'samples': rows}


def side_versions(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """By side, the versions of what it is made of."""
    found = {}
    for side in (side for side in SIDES if side.name in names):
        installed = peer_env.versions(side.interpreter())
        python = installed.pop('python')
        found[side.name] = {
            name: installed[name] for name in STACKS.get(side.name, STACKS['bare']) if name in installed
        }
        found[side.name]['Python'] = python
    return found


def _processor() -> str:
    for line in Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.machine()


def _release() -> str:
    """The kernel's version without the name of its build."""
    return platform.release().partition('-')[0]


def _load_row(row: Sample, ours: float | None, unit: str) -> list[str]:
    if 'rate' not in row.figures:
        return [row.side, f'failed: {_last_line(row.errors[0]) if row.errors else "no figures"}']
    rate = median(row.figures['rate'])
    times = f'{ours / rate:.2f}' if ours is not None and rate and row.side != 'jina' else ''
    middle = {name: median(values) for name, values in row.figures.items()}
    cells = [
        row.side,
        f'{rate:,.0f} {unit}',
        times,
        f'{middle["p50_ms"]:.2f}',
        f'{middle["p99_ms"]:.2f}',
        f'{middle["cpu_ms"]:.3f}',
        f'{middle["pss_mb"]:.0f}',
        f'{middle["processes"]:.0f}',
    ]
    return [*cells, f'! {_last_line(row.errors[0])}'] if row.errors else cells


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as text: the first column to the left, the others to the right; cells beyond the heading as they are."""
    width = len(rows[0])
    sizes = [max(len(row[i]) for row in rows if len(row) > 2 and i < len(row)) for i in range(width)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(sizes[i]) if i == 0 else cell.rjust(sizes[i]) if i < width else cell
            for i, cell in enumerate(row)
        ]
        lines.append('    ' + '  '.join(cells).rstrip())
    return lines


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [''])[-1][:160]
