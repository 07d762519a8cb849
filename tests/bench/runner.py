"""Runs the scenarios: servers of all sides up together, loads interleaved, several rounds."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.bench.payload import Payloads
from tests.bench.scenarios import Contender, LoadScenario, ProbeScenario
from tests.bench.sides import JINA, SERVERS
from tests.bench.usage import usage
from tests.support.footprint import footprint
from tests.support.processes import Peer, PeerError, free_port, peer, wait_for_port
from tests.support.requirements import ROOT, bootstrap

START_TIMEOUT_S = 90.0
Report = Callable[[str], None]
_JSON = {'Content-Type': 'application/json'}


@dataclass(frozen=True)
class Settings:
    """How much is run."""

    rounds: int = 3
    seconds: float = 3.0
    """Length of one load."""
    max_levels: int = 99
    """Number of load levels of each scenario that are run."""
    sides: frozenset[str] = frozenset()
    """Names of the sides to run; empty means all but the peers."""
    peers: frozenset[str] = frozenset()
    """Names of the peers to run."""


@dataclass
class Sample:
    """One side at one level: the figures of every round."""

    scenario: str
    side: str
    level: int | str
    figures: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def add(self, **figures: float) -> None:
        """Adds the figures of one round."""
        for name, value in figures.items():
            self.figures.setdefault(name, []).append(value)


def run_load(scenario: LoadScenario, settings: Settings, payloads: Payloads, report: Report) -> list[Sample]:
    """Starts every side's server, then drives them in turn, round by round."""
    with ExitStack() as stack:
        servers: list[tuple[Contender, Peer, int]] = []
        failed: list[Sample] = []
        for contender in _chosen(scenario.contenders, settings):
            try:
                servers.append((contender, *_start_in_two_tries(stack, scenario, contender, payloads)))
            except (PeerError, TimeoutError, bootstrap.BootstrapError) as error:
                report(f'  {contender.side.name} did not start: {str(error).splitlines()[-1]}')
                failed.append(Sample(scenario.name, contender.side.name, level='start', errors=[str(error)]))
        levels = scenario.levels[: settings.max_levels]
        samples = {
            (contender.side.name, level): Sample(scenario.name, contender.side.name, level)
            for level in levels
            for contender, _, _ in servers
        }
        for number in range(settings.rounds):
            for level in levels:
                # the side that goes first changes, so that no side always follows the same one
                for contender, server, port in (
                    servers[number % max(1, len(servers)) :] + servers[: number % max(1, len(servers))]
                ):
                    sample = samples[contender.side.name, level]
                    _measure(sample, scenario, contender, server, port, settings, payloads)
                    rate = sample.figures.get('rate', [0.0])[-1]
                    report(
                        f'  round {number + 1}  {scenario.level_name} {level:<3}  {contender.side.name:<9} {rate:12,.0f} {scenario.unit}'
                    )
        return [*samples.values(), *failed]


def run_probe(scenario: ProbeScenario, settings: Settings, report: Report) -> list[Sample]:
    """Takes the figures of every side in turn, round by round."""
    chosen = _chosen(scenario.contenders, settings)
    samples = {contender.side.name: Sample(scenario.name, contender.side.name, level='') for contender in chosen}
    for number in range(1 if scenario.probe == 'size' else settings.rounds):
        for contender in chosen:
            sample = samples[contender.side.name]
            try:
                figures = _PROBES[scenario.probe](contender)
            except (PeerError, TimeoutError, OSError) as error:
                sample.errors.append(str(error))
                report(f'  {contender.side.name} failed: {str(error).splitlines()[-1]}')
                continue
            sample.add(**figures)
            shown = '  '.join(f'{name} {value:,.2f} {scenario.units[name]}' for name, value in figures.items())
            report(f'  round {number + 1}  {contender.side.name:<9} {shown}')
    return list(samples.values())


def _chosen(contenders: Sequence[Contender], settings: Settings) -> list[Contender]:
    return [
        contender
        for contender in contenders
        if contender.side.name in (settings.peers if contender.side.is_peer else settings.sides or _names(contenders))
    ]


def _names(contenders: Sequence[Contender]) -> set[str]:
    return {contender.side.name for contender in contenders}


def _start_in_two_tries(
    stack: ExitStack, scenario: LoadScenario, contender: Contender, payloads: Payloads
) -> tuple[Peer, int]:
    try:
        return _start(stack, scenario, contender, payloads)
    except (PeerError, TimeoutError):  # another program may have taken the port that was free a moment ago
        return _start(stack, scenario, contender, payloads)


def _start(stack: ExitStack, scenario: LoadScenario, contender: Contender, payloads: Payloads) -> tuple[Peer, int]:
    port = free_port()
    process = stack.enter_context(
        peer(
            contender.side.command(contender.program, *contender.arguments, '--port', str(port)),
            env=contender.side.variables,
        )
    )
    process.read_json(timeout_s=START_TIMEOUT_S)
    wait_for_port(port, timeout_s=START_TIMEOUT_S)
    if scenario.load == 'http':
        # some listen before they can answer; wrk would count those answers
        _wait_for_answer(Request(_url(scenario, port), getattr(payloads, contender.payload).read_bytes(), _JSON))
    elif scenario.load == 'http-stream':
        _wait_for_answer(Request(_url(scenario, port)))
    return process, port


