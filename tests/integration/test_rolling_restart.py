"""Replicas that are replaced one after another by fresh processes while requests are answered."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import MissingDeploymentError, NotStartedError, NotSupportedError, StartupError

from packages.orchestrate.tests.callers import Callers, Texts
from tests.support.processes import free_port


class Edition(Executor):
    """Says which process answered, and what was in a file when it was made."""

    def __init__(self, file: str = '', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.edition = Path(file).read_text() if file else ''

    @requests
    def tell(self, docs: Texts, **kwargs: Any) -> Texts:
        time.sleep(0.002)
        for doc in docs:
            doc.text = f'{doc.text}:{os.getpid()}:{self.edition}'
        return docs


class Traffic(Callers):
    """Clients that always have requests in flight, and give up at a failure."""

    def __init__(self, port: int, protocol: str, size: int = 60) -> None:
        super().__init__(port, protocol)
        self.rounds = 0
        self._size = size

    def _run(self) -> None:
        with Client(**self._address) as client:
            while not self._stop.is_set():
                try:
                    self._ask_for_all(client, self._size)
                except Exception as error:
                    self.failures.append(repr(error))
                    return
                self.rounds += 1


def workers(orchestrator: Any) -> list[Any]:
    deployments = [d for _, d in orchestrator] if isinstance(orchestrator, Flow) else [orchestrator]
    return [
        pod
        for deployment in deployments
        for pod in deployment.pods
        if pod.name[:4] in ('enc/', 'dec/') and '/rep-' in pod.name
    ]


def executors(orchestrator: Any) -> dict[str, int]:
    """Process ids of the Executors."""
    return {pod.name: pod.pid for pod in workers(orchestrator)}


def processes(orchestrator: Any) -> dict[str, int]:
    """Process ids of everything."""
    return {pod.name: pod.pid for pod in orchestrator._running_pods()}


FORMS: dict[str, Callable[[], Any]] = {
    'Flow, gRPC': lambda: Flow(quiet=True).add(name='enc', uses=Edition, replicas=2).add(name='dec', uses=Edition),
    'Flow, HTTP, fixed ports': lambda: Flow(quiet=True, protocol='http').add(
        name='enc', uses=Edition, port=free_port(), monitoring=True, port_monitoring=free_port()
    ),
    'Flow, WebSocket, two gateways': lambda: (
        Flow(quiet=True, protocol='websocket').config_gateway(replicas=2).add(name='enc', uses=Edition)
    ),
    'Flow, shards': lambda: Flow(quiet=True).add(
        name='enc', uses=Edition, shards=2, replicas=2, uses_before=Edition, uses_after=Edition
    ),
    'Flow, HTTP, a class of its own, monitored': lambda: (
        Flow(quiet=True, protocol='http')
        .config_gateway(uses='HTTPGateway', monitoring=True, port_monitoring=free_port())
        .add(name='enc', uses=Edition)
    ),
    'Deployment, WebSocket': lambda: Deployment(name='enc', quiet=True, uses=Edition, replicas=2, protocol='websocket'),
    'Deployment, one process': lambda: Deployment(name='enc', quiet=True, uses=Edition),
    'Deployment, one process, HTTP': lambda: Deployment(name='enc', quiet=True, uses=Edition, protocol='http'),
    'Deployment, shared port': lambda: Deployment(
        name='enc', quiet=True, uses=Edition, replicas=2, include_gateway=False
    ),
    'Deployment, shards': lambda: Deployment(name='enc', quiet=True, uses=Edition, shards=2),
}


@pytest.mark.parametrize('form', FORMS)
def test_no_request_is_lost(form: str) -> None:
    with FORMS[form]() as orchestrator:
        before, everything, port = executors(orchestrator), processes(orchestrator), orchestrator.port
        fixed = [pod.addresses for pod in workers(orchestrator)] if 'fixed' in form else None
        leaving = orchestrator._running_pods()
        traffic = Traffic(port, orchestrator.protocol)
        with traffic.running():
            until(lambda: traffic.rounds > 0 or bool(traffic.failures))
            orchestrator.restart()
            rounds = traffic.rounds
            until(lambda: traffic.rounds > rounds + 3 or bool(traffic.failures))
        assert traffic.failures == []
        after = executors(orchestrator)
        assert after.keys() == before.keys()
        assert processes(orchestrator).keys() == everything.keys()
        assert not set(processes(orchestrator).values()) & set(everything.values())
        assert all(pod.exit_status == 0 for pod in leaving)
        assert orchestrator.port == port
        assert fixed in (None, [pod.addresses for pod in workers(orchestrator)])
        docs = orchestrator.post(
            '/', Texts([TextDoc(text=str(n)) for n in range(40)]), request_size=1, return_type=Texts
        )
        answered = {int(pid) for doc in docs for pid in doc.text.split(':')[1:] if pid}
        assert answered <= set(processes(orchestrator).values())
        # A client has one connection, and the system gives it to one of those that share a port.
        assert answered & set(after.values()) if 'shared' in form else answered >= set(after.values())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_one_executor_of_a_flow_in_the_async_form(tmp_path: Path) -> None:
    file = tmp_path / 'edition'
    file.write_text('first')
    flow = Flow(quiet=True, asyncio=True).add(name='enc', uses=Edition, uses_with={'file': str(file)}).add(name='dec')
    async with flow:
        other = executors(flow)['dec/rep-0']
        file.write_text('second')
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await flow.async_restart('enc')
        ticking.cancel()
        assert ticks > 5, 'the event loop was free meanwhile'
        assert executors(flow)['dec/rep-0'] == other
        answers = [docs.text async for docs in flow.post('/', TextDoc(text='x'), return_type=Texts)]
        assert answers == [[f'x:{executors(flow)["enc/rep-0"]}:second']]
        pid = executors(flow)['enc/rep-0']
        await flow['enc'].async_restart()
        assert executors(flow)['enc/rep-0'] != pid


def test_a_process_that_fails_to_start_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / 'edition'
    file.write_text('first')
    with Deployment(name='enc', uses=Edition, uses_with={'file': str(file)}, quiet=True, replicas=2) as deployment:
        file.unlink()
        before = executors(deployment)
        with pytest.raises(StartupError, match='No such file'):
            deployment.restart()
        assert executors(deployment) == before
        assert deployment.is_ready
        assert len(deployment.post('/', TextDoc(text='x'), return_type=Texts)) == 1


def test_a_dead_replica_is_replaced_and_scaling_goes_on() -> None:
    with Deployment(name='enc', uses=Edition, quiet=True, replicas=2) as deployment:
        dead = deployment._workers[1]
        os.kill(dead.pid, signal.SIGKILL)
        assert dead.wait(60)
        deployment.restart()
        assert deployment.is_ready
        deployment.scale(3)
        deployment.restart()
        assert list(executors(deployment)) == ['enc/rep-0', 'enc/rep-1', 'enc/rep-2']
        docs = deployment.post('/', Texts([TextDoc(text='x') for _ in range(40)]), request_size=1, return_type=Texts)
        assert {int(doc.text.split(':')[1]) for doc in docs} == set(executors(deployment).values())


def test_what_can_not_be_restarted() -> None:
    with pytest.raises(NotStartedError, match="Deployment 'enc' is not started; call restart"):
        Deployment(name='enc').restart()
    with pytest.raises(NotSupportedError, match='is external; restart it where it was started'):
        Deployment(external=True, host='localhost:1').restart()
    flow = Flow(quiet=True).add(name='enc', uses=Edition)
    with pytest.raises(NotStartedError, match='Flow is not started; call restart'):
        flow.restart()
    with pytest.raises(MissingDeploymentError, match="Flow has no Executor 'dec'; it has 'enc'"):
        flow.restart('dec')
