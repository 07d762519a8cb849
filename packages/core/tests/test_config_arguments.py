"""Options written out as YAML values and as command-line arguments, and read back."""

from __future__ import annotations

from typing import Any

import pytest
from jina.core.cli import Command
from jina.core.cli.parser import options_of, read
from jina.core.config import (
    DeploymentOptions,
    ExecutorOptions,
    GatewayOptions,
    Options,
    PingOptions,
    build,
    changed,
    to_arguments,
)
from jina.core.errors import ConfigError

CASES: list[tuple[type[Options], dict[str, Any], dict[str, Any], list[str]]] = [
    (ExecutorOptions, {}, {}, []),
    (
        ExecutorOptions,
        {'name': 'enc', 'port': '8080', 'uses_with': 'size: 3', 'quiet': True},
        {'name': 'enc', 'quiet': True, 'port': 8080, 'uses_with': {'size': 3}},
        ['--name', 'enc', '--quiet', '--port', '8080', '--uses-with', '{"size": 3}'],
    ),
    (
        DeploymentOptions,
        {'port': [1, 2], 'protocol': ['grpc', 'http'], 'polling': 'all', 'compression': 'gzip'},
        {'port': [1, 2], 'protocol': ['GRPC', 'HTTP'], 'polling': 'ALL', 'compression': 'Gzip'},
        ['--port', '1', '2', '--protocol', 'GRPC', 'HTTP', '--compression', 'Gzip', '--polling', 'ALL'],
    ),
    (
        DeploymentOptions,
        {'host': 'a:1,b:2', 'external': True, 'tls': True, 'retries': 0, 'polling': {'/a': 'all'}},
        {'retries': 0, 'host': ['a:1', 'b:2'], 'polling': {'/a': 'ALL'}, 'external': True, 'tls': True},
        ['--retries', '0', '--host', 'a:1', 'b:2', '--polling', '{"/a": "ALL"}', '--external', '--tls'],
    ),
    (
        ExecutorOptions,
        {'uses': {'jtype': 'Mine', 'with': {'a': 1}}, 'py_modules': 'mine.py'},
        {'uses': {'jtype': 'Mine', 'with': {'a': 1}}, 'py_modules': ['mine.py']},
        ['--uses', '{"jtype": "Mine", "with": {"a": 1}}', '--py-modules', 'mine.py'],
    ),
    (
        GatewayOptions,
        {'graph_description': '{"start-gateway": ["a"]}', 'deployments_addresses': {'a': 'x:1'}, 'host': '::1'},
        {'host': '::1', 'graph_description': {'start-gateway': ['a']}, 'deployments_addresses': {'a': ['x:1']}},
        [
            *('--host', '::1', '--graph-description', '{"start-gateway": ["a"]}'),
            *('--deployments-addresses', '{"a": ["x:1"]}'),
        ],
    ),
    (
        ExecutorOptions,
        {'name': '-x', 'retries': -2, 'py_modules': [], 'exit_on_exceptions': ['-a', 'b'], 'workspace': 'two words'},
        {'name': '-x', 'workspace': 'two words', 'retries': -2, 'py_modules': [], 'exit_on_exceptions': ['-a', 'b']},
        [
            *('--name=-x', '--workspace', 'two words', '--retries=-2', '--py-modules', '[]'),
            *('--exit-on-exceptions=-a', '--exit-on-exceptions=b'),
        ],
    ),
    (
        PingOptions,
        {'target': 'flow', 'host': 'grpc://localhost:1', 'attempts': 2},
        {'target': 'flow', 'host': 'grpc://localhost:1', 'attempts': 2},
        ['flow', 'grpc://localhost:1', '--attempts', '2'],
    ),
]


@pytest.mark.parametrize(('model', 'written', 'values', 'arguments'), CASES)
def test_changed(model: Any, written: dict[str, Any], values: dict[str, Any], arguments: list[str]) -> None:
    options = build(model, written)
    assert changed(options) == values
    assert build(model, changed(options)) == options


@pytest.mark.parametrize(('model', 'written', 'values', 'arguments'), CASES)
def test_arguments(model: Any, written: dict[str, Any], values: dict[str, Any], arguments: list[str]) -> None:
    options = build(model, written)
    command = Command('test', 'Test', model, lambda options: 0)
    assert to_arguments(options) == arguments
    parsed = read(command, to_arguments(options))
    assert parsed.unknown == []
    read_back = options_of(command, parsed)
    if isinstance(written.get('uses'), dict):
        assert read_back.model_dump(exclude={'uses'}) == options.model_dump(exclude={'uses'})
    else:
        assert read_back == options


def test_options_without_a_flag_are_left_out() -> None:
    assert to_arguments(DeploymentOptions(needs=['gateway'])) == []
    assert changed(DeploymentOptions(needs=['gateway'])) == {'needs': ['gateway']}


def test_class_becomes_its_path() -> None:
    options = ExecutorOptions(uses=Options)
    assert changed(options) == {'uses': Options}
    assert to_arguments(options) == ['--uses', 'jina.core.config.base.Options']


def test_secrets_do_not_become_arguments() -> None:
    with pytest.raises(ConfigError, match='api_key can not be an argument of a command') as caught:
        to_arguments(DeploymentOptions(api_key=['hush']))
    assert 'hush' not in str(caught.value)
    assert to_arguments(DeploymentOptions(api_key_file='keys')) == ['--api-key-file', 'keys']
