from __future__ import annotations

import socket

import pytest
from jina.core.config import DeploymentOptions, PodAddress
from jina.core.enums import ProtocolType
from jina.orchestrate import Deployment, banner


def test_rows_of_grpc_and_http() -> None:
    addresses = [PodAddress(ProtocolType.GRPC, '0.0.0.0', 1), PodAddress(ProtocolType.HTTP, '127.0.0.1', 2)]
    private = banner.private_address()
    assert banner.rows(addresses) == [
        ('🔗 Endpoint', [('⛓ Protocol', 'GRPC'), ('🏠 Local', '0.0.0.0:1'), ('🔒 Private', f'{private}:1')]),
        ('🔗 Endpoint', [('⛓ Protocol', 'HTTP'), ('🏠 Local', '127.0.0.1:2'), ('🔒 Private', f'{private}:2')]),
        ('💎 HTTP extension', [('💬 Swagger UI', 'http://localhost:2/docs'), ('📚 Redoc', 'http://localhost:2/redoc')]),
    ]


def test_row_of_websocket() -> None:
    ((_, rows),) = banner.rows([PodAddress(ProtocolType.WEBSOCKET, '0.0.0.0', 1)])
    assert rows[:2] == [('⛓ Protocol', 'WEBSOCKET'), ('🏠 Local', '0.0.0.0:1')]


def test_tls_is_shown() -> None:
    rows = dict(banner.rows([PodAddress(ProtocolType.HTTP, 'localhost', 3, tls=True)])[0][1])
    assert rows['⛓ Protocol'] == 'HTTPS'


def test_private_address_sends_nothing_and_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    socket.inet_aton(banner.private_address())

    class NoRoute(socket.socket):
        def connect(self, address: object) -> None:
            raise OSError('network is unreachable')

    monkeypatch.setattr(socket, 'socket', NoRoute)
    assert banner.private_address() == '127.0.0.1'


def test_it_is_printed_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with Deployment() as deployment:
        printed = capsys.readouterr().out
        assert '🎉 Deployment is ready to serve!' in printed
        assert f'0.0.0.0:{deployment.port}' in printed
        assert f'{banner.private_address()}:{deployment.port}' in printed
    with Deployment(quiet=True):
        assert capsys.readouterr().out == ''


def test_several_processes_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        DeploymentOptions(name='one'),
        DeploymentOptions(name='few', replicas=3),
        DeploymentOptions(name='many', shards=2, replicas=4),
        DeploymentOptions(name='parts', shards=5),
        DeploymentOptions(name='far', external=True, replicas=2, host='localhost:1'),
    ]
    assert [banner.multiplicity(option) for option in options] == [
        '',
        '3 replicas',
        '2 shards of 4 replicas',
        '5 shards',
        '',
    ]
    banner.show('Flow', [], options)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1:-1] for line in lines if line[0] == '│'] == [
        ['few', '3', 'replicas'],
        ['many', '2', 'shards', 'of', '4', 'replicas'],
        ['parts', '5', 'shards'],
    ]


def test_the_page_about_a_flow_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    banner.show('Flow', [], dashboard='http://127.0.0.1:8260/')
    printed = capsys.readouterr().out
    assert 'Dashboard' in printed
    assert 'http://127.0.0.1:8260/' in printed
