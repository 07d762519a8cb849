"""The client that a Flow or a Deployment has for the server that it started itself."""

from __future__ import annotations

import os
from typing import Any

from jina.client import Client
from jina.core.config import DeploymentOptions, PodAddress, PodOptions, api_keys_of
from jina.core.errors import NotStartedError


def make_client(orchestrator: Any, addresses: list[PodAddress], ports: list[int]) -> Any:
    """A client with the options of ``client_arguments``.

    Raises:
        NotStartedError: The port isn't known.
    """
    return Client(**client_arguments(orchestrator, addresses, ports))


def client_arguments(orchestrator: Any, addresses: list[PodAddress], ports: list[int]) -> dict[str, Any]:
    """Options of a client for the first of the addresses, or, before the start, for the port that was asked for.

    Raises:
        NotStartedError: Neither is known.
    """
    options = orchestrator.options
    settings = {
        name: getattr(options, name) for name in ('asyncio', 'reuse_session', 'log_config') if hasattr(options, name)
    }
    settings |= _credentials(orchestrator)
    server = _server_options(orchestrator)
    if server.tracing:
        settings |= {
            name: getattr(server, name) for name in ('tracing', 'traces_exporter_host', 'traces_exporter_port')
        }
    if addresses:
        first = addresses[0]
        return {'host': first.near_host, 'port': first.port, 'protocol': first.protocol, 'tls': first.tls, **settings}
    if not ports or not ports[0]:
        name = orchestrator.kind
        raise NotStartedError(
            f'{name} is not started', hint=f'use it in a with statement, or call start(), or give {name} a port'
        )
    protocols = orchestrator.protocols if hasattr(orchestrator, 'protocols') else options.protocol
    return {'host': '127.0.0.1', 'port': ports[0], 'protocol': protocols[0], 'tls': server.uses_tls, **settings}


def _server_options(orchestrator: Any) -> PodOptions:
    """Options of the server that clients reach."""
    options: Any = orchestrator.options
    return options if isinstance(options, DeploymentOptions) else orchestrator.gateway_options


def _credentials(orchestrator: Any) -> dict[str, Any]:
    """What a client needs to be let in: it trusts the certificate of the server, which it has started itself."""
    options = orchestrator.options
    server = _server_options(orchestrator)
    found: dict[str, Any] = {}
    keys = api_keys_of(server, {**os.environ, **(options.env or {})})
    if keys:
        found['api_key'] = keys[0]
    if server.ssl_cafile is not None:
        found['ssl_cafile'] = server.ssl_cafile
    if server.ssl_certfile is not None:
        from jina.core.tls import certificate_name  # noqa: PLC0415 - only with TLS

        found.setdefault('ssl_cafile', server.ssl_certfile)
        found['ssl_server_name'] = certificate_name(server.ssl_certfile)
    return found
