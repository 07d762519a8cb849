"""What is compared: one entry per row of the report.

A load scenario serves the same work on several sides and drives each with the same load. A probe scenario takes one
figure from a program, such as the time of an import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.bench.payload import BATCH, STREAM_ITEMS
from tests.bench.sides import BARE, BUFFER, JINA, ONE_ECHO, ORIGINAL, PEERS, Side

Load = Literal['grpc', 'grpc-stream', 'http', 'http-stream', 'own-client']


@dataclass(frozen=True)
class Contender:
    """One side's server in a scenario."""

    side: Side
    program: str
    """Path of the program below ``tests/bench``."""
    arguments: tuple[str, ...]
    payload: str = 'text'
    """Name of the prepared request in ``payload.Payloads``."""


@dataclass(frozen=True)
class LoadScenario:
    """Servers under load; more is better."""

    name: str
    title: str
    load: Load
    contenders: tuple[Contender, ...]
    levels: tuple[int, ...] = (1, 16, 64)
    """Concurrent callers or connections; for the own client, docs per request."""
    level_name: str = 'callers'
    unit: str = 'req/s'
    per_operation: int = 1
    """Units in one operation that the load generator counts."""
    hops: int = 0
    """Executors in a chain, for the latency of each."""

    @property
    def with_peers(self) -> bool:
        """Whether it compares with other frameworks, for which it runs only when one of them is asked for."""
        return any(contender.side.is_peer for contender in self.contenders)


