from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.errors import (
    ConfigError,
    ContainerError,
    LifecycleError,
    NotStartedError,
    NotSupportedError,
    PortInUseError,
    StartupError,
)
from jina.export import KubernetesSettings
from jina.orchestrate import Deployment, Flow, export

from .executors import Append, Broken, NeverWarm, SlowToClose, WarmUp

TEXTS = DocList[TextDoc]


def texts(source: Any, on: str = '/', text: str = '', count: int = 1, **options: Any) -> list[str | None]:
    docs = TEXTS([TextDoc(text=text) for _ in range(count)])
    return list(source.post(on, docs, return_type=TEXTS, **options).text)


def test_one_replica_serves_itself() -> None:
    with Deployment(name='enc', uses=Append, uses_with={'text': '!'}) as deployment:
        assert texts(deployment, text='hi') == ['hi!']
        (pid, _, name) = str(texts(deployment, '/pid')[0]).split(' ')
        assert deployment.num_pods == 1
        assert [str(pod.pid) for pod in deployment.pods] == [pid]
        assert name == 'enc/rep-0'
        assert deployment.is_deployment_ready()
        assert deployment.port == deployment.ports[0] > 0
        assert deployment.protocol == 'GRPC'
        assert deployment.is_ready
    assert not deployment.is_deployment_ready()
    assert deployment.num_pods == 0


def test_replicas_share_the_work() -> None:
    with Deployment(uses=Append, replicas=3) as deployment:
        assert deployment.num_pods == 4
        assert deployment.port not in deployment.ports
        told = {text for _ in range(6) for text in texts(deployment, '/pid')}
        assert {str(text).split()[0] for text in told} == {str(pod.pid) for pod in deployment.pods[1:]}
        assert {str(text).split()[-1] for text in told} == {f'executor/rep-{number}' for number in range(3)}


def test_start_and_close_by_hand() -> None:
    deployment = Deployment()
    deployment.close()
    assert deployment.start() is deployment
    with pytest.raises(LifecycleError, match="Deployment 'executor' is started already; close it first"):
        deployment.start()
    deployment.close()
    deployment.close()
    with deployment:
        assert deployment.is_ready


def test_fixed_port_and_the_same_port_again() -> None:
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        port = sock.getsockname()[1]
    for _ in range(2):
        with Deployment(uses=Append, port=port) as deployment:
            assert deployment.port == port
            assert texts(deployment) == ['x']


def test_taken_port_is_named() -> None:
    with Deployment() as first:
        port = first.port
        for replicas in (1, 2):
            with pytest.raises(PortInUseError) as caught:
                Deployment(name='second', port=port, replicas=replicas).start()
            assert f"port {port} is taken by another process (Deployment 'second'" in str(caught.value)


def test_failing_init() -> None:
    deployment = Deployment(name='enc', uses=Broken, replicas=2)
    with pytest.raises(StartupError, match="Deployment 'enc' failed to start: ValueError: no model here") as caught:
        deployment.start()
    assert "raise ValueError('no model here')" in str(caught.value)
    assert deployment.num_pods == 0


def test_environment_of_the_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('FLAVOUR', 'mint')
    with Deployment(uses=Append) as deployment:
        assert ' mint ' in str(texts(deployment, '/pid')[0])
    with Deployment(uses=Append, env={'FLAVOUR': 'anise'}) as deployment:
        assert ' anise ' in str(texts(deployment, '/pid')[0])
    assert os.environ['FLAVOUR'] == 'mint'


def test_death_of_a_pod_is_noticed() -> None:
    with Deployment(uses=Append) as deployment:
        (pod,) = deployment.pods
        with pytest.raises(ConnectionError):
            deployment.post('/die')
        assert pod.wait(10)
        assert pod.exit_status == 7
        assert 'about to die' in pod.last_lines
        assert not deployment.is_deployment_ready()
        assert not deployment.is_ready


def test_close_waits_for_the_executor(tmp_path: Path) -> None:
    with Deployment(uses=SlowToClose, uses_with={'text': str(tmp_path)}):
        pass
    assert (tmp_path / 'closed').exists()


def test_close_lets_requests_in_flight_finish() -> None:
    with Deployment(uses=Append) as deployment:
        results: list[Any] = []
        client = deployment.client
        thread = threading.Thread(
            target=lambda: results.append(client.post('/slow', TextDoc(text='a'), return_type=TEXTS).text)
        )
        thread.start()
        time.sleep(0.2)
        deployment._drop_client = lambda: None  # type: ignore[method-assign]
    thread.join()
    assert results == [['a']]


