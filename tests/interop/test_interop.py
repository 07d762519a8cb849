"""The original package and ours talk to each other: every pairing of client, server and external Executor.

Both sides run the same programs from ``peers/`` with their own interpreter; what they answer is compared with what
the original answers to itself (which is tested as well, so that the expectations can't drift from it).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jina import Flow

from tests.support.processes import Peer, free_port, peer, wait_for_port
from tests.support.requirements import require_original

PEERS = Path(__file__).parent / 'peers'
OURS, ORIGINAL = 'ours', 'original'
CASES = ('echo', 'unordered', 'ordered', 'vector', 'nested', 'parameters', 'result', 'fail', 'fail_status')

pytestmark = [pytest.mark.original, pytest.mark.timeout(180)]


def interpreter(side: str) -> Path:
    return require_original() if side == ORIGINAL else Path(sys.executable)


@contextmanager
def served(
    side: str, kind: str, protocol: str = 'grpc', *, external: int | None = None, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Runs peers/serve.py on ``side`` and gives the public port."""
    port = free_port()
    command = [interpreter(side), PEERS / 'serve.py', kind, '--protocol', protocol, '--port', str(port)]
    if external is not None:
        command += ['--external', str(external)]
    with peer(command, env=env) as process:
        process.read_json(timeout_s=40)
        yield port


def answers(side: str, port: int, protocol: str = 'grpc', cases: Sequence[str] = CASES) -> dict[str, Any]:
    """What peers/call.py on ``side`` gets from the server on ``port``."""
    command = [interpreter(side), PEERS / 'call.py', '--port', str(port), '--protocol', protocol, '--cases', *cases]
    with peer(command) as process:
        answered: dict[str, Any] = process.read_json(timeout_s=45)['answers']
    return answered


def expected(steps: list[str], protocol: str) -> dict[str, Any]:
    """The answers after passing the Executor once per runtime name in ``steps``."""
    n = len(steps)
    answer: dict[str, Any] = {
        'echo': [['one', 'hello' + '!' * n]],
        'unordered': [[f'd{i:02}', f't{i}' + '!' * n] for i in range(25)],
        'ordered': [[f'd{i:02}', f't{i}' + '!' * n] for i in range(25)],
        'vector': {
            'shapes': [[768]] * 3,
            'sums': [pytest.approx(value * 2**n, rel=1e-5) for value in (512.2223, 128.0556, 512.2223)],
            'first': -1.0 * 2**n,
        },
        'nested': {
            'id': 'page',
            'title': 'title',
            'cover': ['cover', 'front', 1.5 + n],
            'parts': [['zero', 0.25], ['one', 0.0], *[['added', 0.5]] * n],
            'tags': {'colour': 'red', 'inner': {'deep': 'yes'}, 'seen': True},
            'count': 3 + n,
            'seen': True,
        },
        'parameters': {'list': [1.5, 'a'], 'map': {'k': None}, 'name': 'x', 'on': True, 'top_k': 3.0},
        'result': {'results': {name: {'count': 2.0, 'name': 'peer'} for name in steps}, 'texts': ['a', 'b']},
        'fail': {'raised': True, 'mentions': True},
    }
    if protocol != 'http':  # an HTTP error carries no status message
        answer['fail_status'] = {
            'code': 1,
            'description': "ValueError('boom', 7)",
            'name': 'ValueError',
            'args': ['boom', '7'],
            'executor': 'Peer',
            'stacks': True,
        }
    return answer


def check(got: dict[str, Any], steps: list[str], protocol: str, cases: Sequence[str] = CASES) -> None:
    if protocol == 'http':
        got.pop('fail_status')
    assert got == {case: answer for case, answer in expected(steps, protocol).items() if case in cases}


def unreliable(case: str, client: str, server: str, protocol: str) -> bool:
    """What the original doesn't do each time, so that nothing can be compared with it."""
    if case == 'ordered':  # asked by its own client to keep the order, a busy server of it at times never answers
        return client == server == ORIGINAL
    # over WebSocket its client often returns nothing where it should raise, from its own server too
    return case == 'fail' and client == ORIGINAL and protocol == 'websocket'


STEPS = {'deployment': ['peer/rep-0'], 'flow': ['first/rep-0', 'second/rep-0']}


