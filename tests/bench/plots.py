"""Draws the figures of a run as SVG: ``python -m tests.bench.plots results.json FOLDER``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tests.bench.results import Figure, Results

WIDTH = 860
LEFT = 250
RIGHT = 150
BAR = 15
GAP = 14
HEAD = 84
COLOURS = {
    'jina': '#2563eb',
    'original': '#f59e0b',
    'bare': '#94a3b8',
    'mosec': '#0d9488',
    'litserve': '#a855f7',
    'bentoml': '#ec4899',
    'ray': '#64748b',
}
NAMES = {
    'jina': 'this framework',
    'bare': 'bare stack',
    'buffer': 'bare, floats alone',
    'litserve': 'LitServe',
    'bentoml': 'BentoML',
    'ray': 'Ray Serve',
}
"""What a reader sees instead of the names of some sides."""
OTHER_COLOUR = '#cbd5e1'


@dataclass(frozen=True)
class Bar:
    """One side's bar."""

    side: str
    value: float
    label: str


@dataclass(frozen=True)
class Group:
    """The bars of one row of the benchmark."""

    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Row:
    """Which row of the benchmark a group shows."""

    title: str
    scenario: str
    level: int
    baseline: Figure | None = None
    """What a rate is divided by; by default the bare side of the same row."""


_BARE_ECHO = Figure('grpc-echo', 'bare', 64)
RATES = (
    Row('gRPC echo, 64 callers', 'grpc-echo', 64),
    Row('gRPC echo, Flow of two, 64 callers', 'grpc-echo-flow', 64),
    Row('own Client, 1 document a request ¹', 'client-deployment', 1, _BARE_ECHO),
    Row('own Client, Flow of two ¹', 'client-flow', 1, _BARE_ECHO),
    Row('100 vectors a request, 16 callers', 'vectors', 16),
    Row('100 vectors, Flow of two', 'vectors-flow', 16),
    Row('HTTP echo, 64 connections', 'http-echo', 64),
    Row('HTTP, Flow of two', 'http-flow', 64),
    Row('streaming, 16 clients', 'stream', 16),
)
PEER_RATES = (
    Row('HTTP echo, 64 connections', 'http-echo-peers', 64),
    Row('HTTP, pipeline of two', 'http-flow-peers', 64),
    Row('HTTP, batching', 'http-batching-peers', 64),
)
LATENCIES = (
    Row('gRPC echo', 'grpc-echo', 1),
    Row('gRPC echo, Flow of two', 'grpc-echo-flow', 1),
    Row('100 vectors a request', 'vectors', 1),
    Row('HTTP echo', 'http-echo', 1),
    Row('HTTP, Flow of two', 'http-flow', 1),
    Row('HTTP echo, other frameworks', 'http-echo-peers', 1),
)


def name_of(side: str) -> str:
    """The name of a side that a reader sees."""
    return NAMES.get(side, side)


def pictures(results: Results) -> dict[str, str]:
    """All pictures of a run by file name; those without figures are left out."""
    rates = 'Rate relative to the bare stack (longer is better)'
    note = '¹ beside the unary echo of the bare stack with 64 callers'
    drawn = {
        'rates.svg': chart(rates, note, _rates(RATES, results), mark=1.0),
        'peers.svg': chart(
            f'Other frameworks: {rates[0].lower()}{rates[1:]}', '', _rates(PEER_RATES, results), mark=1.0
        ),
        'latency.svg': chart(
            'Latency of one caller in ms (shorter is better)', 'bars: median', _latencies(results), mark=None
        ),
    }
    return {name: picture for name, picture in drawn.items() if picture}


