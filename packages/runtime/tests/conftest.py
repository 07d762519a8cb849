"""Workers and gateways on free loopback ports, in the test's own event loop, and raw gRPC calls to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from docarray import BaseDoc, DocList
from jina.core import wire
from jina.core.config import ExecutorOptions, GatewayOptions
from jina.core.grpc_stream import GrpcStream
from jina.core.lane import SharedLane
from jina.core.local_stream import LocalStream
from jina.core.request import DataRequest
from jina.runtime.process import PodServer


class Text(BaseDoc):
    text: str = ''


@dataclass
class Running:
    pod: PodServer
    address: str
    """``host:port``."""


class Cluster:
    """Starts pods and calls them; stops everything at the end of the test."""

    Text = Text

    def __init__(self, stack: contextlib.AsyncExitStack) -> None:
        self._stack = stack
        self._channels: dict[str, Any] = {}
        self.running: list[Running] = []

    async def worker(self, uses: Any, name: str = 'executor', **options: Any) -> Running:
        values = {'uses': uses, 'name': name, 'host': '127.0.0.1', 'log_config': 'plain', **options}
        return await self._start(ExecutorOptions(**values))

    async def gateway(self, graph: dict[str, list[str]], addresses: dict[str, Any], **options: Any) -> Running:
        values = {'graph_description': graph, 'deployments_addresses': addresses, 'host': '127.0.0.1', **options}
        return await self._start(GatewayOptions(**values))

    async def flow(self, *uses: Any, **options: Any) -> Running:
        """A gateway in front of a chain of new workers named e1, e2, ..."""
        workers = [await self.worker(one, f'e{number}') for number, one in enumerate(uses, 1)]
        names = [f'e{number}' for number in range(1, len(workers) + 1)]
        graph = {
            source: [target] for source, target in zip(['start-gateway', *names], [*names, 'end-gateway'], strict=True)
        }
        return await self.gateway(graph, {name: [w.address] for name, w in zip(names, workers, strict=True)}, **options)

    async def _start(self, options: Any) -> Running:
        pod = PodServer(options)
        addresses = await pod.start()
        self._stack.push_async_callback(pod.stop, 0.5)
        self.running.append(Running(pod, addresses[0].target))
        return self.running[-1]

    def channel(self, address: str) -> Any:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(
                address, options=[('grpc.use_local_subchannel_pool', 1)]
            )
            self._stack.push_async_callback(self._channels[address].close)
        return self._channels[address]

    def lane_call(self, address: str) -> GrpcStream:
        """Begins the call of a fast lane."""
        return GrpcStream(self.channel(address).stream_stream(wire.FAST_LANE)())

    async def call(self, address: str, request: DataRequest, **options: Any) -> DataRequest:
        """Sends one request by ``process_single_data``."""
        raw = await self.channel(address).unary_unary(wire.PROCESS_SINGLE_DATA)(
            request.to_bytes(), **{'timeout': 10, **options}
        )
        return DataRequest.from_bytes(raw)

    async def post(self, address: str, endpoint: str, *texts: str, **header: Any) -> DataRequest:
        """Sends texts and returns the response, its documents typed as ``Text``."""
        response = await self.call(address, make_request(endpoint, *texts, **header))
        response.document_array_cls = DocList[Text]
        return response


async def go_through_the_door(lane: SharedLane) -> None:
    """Returns when a lane to a server of this machine has no gRPC in it any more."""
    lane._begin()
    assert lane._moving is not None
    await asyncio.wait_for(lane._moving, 20)
    assert lane._session is not None and isinstance(lane._session.lane._call, LocalStream)


@pytest.fixture
def by_door() -> Callable[[SharedLane], Any]:
    """``go_through_the_door``."""
    return go_through_the_door


def make_request(endpoint: str, *texts: str, parameters: dict[str, Any] | None = None, target: str = '') -> DataRequest:
    """A request with one document per text, whose id is the text."""
    request = DataRequest()
    request.exec_endpoint = endpoint
    request.docs = DocList[Text]([Text(id=text, text=text) for text in texts])
    if parameters:
        request.parameters = parameters
    if target:
        request.target_executor = target
    return request


@pytest.fixture
def request_of() -> Callable[..., DataRequest]:
    """``make_request``."""
    return make_request


async def wait_until(condition: Callable[[], bool]) -> None:
    """Returns when a condition that nobody tells of is met."""
    deadline = asyncio.get_running_loop().time() + 20
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], Any]:
    """``wait_until``."""
    return wait_until


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Starts pods and calls them."""
    async with contextlib.AsyncExitStack() as stack:
        yield Cluster(stack)
