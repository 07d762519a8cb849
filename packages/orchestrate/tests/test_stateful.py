"""The addresses at which replicas with state reach each other."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from jina.core.config import DeploymentOptions, build
from jina.core.errors import StartupError
from jina.orchestrate.stateful import choose_peers


def options(**more: Any) -> DeploymentOptions:
    return build(DeploymentOptions, {'stateful': True, 'replicas': 3, **more})


def test_ports_that_are_given_are_taken() -> None:
    given = {0: [1, 2, 3], 1: [4, 5, 6]}
    assert choose_peers(options(shards=2, peer_ports=given)) == [
        ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3'],
        ['127.0.0.1:4', '127.0.0.1:5', '127.0.0.1:6'],
    ]
    assert choose_peers(build(DeploymentOptions, {'replicas': 3})) == []


def test_others_are_free_and_different() -> None:
    shards = choose_peers(options(shards=2))
    assert [len(shard) for shard in shards] == [3, 3]
    ports = [int(address.removeprefix('127.0.0.1:')) for shard in shards for address in shard]
    assert len(set(ports)) == 6
    assert all(20_000 <= port <= 32_000 for port in ports)


def test_they_are_taken_from_the_range_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv('JINA_RANDOM_PORT_MIN', str(port))
        monkeypatch.setenv('JINA_RANDOM_PORT_MAX', str(port + 1))
        with pytest.raises(
            StartupError, match=f'there are no 3 free ports from {port} to {port + 1}.*; give peer_ports'
        ):
            choose_peers(options())
