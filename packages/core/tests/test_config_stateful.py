from __future__ import annotations

from typing import Any

import pytest
from jina.core.config import (
    DeploymentOptions,
    ExecutorOptions,
    GatewayOptions,
    build,
    peer_ports_of,
    peers_of,
    split_flow_values,
)
from jina.core.errors import ConfigError

STATEFUL = {'stateful': True, 'replicas': 3}


def refusal(model: Any = DeploymentOptions, **values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        build(model, values)
    return str(caught.value)


@pytest.mark.parametrize(
    'ports', [[1, 2, 3], ['1', '2', '3'], '1,2,3', ['1,2', 3], '[1, 2, 3]', {0: [1, 2, 3]}, '{"0": [1, 2, 3]}']
)
def test_peer_ports_of_one_shard(ports: Any) -> None:
    options = build(DeploymentOptions, {**STATEFUL, 'peer_ports': ports})
    assert peer_ports_of(options) == [[1, 2, 3]]
    assert peers_of(options) == ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3']


def test_peer_ports_of_shards() -> None:
    options = build(
        ExecutorOptions, {**STATEFUL, 'shards': 2, 'shard_id': 1, 'pod_ports': {0: ['1', 2, 3], 1: '4,5,6'}}
    )
    assert peer_ports_of(options) == [[1, 2, 3], [4, 5, 6]]
    assert peers_of(options) == ['127.0.0.1:4', '127.0.0.1:5', '127.0.0.1:6']


def test_peers_elsewhere() -> None:
    options = build(ExecutorOptions, {**STATEFUL, 'raft_peers': ['a:1', 'b:1', 'c:1'], 'peer_ports': [1, 2, 3]})
    assert peers_of(options) == ['a:1', 'b:1', 'c:1']
    assert peers_of(build(ExecutorOptions, STATEFUL)) == []


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'peer_ports': [1, 2, 3]}, 'peer_ports is for stateful Executors; give stateful too, or leave it out'),
        (
            {'raft_configuration': {}},
            'raft_configuration is for stateful Executors; give stateful too, or leave it out',
        ),
        ({'stateful': True}, 'a stateful Executor needs at least 3 replicas, and replicas is 1'),
        (
            {**STATEFUL, 'reload': True},
            'stateful and reload are given; replicas with different code would come to different states',
        ),
        (
            {**STATEFUL, 'external': True},
            'whether an external Executor is stateful is for who runs it; leave stateful out here',
        ),
        (
            {**STATEFUL, 'include_gateway': False},
            'the replicas of a stateful Executor can not share a port; leave include_gateway at True',
        ),
        ({**STATEFUL, 'peer_ports': [1, 2]}, 'peer_ports has 2 ports for 3 replicas; give each replica its own'),
        ({**STATEFUL, 'peer_ports': [1, 2, 1]}, 'peer_ports has 1 twice; give each replica its own'),
        (
            {**STATEFUL, 'shards': 2, 'peer_ports': [1, 2, 3]},
            'peer_ports is a list and shards is 2; give the ports of each shard: {"0": [...], "1": [...]}',
        ),
        (
            {**STATEFUL, 'shards': 2, 'peer_ports': {1: [1, 2, 3]}},
            'peer_ports has the shards 1; number all 2 of them from 0 on',
        ),
        (
            {**STATEFUL, 'shards': 2, 'peer_ports': {0: [1, 2, 3], 1: [3, 4, 5]}},
            'peer_ports has 3 twice; give each replica its own',
        ),
        ({**STATEFUL, 'raft_peers': ['a:1']}, 'raft_peers has 1 addresses for 3 replicas; give each replica its own'),
    ],
)
def test_options_that_do_not_fit_together(values: dict[str, Any], message: str) -> None:
    assert refusal(**values) == f'Deployment: {message}'


def test_wrong_values() -> None:
    assert refusal(**STATEFUL, peer_ports=[0, 1, 2]) == 'peer_ports: 0 is not valid; give 1 or more'
    assert 'no such option; did you mean' in refusal(**STATEFUL, raft_configuration={'heartbeat': 1})
    assert 'stateful is for the replicas behind a head' in refusal(
        ExecutorOptions, **STATEFUL, pod_role='HEAD', connection_list={'0': ['a:1']}
    )


def test_windows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('sys.platform', 'win32')
    assert refusal(**STATEFUL) == 'Deployment: stateful Executors are not available on Windows'


def test_a_gateway_has_no_state() -> None:
    assert 'a gateway has no state' in refusal(GatewayOptions, stateful=True)
    values = split_flow_values({'stateful': True, 'raft_configuration': {'commit_timeout': 5}})
    assert values.gateway == {}
    assert values.executors == {'stateful': True, 'raft_configuration': {'commit_timeout': 5}}
    with pytest.raises(ConfigError, match='an option of one Executor'):
        split_flow_values({'peer_ports': [1, 2, 3]})
