from __future__ import annotations

from typing import Any

import pytest
from jina.client import Client
from jina.client.profiling import Profile
from jina.core.errors import ServerError


def test_a_profile_is_printed_as_a_tree(wire_server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    profile = Client(host='localhost', port=wire_server.port).profiling()
    assert profile.roundtrip_ms >= profile.server_ms > 0
    assert 'Client-server network' in capsys.readouterr().out
    assert wire_server.requests[0].exec_endpoint == '_jina_dry_run_'


def test_shares() -> None:
    profile = Profile(roundtrip_ms=24, server_ms=7, executors_ms={'executor0': 5, 'executor1': 2})
    assert (profile.network_ms, profile.gateway_ms) == (17, 0)
    assert [str(line.label) for line in profile.tree().children[1].children] == [
        'Gateway-executors network 0.0ms 0%',
        'executor0 5.0ms 71%',
        'executor1 2.0ms 29%',
    ]


async def test_async(wire_server: Any) -> None:
    profile = await Client(host='localhost', port=wire_server.port, asyncio=True).profiling(show_table=False)
    assert profile.roundtrip_ms > 0


def test_http_tells_server_and_network(http_server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    profile = Client(host=f'http://localhost:{http_server.port}').profiling()
    assert profile.roundtrip_ms >= profile.server_ms >= 0
    assert not profile.executors_ms
    assert [line.partition(' ')[0] for line in capsys.readouterr().out.splitlines()] == ['Roundtrip', '├──', '└──']
    assert http_server.hits == ['GET /', 'GET /', 'GET /dry_run']
    http_server.ready = False
    with pytest.raises(ServerError, match='is not ready: gone'):
        Client(host=f'http://localhost:{http_server.port}').profiling()
