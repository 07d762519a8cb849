"""Environment variables and reported facts."""

from __future__ import annotations

import importlib.metadata
import os
import re
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from jina.core import environment
from jina.core.errors import ConfigError
from jina.core.version import __version__


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith('JINA_') or name in environment._CI_VENDORS:
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ('function', 'name', 'default', 'text', 'value'),
    [
        (environment.default_host, 'JINA_DEFAULT_HOST', '0.0.0.0', '127.0.0.1', '127.0.0.1'),
        (environment.default_timeout_ctrl, 'JINA_DEFAULT_TIMEOUT_CTRL', 60, '5', 5),
        (environment.deployment_name, 'JINA_DEPLOYMENT_NAME', None, 'a/rep-0', 'a/rep-0'),
        (environment.gateway_image, 'JINA_GATEWAY_IMAGE', None, 'x:1', 'x:1'),
        (environment.log_config, 'JINA_LOG_CONFIG', None, 'json', 'json'),
        (environment.log_level, 'JINA_LOG_LEVEL', None, 'debug', 'DEBUG'),
        (environment.start_method, 'JINA_MP_START_METHOD', None, 'SPAWN', 'spawn'),
        (environment.early_stop, 'JINA_EARLY_STOP', False, '', True),
        (environment.full_cli, 'JINA_FULL_CLI', False, '', True),
        (environment.log_without_color, 'JINA_LOG_NO_COLOR', False, '0', True),
        (environment.uvloop_disabled, 'JINA_DISABLE_UVLOOP', False, '1', True),
    ],
)
def test_variable(
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[[], object],
    name: str,
    default: object,
    text: str,
    value: object,
) -> None:
    assert function() == default
    monkeypatch.setenv(name, text)
    assert function() == value


def test_empty_values_count_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('JINA_DEFAULT_HOST', 'JINA_DEFAULT_TIMEOUT_CTRL', 'JINA_LOG_LEVEL', 'JINA_MP_START_METHOD'):
        monkeypatch.setenv(name, '')
    assert environment.default_host() == '0.0.0.0'
    assert environment.default_timeout_ctrl() == 60
    assert (environment.log_level(), environment.start_method()) == (None, None)


def test_random_port_range(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.random_port_range() is None
    monkeypatch.setenv('JINA_RANDOM_PORT_MIN', '50000')
    assert environment.random_port_range() == (50000, 65535)
    monkeypatch.setenv('JINA_RANDOM_PORT_MAX', '50010')
    assert environment.random_port_range() == (50000, 50010)
    monkeypatch.delenv('JINA_RANDOM_PORT_MIN')
    monkeypatch.setenv('JINA_RANDOM_PORT_MAX', '60000')
    assert environment.random_port_range() == (49153, 60000)


@pytest.mark.parametrize(
    ('function', 'variables', 'message'),
    [
        (
            environment.random_port_range,
            {'JINA_RANDOM_PORT_MIN': '60000', 'JINA_RANDOM_PORT_MAX': '50000'},
            'environment variables JINA_RANDOM_PORT_MIN=60000 and JINA_RANDOM_PORT_MAX=50000 are no port range; '
            'use 1 <= min <= max <= 65535',
        ),
        (
            environment.random_port_range,
            {'JINA_RANDOM_PORT_MIN': 'low'},
            "environment variable JINA_RANDOM_PORT_MIN is 'low', not a whole number",
        ),
        (
            environment.default_timeout_ctrl,
            {'JINA_DEFAULT_TIMEOUT_CTRL': '1.5'},
            "environment variable JINA_DEFAULT_TIMEOUT_CTRL is '1.5', not a whole number",
        ),
        (
            environment.start_method,
            {'JINA_MP_START_METHOD': 'thread'},
            "environment variable JINA_MP_START_METHOD is 'thread'; use one of fork, spawn, forkserver",
        ),
    ],
)
def test_wrong_values(
    monkeypatch: pytest.MonkeyPatch, function: Callable[[], object], variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        function()
    assert str(caught.value) == message


def test_environment_facts_are_in_the_documented_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_LOG_LEVEL', 'DEBUG')
    monkeypatch.setenv('JINA_AUTH_TOKEN', 'secret')
    facts = environment.environment_facts()
    assert [name.removeprefix('JINA_') for name in facts] == [
        'DEFAULT_HOST',
        'DEFAULT_TIMEOUT_CTRL',
        'DEPLOYMENT_NAME',
        'DISABLE_FAST_LANE',
        'DISABLE_HTTP2_CLIENT',
        'DISABLE_HTTP2_SERVER',
        'DISABLE_LOCAL_LANE',
        'DISABLE_UVLOOP',
        'EARLY_STOP',
        'FULL_CLI',
        'GATEWAY_IMAGE',
        'GRPC_RECV_BYTES',
        'GRPC_SEND_BYTES',
        'HUB_NO_IMAGE_REBUILD',
        'LOG_CONFIG',
        'LOG_LEVEL',
        'LOG_NO_COLOR',
        'MP_START_METHOD',
        'OPTOUT_TELEMETRY',
        'RANDOM_PORT_MAX',
        'RANDOM_PORT_MIN',
        'RESTARTS',
        'LOCKS_ROOT',
        'K8S_ACCESS_MODES',
        'K8S_STORAGE_CLASS_NAME',
        'K8S_STORAGE_CAPACITY',
        'STREAMER_ARGS',
    ]
    assert facts.pop('JINA_LOG_LEVEL') == 'DEBUG'
    assert set(facts.values()) == {'(unset)'}


def test_system_facts_are_texts_in_the_documented_order(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = environment.system_facts()
    assert list(facts) == [
        'jina',
        'docarray',
        'jcloud',
        'jina-hubble-sdk',
        'jina-proto',
        'protobuf',
        'proto-backend',
        'grpcio',
        'pyyaml',
        'python',
        'platform',
        'platform-release',
        'platform-version',
        'architecture',
        'processor',
        'uid',
        'session-id',
        'uptime',
        'ci-vendor',
        'internal',
    ]
    assert all(type(value) is str for value in facts.values())
    assert (facts['jina'], facts['jina-proto'], facts['internal']) == (__version__, '0.1.27', 'False')
    assert (facts['jcloud'], facts['jina-hubble-sdk'], facts['ci-vendor']) == ('(unset)',) * 3
    assert facts['docarray'] == importlib.metadata.version('docarray')
    assert facts['proto-backend'] in ('upb', 'cpp', 'python')
    assert int(facts['uid']) > 0
    assert uuid.UUID(facts['session-id']).version == 1
    assert datetime.fromisoformat(facts['uptime']) <= datetime.now()
    assert environment.system_facts()['session-id'] == facts['session-id']
    monkeypatch.setenv('GITHUB_ACTIONS', 'true')
    assert environment.system_facts()['ci-vendor'] == 'GitHub Actions'


def test_every_variable_that_is_read_is_reported_or_documented() -> None:
    text = Path(environment.__file__).read_text()
    named = set(re.findall(r'JINA_[A-Z0-9_]*[A-Z0-9]', text))
    assert named == set(environment.REPORTED)
