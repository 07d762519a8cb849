"""Flows in containers of a real engine: exported to Docker Compose, and started by themselves; called, hurt and taken down."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina import Client, Deployment, Flow
from jina.core.errors import PortInUseError, StartupError

from tests.support.containers import Engine
from tests.support.processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


class Visit(BaseDoc):
    text: str = ''
    encoders: list[str] | None = None
    shards: list[str] | None = None


def test_images_run_without_root(docker: Engine) -> None:
    code = 'import os, jina; print(os.getuid(), jina.__version__)'
    assert docker.run('docker', 'run', '--rm', '--entrypoint', 'python', 'encoder', '-c', code).split()[0] == '1000'
    sizes = docker.run('docker', 'image', 'inspect', '--format', '{{.Size}}', 'encoder')
    assert int(sizes) < 300_000_000


def test_a_flow_comes_up_answers_survives_a_lost_replica_and_goes_down(
    docker: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which('docker-compose') is None:
        pytest.skip('needs docker-compose')
    monkeypatch.setenv('JINA_GATEWAY_IMAGE', 'encoder')
    port, metrics_port = free_port(), free_port()
    flow = (
        Flow(port=port, protocol='http', monitoring=True, port_monitoring=metrics_port)
        .add(name='encoder', uses='docker://encoder', replicas=2)
        .add(name='indexer', uses='docker://indexer', shards=2, polling='ALL')
        .add(name='passing')  # what has no code of its own runs in the image of gateways
    )
    file = tmp_path / 'docker-compose.yml'
    flow.to_docker_compose_yaml(str(file))
    compose = ('docker-compose', '--no-ansi', '-p', 'test', '-f', file)
    docker.run(*compose, 'config', '-q')
    docker.run(*compose, 'up', '-d', timeout=300)
    try:
        _wait_healthy(docker, 7)
        client = Client(host='127.0.0.1', port=port, protocol='http')
        seen: set[str] = set()
        for _ in range(20):
            (doc,) = client.post('/visit', Visit(), return_type=DocList[Visit])
            seen.update(doc.encoders or ())
            assert len(doc.shards or ()) == 1  # the same document from both shards, merged
        assert len(seen) == 2, 'one replica got nothing'
        metrics = urllib.request.urlopen(f'http://127.0.0.1:{metrics_port}/metrics', timeout=30).read().decode()
        assert 'jina_successful_requests_total{runtime_name="gateway/rep-0"} 20.0' in metrics
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


def test_replicas_with_state_keep_it(docker: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which('docker-compose') is None:
        pytest.skip('needs docker-compose')
    monkeypatch.setenv('JINA_GATEWAY_IMAGE', 'encoder')
    kept = tmp_path / 'kept'
    kept.mkdir()
    kept.chmod(0o777)  # the user of the images writes there
    flow = Flow(port=free_port()).add(
        name='notebook', uses='docker://notebook', stateful=True, replicas=3, workspace=str(kept)
    )
    file = tmp_path / 'docker-compose.yml'
    flow.to_docker_compose_yaml(str(file))
    compose = ('docker-compose', '--no-ansi', '-p', 'state', '-f', file)
    client = Client(host='127.0.0.1', port=flow.port)
    try:
        docker.run(*compose, 'up', '-d', timeout=300)
        _wait_healthy(docker, 4)
        client.post('/note', Visit(text='one'))
        docker.run('docker', 'kill', 'state_notebook-rep-0_1')
        client.post('/note', Visit(text='two'))
        docker.run(*compose, 'down', '-t', '10', timeout=300)
        docker.run(*compose, 'up', '-d', timeout=300)
        _wait_healthy(docker, 4)
        answers = [client.post('/read', Visit(), return_type=DocList[Visit])[0] for _ in range(30)]
        assert {answer.text for answer in answers} == {'one two'}
        assert len({name for answer in answers for name in answer.encoders or ()}) == 3
    except BaseException:
        print(docker.run(*compose, 'logs', '--tail=30', check=False))
        raise
    finally:
        docker.run(*compose, 'down', '-t', '10', timeout=300)


def _wait_healthy(docker: Engine, count: int) -> None:
    deadline = time.monotonic() + 300
    while docker.run('docker', 'ps').count('(healthy)') < count:
        restarts = docker.run(
            'docker', 'inspect', '--format', '{{.RestartCount}}', *docker.run('docker', 'ps', '-q').split()
        )
        assert max(map(int, restarts.split())) < 3, 'a container ends again and again'
        assert time.monotonic() < deadline, docker.run('docker', 'ps', '-a')
        time.sleep(0.5)


def test_a_local_flow_runs_its_images(local: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'word').write_text('world')
    flow = (
        Flow()
        .add(
            name='visitor',
            uses='docker://visitor',
            replicas=2,
            volumes=[f'{tmp_path}/data:/data:ro'],
            workspace=str(tmp_path / 'workspace'),
            env={'GREETING': 'hello'},
            docker_kwargs={'hostname': 'visitor', 'mem_limit': '512m'},
        )
        .add(name='indexer', uses='docker://indexer', shards=2, polling='ALL', uses_before='docker://indexer')
    )
    with flow:
        assert len(local.run('docker', 'ps', '--quiet').split()) == 5
        (doc,) = flow.post('/look', Visit(text='this'), return_type=DocList[Visit])
        assert doc.text == 'hello world'
        (doc,) = flow.post('/visit', Visit(), return_type=DocList[Visit])
        assert doc.encoders == ['visitor']
        assert len(doc.shards or ()) == 1
    (seen,) = tmp_path.rglob('seen')
    assert seen.read_text() == 'this'
    assert 'looking at this' in capfd.readouterr().out
    assert not local.run('docker', 'ps', '--all', '--quiet').strip()


def visited(deployment: Deployment) -> set[str]:
    """The containers that answer."""
    answers = [deployment.post('/', Visit(), return_type=DocList[Visit])[0] for _ in range(20)]
    return {encoder for answer in answers for encoder in answer.encoders or ()}


def test_a_local_deployment_scales_and_replaces_lost_containers(local: Engine) -> None:
    with Deployment(uses='docker://visitor', protocol='http', restart='on-failure', timeout_ready=60000) as deployment:
        (first,) = local.run('docker', 'ps', '--quiet').split()
        deployment.scale(replicas=2)
        answers = visited(deployment)
        assert len(answers) == 2
        assert first in answers
        local.run('docker', 'kill', first)
        (pod,) = [pod for pod in deployment.pods if pod.name == 'executor/rep-1']
        os.kill(pod.pid or 0, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while min(deployment.restarts[f'executor/rep-{number}'] for number in (0, 1)) < 1 or not deployment.is_ready:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        after = visited(deployment)
        assert len(after) == 2
        assert not after & answers
        assert len(local.run('docker', 'ps', '--all', '--quiet').split()) == 2
        deployment.restart()
        fresh = visited(deployment)
        assert len(fresh) == 2
        assert not fresh & after
        assert len(local.run('docker', 'ps', '--all', '--quiet').split()) == 2


def test_containers_go_when_the_program_is_killed(local: Engine, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / 'flow.yml').write_text(
        f'jtype: Flow\ngateway: {{uses: docker://door, port: {port}}}\n'
        'executors: [{uses: docker://indexer, replicas: 2}]\n'
    )
    command = [str(Path(sys.executable).with_name('jina')), 'flow', '--uses', str(tmp_path / 'flow.yml')]
    process = subprocess.Popen(command, env=local.variables, start_new_session=True)
    try:
        client = Client(host='127.0.0.1', port=port)
        deadline = time.monotonic() + 60
        while not client.is_flow_ready(timeout=1):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert len(local.run('docker', 'ps', '--quiet').split()) == 3
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 30
    while local.run('docker', 'ps', '--all', '--quiet').strip():
        assert time.monotonic() < deadline, 'containers outlive the program'
        time.sleep(0.2)


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (
            {'uses': 'docker://localhost:1/missing'},
            StartupError,
            r'there is no image localhost:1/missing:latest here, and',
        ),
        (
            {'uses': 'docker://broken'},
            StartupError,
            r'(?s)ended with exit status 1 before it was ready.*model is missing',
        ),
        ({'entrypoint': '/nothing'}, StartupError, r'can not be started: .*/nothing.*; check volumes, entrypoint'),
        ({'gpus': 'all'}, StartupError, r'can not be started: .*gpu.*install the NVIDIA container toolkit'),
        ({'docker_kwargs': {'network': 'nowhere'}}, StartupError, r'nowhere'),
        ({'docker_kwargs': {'mem_limit': 'much'}}, StartupError, r'can not be made: .*much'),
        (
            {'docker_kwargs': {'mem_limit': '16m', 'memswap_limit': '16m'}},
            StartupError,
            r'was killed because it used more memory than its mem_limit of 16m before it was ready',
        ),
    ],
)
def test_a_container_that_does_not_start(
    local: Engine, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message), Deployment(**{'uses': 'docker://visitor', **options}):
        pass


def test_a_taken_port_and_an_engine_that_is_away(local: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(PortInUseError, match=f'port {port} is taken'),
            Flow().add(uses='docker://visitor', port=port, host='127.0.0.1'),
        ):
            pass
    monkeypatch.setenv('DOCKER_HOST', 'unix:///nowhere.sock')
    with (
        pytest.raises(StartupError, match=r'the container engine does not answer: .*; start it'),
        Deployment(uses='docker://visitor'),
    ):
        pass


def test_a_container_that_takes_too_much_memory(local: Engine) -> None:
    limits = {'mem_limit': '256m', 'memswap_limit': '256m'}
    with Deployment(uses='docker://visitor', docker_kwargs=limits, timeout_send=60000) as deployment:
        (pod,) = [pod for pod in deployment.pods if pod.name == 'executor/rep-0']
        with pytest.raises(ConnectionError):
            deployment.post('/eat', Visit(), return_type=DocList[Visit])
        assert pod.wait(60)
        assert pod.exit_status == 137
        assert 'used more memory than its mem_limit of 256m' in pod.last_lines[-1]
