from __future__ import annotations

from typing import Any

import pytest
from jina.core.config import (
    AroundOptions,
    DeploymentOptions,
    ExecutorOptions,
    GatewayOptions,
    RestartPolicy,
    build,
    shard_addresses,
)
from jina.core.errors import ConfigError

HEAD: dict[str, Any] = {'pod_role': 'HEAD', 'connection_list': {'0': ['a:1', 'b:2'], '1': 'c:3'}}


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ({'0': 'a:1'}, [['a:1']]),
        ({'0': 'a:1, b:2', 1: ['c:3']}, [['a:1', 'b:2'], ['c:3']]),
        ({'1': ['c:3'], '0': ['a:1']}, [['a:1'], ['c:3']]),
    ],
)
def test_connection_list(given: dict[Any, Any], expected: list[list[str]]) -> None:
    assert shard_addresses(given) == expected


@pytest.mark.parametrize('given', [{}, {'1': ['a:1']}, {'0': ['a:1'], '2': ['b:1']}, {'x': ['a:1']}])
def test_connection_list_numbers_shards_from_0(given: dict[Any, Any]) -> None:
    with pytest.raises(ConfigError, match=r'connection_list has the shards .+; number them from 0 on'):
        shard_addresses(given)


@pytest.mark.parametrize('value', [[], 5, [5], None])
def test_connection_list_has_addresses(value: Any) -> None:
    with pytest.raises(ConfigError, match='shard 0 has no list of addresses'):
        shard_addresses({'0': value})


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'pod_role': 'HEAD'}, 'a head needs connection_list, the addresses of its shards'),
        ({'connection_list': {'0': ['a:1']}}, 'connection_list is for a head; give pod_role HEAD too'),
        ({'pod_role': 'GATEWAY'}, 'pod_role GATEWAY is for jina gateway'),
        ({**HEAD, 'connection_list': {'0': []}}, 'shard 0 has no list of addresses'),
        ({**HEAD, 'shards': 3}, 'connection_list has 2 shards and shards is 3'),
        ({'shards': 2, 'shard_id': 2}, 'shard_id is 2, but 2 shards are numbered from 0 on'),
    ],
)
def test_roles_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(ExecutorOptions, values)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'uses_before': 'A', 'uses_before_address': 'a:1'}, 'uses_before and uses_before_address are given'),
        ({'uses_after': 'A', 'uses_after_address': 'a:1'}, 'uses_after and uses_after_address are given'),
        ({'external': True, 'host': 'a:1', 'shards': 2}, 'of an external Executor belong to who runs it'),
        ({'external': True, 'host': 'a:1', 'uses_after': 'A'}, 'of an external Executor belong to who runs it'),
    ],
)
def test_what_is_around_shards_is_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(DeploymentOptions, values)


def test_names_of_processes() -> None:
    assert ExecutorOptions(name='enc', **HEAD).runtime_name == 'enc/head'
    assert ExecutorOptions(name='enc', shards=3, shard_id=2, replica_id=1).runtime_name == 'enc/shard-2/rep-1'
    assert ExecutorOptions(name='enc', shard_id=2).runtime_name == 'enc/rep-0'
    assert AroundOptions(name='enc', around='uses_after').runtime_name == 'enc/uses_after-0'


def test_who_needs_a_head() -> None:
    assert not DeploymentOptions(replicas=3).needs_head
    for values in ({'shards': 2}, {'uses_before': 'A'}, {'uses_after_address': 'a:1'}):
        assert DeploymentOptions(**values).needs_head
        assert not DeploymentOptions(replicas=2, include_gateway=False, **values).shares_port


@pytest.mark.parametrize('value', ['sometimes', 'on-failure:0', 'on-failure:x', 'always:3', 5])
def test_wrong_restart_policies_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match='restart'):
        build(GatewayOptions, {'restart': [value]})
    with pytest.raises(ConfigError, match=r'is not one of no, on-failure, on-failure:N, always'):
        build(DeploymentOptions, {'restart': str(value)})


@pytest.mark.parametrize(
    ('value', 'kept', 'wanted'),
    [
        ('no', 'no', (False, False, False)),
        (False, 'no', (False, False, False)),
        ('On-Failure', 'on-failure', (False, True, True)),
        ('on-failure:3', 'on-failure:3', (False, True, True)),
        ('always', 'always', (True, True, True)),
    ],
)
def test_restart_policies(value: Any, kept: str, wanted: tuple[bool, ...]) -> None:
    options = build(DeploymentOptions, {'restart': value})
    assert options.restart == kept
    policy = RestartPolicy.parse(options.restart)
    assert tuple(policy.wants(status) for status in (0, -9, None)) == wanted
    assert policy.limit == (3 if kept.endswith(':3') else None)
