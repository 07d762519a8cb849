"""The commands ``jina ping`` and ``jina client``."""

from __future__ import annotations

from jina.core.cli.command import Command
from jina.core.config import ClientOptions, PingOptions, changed

__all__ = ['CLIENT', 'PING']


def run_ping(options: PingOptions) -> int:
    """Checks a server as often as asked for; returns 0 if enough checks succeeded, else 1."""
    from jina.client.ping import ping  # noqa: PLC0415 - gRPC is loaded only when something is pinged
    from jina.core.logging import JinaLogger  # noqa: PLC0415

    logger = JinaLogger('JINA')
    return ping(options, logger)


def run_client(options: ClientOptions) -> int:
    """Makes a client of these options, sends one request without documents and shows where its time goes.

    Raises:
        TransportError: Nothing answers there.
        NotSupportedError: The protocol's responses carry no routes.
    """
    from jina.client.client import Client  # noqa: PLC0415 - as above

    values = {name: getattr(options, name) for name in changed(options) if name != 'asyncio'}
    Client(**values).profiling(show_table=True)
    return 0


PING = Command(
    name='ping',
    help='Check whether a Flow, Deployment, Executor or gateway is ready.',
    options=PingOptions,
    run=run_ping,
)
CLIENT = Command(
    name='client',
    help='Send one request without documents and show where its time goes.',
    options=ClientOptions,
    run=run_client,
    hidden=True,
)
