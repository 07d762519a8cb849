"""Pods that speak WebSocket, in the test's own event loop, and connections to them."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.config import DeploymentOptions, ExecutorOptions, GatewayOptions
from jina.core.document_stream import STREAM_KEY
from jina.core.request import DataRequest
from jina.runtime.process import PodServer
from websockets.asyncio.client import ClientConnection, connect


@dataclass
class Site:
    """A server that listens."""

    pod: PodServer
    port: int

    @contextlib.asynccontextmanager
    async def connect(
        self, subprotocol: str | None = 'bytes', path: str = '/', **options: Any
    ) -> AsyncIterator[ClientConnection]:
        subprotocols: Any = [subprotocol] if subprotocol else None
        async with connect(
            f'ws://127.0.0.1:{self.port}{path}',
            subprotocols=subprotocols,
            **{'compression': None, 'proxy': None, 'max_size': None, **options},
        ) as connection:
            yield connection

    async def ask_json(self, message: Any) -> Any:
        """Sends one message of JSON and returns the answer."""
        async with self.connect('json') as connection:
            await connection.send(message if isinstance(message, str) else json.dumps(message))
            return json.loads(await connection.recv())


@dataclass
class Sites:
    """Starts pods; stops everything at the end of the test."""

    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def deployment(self, uses: Any, **options: Any) -> Site:
        """An Executor that speaks WebSocket itself."""
        values = {'uses': uses, 'protocol': 'websocket', 'host': '127.0.0.1', 'quiet_error': True, **options}
        return await self._start(DeploymentOptions(**values))

    async def flow(self, *uses: Any, **options: Any) -> Site:
        """A WebSocket gateway in front of a chain of new Executors named e1, e2, ..."""
        names = [f'e{number}' for number in range(1, len(uses) + 1)]
        self.executors = [
            await self._start(ExecutorOptions(uses=one, name=name, host='127.0.0.1', quiet_error=True))
            for one, name in zip(uses, names, strict=True)
        ]
        addresses = {name: [f'127.0.0.1:{site.port}'] for name, site in zip(names, self.executors, strict=True)}
        return await self.gateway(addresses, **options)

    async def gateway(self, addresses: dict[str, list[str]], **options: Any) -> Site:
        names = list(addresses)
        graph = {
            source: [target] for source, target in zip(['start-gateway', *names], [*names, 'end-gateway'], strict=True)
        }
        values = {'graph_description': graph, 'deployments_addresses': addresses, 'protocol': 'websocket', **options}
        return await self._start(GatewayOptions(host='127.0.0.1', **values))

    async def _start(self, options: Any) -> Site:
        pod = PodServer(options)
        addresses = await pod.start()
        self.stack.push_async_callback(pod.stop, 0.5)
        return Site(pod, addresses[0].port)


def make_message(endpoint: str, *texts: str, stream: bool = False, **parameters: Any) -> bytes:
    """A serialised request with one document per text."""
    request = DataRequest()
    request.exec_endpoint = endpoint
    request.docs = DocList[TextDoc]([TextDoc(text=text) for text in texts])
    request.parameters = {**parameters, STREAM_KEY: True} if stream else parameters
    return request.to_bytes()


def read_texts(message: str | bytes) -> list[str]:
    """The texts in a serialised response."""
    assert isinstance(message, bytes)
    response = DataRequest.from_bytes(message)
    response.document_array_cls = DocList[TextDoc]
    return [doc.text for doc in response.docs]


@pytest.fixture
def message_of() -> Any:
    """``make_message``."""
    return make_message


@pytest.fixture
def texts_of() -> Any:
    """``read_texts``."""
    return read_texts


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
async def sites() -> AsyncIterator[Sites]:
    """Starts pods that speak WebSocket."""
    opened = Sites()
    async with opened.stack:
        yield opened