@dataclass(frozen=True)
class ProbeScenario:
    """A program per side that reports figures; less is better."""

    name: str
    title: str
    probe: Literal['start', 'again', 'idle', 'import', 'size']
    contenders: tuple[Contender, ...]
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit by name of the figure."""


def _framework(kind: str, *arguments: str, payload: str = 'text') -> tuple[Contender, Contender]:
    """The system and the original, which run the same program."""
    program = 'servers/framework.py'
    return (
        Contender(JINA, program, (kind, *arguments), payload),
        Contender(ORIGINAL, program, (kind, *arguments), payload),
    )


def _bare_grpc(work: str, *arguments: str, payload: str = 'text') -> Contender:
    return Contender(BARE, 'servers/bare_grpc.py', (work, *arguments), payload)


def _bare_vectors(*arguments: str) -> tuple[Contender, Contender]:
    """The server with the same documents in a message of its own, and the one without documents."""
    return (
        _bare_grpc('vectors', *arguments, payload='bare_vectors'),
        Contender(BUFFER, 'servers/bare_grpc.py', ('buffer', *arguments), 'buffer'),
    )


def _import(name: str, title: str, what: str) -> ProbeScenario:
    contenders = tuple(Contender(side, 'servers/imports.py', (what,)) for side in (JINA, ORIGINAL))
    return ProbeScenario(name, title, 'import', contenders, {'time': 's', 'memory': 'MB', 'modules': ''})


def _chain(length: int) -> LoadScenario:
    contenders = _framework('flow', '--length', str(length))[:1]
    title = f'gRPC echo through a Flow of {length}, one caller'
    return LoadScenario(f'chain-{length}', title, 'grpc', contenders, levels=(1,), hops=length)


def _bare_http(*arguments: str) -> Contender:
    return Contender(BARE, 'servers/bare_http.py', arguments, 'http')


def _peers(*names: str, length: int = 1, batching: bool = False) -> tuple[Contender, ...]:
    """Other frameworks; the length of the pipeline is an option of those programs that have one."""
    arguments = ('--length', str(length)) if length > 1 else ('--batching',) if batching else ()
    return tuple(
        Contender(side, f'servers/peer_{side.name}.py', arguments, 'http') for side in PEERS if side.name in names
    )


LOADS = (
    LoadScenario(
        'grpc-echo',
        'gRPC echo, one small TextDoc a request, Deployment',
        'grpc',
        (*_framework('deployment'), _bare_grpc('echo')),
    ),
    LoadScenario(
        'grpc-echo-flow',
        'gRPC echo through a Flow of two (bare: gateway and two servers)',
        'grpc',
        (*_framework('flow'), _bare_grpc('echo', '--length', '2')),
    ),
    LoadScenario(
        'client-deployment',
        'own Client, streaming, Deployment',
        'own-client',
        _framework('deployment'),
        levels=(1, 100),
        level_name='docs a request',
        unit='docs/s',
    ),
    LoadScenario(
        'client-flow',
        'own Client, streaming, Flow of two',
        'own-client',
        _framework('flow'),
        levels=(1, 100),
        level_name='docs a request',
        unit='docs/s',
    ),
    LoadScenario(
        'vectors',
        '100 docs a request, text and 768 float32 each, Deployment (bare: numpy, no docarray; buffer: floats alone)',
        'grpc',
        (
            *_framework('deployment', '--executor', 'Vectors', payload='vectors'),
            *_bare_vectors(),
        ),
        levels=(1, 16),
        unit='docs/s',
        per_operation=BATCH,
    ),
    LoadScenario(
        'vectors-flow',
        'the same through a Flow of two',
        'grpc',
        (
            *_framework('flow', '--executor', 'Vectors', payload='vectors'),
            *_bare_vectors('--length', '2'),
        ),
        levels=(1, 16),
        unit='docs/s',
        per_operation=BATCH,
    ),
    LoadScenario(
        'http-echo',
        'HTTP JSON echo, one TextDoc, Deployment (bare: FastAPI, uvicorn, uvloop, httptools)',
        'http',
        (*_framework('deployment', '--protocol', 'http', payload='http'), _bare_http()),
        level_name='connections',
    ),
    LoadScenario(
        'http-flow',
        'HTTP through a pipeline of two (bare: FastAPI and two grpc.aio servers; one echo: FastAPI alone)',
        'http',
        (
            *_framework('flow', '--protocol', 'http', payload='http'),
            _bare_http('--length', '2'),
            Contender(ONE_ECHO, 'servers/bare_http.py', (), 'http'),
        ),
        level_name='connections',
    ),
    LoadScenario(
        'http-batching',
        'HTTP, dynamic batching of a call that takes 5 ms + 0.05 ms a doc, 32 docs a batch: ideal 4,850/s (bare: a batcher by hand in FastAPI)',
        'http',
        (
            *_framework('deployment', '--executor', 'Batched', '--protocol', 'http', payload='http'),
            Contender(BARE, 'servers/bare_batcher.py', (), 'http'),
        ),
        levels=(64,),
        level_name='connections',
    ),
    LoadScenario(
        'grpc-batching',
        'the same over unary gRPC',
        'grpc',
        _framework('deployment', '--executor', 'Batched'),
        levels=(64,),
    ),
    LoadScenario(
        'client-batching',
        'the same from the own Client',
        'own-client',
        _framework('deployment', '--executor', 'Batched'),
        levels=(1,),
        level_name='docs a request',
        unit='docs/s',
    ),
    LoadScenario(
        'http-echo-peers',
        'HTTP JSON echo, one TextDoc, beside other frameworks',
        'http',
        (
            _framework('deployment', '--protocol', 'http', payload='http')[0],
            _bare_http(),
            *_peers('mosec', 'litserve', 'bentoml', 'ray'),
        ),
        level_name='connections',
    ),
    LoadScenario(
        'http-flow-peers',
        'HTTP through a pipeline of two, beside other frameworks that have one',
        'http',
        (
            _framework('flow', '--protocol', 'http', payload='http')[0],
            _bare_http('--length', '2'),
            *_peers('mosec', 'bentoml', 'ray', length=2),
        ),
        level_name='connections',
    ),
    LoadScenario(
        'http-batching-peers',
        'HTTP, dynamic batching of the same call, 32 docs a batch, beside other frameworks: ideal 4,850/s',
        'http',
        (
            _framework('deployment', '--executor', 'Batched', '--protocol', 'http', payload='http')[0],
            Contender(BARE, 'servers/bare_batcher.py', (), 'http'),
            *_peers('mosec', 'litserve', 'bentoml', 'ray', batching=True),
        ),
        levels=(64,),
        level_name='connections',
    ),
    LoadScenario(
        'stream',
        f'streaming endpoint, {STREAM_ITEMS} items a stream, gRPC Deployment',
        'grpc-stream',
        (*_framework('deployment', '--executor', 'Stream', payload='stream'), _bare_grpc('stream', payload='stream')),
        levels=(1, 16),
        unit='items/s',
    ),
    LoadScenario(
        'http-stream',
        f'streaming endpoint, {STREAM_ITEMS} items a stream, HTTP Deployment (bare: StreamingResponse of FastAPI)',
        'http-stream',
        (*_framework('deployment', '--executor', 'Stream', '--protocol', 'http', payload='http'), _bare_http()),
        levels=(1, 16),
        level_name='connections',
        unit='items/s',
        per_operation=STREAM_ITEMS,
    ),
    LoadScenario(
        'callers',
        'gRPC echo through a Deployment, up to 1,000 callers',
        'grpc',
        _framework('deployment')[:1],
        levels=(1, 100, 1000),
    ),
    _chain(4),
    _chain(16),
)

PROBES = (
    ProbeScenario(
        'start',
        'start of a Flow of three until ready, and its memory (bare: gateway and three servers)',
        'start',
        (*_framework('flow', '--length', '3'), _bare_grpc('echo', '--length', '3')),
        {'start': 's', 'with imports': 's', 'PSS': 'MB', 'RSS': 'MB', 'processes': ''},
    ),
    ProbeScenario(
        'start-again',
        'a Flow of three started twice in one process',
        'again',
        _framework('flow', '--length', '3', '--again'),
        {'first': 's', 'second': 's'},
    ),
    ProbeScenario(
        'idle',
        'memory of the idle process of one Executor in a Flow of three',
        'idle',
        _framework('flow', '--length', '3'),
        {'PSS': 'MB', 'RSS': 'MB'},
    ),
    _import('import-module', 'import jina', 'module'),
    _import('import-executor', 'from jina import Executor, requests', 'executor'),
    _import('help', 'jina --help', 'help'),
    ProbeScenario(
        'import',
        'from jina import Client, Deployment, Executor, Flow, requests (bare: grpc and fastapi)',
        'import',
        (
            Contender(JINA, 'servers/imports.py', ('jina',)),
            Contender(ORIGINAL, 'servers/imports.py', ('jina',)),
            Contender(BARE, 'servers/imports.py', ('bare',)),
        ),
        {'time': 's', 'memory': 'MB', 'modules': ''},
    ),
    ProbeScenario(
        'size',
        'installed size without pip',
        'size',
        (Contender(JINA, '', ()), Contender(ORIGINAL, '', ())),
        {'size': 'MB', 'distributions': ''},
    ),
)
