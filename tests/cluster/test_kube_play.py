"""Flows in the pods of their exported manifests: started by ``podman kube play``, called, and rolled to a new version."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from jina import Client, Flow
from jina.export import KubernetesSettings, export_dockerfile, export_kubernetes
from pydantic import Field

from tests.support.containers import gather_wheels
from tests.support.foreigners import Foreigners, over_grpc, over_http, over_websocket
from tests.support.podman import Cluster, Podman, podman, running_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAMESPACE = 'search'
EXECUTORS = """\
import asyncio
import json
import os

from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from jina import Executor, requests, write


class Trip(BaseDoc):
    stops: list[str] = []
    pods: list[str] = []


class Stop(Executor):
    @requests
    async def visit(self, docs: DocList[Trip], parameters, **kwargs) -> DocList[Trip]:
        await asyncio.sleep(parameters.get('seconds', 0.02))
        for doc in docs:
            doc.stops.append(f'{self.runtime_args.name.partition("/")[0]} {os.environ["VERSION"]}')
            doc.pods.append(os.environ['K8S_POD_NAME'])
        return docs


class Calls(Executor):
    @requests
    async def call(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        await asyncio.sleep(0.005)
        for doc in docs:
            doc.text = f'{doc.text}!'
        return docs

    @requests(on='/slow')
    async def slow(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        await asyncio.sleep(1.5)
        return docs


class Ledger(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.kept = []

    @write
    @requests(on='/book')
    def book(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        self.kept += docs.text
        return DocList[TextDoc]([TextDoc(text=os.environ['VERSION'])])

    @requests(on='/look')
    def look(self, **kwargs) -> DocList[TextDoc]:
        return DocList[TextDoc]([TextDoc(text=json.dumps(self.kept))])
"""


class Trip(BaseDoc):
    stops: list[str] = Field(default_factory=list)
    pods: list[str] = Field(default_factory=list)


@pytest.fixture(scope='module')
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Podman with images of all Executors: ``stop:1`` and ``stop:2``, and so on. They can be gateways, too."""
    with podman() as running:
        running.load_base()
        folder = tmp_path_factory.mktemp('image')
        gather_wheels(folder / 'wheels')
        export_dockerfile(folder, kind='gateway', config=None)
        (folder / 'executors.py').write_text(EXECUTORS)
        running.build(folder, 'all:0')
        for executor in ('Stop', 'Calls', 'Ledger'):
            for version in ('1', '2'):
                further = tmp_path_factory.mktemp('version')
                (further / 'config.yml').write_text(f'jtype: {executor}\npy_modules: [executors.py]\n')
                text = f'FROM localhost/all:0\nENV VERSION={version}\nCOPY config.yml /workdir/\n'
                (further / 'Dockerfile').write_text(text)
                running.build(further, f'{executor.lower()}:{version}')
        yield running


@pytest.fixture
def cluster(images: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv('JINA_GATEWAY_IMAGE', 'all:0')
    with running_cluster(images, tmp_path, NAMESPACE) as running:
        yield running


def export(folder: Path, version: str) -> None:
    """Writes the manifests of a Flow whose Executors have an image of this version."""
    flow = (
        Flow(port=8080)
        .add(name='encoder', uses=f'docker://stop:{version}', replicas=2)
        .add(name='ranker', uses=f'docker://stop:{version}')
    )
    settings = KubernetesSettings(namespace=NAMESPACE, nonroot=True, pre_stop_s=8)
    export_kubernetes(flow, folder, settings=settings)


class Callers:
    """Calls the Flow without a pause from several threads: one with requests that take long, the others with short ones."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[str] = Counter()
        self.pods: set[str] = set()
        self.failures: list[BaseException] = []
        self._changed = threading.Condition()
        self._over = False
        self._client = Client(host='127.0.0.1', port=port)
        self._threads = [threading.Thread(target=self._call, args=(seconds,)) for seconds in (1.5, 0.02, 0.02)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        for thread in self._threads:
            thread.join()

    def _call(self, seconds: float) -> None:
        while not self._over:
            try:
                (trip,) = self._client.post(
                    '/', Trip(), parameters={'seconds': seconds}, return_type=DocList[Trip], max_attempts=1
                )
            except Exception as error:
                self.failures.append(error)
                trip = Trip(stops=['failed'])
            with self._changed:
                self.answers[', '.join(trip.stops)] += 1
                self.pods.update(trip.pods)
                self._changed.notify_all()

    def wait_for(self, pods: set[str], answer: str) -> None:
        """Returns when all these pods have worked, and an answer like this has come once more."""
        with self._changed:
            count = self.answers[answer]
            came = self._changed.wait_for(lambda: self.answers[answer] > count and pods <= self.pods, 60)
            assert came, (answer, pods, self.answers, self.pods, self.failures[:3])


def running(cluster: Cluster) -> set[str]:
    """The pods of Executors."""
    return {pod.name for name in ('encoder', 'ranker') for pod in cluster.pods[name]}


def test_a_flow_is_called_and_rolls_to_a_new_version_while_no_request_fails(cluster: Cluster, tmp_path: Path) -> None:
    for version in ('1', '2'):
        export(tmp_path / version, version)
    for name in ('encoder', 'ranker', 'gateway'):
        cluster.apply(tmp_path / '1' / name / f'{name}.yml')
    with cluster.balanced('gateway') as [port], Callers(port) as callers:
        callers.wait_for(running(cluster), 'encoder 1, ranker 1')
        cluster.roll(tmp_path / '2' / 'encoder' / 'encoder.yml')
        callers.wait_for(running(cluster), 'encoder 2, ranker 1')
        cluster.roll(tmp_path / '2' / 'ranker' / 'ranker.yml')
        callers.wait_for(running(cluster), 'encoder 2, ranker 2')
    assert not callers.failures, callers.failures[:3]
    assert {'encoder 1, ranker 1', 'encoder 2, ranker 1', 'encoder 2, ranker 2'} == set(callers.answers)
    assert len(callers.pods) == 6  # two old encoders and an old ranker, and as many new ones
    print(callers.answers)


PROTOCOLS = ['grpc', 'http', 'websocket']


def test_gateways_roll_while_no_request_fails(cluster: Cluster, tmp_path: Path) -> None:
    """Two gateways leave one after the other, each with calls under way, and their clients go on with those that follow."""
    flow = Flow(port=[8080, 8081, 8082], protocol=PROTOCOLS).config_gateway(replicas=2)
    flow = flow.add(name='calls', uses='docker://calls:1', replicas=2)
    settings = KubernetesSettings(namespace=NAMESPACE, nonroot=True, pre_stop_s=3)
    export_kubernetes(flow, tmp_path / 'k8s', settings=settings)
    for name in ('calls', 'gateway'):
        cluster.apply(tmp_path / 'k8s' / name / f'{name}.yml')
    old = {pod.address for pod in cluster.pods['gateway']}
    with cluster.balanced('gateway') as ports, contextlib.ExitStack() as stack:
        uses = [over_grpc, over_http, over_websocket, *(our_client(protocol) for protocol in PROTOCOLS)]
        clients = [Foreigners(use, port) for use, port in zip(uses, ports * 2, strict=True)]
        for one in clients:
            stack.enter_context(one.busy())
        for one in clients:
            one.go_on()
        assert all(set(balancer.taken) == old for balancer in cluster.balancers['gateway'])
        cluster.roll(tmp_path / 'k8s' / 'gateway' / 'gateway.yml')
        for one in clients:
            one.go_on()
        new = {pod.address for pod in cluster.pods['gateway']}
        assert all(set(balancer.taken) == old | new for balancer in cluster.balancers['gateway'])
    assert [one.failures for one in clients] == [[]] * len(clients)
    print([one.answers for one in clients])


def our_client(protocol: str) -> Callable[[int], Generator[None]]:
    """What a Client does that tries nothing twice: a slow request now and then among quick ones."""

    def use(port: int) -> Generator[None]:
        with Client(port=port, protocol=protocol) as client:
            for number in itertools.count():
                endpoint, expected = ('/slow', 'x') if number % 100 == 0 else ('/', 'x!')
                docs = client.post(endpoint, TextDoc(text='x'), return_type=DocList[TextDoc], max_attempts=1)
                assert docs.text == [expected]
                yield

    return use


class Bookings:
    """Writes numbers one after the other, and keeps those that were answered."""

    def __init__(self) -> None:
        self.booked: list[str] = []
        self.versions: set[str] = set()

    def book(self, port: int) -> Generator[None]:
        with Client(port=port) as client:
            for number in itertools.count():
                answer = client.post('/book', TextDoc(text=str(number)), return_type=DocList[TextDoc], max_attempts=1)
                self.booked.append(str(number))
                self.versions.update(answer.text)
                yield


def test_replicas_with_state_are_lost_and_rolled_and_keep_it(cluster: Cluster, tmp_path: Path) -> None:
    files = []
    for version in ('1', '2'):
        flow = Flow(port=8080).add(name='ledger', uses=f'docker://ledger:{version}', stateful=True, replicas=3)
        settings = KubernetesSettings(namespace=NAMESPACE, nonroot=True, pre_stop_s=3)
        export_kubernetes(flow, tmp_path / version, settings=settings)
        files.append(tmp_path / version / 'ledger' / 'ledger.yml')
    cluster.apply(files[0])
    cluster.apply(tmp_path / '1' / 'gateway' / 'gateway.yml')
    bookings = Bookings()
    with cluster.balanced('gateway') as [port]:
        writer = Foreigners(bookings.book, port, threads=1)
        with writer.busy():
            writer.go_on()
            cluster.lose('ledger', 0)
            writer.go_on()
            cluster.restore(files[0], 0)
            assert bookings.versions == {'1'}
            cluster.roll(files[1])
            writer.go_on()
        assert writer.failures == []
        assert bookings.versions == {'1', '2'}
    for pod in cluster.pods['ledger']:
        with Client(host=pod.address, port=8080) as client:
            deadline = time.monotonic() + 30
            while look(client) != bookings.booked:  # a replica hears of the latest ones a moment later
                assert time.monotonic() < deadline, (pod.name, look(client)[-3:], bookings.booked[-3:])


def look(client: Client) -> list[str]:
    (found,) = client.post('/look', return_type=DocList[TextDoc])
    numbers: list[str] = json.loads(found.text)
    return numbers
