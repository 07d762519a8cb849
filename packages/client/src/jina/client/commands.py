"""The command ``jina ping``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.core.cli.command import Command
from jina.core.config import PingOptions

if TYPE_CHECKING:
    pass

__all__ = ['PING']


def run_ping(options: PingOptions) -> int:
    """Checks a server as often as asked for; returns 0 if enough checks succeeded, else 1."""
    from jina.client.ping import ping  # noqa: PLC0415 - gRPC is loaded only when something is pinged
    from jina.core.logging import JinaLogger  # noqa: PLC0415

    logger = JinaLogger('JINA')
    return ping(options, logger)


PING = Command(
    name='ping',
    help='Check whether a Flow, Deployment, Executor or gateway is ready.',
    options=PingOptions,
    run=run_ping,
)