def chart(title: str, note: str, groups: Sequence[Group], *, mark: float | None) -> str:
    """Horizontal bars in groups.

    Args:
        title: Heading.
        note: A line below it.
        groups: The bars; those without any are left out.
        mark: Value at which a vertical line stands.
    """
    groups = [group for group in groups if group.bars]
    if not groups:
        return ''
    longest = max(bar.value for group in groups for bar in group.bars)
    scale = (WIDTH - LEFT - RIGHT) / longest
    body: list[str] = []
    top = HEAD
    for group in groups:
        height = BAR * len(group.bars)
        body.append(_text(LEFT - 12, top + height / 2 + 4, group.title, anchor='end'))
        for number, bar in enumerate(group.bars):
            body += _bar(bar, top + number * BAR, scale)
        top += height + GAP
    lines = []
    if mark is not None:
        at = LEFT + mark * scale
        lines.append(
            f'<line x1="{at:.1f}" y1="{HEAD - 6}" x2="{at:.1f}" y2="{top - GAP + 6}" stroke="#475569" stroke-dasharray="3 3"/>'
        )
    sides = dict.fromkeys(bar.side for group in groups for bar in group.bars)
    head = [_text(16, 26, title, size=16, weight=600), *_legend(list(sides)), _text(16, top + 8, note, size=11)]
    return '\n'.join([_opening(top + 20, title), *head, *lines, *body, '</svg>\n'])


def _rates(rows: Sequence[Row], results: Results) -> list[Group]:
    groups = []
    for row in rows:
        base = results.get(row.baseline or Figure(row.scenario, 'bare', row.level))
        bars = []
        for side in results.sides(row.scenario):
            rate = results.get(Figure(row.scenario, side, row.level))
            if rate and base:
                bars.append(Bar(side, rate / base, f'{rate / base:.2f} × ({rate:,.0f}/s)'))
        groups.append(Group(row.title, bars))
    return groups


def _latencies(results: Results) -> list[Group]:
    groups = []
    for row in LATENCIES:
        bars = []
        for side in results.sides(row.scenario):
            found = results.medians(row.scenario, side, row.level)
            if 'p50_ms' in found:
                bars.append(Bar(side, found['p50_ms'], f'{found["p50_ms"]:.2f} (p99 {found["p99_ms"]:.2f})'))
        groups.append(Group(row.title, bars))
    return groups


def _opening(height: float, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" font-family="system-ui, Segoe UI, Helvetica, Arial, DejaVu Sans, sans-serif">\n'
        f'<title>{escape(title)}</title>\n<rect width="100%" height="100%" fill="#ffffff"/>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = 'start', size: int = 13, weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="#1f2937" stroke="#ffffff" stroke-width="3" paint-order="stroke">{escape(text)}</text>'
    )


def _bar(bar: Bar, top: float, scale: float) -> list[str]:
    length = max(1.0, bar.value * scale)
    return [
        f'<rect x="{LEFT}" y="{top + 1:.1f}" width="{length:.1f}" height="{BAR - 2}" fill="{COLOURS.get(bar.side, OTHER_COLOUR)}"/>',
        _text(LEFT + length + 6, top + BAR - 4, bar.label, size=11),
    ]


def _legend(sides: Sequence[str]) -> list[str]:
    parts = []
    x = 16.0
    for side in sides:
        parts.append(f'<rect x="{x:.0f}" y="44" width="12" height="12" fill="{COLOURS.get(side, OTHER_COLOUR)}"/>')
        parts.append(_text(x + 18, 54, name_of(side), size=12))
        x += 40 + 7 * len(name_of(side))
    return parts


def draw(results: Results, folder: Path) -> list[Path]:
    """Writes the pictures of a run into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, picture in pictures(results).items():
        (folder / name).write_text(picture)
        files.append(folder / name)
    return files


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws and prints the names of the files."""
    parser = argparse.ArgumentParser(prog='python -m tests.bench.plots', description=__doc__)
    parser.add_argument('results', type=Path, help='what the harness wrote with --json')
    parser.add_argument('folder', type=Path, help='where the pictures go')
    options = parser.parse_args(arguments)
    for file in draw(Results(json.loads(options.results.read_text())), options.folder):
        print(file)
    return 0


if __name__ == '__main__':
    sys.exit(main())
