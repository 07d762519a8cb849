from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import (
    ConfigError,
    MissingDeploymentError,
    NotStartedError,
    NotSupportedError,
    StartupError,
    TransportError,
)

from .callers import Callers, Texts


class Pid(Executor):
    """Says which process answered; can't be made while a file is there."""

    def __init__(self, stop_file: str = '', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if stop_file and Path(stop_file).exists():
            raise ValueError('no more of these')

    @requests
    def tell(self, docs: Texts, **kwargs: Any) -> Texts:
        for doc in docs:
            doc.text = f'{doc.text}:{os.getpid()}'
        return docs

    @requests(on='/where')
    def where(self, docs: Texts, **kwargs: Any) -> Texts:
        for doc in docs:
            doc.text = self.runtime_args.name
        return docs

    @requests(on='/stream')
    def stream(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        for _ in range(3):
            time.sleep(0.01)
            yield TextDoc(text=f'{os.getpid()}')


class Load(Callers):
    """Clients that always have requests in flight."""

    def __init__(self, port: int, protocol: str) -> None:
        super().__init__(port, protocol)
        self.answers: Counter[str] = Counter()
        self.sent = 0
        self._size = 700 if protocol == 'GRPC' else 100  # that many are in flight, of each client

    def _run(self) -> None:
        with Client(**self._address) as client:
            while not self._stop.is_set():
                try:
                    docs = self._ask_for_all(client, self._size)
                except Exception as error:
                    self.failures.append(repr(error))
                    continue
                self.sent += self._size
                self.answers.update(doc.text.split(':')[1] for doc in docs)

    def wait_until(self, condition: Callable[[Counter[str]], bool]) -> None:
        """Returns when the answers from now on are such."""
        before = Counter(self.answers)
        deadline = time.monotonic() + 60
        while not condition(self.answers - before):
            assert time.monotonic() < deadline
            assert not self.failures, self.failures[0]
            time.sleep(0.005)


def pids(deployment: Deployment) -> set[str]:
    return {str(pod.pid) for pod in deployment.pods if '/rep-' in pod.name and pod.name.startswith(deployment.name)}


FORMS: dict[str, Callable[[], Any]] = {
    'Flow, gRPC': lambda: Flow(quiet=True).add(name='enc', uses=Pid),
    'Flow, HTTP, two gateways': lambda: (
        Flow(quiet=True, protocol='http').config_gateway(replicas=2).add(name='enc', uses=Pid)
    ),
    'Flow, shards': lambda: Flow(quiet=True).add(name='enc', uses=Pid, shards=2),
    'lone replica, gRPC': lambda: Deployment(name='enc', quiet=True, uses=Pid),
    'lone replica, HTTP': lambda: Deployment(name='enc', quiet=True, uses=Pid, protocol='http'),
}


@pytest.mark.parametrize('form', FORMS)
def test_no_request_is_lost(form: str) -> None:
    with FORMS[form]() as orchestrator:
        flow = orchestrator if isinstance(orchestrator, Flow) else None
        deployment = orchestrator if flow is None else flow['enc']
        port = orchestrator.port
        load = Load(port, orchestrator.protocol)
        with load.running():
            load.wait_until(lambda answers: answers.total() > 0)
            for replicas in (3, 1):
                deployment.scale(replicas) if flow is None else flow.scale('enc', replicas)
                assert deployment.replicas == replicas
                assert len(pids(deployment)) == replicas * deployment.shards
                load.wait_until(lambda answers: set(answers) >= pids(deployment))
        assert load.failures == []
        assert load.answers.total() == load.sent
        assert orchestrator.port == port


def test_names_go_on_and_the_last_ones_leave() -> None:
    with Deployment(name='enc', uses=Pid, quiet=True, replicas=2, shards=2) as deployment:
        deployment.scale(3)
        workers = [pod.name for pod in deployment._workers]
        assert workers == [f'enc/shard-{shard}/rep-{replica}' for shard in range(2) for replica in range(3)]
        last = deployment._workers[-1]
        deployment.scale(1)
        assert [pod.name for pod in deployment._workers] == ['enc/shard-0/rep-0', 'enc/shard-1/rep-0']
        assert last.exit_status == 0
        assert deployment.is_ready
        assert deployment.num_pods == 3
        assert deployment.options.replicas == 1


async def test_async_form() -> None:
    flow = Flow(quiet=True, asyncio=True).add(name='enc', uses=Pid)
    async with flow:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await flow.async_scale('enc', 2)
        await flow['enc'].async_scale(1)
        ticking.cancel()
        assert ticks > 5, 'the event loop was free meanwhile'
        assert flow['enc'].replicas == 1


def test_streams_are_shared_too() -> None:
    async def many(port: int) -> set[str]:
        client = Client(port=port, asyncio=True)

        async def one() -> set[str]:
            return {doc.text async for doc in client.stream_doc('/stream', TextDoc(), return_type=TextDoc)}

        found = await asyncio.gather(*(one() for _ in range(6)))
        assert all(len(pids) == 1 for pids in found)
        return set().union(*found)

    with Deployment(uses=Pid, quiet=True) as deployment:
        deployment.scale(2)
        assert len(asyncio.run(many(deployment.port))) == 2


def test_a_replica_that_fails_to_start_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / 'stop'
    with Deployment(uses=Pid, uses_with={'stop_file': str(file)}, quiet=True, replicas=2) as deployment:
        file.touch()
        before = [pod.pid for pod in deployment.pods]
        with pytest.raises(StartupError, match='no more of these'):
            deployment.scale(4)
        assert [pod.pid for pod in deployment.pods] == before
        assert deployment.replicas == 2
        assert deployment.post('/', TextDoc(), return_type=Texts)[0].text
        file.unlink()
        deployment.scale(3)
        assert deployment.num_pods == 4


def test_what_can_not_be_scaled() -> None:
    with pytest.raises(NotStartedError, match="Deployment 'enc' is not started; call scale"):
        Deployment(name='enc').scale(2)
    with pytest.raises(NotSupportedError, match="Deployment 'executor' is external; scale it where it was started"):
        Deployment(external=True, host='localhost:1').scale(2)
    flow = Flow(quiet=True).add(name='enc', uses=Pid)
    with flow:
        with pytest.raises(MissingDeploymentError, match="Flow has no Executor 'dec'; it has 'enc'"):
            flow.scale('dec', 2)
        for wrong in (0, -1, 1.5, True, '2'):
            with pytest.raises(ConfigError, match='give the number of replicas, at least 1'):
                flow.scale('enc', wrong)  # type: ignore[arg-type]
        flow.scale('enc', 1)
    with pytest.raises(NotStartedError, match="Deployment 'enc' is not started"):
        flow.scale('enc', 2)


class Visitors(Callers):
    """Clients that open a connection for each request."""

    def __init__(self, port: int, protocol: str) -> None:
        super().__init__(port, protocol)
        self.seen: Counter[str] = Counter()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with Client(**self._address) as client:
                    docs = client.post('/', TextDoc(text='x'), return_type=Texts)
                self.seen[docs[0].text.split(':')[1]] += 1
            except TransportError as error:
                self.failures.append(repr(error))

    def wait_until_seen(self, wanted: set[str]) -> None:
        before = Counter(self.seen)
        deadline = time.monotonic() + 60
        while not set(self.seen - before) >= wanted:
            assert time.monotonic() < deadline, self.failures
            time.sleep(0.005)


@pytest.mark.parametrize('protocol', ['grpc', 'http'])
def test_replicas_that_share_a_port(protocol: str) -> None:
    with Deployment(
        name='enc', uses=Pid, quiet=True, replicas=2, include_gateway=False, protocol=protocol
    ) as deployment:
        port = deployment.port
        for replicas in (3, 1, 2):
            visitors = Visitors(port, protocol)
            with visitors.running():
                deployment.scale(replicas)
                assert (deployment.num_pods, deployment.port) == (replicas, port)
                visitors.wait_until_seen(pids(deployment))
            assert visitors.failures == []


def test_a_lone_replica_without_a_gateway_shares_its_work() -> None:
    with Deployment(name='enc', uses=Pid, quiet=True, include_gateway=False) as deployment:
        deployment.scale(2)
        docs = deployment.post('/', Texts([TextDoc(text='x') for _ in range(60)]), request_size=1, return_type=Texts)
        assert {doc.text.split(':')[1] for doc in docs} == pids(deployment)


def test_close_while_it_scales(tmp_path: Path) -> None:
    with Deployment(uses=Pid, quiet=True, replicas=2) as deployment:
        errors: list[BaseException] = []

        def scale() -> None:
            try:
                deployment.scale(6)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=scale)
        thread.start()
        deployment.close()
        thread.join(60)
        assert not thread.is_alive()
        assert deployment.num_pods == 0
        assert len(errors) <= 1


def test_killed_replicas_of_a_sharing_one_lose_nothing() -> None:
    with Deployment(name='enc', uses=Pid, quiet=True) as deployment:
        deployment.scale(3)
        load = Load(deployment.port, deployment.protocol)
        with load.running():
            for pod in deployment._workers[1:]:
                load.wait_until(lambda answers, pid=str(pod.pid): answers[pid] > 0)  # type: ignore[misc]
                os.kill(pod.pid or 0, signal.SIGKILL)
            first = str(deployment._workers[0].pid)
            load.wait_until(lambda answers: answers[first] > 1000)
        assert load.failures == []
        assert load.answers.total() == load.sent


def test_the_sharing_replica_shares_again_after_its_restart() -> None:
    with Deployment(uses=Pid, quiet=True, restart='on-failure', retries=10) as deployment:
        deployment.scale(3)
        first = deployment._workers[0]
        pid = first.pid
        os.kill(pid or 0, signal.SIGKILL)
        deadline = time.monotonic() + 60
        answered: set[str] = set()
        while len(answered) < 3:
            assert time.monotonic() < deadline, (answered, first.state)
            if first.pid != pid and first.is_ready:
                with Client(port=deployment.port) as client:
                    docs = client.post('/', Texts([TextDoc() for _ in range(60)]), request_size=1, return_type=Texts)
                answered = {doc.text.split(':')[1] for doc in docs} & pids(deployment)
            time.sleep(0.05)
