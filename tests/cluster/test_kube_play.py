"""A Flow in the pods of its exported manifests: started by ``podman kube play``, called, and rolled to a new version of its images."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from docarray import BaseDoc, DocList
from jina import Client, Flow
from jina.export import KubernetesSettings, export_dockerfile, export_kubernetes
from pydantic import Field

from tests.support.containers import gather_wheels
from tests.support.podman import Cluster, Podman, podman
from tests.support.processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAMESPACE = 'search'
EXECUTORS = """\
import asyncio
import os

from docarray import BaseDoc, DocList
from jina import Executor, requests


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
"""


class Trip(BaseDoc):
    stops: list[str] = Field(default_factory=list)
    pods: list[str] = Field(default_factory=list)


@pytest.fixture(scope='module')
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Podman with the images ``stop:1`` and ``stop:2``."""
    with podman() as running:
        running.load_base()
        folder = tmp_path_factory.mktemp('image')
        gather_wheels(folder / 'wheels')
        export_dockerfile(folder)
        (folder / 'executors.py').write_text(EXECUTORS)
        (folder / 'config.yml').write_text('jtype: Stop\npy_modules: [executors.py]\n')
        running.build(folder, 'stop:0')
        for version in ('1', '2'):
            further = tmp_path_factory.mktemp('version')
            (further / 'Dockerfile').write_text(f'FROM localhost/stop:0\nENV VERSION={version}\n')
            running.build(further, f'stop:{version}')
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


def test_a_flow_is_called_and_rolls_to_a_new_version_while_no_request_fails(
    images: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('JINA_GATEWAY_IMAGE', 'stop:1')
    for version in ('1', '2'):
        export(tmp_path / version, version)
    cluster = Cluster(images, tmp_path, NAMESPACE)
    port = free_port()
    try:
        for name in ('encoder', 'ranker'):
            cluster.apply(tmp_path / '1' / name / f'{name}.yml')
        cluster.apply(tmp_path / '1' / 'gateway' / 'gateway.yml', publish=port)
        with Callers(port) as callers:
            callers.wait_for(running(cluster), 'encoder 1, ranker 1')
            cluster.roll(tmp_path / '2' / 'encoder' / 'encoder.yml')
            callers.wait_for(running(cluster), 'encoder 2, ranker 1')
            cluster.roll(tmp_path / '2' / 'ranker' / 'ranker.yml')
            callers.wait_for(running(cluster), 'encoder 2, ranker 2')
        assert not callers.failures, callers.failures[:3]
        assert {'encoder 1, ranker 1', 'encoder 2, ranker 1', 'encoder 2, ranker 2'} == set(callers.answers)
        assert len(callers.pods) == 6  # two old encoders and an old ranker, and as many new ones
        print(callers.answers)
    except BaseException:
        for pod in (pod for pods in cluster.pods.values() for pod in pods):
            print(pod.name, pod.log[-3000:])
        raise