def _url(scenario: LoadScenario, port: int) -> str:
    return f'http://127.0.0.1:{port}/{"stream?text=hello" if scenario.load == "http-stream" else "echo"}'


def _wait_for_answer(request: Request) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with urlopen(request, timeout=10) as answer:
                answer.read()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f'no answer of {request.full_url} after {START_TIMEOUT_S} s: {error}') from error
            time.sleep(0.1)


def _measure(
    sample: Sample,
    scenario: LoadScenario,
    contender: Contender,
    server: Peer,
    port: int,
    settings: Settings,
    payloads: Payloads,
) -> None:
    """Drives one server once and adds what came out to ``sample``."""
    before = usage(server.members())
    try:
        result = _drive(scenario, contender, port, int(sample.level), settings.seconds, payloads)
    except (PeerError, subprocess.SubprocessError) as error:
        sample.errors.append(str(error))
        return
    after = usage(server.members())
    units = result['operations'] * scenario.per_operation
    sample.add(
        rate=units / result['seconds'],
        p50_ms=result['p50_ms'],
        p99_ms=result['p99_ms'],
        cpu_ms=(after.cpu_s - before.cpu_s) * 1e3 / max(1, units),
        pss_mb=after.pss_mb,
        processes=after.processes,
    )
    if scenario.hops:
        sample.add(p50_per_hop_ms=result['p50_ms'] / scenario.hops)
    if result['errors']:
        sample.errors.append(f'{result["errors"]} errors, the first: {result["first_error"]}')


def _drive(
    scenario: LoadScenario, contender: Contender, port: int, level: int, seconds: float, payloads: Payloads
) -> dict[str, Any]:
    """Runs the load generator of a scenario and returns its JSON object."""
    payload: Path = getattr(payloads, contender.payload)
    address = ['--port', str(port), '--callers', str(level), '--seconds', str(seconds)]
    if scenario.load.startswith('http'):
        # wrk takes whole seconds only
        duration = f'{max(1, round(seconds))}s'
        script = SERVERS.parent / 'load' / 'wrk.lua'
        threads = ['-t1', f'-c{level}', f'-d{duration}', '--timeout', '30s', '-s', str(script)]
        command: list[str | Path] = ['wrk', *threads, _url(scenario, port)]
        return _output(command, seconds + 60, {'BENCH_PAYLOAD': str(payload)} if scenario.load == 'http' else None)
    if scenario.load == 'own-client':
        return _output(contender.side.command('load/own_client.py', *address), seconds + 60, contender.side.variables)
    stream = ['--stream'] if scenario.load == 'grpc-stream' else []
    return _output(JINA.command('load/raw_grpc.py', *address, '--payload', str(payload), *stream), seconds + 60)


def _output(command: Sequence[str | Path], timeout_s: float, variables: dict[str, str] | None = None) -> dict[str, Any]:
    with peer(command, env=variables) as process:
        return process.read_json(timeout_s=timeout_s)


def _probe_start(contender: Contender) -> dict[str, float]:
    with ExitStack() as stack:
        began = time.perf_counter()
        process = stack.enter_context(
            peer(
                contender.side.command(contender.program, *contender.arguments, '--port', str(free_port())),
                env=contender.side.variables,
            )
        )
        ready = process.read_json(timeout_s=START_TIMEOUT_S)
        whole = time.perf_counter() - began
        used = usage(process.members())
        return {
            'start': ready['start_s'],
            'with imports': whole,
            'PSS': used.pss_mb,
            'RSS': used.rss_mb,
            'processes': used.processes,
        }


def _probe_again(contender: Contender) -> dict[str, float]:
    command = contender.side.command(contender.program, *contender.arguments, '--port', str(free_port()))
    with peer(command, env=contender.side.variables) as process:
        ready = process.read_json(timeout_s=2 * START_TIMEOUT_S)
        return {'first': ready['start_s'], 'second': ready['second_s']}


def _probe_idle(contender: Contender) -> dict[str, float]:
    command = contender.side.command(contender.program, *contender.arguments, '--port', str(free_port()))
    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        file = Path(folder) / 'executor.pid'
        with peer(command, env={**contender.side.variables, 'BENCH_PID_FILE': str(file)}) as process:
            process.read_json(timeout_s=START_TIMEOUT_S)
            used = usage([int(file.read_text())])
            return {'PSS': used.pss_mb, 'RSS': used.rss_mb}


def _probe_import(contender: Contender) -> dict[str, float]:
    return _output(contender.side.command(contender.program, *contender.arguments), 60, contender.side.variables)


def _probe_size(contender: Contender) -> dict[str, float]:
    if contender.side is JINA:
        python = bootstrap.environment('footprint', projects=['jina'])
        own = sum(file.stat().st_size for file in _sources())
    else:
        python, own = contender.side.interpreter(), 0
    measured = footprint(python.parent.parent)
    return {'size': measured.size_mb + own / 2**20, 'distributions': len(measured.distributions)}


_PROBES: dict[str, Callable[[Contender], dict[str, float]]] = {
    'start': _probe_start,
    'again': _probe_again,
    'idle': _probe_idle,
    'import': _probe_import,
    'size': _probe_size,
}


def _sources() -> Iterator[Path]:
    """The files of our own distributions, which an editable install leaves where they are."""
    for folder in ROOT.glob('packages/*/src'):
        for base, _, names in os.walk(folder):
            yield from (Path(base) / name for name in names if not name.endswith('.pyc'))
