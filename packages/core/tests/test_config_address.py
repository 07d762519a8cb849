"""Addresses as text and as options."""

from __future__ import annotations

from typing import Any

import pytest
from jina.core.config import DeploymentOptions, HostText, PodAddress, build, external_addresses, parse_host
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError

GRPC, HTTP, WEBSOCKET = ProtocolType.GRPC, ProtocolType.HTTP, ProtocolType.WEBSOCKET


@pytest.mark.parametrize(
    ('text', 'parts'),
    [
        ('localhost', HostText('localhost')),
        ('localhost:123', HostText('localhost', 123)),
        ('grpc://localhost:123', HostText('localhost', 123, GRPC, False)),
        ('grpcs://localhost', HostText('localhost', None, GRPC, True)),
        ('http://a.b', HostText('a.b', None, HTTP, False)),
        ('HTTPS://a.b:443/', HostText('a.b', 443, HTTP, True)),
        ('ws://a', HostText('a', None, WEBSOCKET, False)),
        ('wss://a', HostText('a', None, WEBSOCKET, True)),
        ('::1', HostText('::1')),
        ('[::1]:80', HostText('::1', 80)),
        ('grpc://[::1]', HostText('::1', None, GRPC, False)),
        (' a:1 ', HostText('a', 1)),
    ],
)
def test_parse_host(text: str, parts: HostText) -> None:
    assert parse_host(text) == parts


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'ftp://a',
            "host 'ftp://a' has the unknown scheme 'ftp'; use grpc, http or ws, or grpcs, https or wss for TLS",
        ),
        ('a:b', "host 'a:b' has the wrong port 'b'; a port is a number from 0 to 65535"),
        ('a:70000', "host 'a:70000' has the wrong port '70000'; a port is a number from 0 to 65535"),
        ('a:-1', "host 'a:-1' has the wrong port '-1'; a port is a number from 0 to 65535"),
        ('', "host '' has no host name; write [scheme://]host[:port]"),
        ('grpc://:80', "host 'grpc://:80' has no host name; write [scheme://]host[:port]"),
    ],
)
def test_wrong_host(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_host(text)
    assert str(caught.value) == message


def test_pod_address_as_text() -> None:
    assert str(PodAddress(GRPC, '0.0.0.0', 80)) == 'grpc://0.0.0.0:80'
    assert str(PodAddress(HTTP, '::1', 80, tls=True)) == 'https://[::1]:80'
    assert str(PodAddress(WEBSOCKET, 'a', 80, tls=True)) == 'wss://a:80'
    assert PodAddress(GRPC, '::1', 80).target == '[::1]:80'
    assert PodAddress(GRPC, 'a', 80).dialled == 'a:80'
    assert PodAddress(GRPC, 'a', 80, tls=True).dialled == 'grpcs://a:80'
    assert PodAddress(GRPC, 'a', 80, followed=True).dialled == 'dns://a:80'


@pytest.mark.parametrize(
    ('values', 'addresses'),
    [
        ({'host': '1.2.3.4', 'port': 12345}, ['grpc://1.2.3.4:12345']),
        ({'host': '1.2.3.4:12345'}, ['grpc://1.2.3.4:12345']),
        ({'host': '1.2.3.4:443', 'tls': True}, ['grpcs://1.2.3.4:443']),
        ({'host': 'grpcs://a:1'}, ['grpcs://a:1']),
        ({'host': ['a', 'b'], 'port': ['1', '2']}, ['grpc://a:1', 'grpc://b:2']),
        ({'host': ['a:1', 'b:2']}, ['grpc://a:1', 'grpc://b:2']),
        ({'host': ['a', 'b'], 'port': 1}, ['grpc://a:1', 'grpc://b:1']),
        ({'host': 'a', 'port': [1, 2]}, ['grpc://a:1', 'grpc://a:2']),
        ({'host': 'dns://a:1'}, ['dns://a:1']),
        ({'host': ['dns://a', 'b'], 'port': 1}, ['dns://a:1', 'grpc://b:1']),
    ],
)
def test_external_addresses(values: dict[str, Any], addresses: list[str]) -> None:
    options = build(DeploymentOptions, {**values, 'external': True})
    assert [str(address) for address in external_addresses(options)] == addresses


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'host': 'a'}, "external Executor 'x' has no port for host 'a'; give port, or host as HOST:PORT"),
        ({'host': 'a:1', 'port': 2}, "external Executor 'x' has a port in host 'a:1' and in port 2; give it once"),
        (
            {'host': ['a', 'b'], 'port': [1, 2, 3]},
            "external Executor 'x' has 2 hosts and 3 ports; give one port for each host",
        ),
        (
            {'host': 'http://a:1'},
            "external Executor 'x' is given as 'http://a:1', but Executors are called by gRPC; "
            'use grpc://, grpcs:// or dns://',
        ),
        ({'host': 'dns://a'}, "external Executor 'x' has no port for host 'dns://a'; give port, or host as HOST:PORT"),
        (
            {'host': 'dns://grpc://a:1'},
            "external Executor 'x' is given as 'dns://grpc://a:1', with two schemes; write dns://NAME:PORT",
        ),
        (
            {'host': 'dns://a:1', 'tls': True},
            "external Executor 'x' is given as 'dns://a:1', whose addresses are called without TLS; "
            'leave tls out, or give each replica as grpcs://HOST:PORT',
        ),
    ],
)
def test_wrong_external_addresses(values: dict[str, Any], message: str) -> None:
    options = build(DeploymentOptions, {'name': 'x', **values, 'external': True})
    with pytest.raises(ConfigError) as caught:
        external_addresses(options)
    assert str(caught.value) == message
