"""The Docker Compose file."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from jina.core.cli import Command
from jina.core.cli.parser import options_of, read
from jina.core.config import ExecutorOptions, GatewayOptions, peers_of
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


def test_a_gateway_of_ones_own_has_volumes_and_gpus() -> None:
    gateway = {'uses': 'docker://own', 'volumes': ['./pages:/pages:ro'], 'gpus': '1', 'workspace': 'folder'}
    service = compose_document(chain(deployment(name='one', uses='docker://one'), **gateway))['services']['gateway']
    assert service['volumes'] == [f'{Path.cwd()}/pages:/pages:ro']
    assert service['deploy']['resources']['reservations']['devices'][0]['count'] == 1


def test_settings_of_a_gateway_that_can_not_be_exported() -> None:
    gateway = {'uses': 'docker://own', 'docker_kwargs': {'init': True}}
    with pytest.raises(ConfigError, match='docker_kwargs of Gateway is for the Docker SDK'):
        compose_document(chain(deployment(name='one', uses='docker://one'), **gateway))


def command_of(service: dict[str, Any], flag: str) -> list[str]:
    """The values behind a flag."""
    words = service['command'][service['command'].index(flag) + 1 :]
    return list(takewhile(lambda word: not word.startswith('--'), words))


def test_metrics_are_where_prometheus_was_told() -> None:
    flow = chain(
        deployment(name='one', uses='docker://a', monitoring=True, port_monitoring=[9000]),
        deployment(name='two', uses='docker://a', monitoring=True, replicas=2, port_monitoring=[9001, 9002]),
        deployment(name='three', uses='docker://a', monitoring=True, replicas=2, port_monitoring=[9003]),
        deployment(name='four', uses='docker://a', monitoring=True),
        port=8080,
        monitoring=True,
        port_monitoring=[8000],
    )
    services = compose_document(flow)['services']
    assert {name: service.get('ports') for name, service in services.items()} == {
        'one': ['9000:9000'],
        'two-rep-0': ['9001:9001'],
        'two-rep-1': ['9002:9002'],
        'three-rep-0': None,  # both want it, and it can be one's only
        'three-rep-1': None,
        'four': None,
        'gateway': ['8080:8080', '8000:8000'],
    }
    assert services['three-rep-1']['expose'] == ['8080', '9003']
    # a process takes the entry of its number
    assert command_of(services['two-rep-1'], '--port-monitoring')[1] == '9002'
    assert command_of(services['three-rep-1'], '--port-monitoring')[1] == '9003'


def test_executors_that_only_pass_documents_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('JINA_GATEWAY_IMAGE', raising=False)
    services = compose_document(chain(deployment(name='executor0')))['services']
    assert services['executor0']['image'] == services['gateway']['image'] == f'jina-gateway:{__version__}'
    assert '--uses' not in services['executor0']['command']
    assert list(compose_document(deployment())['services']) == ['executor']


def test_named_volumes_paths_and_a_workspace_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('JINA_LOG_LEVEL', 'DEBUG')
    volumes = ['models:/models:ro', 'host/path:/data']
    flow = chain(
        deployment(
            name='one',
            uses='docker://a',
            volumes=volumes,
            workspace='/data/work',
            log_config='json',
            entrypoint='sh -c',
            shards=2,
        ),
        deployment(name='two', uses='docker://a', volumes=['models:/m']),
    )
    document = compose_document(flow)
    assert document['volumes'] == {'models': {}}
    service = document['services']['one-0']
    assert service['volumes'] == ['models:/models:ro', f'{tmp_path}/host/path:/data']
    assert command_of(service, '--workspace') == ['/data/work']
    assert command_of(service, '--log-config') == ['json']
    assert service['entrypoint'] == ['sh', '-c']
    assert document['services']['one-head']['entrypoint'] == ['jina']  # another image
    assert service['environment'] == {'JINA_LOG_LEVEL': 'DEBUG'}
    assert 'volumes' not in compose_document(documented())


def test_the_server_that_clients_call_has_its_options() -> None:
    options: dict[str, Any] = {'title': 'Mine', 'cors': True, 'max_request_bytes': 1000, 'tracing': True}
    alone = compose_document(deployment(uses='docker://a', protocol='http', **options))['services']['executor']
    several = compose_document(deployment(uses='docker://a', protocol='http', replicas=2, **options))['services']
    for service in (alone, several['executor-gateway']):
        assert command_of(service, '--title') == ['Mine']
        assert {'--cors', '--max-request-bytes', '--tracing'} <= set(service['command'])
    assert '--tracing' in several['executor-rep-0']['command']
    assert not {'--cors', '--title', '--max-request-bytes'} & set(several['executor-rep-0']['command'])


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
        (
            {'uses': 'docker://a', 'force_network_mode': 'HOST'},
            ConfigError,
            'force_network_mode of Deployment .* can not be exported; leave it out',
        ),
        (
            {'uses': 'docker://a', 'env_from_secret': {'A': {'name': 'b', 'key': 'c'}}},
            ConfigError,
            "env_from_secret of 'one' names secrets of Kubernetes.*; set the variables in env",
        ),
        ({'uses': 'docker://a', 'volumes': ['/data:data']}, ConfigError, "'/data:data' in volumes of 'one'"),
    ],
)
def test_what_can_not_be_exported(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        compose_document(chain(deployment(name='one', **options)))


def test_files_of_a_gateway_that_containers_do_not_have(tmp_path: Path) -> None:
    for name in ('cert.pem', 'key.pem'):
        (tmp_path / name).touch()
    flow = chain(deployment(uses='docker://a'), ssl_certfile=f'{tmp_path}/cert.pem', ssl_keyfile=f'{tmp_path}/key.pem')
    with pytest.raises(ConfigError, match=r'ssl_certfile of Gateway is a file of this machine.*; leave it out'):
        compose_document(flow)
    with pytest.raises(ConfigError, match='docker_kwargs of Gateway'):
        compose_document(chain(deployment(uses='docker://a'), docker_kwargs={'init': True}))


def test_keys_are_for_clients_alone() -> None:
    flow = chain(deployment(name='one', uses='docker://a', shards=2, env={'JINA_API_KEY': 'secret'}))
    services = compose_document(flow)['services']
    assert '--api-key' not in services['gateway']['command']
    for name in ('one-head', 'one-0', 'one-1'):
        assert command_of(services[name], '--api-key') == ['[]']  # whatever the variable says


def test_services_have_time_for_their_requests_in_flight() -> None:
    def period(**options: Any) -> str:
        document = compose_document(deployment(name='encoder', uses='docker://encoder', **options))
        return str(document['services']['encoder']['stop_grace_period'])

    assert period() == '10s'
    assert period(timeout_graceful_shutdown=60_500) == '67s'


def test_replicas_with_state_know_each_other() -> None:
    settings = {
        'stateful': True,
        'replicas': 3,
        'shards': 2,
        'workspace': '/kept',
        'peer_ports': {0: [1, 2, 3], 1: [4, 5, 6]},
    }
    consensus = {'raft_configuration': {'CommitTimeout': 20}, 'uses_before': 'docker://check'}
    services = compose_document(chain(deployment(name='store', uses='docker://store', **settings, **consensus)))[
        'services'
    ]
    assert list(services)[:3] == ['store-head', 'store-uses-before', 'store-0-rep-0']
    for name in ('store-head', 'store-uses-before', 'gateway'):
        read_command(services[name])
        assert '--stateful' not in services[name]['command']
        assert not services[name].get('expose', []).count('8090')
    for shard in range(2):
        names = [f'store-{shard}-rep-{number}' for number in range(3)]
        for number, name in enumerate(names):
            options = read_command(services[name])
            assert (options.stateful, options.replicas, options.replica_id, options.shard_id) == (
                True,
                3,
                number,
                shard,
            )
            assert peers_of(options) == [f'{one}:8090' for one in names]
            assert options.raft_configuration == {'commit_timeout': 20}
            assert services[name]['expose'] == ['8080', '8090']
            assert services[name]['volumes'] == ['/kept:/app/workspace']


def test_replicas_with_state_need_a_disk() -> None:
    with pytest.raises(
        ConfigError, match='the replicas of store would lose their state with their containers; give a w'
    ):
        compose_document(chain(deployment(name='store', uses='docker://store', stateful=True, replicas=3)))
    kept = {'volumes': ['data:/data'], 'workspace': '/data/store'}
    services = compose_document(
        chain(deployment(name='store', uses='docker://store', stateful=True, replicas=3, **kept))
    )['services']
    assert read_command(services['store-rep-1']).workspace == '/data/store'


def read_command(service: dict[str, Any]) -> Any:
    """The options that a container is started with."""
    name, *arguments = service['command']
    model = {'executor': ExecutorOptions, 'gateway': GatewayOptions}[name]
    known = Command(name, 'Serve.', model, run=lambda _: 0)
    parsed = read(known, arguments)
    assert parsed.unknown == []
    return options_of(known, parsed)
