"""What the system has to reach: one named row per target, checked at the end of every run.

A target compares a figure of ours with a limit, or its ratio to a figure of the same run with a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.results import Figure, Results
from tests.bench.sides import PEERS


@dataclass(frozen=True)
class Target:
    """One row."""

    name: str
    ours: Figure
    limit: float
    other: Figure | None = None
    """What ``ours`` is divided by; none means that the limit holds for the figure itself."""
    at_most: bool = False
    """The limit is an upper one."""
    unit: str = ''


@dataclass(frozen=True)
class Outcome:
    """A target and what a run has reached."""

    target: Target
    value: float | None
    """None if the run has not measured it."""

    @property
    def is_met(self) -> bool | None:
        """None if the run has not measured it."""
        if self.value is None:
            return None
        return self.value <= self.target.limit if self.target.at_most else self.value >= self.target.limit

    @property
    def verdict(self) -> str:
        """The outcome in words."""
        return {True: 'met', False: 'not met', None: 'not measured'}[self.is_met]

    @property
    def bound(self) -> str:
        """The limit in words."""
        return f'{"at most" if self.target.at_most else "at least"} {_number(self.target.limit, self.target.unit)}'

    @property
    def reached(self) -> str:
        """The value in words."""
        return '-' if self.value is None else _number(self.value, self.target.unit)


def outcomes(results: Results, targets: Sequence[Target] | None = None) -> list[Outcome]:
    """All targets with what a run has reached."""
    return [Outcome(target, _value(target, results)) for target in (TARGETS if targets is None else targets)]


def lines(found: Sequence[Outcome]) -> str:
    """One line per target that the run has measured."""
    measured = [outcome for outcome in found if outcome.value is not None]
    return '\n'.join(
        f'{outcome.target.name}: {outcome.reached} (target {outcome.bound}, {outcome.verdict})' for outcome in measured
    )


def markdown(found: Sequence[Outcome]) -> str:
    """All targets as a table."""
    rows = [f'| {outcome.target.name} | {outcome.reached} | {outcome.bound} | {outcome.verdict} |' for outcome in found]
    return '\n'.join(['| target | reached | limit | |', '| --- | ---: | --- | --- |', *rows])


def _value(target: Target, results: Results) -> float | None:
    ours = results.get(target.ours)
    if ours is None or target.other is None:
        return ours
    other = results.get(target.other)
    return ours / other if other else None


def _number(value: float, unit: str) -> str:
    return f'{value:.3g} {unit}'.strip() if value < 1000 else f'{value:,.0f} {unit}'.strip()


def _against(
    name: str, scenario: str, level: int, limit: float, side: str = 'bare', *, other: str | None = None
) -> Target:
    """A rate of ours beside the rate of a side, in the same scenario or in ``other``'s at the same level."""
    compared = Figure(other or scenario, side, level)
    return Target(name, Figure(scenario, 'jina', level), limit, compared)


_BARE_ECHO = Figure('grpc-echo', 'bare', 64)
_IMPORT = Figure('import-executor', 'original', name='time')


def _own(name: str, scenario: str, limit: float, level: int = 1) -> Target:
    """A rate of our own Client beside the rate of the bare unary echo with 64 callers."""
    return Target(name, Figure(scenario, 'jina', level), limit, _BARE_ECHO)


def _codec(direction: str, limit: float, *, beside_docarray: bool) -> Target:
    ours, theirs = (Figure('codec', side, 'text + 768', direction) for side in ('jina', 'docarray'))
    if beside_docarray:
        return Target(f'codec, {direction}, times as fast as docarray', theirs, limit, ours)
    return Target(f'codec, {direction}, text + 768 float32', ours, limit, at_most=True, unit='µs/doc')


