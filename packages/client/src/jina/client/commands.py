"""The commands ``jina ping`` and ``jina client``."""

from __future__ import annotations

from jina.core.cli.command import Command
from jina.core.config import ClientCallOptions, PingOptions

__all__ = ['CLIENT', 'PING']


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


CLIENT = Command(
    name='client',
    help='Call an endpoint of a server and print the documents that come back, one JSON object per line.',
    options=ClientCallOptions,
    run=run_client,
    hidden=True,
)
PING = Command(
    name='ping',
    help='Check whether a Flow, Deployment, Executor or gateway is ready.',
    options=PingOptions,
    run=run_ping,
)
