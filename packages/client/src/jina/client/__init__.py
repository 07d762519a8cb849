"""Synchronous and asynchronous client of the jina serving framework."""

from jina.client.client import (
    AsyncClient,
    AsyncGRPCClient,
    AsyncHTTPClient,
    AsyncWebSocketClient,
    BaseClient,
    Client,
    GRPCClient,
    HTTPClient,
    SyncClient,
    WebSocketClient,
)
from jina.client.mixin import HealthCheckMixin, MutateMixin, PostMixin, ProfileMixin

__all__ = [
    'AsyncClient',
    'AsyncGRPCClient',
    'AsyncHTTPClient',
    'AsyncWebSocketClient',
    'BaseClient',
    'Client',
    'GRPCClient',
    'HTTPClient',
    'HealthCheckMixin',
    'MutateMixin',
    'PostMixin',
    'ProfileMixin',
    'SyncClient',
    'WebSocketClient',
]
