"""Gateways of Flows in containers of a real engine, and the networks in which containers are reached."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from docarray import BaseDoc, DocList
from jina import Client, Executor, Flow, requests
from jina.core.errors import AccessError, ConfigError, NotSupportedError, PortInUseError, StartupError

from tests.support.containers import Engine
from tests.support.processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Visit(BaseDoc):
    text: str = ''
    encoders: list[str] | None = None
    shards: list[str] | None = None


class VisitShouter(Executor):
    """Runs as a process beside the containers."""

    @requests
    def shout(self, docs: DocList[Visit], **kwargs: Any) -> DocList[Visit]:
        for doc in docs:
            doc.text = doc.text.upper()
        return docs


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / 'data'
    folder.mkdir()
    (folder / 'word').write_text('and')
    return folder


def reception(data: Path, **options: Any) -> Flow:
    """A Flow with a gateway class in a container, in front of processes and containers."""
    gateway = {
        'protocol': 'http',
        'uses_with': {'greeting': 'hi'},
        'env': {'WHO': 'you'},
        'volumes': f'{data}:/data:ro',
    }
    return (
        Flow()
        .config_gateway(uses='docker://reception', **{**gateway, **options})
        .add(uses=VisitShouter, name='shouter')
        .add(uses='docker://visitor', name='visitor', docker_kwargs={'hostname': 'visitor'})
        .add(uses='docker://indexer', name='indexer', shards=2, polling='ALL')
    )


def receive(port: int) -> dict[str, Any]:
    answer: dict[str, Any] = json.load(urllib.request.urlopen(f'http://127.0.0.1:{port}/receive?text=me', timeout=20))
    return answer


def test_a_gateway_class_in_a_container(local: Engine, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = {'docker_kwargs': {'hostname': 'front'}, 'restart': 'on-failure'}
    with reception(data, **settings) as flow:
        assert len(local.run('docker', 'ps', '--quiet').split()) == 4
        answer = receive(flow.port)
        assert answer['said'] == 'hi you and ME'
        assert (answer['by'], answer['encoders'], len(answer['shards'])) == ('front', ['visitor'], 1)
        assert 'receiving me' in capfd.readouterr().out
        with pytest.raises(NotSupportedError, match='a container, which can not be told of other replicas; start'):
            flow.scale('visitor', 2)
        with pytest.raises(NotSupportedError, match='a container, which can not be told of other replicas; start'):
            flow['shouter'].restart()
        with pytest.raises(
            NotSupportedError, match=r'a container, whose port can not be shared .*; start the Flow again'
        ):
            flow.restart()
        (gateway,) = [pod for pod in flow._gateways if pod.is_ready]
        local.run(
            'docker', 'kill', local.run('docker', 'ps', '--quiet', '--filter', 'label=jina.pod=gateway/rep-0').strip()
        )
        deadline = time.monotonic() + 60
        while gateway.restarts < 1 or not gateway.is_ready:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert receive(flow.port)['said'] == 'hi you and ME'
    assert not local.run('docker', 'ps', '--all', '--quiet').strip()


@pytest.fixture
def network(local: Engine) -> Iterator[str]:
    """A network of the user's."""
    local.run('docker', 'network', 'create', 'own')
    yield 'own'
    local.run('docker', 'network', 'rm', 'own')


def visits(host: str, flow: Flow, **options: Any) -> list[str]:
    """What each protocol of a Flow answers."""
    clients = [
        Client(host=host, port=port, protocol=protocol, **options)
        for protocol, port in zip(flow.protocol, flow.port, strict=True)
    ]
    return [client.post('/', Visit(text='me'), return_type=DocList[Visit])[0].text for client in clients]


