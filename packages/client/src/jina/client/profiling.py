"""Where the time of a request goes, from the routes that the response carries."""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jina.client.transports.base import CallOptions, RequestSource, Transport
from jina.core.config import PodAddress
from jina.core.enums import ProtocolType
from jina.core.errors import ServerError
from jina.core.request import DataRequest, Response
from jina.core.wire import DRY_RUN_ENDPOINT

if TYPE_CHECKING:
    from jina.core.wire import RouteProto
    from rich.tree import Tree

__all__ = ['Profile', 'profile_of']


@dataclass(frozen=True)
class Profile:
    """One request's time, in milliseconds."""

    roundtrip_ms: float
    """From sending until the response was there, at the client."""
    server_ms: float
    """The same at the gateway, or at the Executor if there is no gateway."""
    executors_ms: dict[str, float]
    """Each Deployment, network included, as the gateway saw it; empty over HTTP."""

    @property
    def network_ms(self) -> float:
        """Between client and server."""
        return max(self.roundtrip_ms - self.server_ms, 0.0)

    @property
    def gateway_ms(self) -> float:
        """In the gateway itself. Branches that ran side by side are counted with their sum, but never below 0."""
        return max(self.server_ms - sum(self.executors_ms.values()), 0.0)

    def tree(self) -> Tree:
        """Returns the measurement for a console."""
        from rich.tree import Tree  # noqa: PLC0415 - only shown profiles need it

        root = Tree(_line('Roundtrip', self.roundtrip_ms, self.roundtrip_ms))
        root.add(_line('Client-server network', self.network_ms, self.roundtrip_ms))
        server = root.add(_line('Server', self.server_ms, self.roundtrip_ms))
        if self.executors_ms:
            server.add(_line('Gateway-executors network', self.gateway_ms, self.server_ms))
        for name, duration in self.executors_ms.items():
            server.add(_line(name, duration, self.server_ms))
        return root

    def show(self) -> None:
        """Prints the measurement as a tree."""
        from rich.console import Console  # noqa: PLC0415

        Console().print(self.tree())


def _line(name: str, part_ms: float, whole_ms: float) -> str:
    share = part_ms / whole_ms if whole_ms else 0.0
    return f'{name} {part_ms:.1f}ms {share:.0%}'


class _OneRequest(RequestSource):
    total = 1

    def __init__(self, request: DataRequest) -> None:
        self._requests = [request]

    async def __anext__(self) -> DataRequest:
        if not self._requests:
            raise StopAsyncIteration
        return self._requests.pop()


async def profile_of(transport: Transport, address: PodAddress) -> Profile:
    """Sends a request without documents through all Executors and measures its way.

    A request before that one opens what is needed for it, so that the time to connect is not in the measurement.

    Raises:
        TransportError: The network failed.
        ServerError: The server failed.
    """
    if address.protocol == ProtocolType.HTTP:
        return await _profile_http(transport)
    await _send(transport)
    start = time.perf_counter()
    response = await _send(transport)
    return _read(response, _ms_since(start))


async def _send(transport: Transport) -> Response:
    request = DataRequest()
    request.exec_endpoint = DRY_RUN_ENDPOINT
    async with aclosing(transport.exchange(_OneRequest(request), CallOptions())) as responses:
        (response,) = await anext(responses)
    return response


async def _profile_http(transport: Transport) -> Profile:
    """Answers over HTTP don't tell their way: a dry run beside a request that stays at the server tells two parts of it."""
    await transport.check_health(None)
    start = time.perf_counter()
    await transport.check_health(None)
    network_ms = _ms_since(start)
    start = time.perf_counter()
    await transport.dry_run(None)
    roundtrip_ms = _ms_since(start)
    return Profile(roundtrip_ms, max(roundtrip_ms - network_ms, 0.0), {})


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000


def _read(response: Response, roundtrip_ms: float) -> Profile:
    if response.is_error:
        raise ServerError(f'the profiled request failed: {response.status.description}')
    durations = [(route.executor, _duration_ms(route)) for route in response.routes]
    if not durations:
        return Profile(roundtrip_ms, roundtrip_ms, {})
    (_, server_ms), *executors = durations
    return Profile(roundtrip_ms, server_ms or roundtrip_ms, dict(executors))


def _duration_ms(route: RouteProto) -> float:
    if not route.HasField('end_time'):
        return 0.0
    return (route.end_time.ToNanoseconds() - route.start_time.ToNanoseconds()) / 1e6
