"""Pods that speak HTTP, in the test's own event loop, and a plain HTTP client from the standard library."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from jina.core.config import DeploymentOptions, ExecutorOptions, GatewayOptions
from jina.runtime.process import PodServer


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    """A server that listens."""

    pod: PodServer
    port: int

    async def request(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> Answer:
        """Sends one request; ``body`` is JSON unless it is bytes."""
        return await asyncio.to_thread(self._request, method, path, body, headers or {})

    async def post(self, path: str, body: Any, **kwargs: Any) -> Answer:
        return await self.request('POST', path, body, **kwargs)

    async def get(self, path: str, body: Any = None, **kwargs: Any) -> Answer:
        return await self.request('GET', path, body, **kwargs)

    def _request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=20)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {'content-type': 'application/json', **headers})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()


@dataclass
class Sites:
    """Starts pods; stops everything at the end of the test."""

    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def deployment(self, uses: Any, **options: Any) -> Site:
        """An Executor that speaks HTTP itself."""
        values = {'uses': uses, 'protocol': 'http', 'host': '127.0.0.1', **options}
        return await self._start(DeploymentOptions(**values))

    async def executor(self, uses: Any, name: str, **options: Any) -> Site:
        """An Executor that speaks gRPC, for a Flow."""
        return await self._start(ExecutorOptions(uses=uses, name=name, host='127.0.0.1', quiet_error=True, **options))

    async def flow(self, *uses: Any, **options: Any) -> Site:
        """An HTTP gateway in front of a chain of new Executors named e1, e2, ..."""
        names = [f'e{number}' for number in range(1, len(uses) + 1)]
        self.executors = [await self.executor(one, name) for one, name in zip(uses, names, strict=True)]
        addresses = {name: [f'127.0.0.1:{site.port}'] for name, site in zip(names, self.executors, strict=True)}
        return await self.gateway(names, addresses, **options)

    async def gateway(self, names: list[str], addresses: dict[str, list[str]], **options: Any) -> Site:
        graph = {
            source: [target] for source, target in zip(['start-gateway', *names], [*names, 'end-gateway'], strict=True)
        }
        values = {'graph_description': graph, 'deployments_addresses': addresses, **options}
        return await self._start(GatewayOptions(protocol='http', host='127.0.0.1', **values))

    async def _start(self, options: Any) -> Site:
        pod = PodServer(options)
        addresses = await pod.start()
        self.stack.push_async_callback(pod.stop, 0.5)
        return Site(pod, addresses[0].port)


@pytest.fixture
async def sites() -> AsyncIterator[Sites]:
    """Starts pods that speak HTTP."""
    opened = Sites()
    async with opened.stack:
        yield opened


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