@pytest.mark.parametrize('setting', ['bridge', 'host', 'own'])
def test_all_protocols_in_each_network(
    local: Engine, network: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('JINA_API_KEY', 'word')
    options: dict[str, Any] = {'docker_kwargs': {'network': network}}
    if setting != 'own':
        options = {'force_network_mode': setting.upper()}
    wanted = [free_port(), 0, 0]
    flow = (
        Flow(protocol=['grpc', 'http', 'websocket'], port=wanted)
        .config_gateway(uses='docker://door', **options)
        .add(uses=VisitShouter)
        .add(uses='docker://visitor', **options)
    )
    with flow:
        assert flow.port[0] == wanted[0]
        assert len(set(flow.port)) == 3
        networks = '{{range $name, $network := .NetworkSettings.Networks}}{{$name}} {{end}}'
        described = [
            local.run('docker', 'inspect', '--format', networks, name)
            for name in local.run('docker', 'ps', '-q').split()
        ]
        assert {text.split()[0] for text in described} == {setting}
        assert visits('127.0.0.1', flow, api_key='word') == ['ME'] * 3
        with pytest.raises(AccessError):
            visits('127.0.0.1', flow)


def test_an_encrypted_gateway_in_a_container(local: Engine, tmp_path: Path) -> None:
    issuer = trustme.CA()
    pair = issuer.issue_cert('localhost')
    issuer.cert_pem.write_to_path(tmp_path / 'ca.pem')
    pair.cert_chain_pems[0].write_to_path(tmp_path / 'crt.pem')
    pair.private_key_pem.write_to_path(tmp_path / 'key.pem')
    for file in tmp_path.iterdir():
        file.chmod(0o644)
    files = {'ssl_certfile': str(tmp_path / 'crt.pem'), 'ssl_keyfile': str(tmp_path / 'key.pem')}
    flow = Flow(protocol=['grpc', 'http'], **files).config_gateway(uses='docker://door').add(uses=VisitShouter)
    with flow:
        assert all(address.tls for address in flow.public_addresses)
        assert visits('localhost', flow, tls=True, ssl_cafile=str(tmp_path / 'ca.pem')) == ['ME'] * 2


def test_yaml_names_the_image(local: Engine, tmp_path: Path, data: Path) -> None:
    port = free_port()
    (tmp_path / 'flow.yml').write_text(
        'jtype: Flow\n'
        f'gateway: {{uses: docker://reception, protocol: http, port: {port}, with: {{greeting: good day}}, '
        f'env: {{WHO: all}}, volumes: [{data}:/data], entrypoint: jina}}\n'
        'executors: [{uses: docker://visitor}]\n'
    )
    with Flow.load_config(str(tmp_path / 'flow.yml')):
        assert receive(port)['said'] == 'good day all and me'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'uses': 'docker://localhost:1/missing'},
            r'gateway of Flow failed.* no image localhost:1/missing:latest here, and',
        ),
        (
            {'uses_with': {'greting': 'hi'}},
            r"(?s)reception:latest ended with exit status 1 before it was ready.*takes no argument 'greting'",
        ),
        ({'protocol': 'grpc'}, r'(?s)ended with exit status 1 before it was ready.*Reception speaks http'),
        (
            {'docker_kwargs': {'network': 'inner'}},
            r'the network inner publishes no ports of reception:latest; give one',
        ),
    ],
)
def test_a_gateway_that_does_not_start(local: Engine, data: Path, options: dict[str, Any], message: str) -> None:
    inner = options.get('docker_kwargs', {}).get('network')
    if inner:
        local.run('docker', 'network', 'create', '--internal', inner)
    gateway = {'uses': 'docker://reception', 'protocol': 'http', 'env': {'WHO': 'you'}, **options}
    try:
        with pytest.raises(StartupError, match=message), Flow().config_gateway(**gateway).add(uses=VisitShouter):
            pass
    finally:
        if inner:
            local.run('docker', 'network', 'rm', inner)


def test_a_taken_port_and_an_engine_that_is_away(local: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with Flow().add(uses=VisitShouter) as other:
        for mode in ('BRIDGE', 'HOST'):
            flow = Flow(port=other.port).config_gateway(uses='docker://door', force_network_mode=mode)
            with pytest.raises(PortInUseError, match=f'port {other.port} is taken'), flow.add(uses=VisitShouter):
                pass
    monkeypatch.setenv('DOCKER_HOST', 'unix:///nowhere.sock')
    with (
        pytest.raises(
            StartupError, match=r'gateway of Flow failed .*the container engine does not answer: .*; start it'
        ),
        Flow().config_gateway(uses='docker://door').add(uses=VisitShouter),
    ):
        pass


def test_executors_that_the_container_could_not_reach(local: Engine) -> None:
    door = Flow().config_gateway(uses='docker://door')
    with (
        pytest.raises(ConfigError, match=r'listens on 127\.0\.0\.1, which the container of the gateway can not reach'),
        door.add(uses=VisitShouter, host='127.0.0.1'),
    ):
        pass
    with (
        pytest.raises(ConfigError, match='a container in the network bridge, and executor0 in own; give both the same'),
        door.add(uses='docker://visitor', docker_kwargs={'network': 'own'}),
    ):
        pass
    nearby = door.config_gateway(force_network_mode='HOST').add(uses=VisitShouter, host='127.0.0.1')
    with nearby.add(uses='docker://visitor', docker_kwargs={'network': 'bridge'}) as flow:
        assert flow.post('/', Visit(text='me'), return_type=DocList[Visit])[0].text == 'ME'
