"""Synchronous and asynchronous client of the jina serving framework."""

from jina.client.client import (
    AsyncClient,
    AsyncGRPCClient,
    AsyncHTTPClient,
    BaseClient,
    Client,
    GRPCClient,
    HTTPClient,
    SyncClient,
)
from jina.client.mixin import HealthCheckMixin, PostMixin, ProfileMixin

__all__ = [
    'AsyncClient',
    'AsyncGRPCClient',
    'AsyncHTTPClient',
    'BaseClient',
    'Client',
    'GRPCClient',
    'HTTPClient',
    'HealthCheckMixin',
    'PostMixin',
    'ProfileMixin',
    'SyncClient',
]
