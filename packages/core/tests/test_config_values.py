"""One reading of values for Python, YAML and the command line."""

from __future__ import annotations

from typing import Any

import pytest
from jina.core.config import ClientOptions, DeploymentOptions, ExecutorOptions, GatewayOptions, build
from jina.core.config.values import parse_mapping, parse_scalar
from jina.core.enums import PollingType, ProtocolType
from jina.core.errors import ConfigError

GRPC, HTTP = ProtocolType.GRPC, ProtocolType.HTTP


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('1', 1),
        ('-1.5', -1.5),
        ('true', True),
        ('False', False),
        ('None', None),
        ('null', None),
        ('red', 'red'),
        ('"1"', '1'),
        ('[1, "a"]', [1, 'a']),
        ('{"a": {"b": 1}}', {'a': {'b': 1}}),
        ('s3://bucket/a=b', 's3://bucket/a=b'),
        (' padded ', 'padded'),
        ('', ''),
        ('01', '01'),
    ],
)
def test_scalar(text: str, value: object) -> None:
    assert parse_scalar(text) == value
    assert type(parse_scalar(text)) is type(value)


@pytest.mark.parametrize(
    ('written', 'value'),
    [
        ({'a': 1}, {'a': 1}),
        ('{"a": 1, "b": [2]}', {'a': 1, 'b': [2]}),
        ('a: 1', {'a': 1}),
        ('a:1', {'a': 1}),
        ('a=1', {'a': 1}),
        ('url: http://x:1/?q=2', {'url': 'http://x:1/?q=2'}),
        ('url=http://x', {'url': 'http://x'}),
        (['a: 1', 'b=x', '{"c": true}'], {'a': 1, 'b': 'x', 'c': True}),
        (['a: 1', 'a: 2'], {'a': 2}),
        (['a:', '1', 'b:', 'x y'], {'a': 1, 'b': 'x y'}),
        (['{"/a": "foo"}'], {'/a': 'foo'}),
        ([], {}),
        ('', {}),
    ],
)
def test_mapping(written: object, value: object) -> None:
    assert parse_mapping(written) == value
    assert build(ExecutorOptions, {'uses_with': written}).uses_with == value


