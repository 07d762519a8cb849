"""The commands ``jina ping``, ``jina client`` and ``jina dashboard``."""

from __future__ import annotations

from jina.core.cli.command import Command
from jina.core.config import ClientCallOptions, DashboardOptions, PingOptions

__all__ = ['CLIENT', 'DASHBOARD', 'PING']


def run_ping(options: PingOptions) -> int:
    """Checks a server as often as asked for; returns 0 if enough checks succeeded, else 1."""
    from jina.client.ping import ping  # noqa: PLC0415 - gRPC is loaded only when something is pinged
    from jina.core.logging import JinaLogger  # noqa: PLC0415

    logger = JinaLogger('JINA')
    return ping(options, logger)


def run_client(options: ClientCallOptions) -> int:
    """Calls an endpoint and prints the documents that come back, one JSON object per line.

    Raises:
        JinaError: The call failed, or ``data`` is no JSON.
    """
    from jina.client.json_call import call  # noqa: PLC0415 - documents and gRPC are loaded only when something is called

    for line in call(options):
        print(line, flush=True)  # noqa: T201 - the output of the command
    return 0


def run_dashboard(options: DashboardOptions) -> int:
    """Serves the dashboard of a server until a signal.

    Raises:
        ConfigError: The address is no gRPC address, or one of ``metrics`` is no address.
        PortInUseError: Another process listens on the port.
    """
    from jina.client.dashboard.server import serve  # noqa: PLC0415 - documents and gRPC are loaded only when it is shown

    serve(options, lambda url: print(f'the dashboard of {options.target} is ready to serve: {url}', flush=True))  # noqa: T201 - the output
    return 0


CLIENT = Command(
    name='client',
    help='Call an endpoint of a server and print the documents that come back, one JSON object per line.',
    options=ClientCallOptions,
    run=run_client,
    hidden=True,
)
DASHBOARD = Command(
    name='dashboard',
    help='Show a running Flow or Deployment on a web page, live, with a playground for its endpoints.',
    options=DashboardOptions,
    run=run_dashboard,
)
PING = Command(
    name='ping',
    help='Check whether a Flow, Deployment, Executor or gateway is ready.',
    options=PingOptions,
    run=run_ping,
)
