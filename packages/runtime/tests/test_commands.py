from __future__ import annotations

from typing import Any

import pytest
from jina.core.cli.command import Command
from jina.core.cli.parser import options_of, read
from jina.core.config import ExecutorOptions, GatewayOptions, Options, refuse_container_options
from jina.core.config.arguments import flag
from jina.core.config.groups import HttpServerOptions
from jina.core.config.protection import AccessOptions, LimitOptions, TlsServerOptions
from jina.core.errors import ConfigError, NotSupportedError
from jina.runtime.commands import EXECUTOR, GATEWAY


def test_commands_are_registered_with_their_options() -> None:
    assert (EXECUTOR.name, EXECUTOR.options, EXECUTOR.hidden) == ('executor', ExecutorOptions, False)
    assert (GATEWAY.name, GATEWAY.options, GATEWAY.hidden) == ('gateway', GatewayOptions, True)


def test_one_process_has_one_replica() -> None:
    with pytest.raises(
        NotSupportedError, match='jina executor runs one process and replicas is 2; use jina deployment'
    ):
        EXECUTOR.run(ExecutorOptions(replicas=2))
    with pytest.raises(NotSupportedError, match='jina gateway runs one process and replicas is 2; start it several'):
        GATEWAY.run(GatewayOptions(replicas=2))


@pytest.mark.parametrize(
    ('command', 'options', 'message'),
    [
        (EXECUTOR, ExecutorOptions(uses='docker://image', volumes=['a:/b']), 'no Executor that a process could load'),
        (GATEWAY, GatewayOptions(uses='docker://image', volumes=['a:/b']), 'no gateway that a process could load'),
    ],
)
def test_one_process_is_no_container(
    monkeypatch: pytest.MonkeyPatch, command: Command, options: Options, message: str
) -> None:
    for name in ('JINA_DEPLOYMENT_NAME', 'JINA_GRPC_RECV_BYTES', 'JINA_GRPC_SEND_BYTES'):
        monkeypatch.setenv(name, 'before')  # a process sets them for itself
    with pytest.raises(
        NotSupportedError, match=f"uses='docker://image' is a container image, and {message}; a .* starts"
    ):
        command.run(options)


def test_what_surrounds_shards_is_given_to_their_head() -> None:
    options = ExecutorOptions(uses_after_address='localhost:1')
    with pytest.raises(
        NotSupportedError, match='uses_after_address is for a head; give it to the process with --pod-role HEAD'
    ):
        EXECUTOR.run(options)


