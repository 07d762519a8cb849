from __future__ import annotations

import pytest
from jina.client.host import address_of, resolve_address
from jina.core.config import ClientOptions, PodAddress
from jina.core.config.build import build
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError

GRPC, HTTP = ProtocolType.GRPC, ProtocolType.HTTP


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        ({'host': 'grpc://a:1234'}, PodAddress(GRPC, 'a', 1234)),
        ({'host': 'http://a:1234'}, PodAddress(HTTP, 'a', 1234)),
        ({'host': 'grpcs://a:1234'}, PodAddress(GRPC, 'a', 1234, tls=True)),
        ({'host': 'https://a:1234'}, PodAddress(HTTP, 'a', 1234, tls=True)),
        ({'host': 'a', 'port': 1234, 'protocol': 'http'}, PodAddress(HTTP, 'a', 1234)),
        ({'host': 'a', 'port': 1234, 'protocol': 'grpc', 'tls': True}, PodAddress(GRPC, 'a', 1234, tls=True)),
        ({'host': 'https://a', 'port': 1234}, PodAddress(HTTP, 'a', 1234, tls=True)),
        ({'host': 'a:1234', 'protocol': 'http', 'tls': True}, PodAddress(HTTP, 'a', 1234, tls=True)),
        ({'host': 'http://a'}, PodAddress(HTTP, 'a', 80)),
        ({'host': 'grpcs://a'}, PodAddress(GRPC, 'a', 443, tls=True)),
        ({'host': 'a', 'tls': True}, PodAddress(GRPC, 'a', 443, tls=True)),
        ({'host': 'http://a', 'tls': False}, PodAddress(HTTP, 'a', 80)),
        ({'host': 'grpc://[::1]:1234'}, PodAddress(GRPC, '::1', 1234)),
    ],
)
def test_address_from_options_or_uri(values: dict[str, object], expected: PodAddress) -> None:
    assert address_of(build(ClientOptions, values, where='Client')) == expected


@pytest.mark.parametrize(
    ('values', 'option'),
    [
        ({'host': 'https://a:1234', 'port': 4321}, 'port'),
        ({'host': 'https://a:1234', 'protocol': 'http'}, 'protocol'),
        ({'host': 'https://a:1234', 'tls': True}, 'tls'),
    ],
)
def test_given_twice_is_refused(values: dict[str, object], option: str) -> None:
    with pytest.raises(ConfigError, match=f"can't have two definitions of {option}"):
        address_of(build(ClientOptions, values, where='Client'))


@pytest.mark.parametrize('host', ['http://a/path', 'http://a?x=1', 'http://user:word@a:1', 'a:1/x', 'a b'])
def test_more_than_host_and_port_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match='has more than a host and a port'):
        resolve_address(host)


def test_unknown_scheme() -> None:
    with pytest.raises(ConfigError, match="unknown scheme 'ftp'"):
        resolve_address('ftp://a:1')


def test_websocket() -> None:
    assert str(resolve_address('ws://a:1')) == 'ws://a:1'
    assert str(resolve_address('wss://a')) == 'wss://a:443'


def test_default_protocol_can_be_chosen() -> None:
    assert resolve_address('a:1', default=HTTP).protocol is HTTP
