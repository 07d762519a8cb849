"""The command line of a container."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jina import Deployment, Flow
from jina.core.config import DeploymentOptions, GatewayOptions, build
from jina.core.errors import ConfigError, StartupError
from jina.orchestrate.container_network import ContainerNetwork
from jina.orchestrate.container_plan import ContainerPlan, check_containers
from jina.orchestrate.docker_command import first_error
from jina.orchestrate.docker_options import docker_arguments, gpu_arguments, volume_arguments


def options(**values: Any) -> DeploymentOptions:
    return build(DeploymentOptions, {'uses': 'docker://registry:5000/encoder:2', **values}, where='Deployment')


def created(**values: Any) -> list[str]:
    return ContainerPlan.make(options(**values), '127.0.0.1').create_arguments('given')


def following(words: list[str], flag: str) -> list[str]:
    return [word for before, word in pairwise(words) if before == flag]


def test_the_whole_command(tmp_path: Path) -> None:
    words = created(name='encoder', uses_with={'size': 3}, workspace=str(tmp_path), env={'A': 'b=c'}, gpus='all')
    image = words.index('registry:5000/encoder:2')
    assert words[image + 1 :] == ['--name', 'encoder', '--port', '8080', '--uses-with', '{"size": 3}', '--native']
    assert following(words, '--name')[0] == 'given'
    assert following(words, '--publish') == ['127.0.0.1::8080']
    assert following(words, '--volume') == [f'{tmp_path}:/app/workspace']
    assert {'A=b=c', 'JINA_DEFAULT_WORKSPACE_BASE=/app/workspace'} <= set(following(words, '--env'))
    assert following(words, '--gpus') == ['all']


def test_ports_of_the_machine() -> None:
    words = created(port=[1234, 1235], protocol=['grpc', 'http'], monitoring=True, port_monitoring=9999)
    assert following(words, '--publish') == ['127.0.0.1:1234:8080', '127.0.0.1:1235:8081', '127.0.0.1:9999:9090']
    assert words[words.index('--port-monitoring') :][:2] == ['--port-monitoring', '9090']


def test_an_entrypoint_of_another_kind() -> None:
    words = created(entrypoint='python -m jina')
    assert following(words, '--entrypoint') == ['python']
    image = words.index('registry:5000/encoder:2')
    assert words[image + 1 :][:5] == ['-m', 'jina', 'executor', '--uses', 'config.yml']


@pytest.mark.parametrize(
    ('values', 'mounted', 'workspace'),
    [
        ({}, ['{home}/.cache/jina:/app/workspace'], []),
        ({'disable_auto_volume': True}, [], []),
        ({'disable_auto_volume': True, 'workspace': '/inside'}, [], ['/inside']),
        ({'volumes': ['/data:/files']}, ['/data:/files'], []),
        ({'volumes': ['/data:/files'], 'workspace': '/files/work'}, ['/data:/files'], ['/files/work']),
        ({'volumes': ['/data:/files'], 'workspace': '/work'}, ['/data:/files', '/work:/app/workspace'], []),
    ],
)
def test_the_workspace(
    values: dict[str, Any], mounted: list[str], workspace: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('JINA_DEFAULT_WORKSPACE_BASE', raising=False)
    words = created(**values)
    assert following(words, '--volume') == [entry.format(home=Path.home()) for entry in mounted]
    assert following(words, '--workspace') == workspace


def test_collectors_of_this_machine_are_reached_from_the_container() -> None:
    words = created(tracing=True, metrics=True, metrics_exporter_host='elsewhere')
    assert following(words, '--traces-exporter-host') == ['host.docker.internal']
    assert following(words, '--metrics-exporter-host') == ['elsewhere']
    assert following(words, '--add-host') == ['host.docker.internal:host-gateway']


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({}, []),
        ({'force_network_mode': 'BRIDGE'}, []),
        ({'docker_kwargs': {'network': 'own'}}, ['own']),
        ({'docker_kwargs': {'network_mode': 'own', 'network': 'own'}}, ['own']),
        ({'docker_kwargs': {'network': 'bridge'}, 'force_network_mode': 'bridge'}, []),
    ],
)
def test_networks_in_which_ports_are_published(values: dict[str, Any], words: list[str]) -> None:
    created_with = created(**values)
    assert following(created_with, '--network') == words
    assert following(created_with, '--publish') == ['127.0.0.1::8080']


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere containers run in a machine of their own')
@pytest.mark.parametrize('values', [{'force_network_mode': 'HOST'}, {'docker_kwargs': {'network': 'host'}}])
def test_the_network_of_this_machine(values: dict[str, Any]) -> None:
    words = created(
        port=1234, metrics=True, monitoring=True, port_monitoring=[5678], env={'JINA_DEFAULT_HOST': 'x'}, **values
    )
    assert following(words, '--network') == ['host']
    assert not {'--publish', '--add-host', '--metrics-exporter-host'} & set(words)
    assert following(words, '--port') == ['1234']
    assert following(words, '--port-monitoring') == ['5678']
    assert 'JINA_DEFAULT_HOST=127.0.0.1' in following(words, '--env')


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (
            {'force_network_mode': 'NONE'},
            'is a container without a network .none., and nothing could call it; leave it out',
        ),
        ({'docker_kwargs': {'network_mode': 'none'}}, 'is a container without a network'),
        (
            {'docker_kwargs': {'network': 'container:db'}},
            'the network of another container .container:db., whose ports are',
        ),
        ({'docker_kwargs': {'network': 3}}, "'network' in docker_kwargs of executor/rep-0 is 3; give the name"),
        (
            {'docker_kwargs': {'network': 'own'}, 'force_network_mode': 'HOST'},
            r'has several networks: network \(own\) and force_network_mode \(host\); give only one',
        ),
    ],
)
def test_networks_in_which_nothing_could_call(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        created(**values)


def test_no_network_of_this_machine_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'platform', 'darwin')
    with pytest.raises(
        ConfigError, match=r"to have this machine's network .host., and on darwin containers run in a machine"
    ):
        created(force_network_mode='HOST')


@pytest.mark.parametrize(
    ('target', 'inside'),
    [
        ('0.0.0.0:1', 'host.docker.internal:1'),
        ('127.0.0.1:1', 'host.docker.internal:1'),
        ('[::1]:1', 'host.docker.internal:1'),
        ('grpcs://localhost:1', 'grpcs://host.docker.internal:1'),
        ('dns://localhost:1', 'dns://localhost:1'),
        ('172.17.0.1:1', '172.17.0.1:1'),
        ('grpcs://example.org:1', 'grpcs://example.org:1'),
    ],
)
def test_addresses_inside_a_container(target: str, inside: str) -> None:
    assert ContainerNetwork('bridge').seen_inside(target) == inside
    assert ContainerNetwork('host').seen_inside(target) == target


def gateway_words(**values: Any) -> list[str]:
    given = build(GatewayOptions, {'uses': 'docker://door', **values}, where='gateway')
    return ContainerPlan.make(given).create_arguments('given')


def test_the_command_of_a_gateway() -> None:
    addresses = {'a': ['0.0.0.0:5'], 'b': ['172.17.0.1:6']}
    words = gateway_words(uses_with={'size': 3}, port=[80], deployments_addresses=addresses, workspace=None)
    image = words.index('door:latest')
    assert words[image + 1 :] == [
        *('--protocol', 'GRPC', '--port', '8080', '--uses-with', '{"size": 3}'),
        *('--deployments-addresses', '{"a": ["host.docker.internal:5"], "b": ["172.17.0.1:6"]}'),
    ]
    assert following(words, '--publish') == ['0.0.0.0:80:8080']
    assert not following(words, '--volume')


def test_several_ports_and_an_entrypoint_of_a_gateway() -> None:
    words = gateway_words(protocol=['http', 'grpc'], host='::', entrypoint='jina', monitoring=True)
    assert following(words, '--publish') == ['[::]::8080', '[::]::8081', '[::]::9090']
    image = words.index('door:latest')
    assert words[image + 1 : image + 4] == ['gateway', '--uses', 'config.yml']
    assert words[words.index('--protocol') :][:3] == ['--protocol', 'HTTP', 'GRPC']


def test_keys_and_certificates_of_a_gateway(tmp_path: Path) -> None:
    words = gateway_words(api_key=['secret'], ssl_certfile=f'{tmp_path}/a.crt', ssl_keyfile=f'{tmp_path}/a.key')
    assert not any('secret' in word for word in words)
    assert 'JINA_API_KEY' in following(words, '--env')
    assert following(words, '--ssl-keyfile') == ['/run/jina/ssl_keyfile.pem']
    assert f'{tmp_path}/a.key:/run/jina/ssl_keyfile.pem:ro' in following(words, '--volume')


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'replicas': 2}, 'the gateway is a container, and replicas is 2: its port can not be shared; leave it out'),
        (
            {'uses': None, 'volumes': ['a:/b']},
            "option 'volumes' of Gateway is for containers, and this starts a process",
        ),
        ({'uses': None, 'force_network_mode': 'HOST'}, "option 'force_network_mode' of Gateway is for containers"),
        ({'py_modules': ['a.py']}, 'gateway/rep-0 is a container, which takes no py_modules'),
        ({'reload': True}, 'gateway/rep-0 is a container, which takes no reload'),
        ({'volumes': ['a:b']}, 'in volumes of gateway/rep-0 can not be mounted'),
        (
            {'uvicorn_kwargs': {'log_config': object}},
            'an option of gateway/rep-0 holds a Python object, which its container',
        ),
    ],
)
def test_what_the_container_of_a_gateway_can_not_have(values: dict[str, Any], message: str) -> None:
    flow = Flow().config_gateway(**{'uses': 'docker://door', **values}).add()
    with pytest.raises(ConfigError, match=message):
        flow.start()


def test_options_of_containers_of_a_whole_flow_are_for_its_executors() -> None:
    flow = Flow(volumes=['/a:/b'], force_network_mode='HOST').add(uses='docker://encoder')
    assert flow.gateway_options.volumes is None
    assert following(ContainerPlan.make(flow[0].options).create_arguments('given'), '--volume') == ['/a:/b']


def test_volumes() -> None:
    found = volume_arguments(['/a/b', 'named:/x', './c:/c:ro'], 'encoder')
    assert following(found, '--volume') == ['/a/b:/b', 'named:/x', f'{Path.cwd()}/c:/c:ro']


@pytest.mark.parametrize('volume', ['', ':/x', 'a:b', '/a:/', '/', '/a:/b:ro:z'])
def test_wrong_volumes(volume: str) -> None:
    with pytest.raises(ConfigError, match='in volumes of encoder can not be mounted; write HOST_PATH:/CONTAINER_PATH'):
        volume_arguments([volume], 'encoder')


def test_gpus() -> None:
    assert gpu_arguments(None, 'encoder') == []
    assert gpu_arguments('2', 'encoder') == ['--gpus', '2']
    assert gpu_arguments('device=0,device=1', 'encoder') == ['--gpus', '"device=0,1"']
    with pytest.raises(ConfigError, match="gpus of encoder is 'some'; give 'all', a number, or 'device=0,1'"):
        gpu_arguments('some', 'encoder')


def test_arguments_of_the_sdk() -> None:
    given = {
        'mem_limit': '1g',
        'init': True,
        'read_only': False,
        'cap_add': ['SYS_NICE'],
        'extra_hosts': {'db': '10.0.0.1'},
        'tmpfs': {'/run': ''},
        'nano_cpus': 1500000000,
    }
    assert ' '.join(docker_arguments(given, 'encoder')) == (
        '--memory 1g --init --cap-add SYS_NICE --add-host db:10.0.0.1 --tmpfs /run --cpus 1.5'
    )


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'mem_limt': '1g'}, "'mem_limt' in docker_kwargs of encoder is not supported; did you mean 'mem_limit'?"),
        ({'detach': True}, "'detach' in docker_kwargs of encoder is not supported; these are: cap_add, cap_drop, "),
        ({'init': 'yes'}, "'init' in docker_kwargs of encoder is 'yes'; give true or false"),
        ({'cap_add': 'ALL'}, "'cap_add' in docker_kwargs of encoder is 'ALL'; give a list"),
    ],
)
def test_wrong_arguments_of_the_sdk(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        docker_arguments(values, 'encoder')
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'volumes': ['a:b']}, 'can not be mounted'),
        ({'uses': 'BaseExecutor', 'volumes': ['/a:/b']}, 'is for containers, and this starts a process; give an image'),
        ({'reload': True}, 'is a container, which takes no reload; an image does not change'),
        ({'py_modules': ['a.py']}, 'is a container, which takes no py_modules'),
        ({'log_config': 'my.yml'}, "'my.yml', a file that its container does not have; give one of"),
        ({'include_gateway': False}, 'include_gateway is False; leave it out'),
    ],
)
def test_what_containers_of_a_deployment_can_not_have(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_containers(options(**values), is_public=True)


def test_a_certificate_is_for_what_stands_in_front() -> None:
    pair = options().model_copy(update={'ssl_certfile': 'a.pem', 'ssl_keyfile': 'a.key'})
    with pytest.raises(ConfigError, match='does not have the certificate; give ssl_certfile to the Flow'):
        check_containers(pair, is_public=False)
    check_containers(pair, is_public=True)


def test_without_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(
        StartupError, match=r'ContainerError: .* the command docker, which is not installed; install'
    ) as caught:
        Deployment(uses='docker://encoder').start()
    assert 'Traceback' not in str(caught.value)


def test_what_the_command_says() -> None:
    assert (
        first_error('Unable to find it\nError response from daemon: no such thing\nSee docker help') == 'no such thing'
    )
    assert first_error('') == 'no reason is given'
