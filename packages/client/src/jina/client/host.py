"""Where the server is: host, port, protocol and TLS from options or from a URI, but from one of them only."""

from __future__ import annotations

from typing import Final, TypeVar

from jina.core.config import ClientOptions, PodAddress
from jina.core.config.address import parse_host
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError

__all__ = ['address_of', 'resolve_address']

_T = TypeVar('_T')
_DEFAULT_PORT: Final = 80
_DEFAULT_TLS_PORT: Final = 443


def address_of(options: ClientOptions, default: ProtocolType = ProtocolType.GRPC) -> PodAddress:
    """Returns the address that client options name.

    Args:
        options: The options.
        default: The protocol if neither ``protocol`` nor the host gives one.

    Raises:
        ConfigError: Something is given twice, or can't be parsed.
    """
    given = options.model_fields_set
    return resolve_address(
        options.host,
        options.port,
        options.protocol if 'protocol' in given else None,
        options.tls or None,
        default,
    )


def resolve_address(
    host: str,
    port: int | None = None,
    protocol: ProtocolType | None = None,
    tls: bool | None = None,
    default: ProtocolType = ProtocolType.GRPC,
) -> PodAddress:
    """Combines a host, which may be a URI, with options; None is an option that wasn't given.

    Args:
        host: ``[scheme://]name[:port]`` with the scheme grpc, grpcs, http, https, ws or wss.
        port: The port, if ``host`` has none. Default: 80, with TLS 443.
        protocol: The protocol, if ``host`` has no scheme.
        tls: True for TLS, if ``host`` has no scheme. Default: no TLS.
        default: The protocol if neither ``protocol`` nor ``host`` gives one.

    Raises:
        ConfigError: Something is given twice, or can't be parsed.
    """
    uri = parse_host(host)
    port = _only_one('port', port, uri.port, host)
    protocol = _only_one('protocol', protocol, uri.protocol, host)
    tls = _only_one('tls', tls, uri.tls, host)
    if protocol is None:
        protocol = default
    if port is None:
        port = _DEFAULT_TLS_PORT if tls else _DEFAULT_PORT
    return PodAddress(protocol, uri.host, port, bool(tls))


def _only_one(option: str, given: _T | None, in_uri: _T | None, host: str) -> _T | None:
    if given is not None and in_uri is not None:
        raise ConfigError(
            f"you can't have two definitions of {option}: one in host={host!r} and {option}={given!s}",
            hint='give it in one place',
        )
    return in_uri if given is None else given