def test_external_is_neither_started_nor_stopped() -> None:
    with Deployment(uses=Append) as real:
        with Deployment(external=True, host=f'127.0.0.1:{real.port}') as outside:
            assert outside.num_pods == 0
            assert texts(outside) == ['x']
            assert outside.is_deployment_ready()
        with Deployment(external=True, port=real.port) as outside:
            assert texts(outside) == ['x']
        assert texts(real) == ['x']


def test_external_with_several_hosts() -> None:
    with Deployment(uses=Append) as first, Deployment(uses=Append) as second:
        hosts = [f'localhost:{first.port}', f'127.0.0.1:{second.port}']
        with Deployment(external=True, host=hosts) as outside:
            assert outside.hosts == ['localhost', '127.0.0.1']
            assert outside.ports == [first.port, second.port]
            pids = {str(texts(outside, '/pid')[0]).split()[0] for _ in range(6)}
        assert pids == {str(first.pods[0].pid), str(second.pods[0].pid)}


@pytest.mark.parametrize('make', [threading.Event, multiprocessing.Event])
def test_block_until_an_event_in_a_thread(make: Callable[[], Any]) -> None:
    stop, started = make(), threading.Event()

    def serve() -> None:
        with Deployment(uses=Append) as deployment:
            started.set()
            deployment.block(stop_event=stop)

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(20)
    assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_block_until_closed_elsewhere() -> None:
    with Deployment() as deployment:
        threading.Timer(0.1, deployment.close).start()
        deployment.block()
    with pytest.raises(NotStartedError, match=r"Deployment 'executor' is not started; call block\(\) inside"):
        deployment.block()


def test_noblock_on_start() -> None:
    deployment = Deployment(uses=Append, noblock_on_start=True).start()
    deployment.wait_start_success()
    assert texts(deployment) == ['x']
    deployment.close()
    broken = Deployment(uses=Broken, noblock_on_start=True).start()
    with pytest.raises(StartupError, match='no model here'):
        broken.wait_start_success()
    with pytest.raises(ValueError, match='noblock_on_start'):
        Deployment().wait_start_success()


def test_close_ends_a_start_in_progress() -> None:
    deployment = Deployment(
        uses='Sleeper', py_modules=[str(Path(__file__).parent / 'sleeper.py')], noblock_on_start=True
    )
    deployment.start()
    while not deployment.pods or deployment.pods[0].pid is None:
        time.sleep(0.01)
    begin = time.monotonic()
    deployment.close()
    assert time.monotonic() - begin < 20
    assert deployment.num_pods == 0


async def test_async_with() -> None:
    async with Deployment(uses=Append) as deployment:
        result = await asyncio.to_thread(texts, deployment)
        assert result == ['x']


def test_not_started() -> None:
    with pytest.raises(NotStartedError, match='Deployment is not started'):
        Deployment().post('/')


def test_unknown_option() -> None:
    with pytest.raises(ConfigError, match=r"Deployment.replicsa: no such option; did you mean 'replicas'\?"):
        Deployment(replicsa=3)


@pytest.mark.parametrize(
    'document',
    [
        'jtype: Deployment\nname: enc\nuses: Append\npy_modules: {file}\nuses_with: {{text: z}}\n',
        'jtype: Deployment\nversion: "1"\nwith:\n  name: enc\n  uses: Append\n  py_modules: [{file}]\n  uses_with:\n    text: z\n',
        'jtype: Deployment\nname: enc\nuses:\n  jtype: Append\n  py_modules: [{file}]\n  with: {{text: z}}\n',
    ],
)
def test_load_config(document: str, tmp_path: Path) -> None:
    file = tmp_path / 'exec.py'
    file.write_text(Path(__file__).with_name('executors.py').read_text())
    (tmp_path / 'deployment.yml').write_text(document.format(file='exec.py'))
    with Deployment.load_config(str(tmp_path / 'deployment.yml')) as deployment:
        assert deployment.name == 'enc'
        assert texts(deployment) == ['z']
    changed = Deployment.load_config(str(tmp_path / 'deployment.yml'), uses_with={'text': 'y'}, replicas=2)
    assert changed.options.replicas == 2
    assert changed.options.uses_with is not None
    assert changed.options.uses_with['text'] == 'y'


def test_save_and_load(tmp_path: Path) -> None:
    deployment = Deployment(name='enc', uses=Append, port=[1234, 1235], protocol=['grpc', 'http'], replicas=2)
    deployment.save_config(tmp_path / 'd.yml')
    loaded = Deployment.load_config(str(tmp_path / 'd.yml'))
    assert loaded.options.port == [1234, 1235]
    assert [str(protocol) for protocol in loaded.options.protocol] == ['GRPC', 'HTTP']
    assert str(loaded.options.uses).endswith('executors.Append')
    Deployment().save_config(tmp_path / 'plain.yml')
    assert Deployment.load_config(str(tmp_path / 'plain.yml')) == Deployment.load_config(str(tmp_path / 'plain.yml'))


