"""The command line of a container."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jina import Deployment
from jina.core.config import DeploymentOptions, build
from jina.core.errors import ConfigError, StartupError
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
        'network': 'own',
    }
    assert ' '.join(docker_arguments(given, 'encoder')) == (
        '--memory 1g --init --cap-add SYS_NICE --add-host db:10.0.0.1 --tmpfs /run --cpus 1.5 --network own'
    )


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'mem_limt': '1g'}, "'mem_limt' in docker_kwargs of encoder is not supported; did you mean 'mem_limit'?"),
        ({'detach': True}, "'detach' in docker_kwargs of encoder is not supported; these are: cap_add, cap_drop, "),
        ({'network': 'host'}, "'network' in docker_kwargs of encoder is 'host'; give the name of a network of its own"),
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