EFFECTIVE = {
    'name': 'x',
    'workspace': 'folder',
    'log-config': 'plain',
    'quiet': None,
    'quiet-error': None,
    'extra-search-paths': 'folder',
    'timeout-ctrl': '70',
    'timeout-ready': '1000',
    'env': 'A=b',
    'shard-id': '1',
    'replica-id': '1',
    'noblock-on-start': None,
    'floating': None,
    'reload': None,
    'port': '15001',
    'ports': '15001',
    'protocol': 'HTTP',
    'protocols': 'HTTP',
    'retries': '2',
    'grpc-server-options': 'grpc.max_send_message_length: -1',
    'grpc-channel-options': 'grpc.max_send_message_length: -1',
    'compression': 'Gzip',
    'timeout-send': '100',
    'polling': 'ALL',
    'replicas': '1',
    'native': None,
    'uses': 'MyExec',
    'uses-with': 'a: 1',
    'uses-metas': 'name: x',
    'uses-requests': '/a: foo',
    'uses-dynamic-batching': '{"/a": {"timeout": 10}}',
    'py-modules': 'executor.py',
    'install-requirements': None,
    'exit-on-exceptions': 'ValueError',
    'no-reduce': None,
    'disable-reduce': None,
    'allow-concurrent': None,
    'host': '127.0.0.1',
    'host-in': '127.0.0.1',
    'k8s-namespace': 'space',
    'monitoring': None,
    'port-monitoring': '15002',
    'tracing': None,
    'traces-exporter-host': 'localhost',
    'traces-exporter-port': '4317',
    'metrics': None,
    'metrics-exporter-host': 'localhost',
    'metrics-exporter-port': '4317',
    'pod-role': 'WORKER',
    'shards': '2',
    'uses-before-address': 'localhost:1',
    'uses-after-address': 'localhost:1',
    'connection-list': '{"0": "localhost:1"}',
}
"""Flags of the original's ``jina executor`` that are taken, with a value; None is for a flag without one."""
STATEFUL = {'stateful': None, 'peer-ports': '15003,15004,15005', 'raft-configuration': 'LeaderLeaseTimeout: 200'}
"""Flags of stateful Executors, which go together."""
FOR_CONTAINERS = {
    'entrypoint': 'sh',
    'docker-kwargs': 'a: 1',
    'env-from-secret': 'A: {"name": "s", "key": "k"}',
    'image-pull-secrets': 'secret',
    'volumes': 'a:b',
    'gpus': 'all',
    'disable-auto-volume': None,
    'force-network-mode': 'HOST',
}
"""Flags that are written into exports, and refused where a process is started."""
REFUSED = {
    'workspace-id': 'abc',
    'runtime-cls': 'OtherRuntime',
    'provider': 'SAGEMAKER',
    'provider-endpoint': 'foo',
    'output-array-type': 'numpy',
    'force-update': None,
    'force': None,
    'prefer-platform': 'linux/amd64',
}
"""Flags whose features come later: known, and refused instead of ignored."""


def read_flag(name: str, value: str | None, *more: str) -> object:
    parsed = read(EXECUTOR, [f'--{name}', *([] if value is None else [value]), *more])
    assert parsed.unknown == []
    return options_of(EXECUTOR, parsed)


@pytest.mark.parametrize('name', EFFECTIVE)
def test_flags_of_the_original_are_taken(name: str) -> None:
    head = ['--pod-role', 'HEAD'] if name == 'connection-list' else []
    read_flag(name, EFFECTIVE[name], *head)


@pytest.mark.parametrize('name', STATEFUL)
def test_flags_of_stateful_executors(name: str) -> None:
    options: Any = read_flag(name, STATEFUL[name], '--stateful', '--replicas', '3')
    assert options.stateful
    with pytest.raises(ConfigError, match='stateful'):
        read_flag(name, STATEFUL[name], '--replicas', '2')


@pytest.mark.parametrize('name', REFUSED)
def test_flags_of_later_features_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r'of Executor is not available in this version \(.+\); remove it'):
        read_flag(name, REFUSED[name])


@pytest.mark.parametrize('name', FOR_CONTAINERS)
def test_flags_of_containers_are_refused_by_a_process(name: str) -> None:
    options = read_flag(name, FOR_CONTAINERS[name])
    with pytest.raises(ConfigError, match=r"option '\w+' of Executor is for containers, and this starts a process; "):
        refuse_container_options(options)  # type: ignore[arg-type]


def test_no_flag_is_left_out() -> None:
    known = {flag(name) for name in (*ExecutorOptions.model_fields, *ExecutorOptions.aliases())}
    listed = {f'--{name}' for name in (*EFFECTIVE, *STATEFUL, *FOR_CONTAINERS, *REFUSED)}
    # the original's command knows none of them
    groups = (TlsServerOptions, AccessOptions, LimitOptions, HttpServerOptions)
    further = {flag(name) for group in groups for name in group.model_fields} | {'--timeout-graceful-shutdown'}
    # spellings of our own, which the original's documentation uses without its parser knowing them
    spellings = {'--tracing-exporter-host', '--tracing-exporter-port', '--pod-ports', '--port-expose', '--raft-peers'}
    assert known - listed == spellings | further
    assert listed <= known
