"""The metrics of processes, read again and again over HTTP."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Final

from jina.client.dashboard.exposition import parse_samples
from jina.client.dashboard.window import SlidingWindow
from jina.core.config.address import parse_host
from jina.core.errors import ConfigError

__all__ = ['WINDOW_S', 'Process', 'processes_of']

WINDOW_S: Final = 30.0
"""Seconds that percentiles are about."""
_TIMEOUT_S: Final = 2.0


class Process:
    """One process that serves metrics.

    Args:
        address: ``host:port``.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.window = SlidingWindow(WINDOW_S)
        self.name = ''
        """What it calls itself, for example ``encoder/rep-0``; empty until it has answered once."""
        self.error: str | None = 'it was not asked yet'
        """Why the last try failed; None if it didn't."""
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @property
    def deployment(self) -> str:
        """The Deployment that it belongs to."""
        return self.name.partition('/')[0]

    def scrape(self) -> None:
        """Asks it once."""
        try:
            with self._opener.open(f'http://{self.address}/metrics', timeout=_TIMEOUT_S) as answer:
                text = answer.read().decode(errors='replace')
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            self.error = f'no answer from {self.address}: {reason}'
            return
        samples = parse_samples(text, 'jina_')
        names = [sample.labels['runtime_name'] for sample in samples if 'runtime_name' in sample.labels]
        if not names:
            self.error = f'{self.address} answers, but not with metrics of a Flow: is it the port_monitoring?'
            return
        self.name, self.error = names[0], None
        self.window.add(time.monotonic(), samples)


def processes_of(addresses: Sequence[str]) -> list[Process]:
    """Returns the processes at addresses.

    Raises:
        ConfigError: One is no ``host:port``.
    """
    found = []
    for address in dict.fromkeys(addresses):
        parsed = parse_host(address.removeprefix('http://').removesuffix('/metrics'))
        if parsed.port is None or parsed.protocol is not None:
            raise ConfigError(f'metrics has {address!r}', hint='give host:port, where a process serves its metrics')
        host = f'[{parsed.host}]' if ':' in parsed.host else parsed.host
        found.append(Process(f'{host}:{parsed.port}'))
    return found
