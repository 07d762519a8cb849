"""The standard gRPC health service, ``grpc.health.v1.Health``, written by hand to save a dependency.

Its messages have one field each, so the few bytes that they are on the wire are written down here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from enum import IntEnum
from typing import Final

from jina.core.calls import StatusCode
from jina.runtime.methods import Context, Method, MethodTable

SERVICE_NAME: Final = 'grpc.health.v1.Health'

_NAME_TAG: Final = 0x0A
_STATUS_TAG: Final = 0x08


class ServingStatus(IntEnum):
    """Values of ``HealthCheckResponse.ServingStatus``."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


class Health:
    """Holds the status of a server and answers Check, List and Watch.

    Args:
        services: The names that can be asked for, besides ``''`` which stands for the whole server.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = ('', *services)
        self._status = ServingStatus.NOT_SERVING
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def status(self) -> ServingStatus:
        """What Check answers for every known service."""
        return self._status

    def set(self, status: ServingStatus) -> None:
        """Changes the status and tells everyone who watches."""
        self._status = status
        self._wake()

    def close(self) -> None:
        """Reports NOT_SERVING and ends all watches."""
        self._closed = True
        self.set(ServingStatus.NOT_SERVING)

    def methods(self) -> MethodTable:
        """Returns the methods that a gRPC server adds."""
        return MethodTable(
            {
                f'/{SERVICE_NAME}/Check': Method(self._check),
                f'/{SERVICE_NAME}/List': Method(self._list),
                f'/{SERVICE_NAME}/Watch': Method(self._watch, response_streaming=True),
            }
        )

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _check(self, request: bytes, context: Context) -> bytes:
        service = service_of(request)
        if service not in self._services:
            await context.abort(StatusCode.NOT_FOUND, f'service {service!r} is unknown here')
        return encode_status(self._status)

    async def _list(self, request: bytes, context: Context) -> bytes:
        status = encode_status(self._status)
        return b''.join(_encode_entry(service, status) for service in self._services)

    async def _watch(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        known = service_of(request) in self._services
        last: ServingStatus | None = None
        while True:
            changed = self._changed
            status = self._status if known else ServingStatus.SERVICE_UNKNOWN
            if status is not last:
                last = status
                yield encode_status(status)
            if self._closed:
                return
            await changed.wait()


def service_of(request: bytes) -> str:
    """Returns the service name in a serialised ``HealthCheckRequest``; the name is its only field."""
    if len(request) < 2 or request[0] != _NAME_TAG:
        return ''
    size, shift, position = 0, 0, 1
    while position < len(request):
        byte = request[position]
        position += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return request[position : position + size].decode('utf-8', 'replace')


def encode_status(status: ServingStatus) -> bytes:
    """Returns a serialised ``HealthCheckResponse``."""
    return bytes((_STATUS_TAG, status))


def decode_status(response: bytes) -> ServingStatus:
    """Returns the status in a serialised ``HealthCheckResponse``."""
    return ServingStatus(response[1]) if len(response) > 1 and response[0] == _STATUS_TAG else ServingStatus.UNKNOWN


def _encode_entry(service: str, status: bytes) -> bytes:
    """Returns one entry of the map in ``HealthListResponse``; all lengths are below 128."""
    name = service.encode()
    entry = bytes((_NAME_TAG, len(name))) + name + bytes((0x12, len(status))) + status
    return bytes((_NAME_TAG, len(entry))) + entry
