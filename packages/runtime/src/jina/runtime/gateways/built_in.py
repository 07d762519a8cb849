"""The gateways of the framework as classes, to name in ``uses`` and to extend."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from jina.core.enums import ProtocolType
from jina.runtime.gateways.base import Gateway
from jina.runtime.gateways.fastapi import FastAPIBaseGateway

__all__ = ['CompositeGateway', 'GRPCGateway', 'HTTPGateway', 'WebSocketGateway']


class CompositeGateway(Gateway):
    """The built-in gateway: serves each of its protocols at a port of its own."""

    limits_requests: ClassVar[bool] = True
    servers: list[Any]

    async def setup_server(self) -> None:
        """Makes the servers."""
        self.servers = [
            self._context.server(protocol, port) for protocol, port in zip(self.protocols, self.ports, strict=True)
        ]
        self._stopped = asyncio.Event()

    async def run_server(self) -> None:
        """Serves until ``shutdown``."""
        for server in self.servers:
            await server.start()
        await self._stopped.wait()

    async def shutdown(self) -> None:
        """Refuses new requests, answers those in flight, and stops the servers."""
        await asyncio.gather(*(server.stop(self._context.grace_s or None) for server in self.servers))
        self._stopped.set()

    def refresh(self) -> None:
        """Looks for the endpoints of the Executors again, soon."""
        for server in self.servers:
            if hasattr(server, 'refresh'):  # a gRPC server asks at each request
                server.refresh()


class GRPCGateway(CompositeGateway):
    """The built-in gateway for gRPC."""

    default_protocol: ClassVar[ProtocolType | None] = ProtocolType.GRPC
    serves: ClassVar[tuple[ProtocolType, ...]] = (ProtocolType.GRPC,)


class WebSocketGateway(CompositeGateway):
    """The built-in gateway for WebSocket."""

    default_protocol: ClassVar[ProtocolType | None] = ProtocolType.WEBSOCKET
    serves: ClassVar[tuple[ProtocolType, ...]] = (ProtocolType.WEBSOCKET,)


class HTTPGateway(FastAPIBaseGateway):
    """The built-in gateway for HTTP.

    A subclass may extend the property ``app``: take ``super().app``, add routes or middleware to it, or wrap it, and return it.
    """

    serves: ClassVar[tuple[ProtocolType, ...]] = (ProtocolType.HTTP,)
    limits_requests: ClassVar[bool] = True

    @property
    def app(self) -> Any:
        """The FastAPI application with the routes of all endpoints, which are added when the Executors are known."""
        if 'server' not in vars(self):
            self.server = self._context.server(ProtocolType.HTTP, self.port)
        return self.server.app

    async def setup_server(self) -> None:
        """Makes the server.

        Raises:
            ConfigError: ``app`` of a subclass is no application.
        """
        app = self._checked(self.app)
        if type(self).app is not HTTPGateway.app:
            self.server.extend(app)

    def refresh(self) -> None:
        """Looks for the endpoints of the Executors again, soon."""
        self.server.refresh()