def test_wrong_documents(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such option; did you mean 'replicas'"):
        Deployment.load_config({'jtype': 'Deployment', 'replicsa': 2})
    with pytest.raises(ConfigError, match="'name' stands at the top level and in with"):
        Deployment.load_config({'jtype': 'Deployment', 'name': 'a', 'with': {'name': 'b'}})


def test_exporters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = Deployment(uses='docker://registry/encoder:1')
    deployment.to_kubernetes_yaml(str(tmp_path))
    assert 'image: registry/encoder:1' in (tmp_path / 'executor.yml').read_text()
    deployment.to_kubernetes_yaml(tmp_path / 'base', kustomize=True)
    assert '- executor.yml' in (tmp_path / 'base' / 'kustomization.yaml').read_text()
    deployment.to_docker_compose_yaml(str(tmp_path / 'c.yml'))
    assert 'image: registry/encoder:1' in (tmp_path / 'c.yml').read_text()
    settings = KubernetesSettings(nonroot=True, scrape='none')
    Flow(monitoring=True, port=12345).add().to_kubernetes_yaml(tmp_path / 'flow', settings=settings)
    files = sorted(str(file.relative_to(tmp_path / 'flow')) for file in (tmp_path / 'flow').rglob('*.yml'))
    assert files == ['executor0/executor0.yml', 'gateway/gateway.yml']
    text = (tmp_path / 'flow' / 'gateway' / 'gateway.yml').read_text()
    assert 'runAsNonRoot: true' in text
    assert 'ServiceMonitor' not in text
    assert '12345' not in text  # Services lead to 8080
    with pytest.raises(ContainerError, match="'Append', which is no container image"):
        Deployment(uses=Append).to_kubernetes_yaml(str(tmp_path))
    monkeypatch.setattr(export, '_GROUP', 'jina.nothing')
    with pytest.raises(NotSupportedError, match="there is no exporter 'kubernetes'; run: pip install jina-export"):
        Deployment().to_k8s_yaml(str(tmp_path))


def test_an_export_says_how_to_use_what_it_wrote(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    deployment = Deployment(uses='docker://registry/encoder:1', port_expose=8080, replicas=3, log_config='plain')
    deployment.to_kubernetes_yaml(tmp_path / 'k8s', k8s_namespace='my-namespace')
    deployment.to_docker_compose_yaml(tmp_path / 'c.yml')
    said = ''.join(capfd.readouterr())
    assert f'K8s yaml files have been created under {tmp_path}/k8s.' in said
    assert f'kubectl apply -R -f {tmp_path}/k8s\n' in said
    assert f'docker-compose -f {tmp_path}/c.yml up\n' in said


def test_nothing_is_left_behind() -> None:
    def cycle() -> None:
        with Deployment(uses=Append, replicas=2) as deployment:
            texts(deployment)

    cycle()
    cycle()
    threads, files = threading.active_count(), len(os.listdir('/proc/self/fd'))
    for _ in range(4):
        cycle()
    assert threading.active_count() <= threads
    assert len(os.listdir('/proc/self/fd')) <= files + 4  # gRPC keeps some of its own for a while


def test_the_start_waits_for_the_warm_up() -> None:
    with Deployment(uses=WarmUp, replicas=2) as deployment:
        assert texts(deployment, text='is', count=4, request_size=1) == ['isx warm'] * 4


def test_a_failed_warm_up_fails_the_start() -> None:
    with pytest.raises(StartupError, match=r'(?s)ValueError: no weights here.*Traceback.*in warm_up'):
        Deployment(name='cold', uses=NeverWarm).start()


def test_a_warm_up_counts_for_timeout_ready() -> None:
    with pytest.raises(StartupError, match='timeout_ready'):
        Deployment(name='cold', uses=NeverWarm, uses_with={'hang': True}, timeout_ready=1500).start()


def test_handlers_of_the_root_logger_are_removed_if_that_is_asked_for() -> None:
    root = logging.getLogger()
    before = list(root.handlers)
    root.addHandler(logging.NullHandler())
    try:
        Deployment()
        assert len(root.handlers) == len(before) + 1
        Deployment.load_config({'jtype': 'Deployment', 'with': {'suppress_root_logging': True}})
        assert root.handlers == []
    finally:
        root.handlers[:] = before
