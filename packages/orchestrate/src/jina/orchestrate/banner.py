"""The box that a Deployment or a Flow prints when it is ready."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from jina.core.config import DeploymentOptions, PodAddress
from jina.core.enums import ProtocolType

_HTTP_PAGES = (('💬 Swagger UI', '/docs'), ('📚 Redoc', '/redoc'))
_DOCUMENTATION_ADDRESS = '192.0.2.1'  # RFC 5737; nothing is sent to it


def private_address() -> str:
    """The address of this machine in its network, found in the routing table without sending anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((_DOCUMENTATION_ADDRESS, 9))  # a datagram socket only looks up the route
            return str(sock.getsockname()[0])
        except OSError:
            return '127.0.0.1'


def rows(addresses: Sequence[PodAddress]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Titles and rows of the boxes.

    Args:
        addresses: Where the servers listen.

    Returns:
        One box of endpoints for each protocol, and one with the HTTP pages if there is an HTTP server.
    """
    private = private_address()
    boxes = []
    for address in addresses:
        protocol = f'{address.protocol}{"S" if address.tls else ""}'
        local = address.target
        boxes.append(
            (
                '🔗 Endpoint',
                [('⛓ Protocol', protocol), ('🏠 Local', local), ('🔒 Private', f'{private}:{address.port}')],
            )
        )
        if address.protocol is ProtocolType.HTTP:
            scheme = 'https' if address.tls else 'http'
            pages = [(title, f'{scheme}://localhost:{address.port}{path}') for title, path in _HTTP_PAGES]
            boxes.append(('💎 HTTP extension', pages))
    return boxes


def multiplicity(options: DeploymentOptions) -> str:
    """How many shards and replicas a Deployment has, in words; empty if it is one process."""
    counts = ((options.shards, 'shards'), (1 if options.external else options.replicas, 'replicas'))
    return ' of '.join(f'{count} {what}' for count, what in counts if count > 1)


def show(
    kind: str,
    addresses: Sequence[PodAddress],
    deployments: Sequence[DeploymentOptions] = (),
    *,
    dashboard: str | None = None,
) -> None:
    """Print that a ``Deployment`` or ``Flow`` is ready, where it listens, and which of its Executors are several processes.

    Args:
        kind: ``Deployment`` or ``Flow``.
        addresses: Where the servers listen.
        deployments: Options of its Executors.
        dashboard: URL of the page about it, if there is one.
    """
    from rich import box  # noqa: PLC0415 - costs 40 ms that a quiet start needn't pay
    from rich.console import Console  # noqa: PLC0415
    from rich.panel import Panel  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(highlight=False)
    console.rule(f':tada: {kind} is ready to serve!')
    several = [(str(options.name), words) for options in deployments if (words := multiplicity(options))]
    further = [('🧩 Executors', several)] if several else []
    if dashboard is not None:
        further.append(('📈 Dashboard', [('🏠 Local', dashboard)]))
    for title, entries in [*rows(addresses), *further]:
        table = Table(box=None, show_header=False, padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(justify='right', style='bold cyan', no_wrap=True, overflow='fold')
        for label, value in entries:
            table.add_row(label, value)
        console.print(Panel(table, title=f'[b]{title}[/]', box=box.ROUNDED, expand=False))
