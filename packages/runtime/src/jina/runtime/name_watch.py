"""Names that stand for several addresses: all of them are used, and those that come and go are noticed.

A headless Service of Kubernetes, or a network alias of Docker, is such a name: it resolves to the address of each replica that is
ready. gRPC connects to one of them and stays there, which is why the original needs a service mesh in front of replicas.
Here ``dns://name:port`` in the place of an address makes a gateway or head look the name up again and again and share requests
out by itself, to the replica with the fewest under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Final

from jina.core.config.address import parse_host
from jina.core.errors import ConfigError
from jina.core.logging.logger import JinaLogger
from jina.runtime.connections import PeerGroup

__all__ = ['NameWatch', 'is_followed', 'without_scheme']

SCHEME: Final = 'dns://'
INTERVAL_S: Final = 5.0
"""Seconds between two look-ups: what cluster name servers let clients keep an answer for."""
_HURRIED_S: Final = 0.5
"""The same while a replica is down, or the name is not known."""
_FIRST_WAIT_S: Final = 5.0
_GRACE_S: Final = 30.0


def is_followed(address: str) -> bool:
    """Whether an address is a name to follow."""
    return address.startswith(SCHEME)


def without_scheme(address: str) -> str:
    """Returns the address as it is connected to while nothing is known about it.

    Raises:
        ConfigError: It has no port.
    """
    rest = address.removeprefix(SCHEME)
    if is_followed(address) and parse_host(rest).port is None:
        raise ConfigError(f'{address!r} has no port', hint='write dns://<name>:<port>')
    return rest


class NameWatch:
    """Keeps the replicas of a group as the name servers tell them.

    Args:
        group: The replicas.
        addresses: Addresses, some of which are followed.
        logger: Told about changes.
        interval_s: Seconds between two look-ups.
    """

    def __init__(
        self, group: PeerGroup, addresses: Sequence[str], logger: JinaLogger, *, interval_s: float = INTERVAL_S
    ) -> None:
        self._group = group
        self._addresses = list(addresses)
        self._logger = logger
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None
        self._known: list[str] = []
        self._looked = asyncio.Event()
        self._hurry = asyncio.Event()
        group.on_down = self._hurry.set

    async def start(self) -> None:
        """Begins to follow; returns when the names were looked up once, or after some seconds."""
        self._task = asyncio.create_task(self._run())
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._looked.wait(), _FIRST_WAIT_S)

    async def close(self) -> None:
        """Stops to follow."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        retired: set[asyncio.Task[None]] = set()
        try:
            while True:
                found = await self._look_up()
                if found and found != self._known:
                    self._known = found
                    self._logger.info('deployment %s has the addresses %s', self._group.name, ', '.join(found))
                    # not awaited: replicas that leave still answer what they have
                    change = asyncio.create_task(self._group.update(found, _GRACE_S))
                    retired.add(change)
                    change.add_done_callback(retired.discard)
                    await asyncio.sleep(0)
                if found:
                    self._looked.set()
                await self._pause(known=bool(found))
        finally:
            for change in retired:
                change.cancel()

    async def _pause(self, *, known: bool) -> None:
        """Waits for the next look-up. It comes soon if a replica is down: who takes its place may be known already."""
        if not known or self._group.misses_one:
            await asyncio.sleep(min(_HURRIED_S, self._interval_s))
            return
        self._hurry.clear()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), self._interval_s)

    async def _look_up(self) -> list[str]:
        """Returns all addresses, sorted; none if a name isn't known at the moment: then those from before stay."""
        found: set[str] = set()
        loop = asyncio.get_running_loop()
        for address in self._addresses:
            if not is_followed(address):
                found.add(address)
                continue
            parsed = parse_host(without_scheme(address))
            try:
                infos = await loop.getaddrinfo(parsed.host, parsed.port, type=socket.SOCK_STREAM)
            except OSError:
                self._logger.debug('the name %s is not known at the moment', parsed.host)
                return []
            for *_, target in infos:
                host, port = str(target[0]), int(target[1])
                found.add(f'[{host}]:{port}' if ':' in host else f'{host}:{port}')
        return sorted(found)
