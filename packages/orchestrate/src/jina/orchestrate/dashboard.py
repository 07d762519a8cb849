"""The web page about a Flow that is served beside it: ``Flow(dashboard=True)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jina.core.config import DashboardOptions, PodAddress
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError

if TYPE_CHECKING:
    from jina.client.dashboard.server import Dashboard
    from jina.orchestrate.flow import Flow


def monitored(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a Flow, with ``monitoring`` if it has a dashboard and nothing is said about that.

    Args:
        values: As they were given to the Flow.

    Raises:
        ConfigError: There is a port for the dashboard, and no dashboard.
    """
    if values.get('port_dashboard') and not values.get('dashboard'):
        raise ConfigError(f'Flow.port_dashboard is {values["port_dashboard"]!r}', hint='add dashboard=True')
    return {'monitoring': True, **values} if values.get('dashboard') is True else dict(values)


def check_protocols(protocols: Sequence[ProtocolType]) -> None:
    """Check that a dashboard can ask a gateway.

    Args:
        protocols: What the gateway speaks.

    Raises:
        ConfigError: gRPC isn't among them.
    """
    if ProtocolType.GRPC not in protocols:
        spoken = ' and '.join(map(str, protocols))
        others = ', '.join(repr(str(protocol).lower()) for protocol in protocols)
        raise ConfigError(
            f'the dashboard of a Flow asks its gateway over gRPC, and that speaks {spoken}',
            hint=f"add gRPC: protocol=['grpc', {others}]",
        )


def open_dashboard(flow: Flow) -> Dashboard:
    """Serve the page of a Flow that runs, in threads of this process.

    Args:
        flow: The Flow.

    Raises:
        ConfigError: Its gateway doesn't speak gRPC.
        PortInUseError: Another process listens on the port that was given.
    """
    from jina.client.dashboard.server import Dashboard  # noqa: PLC0415 - few Flows have one

    check_protocols([address.protocol for address in flow.public_addresses])
    found = next(address for address in flow.public_addresses if address.protocol is ProtocolType.GRPC)
    credentials = flow.client_args
    options = DashboardOptions(
        target=str(PodAddress(found.protocol, found.near_host, found.port, found.tls)),
        port=flow.options.port_dashboard,
        ssl_cafile=credentials.get('ssl_cafile'),
        ssl_server_name=credentials.get('ssl_server_name'),
    )
    return Dashboard(options, credentials.get('api_key'))
