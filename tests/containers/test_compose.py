"""A Flow in containers: exported to Docker Compose, brought up by a real engine, called, hurt, and taken down."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from docarray import BaseDoc, DocList
from jina import Client, Flow
from jina.export import export_dockerfile

from tests.support.containers import Engine, base_image, engine, gather_wheels
from tests.support.processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

EXECUTORS = """\
import socket

from docarray import BaseDoc, DocList
from jina import Executor, requests


class Visit(BaseDoc):
    encoders: list[str] | None = None
    shards: list[str] | None = None


class Encoder(Executor):
    @requests
    def encode(self, docs: DocList[Visit], **kwargs) -> DocList[Visit]:
        for doc in docs:
            doc.encoders = [socket.gethostname()]
        return docs


class Indexer(Executor):
    @requests
    def index(self, docs: DocList[Visit], **kwargs) -> DocList[Visit]:
        for doc in docs:
            doc.shards = [str(self.runtime_args.shard_id)]
        return docs
"""


class Visit(BaseDoc):
    encoders: list[str] | None = None
    shards: list[str] | None = None


@pytest.fixture(scope='module')
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with the images ``encoder`` and ``indexer``; both hold what a gateway needs."""
    if shutil.which('docker-compose') is None:
        pytest.skip('needs docker-compose')
    with engine() as running:
        base_image(running)
        folder = tmp_path_factory.mktemp('image')
        gather_wheels(folder / 'wheels')
        export_dockerfile(folder, kind='gateway')
        (folder / 'executors.py').write_text(EXECUTORS)
        (folder / 'config.yml').write_text('jtype: Encoder\npy_modules: [executors.py]\n')
        running.build(folder, 'encoder')
        second = tmp_path_factory.mktemp('second')
        (second / 'config.yml').write_text('jtype: Indexer\npy_modules: [executors.py]\n')
        (second / 'Dockerfile').write_text('FROM encoder\nCOPY config.yml /workdir/config.yml\n')
        running.build(second, 'indexer')
        print(running.run('docker', 'images'))
        yield running


def test_images_run_without_root(docker: Engine) -> None:
    code = 'import os, jina; print(os.getuid(), jina.__version__)'
    assert docker.run('docker', 'run', '--rm', '--entrypoint', 'python', 'encoder', '-c', code).split()[0] == '1000'
    sizes = docker.run('docker', 'image', 'inspect', '--format', '{{.Size}}', 'encoder')
    assert int(sizes) < 300_000_000


def test_a_flow_comes_up_answers_survives_a_lost_replica_and_goes_down(
    docker: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('JINA_GATEWAY_IMAGE', 'encoder')
    port = free_port()
    flow = (
        Flow(port=port, protocol='http')
        .add(name='encoder', uses='docker://encoder', replicas=2)
        .add(name='indexer', uses='docker://indexer', shards=2, polling='ALL')
    )
    file = tmp_path / 'docker-compose.yml'
    flow.to_docker_compose_yaml(str(file))
    compose = ('docker-compose', '--no-ansi', '-p', 'test', '-f', file)
    docker.run(*compose, 'config', '-q')
    docker.run(*compose, 'up', '-d', timeout=300)
    try:
        _wait_healthy(docker, 6)
        client = Client(host='127.0.0.1', port=port, protocol='http')
        seen: set[str] = set()
        for _ in range(20):
            (doc,) = client.post('/visit', Visit(), return_type=DocList[Visit])
            seen.update(doc.encoders or ())
            assert len(doc.shards or ()) == 1  # the same document from both shards, merged
        assert len(seen) == 2, 'one replica got nothing'
        docker.run('docker', 'kill', 'test_encoder-rep-0_1')
        answers = [client.post('/visit', Visit(), return_type=DocList[Visit])[0].encoders for _ in range(20)]
        survivors = {encoder for encoders in answers for encoder in encoders or ()}
        assert len(survivors) == 1
        assert survivors < seen
    except BaseException:
        print(docker.run(*compose, 'logs', '--tail=30', check=False))
        raise
    finally:
        printed = docker.run(*compose, 'down', '-t', '10', timeout=300)
    assert 'error' not in printed.lower(), printed
    assert not docker.run('docker', 'ps', '-q').strip()


def _wait_healthy(docker: Engine, count: int) -> None:
    deadline = time.monotonic() + 300
    while docker.run('docker', 'ps').count('(healthy)') < count:
        restarts = docker.run(
            'docker', 'inspect', '--format', '{{.RestartCount}}', *docker.run('docker', 'ps', '-q').split()
        )
        assert max(map(int, restarts.split())) < 3, 'a container ends again and again'
        assert time.monotonic() < deadline, docker.run('docker', 'ps', '-a')
        time.sleep(0.5)
