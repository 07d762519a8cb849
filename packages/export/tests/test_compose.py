"""The Docker Compose file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jina.core.errors import ConfigError, ContainerError
from jina.core.version import __version__
from jina.export import compose_document, export_docker_compose

from .subjects import chain, deployment


def documented() -> object:
    """The example of the documentation."""
    return chain(
        deployment(name='encoder', uses='docker://encoder:1', replicas=2),
        deployment(name='indexer', uses='docker://indexer', shards=2),
        port=8080,
        protocol='http',
    )


def test_services_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_GATEWAY_IMAGE', 'registry:5000/own-gateway')
    file = export_docker_compose(documented(), tmp_path / 'docker-compose.yml', network_name='net')
    written = yaml.safe_load(file.read_text())
    assert written['version'] == '3.3'
    services = written['services']
    assert list(services) == ['encoder-rep-0', 'encoder-rep-1', 'indexer-head', 'indexer-0', 'indexer-1', 'gateway']
    assert {name for name, service in services.items() if 'ports' in service} == {'gateway'}
    assert services['gateway']['ports'] == ['8080:8080']
    images = {name: service['image'] for name, service in services.items()}
    assert images['gateway'] == images['indexer-head'] == 'registry:5000/own-gateway'
    assert images['encoder-rep-1'] == 'encoder:1'
    assert images['indexer-0'] == 'indexer:latest'
    checks = {name: service['healthcheck']['test'] for name, service in services.items()}
    assert checks['gateway'] == ['CMD', 'jina', 'ping', 'gateway', 'http://127.0.0.1:8080']
    assert checks['indexer-head'] == ['CMD', 'jina', 'ping', 'executor', 'grpc://127.0.0.1:8080']
    gateway = services['gateway']['command']
    addresses = gateway[gateway.index('--deployments-addresses') + 1]
    assert addresses == ('{"encoder": ["encoder-rep-0:8080", "encoder-rep-1:8080"], "indexer": ["indexer-head:8080"]}')
    head = services['indexer-head']['command']
    assert head[head.index('--connection-list') + 1] == '{"0": ["indexer-0:8080"], "1": ["indexer-1:8080"]}'
    assert all(list(service['networks']) == ['net'] for service in services.values())
    assert 'id0' not in file.read_text()  # no anchors


def test_replicas_have_numbers_of_their_own() -> None:
    command = compose_document(documented())['services']['encoder-rep-1']['command']
    assert command[command.index('--replica-id') + 1] == '1'
    shard = compose_document(documented())['services']['indexer-1']['command']
    assert shard[shard.index('--shard-id') + 1] == '1'
    assert shard[shard.index('--uses') + 1] == 'config.yml'
    assert shard[-1] == '--native'


def test_the_default_image_of_gateways_has_our_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('JINA_GATEWAY_IMAGE', raising=False)
    assert compose_document(documented())['services']['gateway']['image'] == f'jina-gateway:{__version__}'


def test_settings_of_containers() -> None:
    flow = chain(
        deployment(
            name='encoder',
            uses='docker://encoder',
            env={'PLAIN': 'a', 'DOLLAR': '$HOME'},
            volumes=['/models', '/data:/app/data'],
            workspace='/srv/work',
            gpus='device=0,2',
            entrypoint='/start.sh',
            uses_with={'size': 3},
            monitoring=True,
        )
    )
    service = compose_document(flow)['services']['encoder']
    assert service['environment'] == {
        'PLAIN': 'a',
        'DOLLAR': '$$HOME',
        'JINA_DEFAULT_WORKSPACE_BASE': '/app/workspace',
    }
    assert service['volumes'] == ['/models:/models', '/data:/app/data', '/srv/work:/app/workspace']
    assert service['entrypoint'] == ['/start.sh']
    assert service['deploy']['resources']['reservations']['devices'][0]['device_ids'] == ['0', '2']
    assert service['expose'] == ['8080', '9090']
    assert '--uses-with' in service['command']
    assert '--env' not in service['command']
    assert '--workspace' not in service['command']


def test_a_deployment_alone() -> None:
    services = compose_document(deployment(name='encoder', uses='docker://encoder', port=[9000]))['services']
    assert list(services) == ['encoder']
    assert services['encoder']['ports'] == ['9000:9000']
    several = compose_document(deployment(name='encoder', uses='docker://encoder', port=[9000], replicas=2))['services']
    assert list(several) == ['encoder-rep-0', 'encoder-rep-1', 'encoder-gateway']
    assert several['encoder-gateway']['ports'] == ['9000:9000']
    assert 'ports' not in several['encoder-rep-0']


def test_external_executors_are_only_called() -> None:
    flow = chain(
        deployment(name='encoder', uses='docker://encoder'),
        deployment(name='other', external=True, host=['10.0.0.1:5', '10.0.0.2:6'], tls=True),
        deployment(name='third', external=True, host=['grpcs://10.0.0.1:7', 'dns://third:8']),
    )
    document = compose_document(flow)
    assert list(document['services']) == ['encoder', 'gateway']
    command = document['services']['gateway']['command']
    addresses = command[command.index('--deployments-addresses') + 1]
    assert '"other": ["grpcs://10.0.0.1:5", "grpcs://10.0.0.2:6"]' in addresses
    assert '"third": ["grpcs://10.0.0.1:7", "dns://third:8"]' in addresses


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        ({'uses': 'MyExec'}, ContainerError, r"the Executor 'one' is 'MyExec', which is no container image; build"),
        (
            {'uses': 'jinaai+docker://me/Exec'},
            ConfigError,
            "'jinaai.docker://me/Exec', and the image of an Executor of the hub",
        ),
        ({'uses': 'docker://a', 'docker_kwargs': {'init': True}}, ConfigError, 'docker_kwargs'),
    ],
)
def test_what_can_not_be_exported(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        compose_document(chain(deployment(name='one', **options)))


def test_services_have_time_for_their_requests_in_flight() -> None:
    def period(**options: Any) -> str:
        document = compose_document(deployment(name='encoder', uses='docker://encoder', **options))
        return str(document['services']['encoder']['stop_grace_period'])

    assert period() == '10s'
    assert period(timeout_graceful_shutdown=60_500) == '67s'