@pytest.mark.parametrize(
    ('client', 'server', 'kind', 'protocol'),
    [
        (client, server, kind, protocol)
        for client, server in [(ORIGINAL, OURS), (OURS, ORIGINAL), (ORIGINAL, ORIGINAL)]
        for kind in ('deployment', 'flow')
        for protocol in ('grpc', 'http', 'websocket')
        # the original serves WebSocket from the gateway of a Flow only
        if (server, kind, protocol) != (ORIGINAL, 'deployment', 'websocket')
    ],
)
def test_client_and_server(client: str, server: str, kind: str, protocol: str) -> None:
    cases = [case for case in CASES if not unreliable(case, client, server, protocol)]
    with served(server, kind, protocol) as port:
        got = answers(client, port, protocol, cases)
    check(got, STEPS[kind], protocol, cases)


@pytest.mark.parametrize('protocol', ['grpc', 'http'])
@pytest.mark.parametrize(('client', 'server'), [(ORIGINAL, OURS), (OURS, ORIGINAL), (ORIGINAL, ORIGINAL)])
def test_streams(client: str, server: str, protocol: str) -> None:
    # When a generator raises, a server of the original begins again over gRPC, and never ends the response over HTTP.
    cases = ['stream', 'stream_fail'] if server == OURS else ['stream']
    with served(server, 'deployment', protocol) as port:
        got = answers(client, port, protocol, cases)
    assert got['stream'] == [[str(number), f'token {number}'] for number in range(50)]
    if server == OURS and protocol == 'grpc':
        assert got['stream_fail'] == {'raised': True, 'mentions': True}
    elif server == OURS:  # its client knows no event for errors
        assert got['stream_fail'] == [['0', 'break 0'], ['1', 'break 1']]


@pytest.mark.parametrize('protocol', ['grpc', 'http', 'websocket'])
@pytest.mark.parametrize(('flow', 'executor'), [(OURS, ORIGINAL), (ORIGINAL, OURS)])
def test_external_executor(flow: str, executor: str, protocol: str) -> None:
    cases = [case for case in CASES if not unreliable(case, flow, flow, protocol)]
    with served(executor, 'deployment') as external, served(flow, 'flow', protocol, external=external) as port:
        check(answers(flow, port, protocol, cases), ['first/rep-0', 'peer/rep-0'], protocol, cases)


def test_replicas_of_both_sides_in_one_deployment() -> None:
    without_lane = {'JINA_DISABLE_FAST_LANE': '1'}
    with (
        served(OURS, 'deployment') as fast,
        served(ORIGINAL, 'deployment') as original,
        served(OURS, 'deployment', env=without_lane) as plain,
        Flow(quiet=True).add(
            name='peer', external=True, host=[f'127.0.0.1:{port}' for port in (fast, original, plain)]
        ) as flow,
    ):
        for client in (OURS, ORIGINAL):
            cases = [case for case in CASES if not unreliable(case, client, ORIGINAL, 'grpc')]
            check(answers(client, flow.port, cases=cases), ['peer/rep-0'], 'grpc', cases)


def test_a_head_between_the_original_and_shards_of_both_sides() -> None:
    jina, port = Path(sys.executable).parent / 'jina', free_port()
    cases = ('echo', 'unordered', 'vector', 'nested', 'parameters', 'fail', 'fail_status')
    with served(OURS, 'deployment') as first, served(ORIGINAL, 'deployment') as second:
        connections = json.dumps({'0': f'127.0.0.1:{first}', '1': f'127.0.0.1:{second}'})
        head = [jina, 'executor', '--name', 'peer', '--pod-role', 'HEAD', '--connection-list', connections]
        with peer([*head, '--port', str(port)]):
            wait_for_port(port, timeout_s=60)
            with served(ORIGINAL, 'flow', external=port) as entrance:
                check(answers(OURS, entrance, cases=cases), ['first/rep-0', 'peer'], 'grpc', cases)


def test_peer_leaves_no_process_behind() -> None:
    # the original's children outlive a killed parent, so the harness has to end the whole session
    port = free_port()
    process = Peer([interpreter(ORIGINAL), PEERS / 'serve.py', 'flow', '--protocol', 'grpc', '--port', str(port)])
    process.read_json(timeout_s=40)
    assert len(process.members()) > 1
    process.kill()
    assert process.members() == []