TARGETS = (
    _against('grpc echo @64 vs bare', 'grpc-echo', 64, 0.80),
    _against('grpc echo @64 vs original', 'grpc-echo', 64, 3.0, 'original'),
    Target(
        'grpc echo @1, p50 vs bare',
        Figure('grpc-echo', 'jina', 1, 'p50_ms'),
        1.4,
        Figure('grpc-echo', 'bare', 1, 'p50_ms'),
        at_most=True,
    ),
    _against('grpc Flow of two @64 vs bare echo', 'grpc-echo-flow', 64, 0.60, other='grpc-echo'),
    _against('grpc Flow of two @64 vs original', 'grpc-echo-flow', 64, 4.5, 'original'),
    _own('Client, 1 doc a request, vs bare unary echo @64', 'client-deployment', 5.0),
    _own('Client, Flow of two, 1 doc a request, vs bare unary echo @64', 'client-flow', 2.5),
    _against('Client, 100 docs a request, vs original', 'client-deployment', 100, 4.0, 'original'),
    _against('Client, Flow of two, 100 docs a request, vs original', 'client-flow', 100, 4.0, 'original'),
    _against('vectors @16 vs bare numpy', 'vectors', 16, 0.8),
    _against('vectors @16 vs original', 'vectors', 16, 4.0, 'original'),
    _against('vectors, Flow of two @16 vs bare gateway and numpy', 'vectors-flow', 16, 1.0),
    _against('vectors, Flow of two @16 vs original', 'vectors-flow', 16, 6.0, 'original'),
    _codec('encode', 8.0, beside_docarray=False),
    _codec('decode', 10.0, beside_docarray=False),
    _codec('encode', 8.0, beside_docarray=True),
    _codec('decode', 8.0, beside_docarray=True),
    Target('codec, 64 MB tensor, encode', Figure('codec', 'jina', '64 MB tensor', 'encode'), 1.0, unit='GB/s'),
    Target('codec, 64 MB tensor, decode', Figure('codec', 'jina', '64 MB tensor', 'decode'), 1.0, unit='GB/s'),
    *(
        Target(f'64 MB array, {kind}, a hop', Figure('large', 'jina', kind), 1.0, unit='GB/s')
        for kind in ('deployment', 'flow')
    ),
    *(
        Target(
            f'64 MB array, {kind}, memory beside its size', Figure('large', 'jina', kind, 'memory'), 3.0, at_most=True
        )
        for kind in ('deployment', 'flow')
    ),
    _against('http echo @64 vs bare FastAPI', 'http-echo', 64, 2.0),
    _against('http Flow of two @64 vs bare FastAPI echo', 'http-flow', 64, 1.0, other='http-echo'),
    _against('stream @16 vs bare grpc.aio', 'stream', 16, 0.8),
    _against('server-sent events @16 vs bare FastAPI', 'http-stream', 16, 0.6),
    *(_against(f'http echo @64 vs {side.name}', 'http-echo-peers', 64, 1.0, side.name) for side in PEERS),
    Target(
        'http batching @64, nine tenths of the ideal', Figure('http-batching', 'jina', 64), 0.9 * 4850, unit='req/s'
    ),
    _against('http batching @64 vs a batcher by hand', 'http-batching', 64, 1.0),
    *(_against(f'http batching @64 vs {side.name}', 'http-batching-peers', 64, 1.0, side.name) for side in PEERS),
    Target(
        'start of a Flow of three vs original',
        Figure('start', 'jina', name='start'),
        0.6,
        Figure('start', 'original', name='start'),
        at_most=True,
    ),
    Target(
        'start of a second Flow in one process',
        Figure('start-again', 'jina', name='second'),
        0.3,
        at_most=True,
        unit='s',
    ),
    Target('import jina', Figure('import-module', 'jina', name='time'), 0.030, at_most=True, unit='s'),
    Target(
        'from jina import Executor, requests vs original',
        Figure('import-executor', 'jina', name='time'),
        0.4,
        _IMPORT,
        at_most=True,
    ),
    Target("jina --help vs original's import", Figure('help', 'jina', name='time'), 0.4, _IMPORT, at_most=True),
    Target(
        'PSS of an idle Executor process vs original',
        Figure('idle', 'jina', name='PSS'),
        0.4,
        Figure('idle', 'original', name='PSS'),
        at_most=True,
    ),
    Target(
        'CPU a request, 1,000 callers vs 1',
        Figure('callers', 'jina', 1000, 'cpu_ms'),
        1.1,
        Figure('callers', 'jina', 1, 'cpu_ms'),
        at_most=True,
    ),
    Target(
        'latency a hop, 16 Executors vs 4',
        Figure('chain-16', 'jina', 1, 'p50_per_hop_ms'),
        1.1,
        Figure('chain-4', 'jina', 1, 'p50_per_hop_ms'),
        at_most=True,
    ),
)
"""Every target; the endurance ones (memory over 500,000 requests, 10,000 idle clients) are tests of their own."""