@pytest.mark.parametrize(
    ('written', 'problem'),
    [
        ('abc', "expected KEY: VALUE, KEY=VALUE or a JSON object, got 'abc'"),
        (['a: 1', 'abc'], "expected KEY: VALUE, KEY=VALUE or a JSON object, got 'abc'"),
        ([3], 'expected KEY: VALUE pairs or a JSON object, got 3'),
        (
            '{"a": }',
            '\'{"a": }\' is not a JSON object: Expecting value: line 1 column 7 (char 6)',
        ),
    ],
)
def test_wrong_mapping(written: object, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(ExecutorOptions, {'uses_with': written}, where='Executor')
    assert str(caught.value) == f'Executor.uses_with: {problem}'


@pytest.mark.parametrize(
    ('model', 'option', 'written', 'value'),
    [
        (ExecutorOptions, 'port', 8080, [8080]),
        (ExecutorOptions, 'port', '8080', [8080]),
        (ExecutorOptions, 'port', ['8080'], [8080]),
        (ExecutorOptions, 'port', 0, [0]),
        (ExecutorOptions, 'port', None, []),
        (ExecutorOptions, 'port', '', []),
        (ExecutorOptions, 'host', 'localhost', ['localhost']),
        (ExecutorOptions, 'host', 'a:1, b:2', ['a:1', 'b:2']),
        (ExecutorOptions, 'host', None, ['0.0.0.0']),
        (ExecutorOptions, 'py_modules', 'executor.py', ['executor.py']),
        (ExecutorOptions, 'py_modules', ('a.py', 'b.py'), ['a.py', 'b.py']),
        (ExecutorOptions, 'py_modules', '["a.py"]', ['a.py']),
        (ExecutorOptions, 'py_modules', 'with, comma.py', ['with, comma.py']),
        (ExecutorOptions, 'protocol', 'http', [HTTP]),
        (ExecutorOptions, 'protocol', HTTP, [HTTP]),
        (ExecutorOptions, 'protocol', ['grpc', 'http'], [GRPC, HTTP]),
        (ExecutorOptions, 'protocol', 'GRPC,HTTP', [GRPC, HTTP]),
        (ExecutorOptions, 'env', {'A': 1, 'B': None, 'C': True}, {'A': '1', 'B': '', 'C': 'True'}),
        (ExecutorOptions, 'env', ['A=1', 'B: 2'], {'A': '1', 'B': '2'}),
        (ExecutorOptions, 'name', 12, '12'),
        (ExecutorOptions, 'log_config', None, 'default'),
        (ExecutorOptions, 'replicas', '3', 3),
        (ExecutorOptions, 'allow_concurrent', 'true', True),
        (ExecutorOptions, 'compression', 'gzip', 'Gzip'),
        (ExecutorOptions, 'compression', 'NOCOMPRESSION', 'NoCompression'),
        (ExecutorOptions, 'polling', 'all', PollingType.ALL),
        (
            ExecutorOptions,
            'polling',
            '{"/search": "all", "*": "any"}',
            {'/search': PollingType.ALL, '*': PollingType.ANY},
        ),
        (ExecutorOptions, 'polling', {'/a': 'ALL'}, {'/a': PollingType.ALL}),
        (DeploymentOptions, 'needs', 'gateway', ['gateway']),
        (DeploymentOptions, 'when', '{"tags__key": {"$eq": 5}}', {'tags__key': {'$eq': 5}}),
        (GatewayOptions, 'graph_description', '{"start-gateway": ["a"]}', {'start-gateway': ['a']}),
        (GatewayOptions, 'deployments_addresses', '{"a": ["x:1", "y:2"]}', {'a': ['x:1', 'y:2']}),
        (GatewayOptions, 'deployments_metadata', '{"a": {"token": 1}}', {'a': {'token': '1'}}),
        (GatewayOptions, 'deployments_no_reduce', '["a", "b"]', ['a', 'b']),
        (GatewayOptions, 'deployments_no_reduce', '[]', []),
        (ClientOptions, 'protocol', 'http', HTTP),
        (ClientOptions, 'port', '443', 443),
    ],
)
def test_reading(model: Any, option: str, written: object, value: object) -> None:
    assert getattr(build(model, {option: written}), option) == value


def test_a_class_stays_a_class() -> None:
    class Mine:
        pass

    assert build(ExecutorOptions, {'uses': Mine}).uses is Mine


@pytest.mark.parametrize(
    ('option', 'written', 'message'),
    [
        ('replicas', 'three', "Deployment.replicas: 'three' is not valid; give a whole number"),
        ('replicas', 1.5, 'Deployment.replicas: 1.5 is not valid; give a whole number'),
        ('replicas', 0, 'Deployment.replicas: 0 is not valid; give 1 or more'),
        ('port', 70000, 'Deployment.port: 70000 is not valid; give 65535 or less'),
        ('port', [8080, -1], 'Deployment.port: -1 is not valid; give 0 or more'),
        ('timeout_ready', -2, 'Deployment.timeout_ready: -2 is not valid; give -1 or more'),
        ('quiet', 'maybe', "Deployment.quiet: 'maybe' is not valid; give true or false"),
        ('py_modules', 7, 'Deployment.py_modules: 7 is not valid; give a list'),
        ('uses_with', 7, 'Deployment.uses_with: 7 is not valid; give a mapping'),
        ('name', ['a'], "Deployment.name: ['a'] is not valid; give text"),
        ('protocol', 'ftp', "Deployment.protocol: 'ftp' is not one of GRPC, HTTP, WEBSOCKET"),
        ('protocol', ['grpc', 'ftp'], "Deployment.protocol: 'ftp' is not one of GRPC, HTTP, WEBSOCKET"),
        ('compression', 'zip', "Deployment.compression: 'zip' is not one of NoCompression, Deflate, Gzip"),
        ('polling', 'some', "Deployment.polling: 'some' is not one of ANY, ALL, ALL_ASYNC"),
        ('polling', {'/a': 'some'}, "Deployment.polling: 'some' is not one of ANY, ALL, ALL_ASYNC"),
        (
            'uses_requests',
            ['/a'],
            "Deployment.uses_requests: expected KEY: VALUE, KEY=VALUE or a JSON object, got '/a'",
        ),
        ('name', ['x' * 200], f"Deployment.name: ['{'x' * 78}… is not valid; give text"),
    ],
)
def test_wrong_values(option: str, written: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(DeploymentOptions, {option: written}, where='Deployment')
    assert str(caught.value) == message


def test_names_that_grpc_would_ignore_are_refused() -> None:
    given = {'max_send_message_length': 1}
    for name in ('grpc_server_options', 'grpc_channel_options'):
        with pytest.raises(ConfigError, match=r"no option of gRPC; write 'grpc.max_send_message_length'"):
            build(GatewayOptions, {name: given}, where='Flow')
