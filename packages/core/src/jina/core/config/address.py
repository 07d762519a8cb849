"""Addresses of servers: as text, as options, and as what a started server reports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError

if TYPE_CHECKING:
    from jina.core.config.models import DeploymentOptions

_SCHEMES = {
    'grpc': (ProtocolType.GRPC, False),
    'grpcs': (ProtocolType.GRPC, True),
    'http': (ProtocolType.HTTP, False),
    'https': (ProtocolType.HTTP, True),
    'ws': (ProtocolType.WEBSOCKET, False),
    'wss': (ProtocolType.WEBSOCKET, True),
    'websocket': (ProtocolType.WEBSOCKET, False),
    'websockets': (ProtocolType.WEBSOCKET, True),
}
_FOLLOWED = 'dns://'
_HIGHEST_PORT = 65535


@dataclass(frozen=True)
class PodAddress:
    """Where a server answers."""

    protocol: ProtocolType
    host: str
    port: int
    tls: bool = False
    followed: bool = False
    """Whether the host is a name that stands for several replicas, at all the addresses that it resolves to."""

    @property
    def target(self) -> str:
        """``host:port``, with brackets around an IPv6 number."""
        return f'[{self.host}]:{self.port}' if ':' in self.host else f'{self.host}:{self.port}'

    @property
    def near_host(self) -> str:
        """The host as this machine reaches it, where a server that listens on all its addresses runs here."""
        return '127.0.0.1' if self.host in ('0.0.0.0', '::', '') else self.host

    @property
    def dialled(self) -> str:
        """As a gateway is given it: ``host:port``, with a scheme only where one is needed."""
        return str(self) if self.tls or self.followed else self.target

    def __str__(self) -> str:
        if self.followed:
            return f'{_FOLLOWED}{self.target}'
        scheme = {ProtocolType.GRPC: 'grpc', ProtocolType.HTTP: 'http', ProtocolType.WEBSOCKET: 'ws'}[self.protocol]
        return f'{scheme}{"s" if self.tls else ""}://{self.target}'


@dataclass(frozen=True)
class HostText:
    """The parts of ``[scheme://]host[:port]``; what isn't there is ``None``."""

    host: str
    port: int | None = None
    protocol: ProtocolType | None = None
    tls: bool | None = None


def parse_host(text: str) -> HostText:
    """Read ``[scheme://]host[:port]``. Schemes are grpc, http, ws and, with TLS, grpcs, https, wss.

    Raises:
        ConfigError: The scheme isn't known, or the port isn't a port number.
    """
    rest = text.strip()
    protocol: ProtocolType | None = None
    tls: bool | None = None
    if '://' in rest:
        scheme, rest = rest.split('://', 1)
        if scheme.lower() not in _SCHEMES:
            raise ConfigError(
                f'host {text!r} has the unknown scheme {scheme!r}',
                hint='use grpc, http or ws, or grpcs, https or wss for TLS',
            )
        protocol, tls = _SCHEMES[scheme.lower()]
    rest = rest.rstrip('/')
    if surplus := re.search(r'[/?#@\s]', rest):
        raise ConfigError(
            f'host {text!r} has more than a host and a port: {surplus.group()!r}', hint='write [scheme://]host[:port]'
        )
    if rest.startswith('['):
        host, _, tail = rest[1:].partition(']')
        port_text = tail.removeprefix(':')
    elif rest.count(':') > 1:
        host, port_text = rest, ''
    else:
        host, _, port_text = rest.partition(':')
    if not host:
        raise ConfigError(f'host {text!r} has no host name', hint='write [scheme://]host[:port]')
    return HostText(host, _port_number(port_text, text) if port_text else None, protocol, tls)


def _port_number(port: str, text: str) -> int:
    if not port.isascii() or not port.isdigit() or int(port) > _HIGHEST_PORT:
        raise ConfigError(
            f'host {text!r} has the wrong port {port!r}', hint=f'a port is a number from 0 to {_HIGHEST_PORT}'
        )
    return int(port)


def external_addresses(options: DeploymentOptions) -> list[PodAddress]:
    """The addresses of an external Executor, one for each of its replicas.

    Hosts and ports are paired by position; one host with several ports, or several hosts with one port, is repeated.
    ``dns://NAME`` is a name whose addresses are followed: all of them are replicas.

    Raises:
        ConfigError: A host has no port, has two, isn't a gRPC server, or hosts and ports don't pair up.
    """
    hosts, ports = options.host, options.port
    where = f'external Executor {options.name!r}'
    if ports and len(hosts) != len(ports) and 1 not in (len(hosts), len(ports)):
        raise ConfigError(f'{where} has {len(hosts)} hosts and {len(ports)} ports', hint='give one port for each host')
    count = max(len(hosts), len(ports))
    return [
        _external_address(where, hosts[index % len(hosts)], ports[index % len(ports)] if ports else None, options.tls)
        for index in range(count)
    ]


def _external_address(where: str, host: str, port: int | None, tls: bool) -> PodAddress:
    followed = host.lower().startswith(_FOLLOWED)
    if followed and tls:
        raise ConfigError(
            f'{where} is given as {host!r}, whose addresses are called without TLS',
            hint='leave tls out, or give each replica as grpcs://HOST:PORT',
        )
    parsed = parse_host(host[len(_FOLLOWED) :] if followed else host)
    if followed and parsed.protocol is not None:
        raise ConfigError(f'{where} is given as {host!r}, with two schemes', hint='write dns://NAME:PORT')
    if parsed.protocol not in (None, ProtocolType.GRPC):
        raise ConfigError(
            f'{where} is given as {host!r}, but Executors are called by gRPC', hint='use grpc://, grpcs:// or dns://'
        )
    if parsed.port is not None and port is not None:
        raise ConfigError(f'{where} has a port in host {host!r} and in port {port}', hint='give it once')
    found = parsed.port if port is None else port
    if not found:
        raise ConfigError(f'{where} has no port for host {host!r}', hint='give port, or host as HOST:PORT')
    return PodAddress(ProtocolType.GRPC, parsed.host, found, tls or bool(parsed.tls), followed)
