from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Deployment, Executor, Flow, requests
from jina.core.config import PodAddress, RestartPolicy
from jina.core.enums import ProtocolType
from jina.orchestrate import restarts
from jina.orchestrate.pod import Pod, PodState, wait_ready
from jina.orchestrate.restarts import RestartPlan, Restarts

ADDRESS = PodAddress(ProtocolType.GRPC, '0.0.0.0', 1)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, '_FIRST_PAUSE_S', 0.05)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_pauses_grow_and_a_steady_process_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    counted = Restarts(RestartPolicy.parse('on-failure:8'))
    pauses = []
    for _ in range(8):
        counted.note_ready()
        pauses.append(counted.pause(-9))
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert counted.pause(-9) is None, 'the limit is reached'
    assert counted.total == 8
    now = time.monotonic()
    monkeypatch.setattr(restarts.time, 'monotonic', lambda: now)
    counted.note_ready()
    monkeypatch.setattr(restarts.time, 'monotonic', lambda: now + 61)
    assert counted.pause(-9) == 0.5
    assert counted.describe() == 'attempt 1 of 8'
    assert Restarts(RestartPolicy.parse('on-failure')).pause(0) is None
    assert Restarts(RestartPolicy.parse('always')).pause(0) == 0.5
    assert Restarts(RestartPolicy.parse('no')).pause(-9) is None


def end_or_serve(report: Callable[[Sequence[Any]], None], path: str, generation: int) -> int:
    """Writes its generation; the second one never gets ready, later ones wait for SIGTERM, the others for a file."""
    Path(path).write_text(str(generation))
    if generation == 1:
        return 3
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    report([ADDRESS])
    if generation:
        ended.wait()
        return 0
    while not Path(path + '.end').exists():
        time.sleep(0.01)
    return 5


def make_pod(path: Path, policy: str, caplog: pytest.LogCaptureFixture) -> Pod:
    generations = iter(range(1, 100))
    logger = logging.getLogger('restarts')
    caplog.set_level(logging.INFO, 'restarts')
    plan = RestartPlan(
        RestartPolicy.parse(policy), lambda addresses: (str(path), next(generations)) if addresses == [ADDRESS] else ()
    )
    pod = Pod('enc/rep-0', end_or_serve, (str(path), 0), owner="Deployment 'enc'", logger=logger, restart=plan)
    pod.start()
    wait_ready([pod], 60)
    return pod


def test_attempts_are_counted_logged_and_made_until_it_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pod = make_pod(tmp_path / 'pod', 'on-failure:3', caplog)
    try:
        (tmp_path / 'pod.end').touch()
        until(lambda: pod.restarts == 2 and pod.is_ready)
        assert (tmp_path / 'pod').read_text() == '2'
        messages = [record.getMessage() for record in caplog.records]
        assert [message for message in messages if message.startswith('starting process')] == [
            'starting process enc/rep-0 again in 0.1 s (attempt 1 of 3)',
            'starting process enc/rep-0 again in 0.1 s (attempt 2 of 3)',
        ]
        assert any("of Deployment 'enc' ended with exit status 5" in message for message in messages)
        assert any("of Deployment 'enc' ended with exit status 3" in message for message in messages)
        assert messages[-1].endswith("of Deployment 'enc' answers again")
    finally:
        pod.stop(5)
        assert pod.wait(30)
    assert pod.state is PodState.CLOSED


def test_the_limit_ends_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pod = make_pod(tmp_path / 'pod', 'on-failure:1', caplog)
    (tmp_path / 'pod.end').touch()
    assert pod.wait(60)
    assert (pod.state, pod.restarts, pod.exit_status) == (PodState.FAILED, 1, 3)


def test_closing_ends_the_wait_for_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, '_FIRST_PAUSE_S', 30.0)
    pod = make_pod(tmp_path / 'pod', 'always', caplog)
    (tmp_path / 'pod.end').touch()
    until(lambda: pod.state is PodState.WAITING)
    assert not pod.is_alive
    pod.stop(5)
    assert pod.wait(1)
    assert pod.state is PodState.CLOSED
    assert (tmp_path / 'pod').read_text() == '0'


class Mortal(Executor):
    @requests
    def tell(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = str(os.getpid())
        return docs

    @requests(on='/fatal')
    def fatal(self, **kwargs: Any) -> None:
        raise KeyError('bad')


def pid_of(orchestrator: Any) -> int:
    return int(orchestrator.post('/', TextDoc(), return_type=DocList[TextDoc])[0].text)


@pytest.mark.parametrize('kind', ['Deployment', 'shards', 'Flow', 'shared port'])
def test_killed_processes_come_back_at_their_addresses(kind: str) -> None:
    options: dict[str, Any] = {
        'quiet': True,
        'restart': 'on-failure',
        'exit_on_exceptions': ['KeyError'],
        'retries': 20,
    }
    orchestrator: Any = Deployment(name='enc', uses=Mortal, shards=2 if kind == 'shards' else 1, **options)
    if kind == 'Flow':
        orchestrator = Flow(**options).config_gateway(replicas=2).add(name='enc', uses=Mortal)
    elif kind == 'shared port':
        orchestrator = Deployment(name='enc', uses=Mortal, replicas=2, include_gateway=False, **options)
    with orchestrator:
        deployment: Deployment = orchestrator['enc'] if kind == 'Flow' else orchestrator
        port = orchestrator.port
        pods = orchestrator._running_pods()[: 1 if kind == 'shared port' else None]  # the other one keeps the port busy
        pids = {pod.name: pod.pid for pod in pods}
        for pod in pods:
            os.kill(pod.pid, signal.SIGKILL)
        until(lambda: all(pod.restarts == 1 and pod.is_ready for pod in pods))
        assert all(pod.pid != pids[pod.name] for pod in pods)
        assert pid_of(orchestrator) in {pod.pid for pod in deployment._workers}
        assert [deployment.restarts[pod.name] for pod in pods if pod.name in deployment.restarts] == [1] * (
            len(pods) if kind != 'Flow' else 1
        )
        assert orchestrator.port == port
        if kind == 'Deployment':
            with pytest.raises(Exception, match='bad'):
                orchestrator.post('/fatal', TextDoc())
            until(lambda: deployment.restarts['enc/rep-0'] == 2 and deployment.is_ready)
            assert pid_of(orchestrator) == deployment._workers[0].pid
    assert [pod.state for pod in pods] == [PodState.CLOSED] * len(pods)


def test_the_default_leaves_the_dead_alone() -> None:
    with Deployment(uses=Mortal, quiet=True) as deployment:
        pod = deployment.pods[0]
        os.kill(pod.pid or 0, signal.SIGKILL)
        assert pod.wait(30)
        assert (pod.state, deployment.restarts, deployment.is_ready) == (PodState.FAILED, {'executor/rep-0': 0}, False)
