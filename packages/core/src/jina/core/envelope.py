"""Envelopes of received requests as bytes: what is asked of most requests is known without parsing them.

The requests of a client differ in their ids and documents, hardly ever in anything else. So the rest of a header, and what
stands between the header and the documents, are parsed by protobuf once and looked up from then on; and a response is put
together from the bytes of its request.
"""

from __future__ import annotations

import marshal
from functools import lru_cache
from typing import Any, Final

from google.protobuf.message import DecodeError

from jina.core.errors import RequestTypeError
from jina.core.protobuf_bytes import field, read_varint
from jina.core.structs import struct_to_dict
from jina.core.wire import DataRequestProto, HeaderProto, RouteProto, StatusProto

__all__ = ['Envelope', 'fingerprint', 'read_endpoint', 'read_envelope', 'route_bytes']

_HEADER: Final = 0x0A
_REQUEST_ID: Final = 0x0A
_PARAMETERS: Final = 0x12
_ROUTE: Final = 0x1A
_DATA: Final = 0x22
_KNOWN: Final = 500
"""Different headers that are remembered, and as many different parameters: clients choose them."""
_LONGEST: Final = 700
"""Bytes of an envelope that is remembered."""


class _Header:
    """All of a header but the id."""

    __slots__ = ('endpoint', 'is_error', 'note', 'target')

    def __init__(self, raw: bytes) -> None:
        proto = HeaderProto.FromString(raw)
        if proto.request_id:
            raise ValueError('a second request id')
        self.endpoint: str = proto.exec_endpoint
        self.target: str = proto.target_executor
        self.is_error: bool = proto.status.code == StatusProto.ERROR
        self.note: str = '' if self.is_error else proto.status.description


class Envelope:
    """Everything of a request but its documents, not parsed.

    Attributes:
        raw: The request.
        routes_at: Where its routes begin.
        end: Where what is kept of its envelope ends.
        documents_at: Where the field with the documents begins.
        data_at: Where the content of that field begins.
        endpoint: ``header.exec_endpoint``.
        target: ``header.target_executor``.
        is_error: Whether the status is ERROR.
        note: Description of a status that is not ERROR.
        parameters: The parameters by ``marshal``, see ``fingerprint``.
        added: Routes behind those that were received, serialised.
    """

    __slots__ = (
        'added',
        'data_at',
        'documents_at',
        'end',
        'endpoint',
        'is_error',
        'note',
        'parameters',
        'raw',
        'routes_at',
        'target',
    )

    def __init__(
        self, raw: bytes, header: _Header, parameters: bytes | None, routes_at: int, end: int, data_at: int
    ) -> None:
        self.raw = raw
        self.routes_at = routes_at
        self.end = end
        self.documents_at = end
        self.data_at = data_at
        self.endpoint = header.endpoint
        self.target = header.target
        self.is_error = header.is_error
        self.note = header.note
        self.parameters = parameters
        self.added = b''

    @property
    def request_id(self) -> str:
        """``header.request_id``."""
        raw = self.raw
        return raw[4 : 4 + raw[3]].decode() if raw[2] == _REQUEST_ID else ''

    @property
    def head(self) -> bytes:
        """The envelope, serialised."""
        return self.raw[: self.end] + self.added

    def to_bytes(self) -> bytes:
        """Serialises the request with its documents."""
        raw = self.raw
        if not self.added and self.end == self.documents_at:
            return raw
        return b''.join((raw[: self.end], self.added, raw[self.documents_at :]))

    def replace_routes(self, routes: bytes) -> None:
        """Replaces all routes by serialised ones."""
        self.end = self.routes_at
        self.added = routes


def read_endpoint(raw: bytes) -> str | None:
    """Returns ``header.exec_endpoint`` of a serialised request; None if it isn't in the plain form that encoders write."""
    try:
        start = raw[1] + 2
        if raw[0] != _HEADER or start > 0x81:
            return None
        rest = 4 + raw[3] if raw[2] == _REQUEST_ID else 2
        return _header(raw[rest:start]).endpoint if rest <= start else None
    except (IndexError, TypeError, ValueError, DecodeError):
        return None


def read_envelope(raw: bytes) -> Envelope | None:
    """Finds the envelope of a serialised ``DataRequestProto``.

    Returns:
        None if the request isn't in the plain form that encoders write, is no request at all, or has so much in its
        envelope that protobuf had better look at it.
    """
    try:
        start = raw[1] + 2
        if raw[0] != _HEADER or start > 0x81:
            return None
        rest = 4 + raw[3] if raw[2] == _REQUEST_ID else 2
        if rest > start:
            return None
        position = start
        routes_at = 0
        while (tag := raw[position]) != _DATA:
            if tag == _ROUTE:
                routes_at = routes_at or position
            elif tag != _PARAMETERS or routes_at:
                return None
            size = raw[position + 1]
            position += 2
            if size > 0x7F:
                size, position = read_varint(raw, position - 1)
            position += size
        size = raw[position + 1]
        data_at = position + 2
        if size > 0x7F:
            size, data_at = read_varint(raw, position + 1)
        if data_at + size != len(raw) or position > _LONGEST or not raw[4:rest].isascii():
            return None
        header = _header(raw[rest:start])
        parameters = _parameters(raw[start:position])
    except (IndexError, ValueError, DecodeError, RequestTypeError):
        return None
    return Envelope(raw, header, parameters, routes_at or position, position, data_at)


@lru_cache(maxsize=_KNOWN)
def _header(raw: bytes) -> _Header:
    return _Header(raw)


@lru_cache(maxsize=_KNOWN)
def _parameters(raw: bytes) -> bytes | None:
    """Parses parameters and routes; returns the parameters' fingerprint."""
    proto = DataRequestProto.FromString(raw)
    return fingerprint(struct_to_dict(proto.parameters) if proto.HasField('parameters') else {})


@lru_cache(maxsize=1000)
def route_bytes(executor: str) -> bytes:
    """Returns a route without times as a field of a serialised request."""
    return field(_ROUTE >> 3, RouteProto(executor=executor).SerializeToString())


def fingerprint(parameters: dict[str, Any]) -> bytes | None:
    """Returns bytes for parameters, or None. As those from the wire hold plain types only, no others have the same bytes.

    To compare them is cheaper by far than to build the Struct once more: an Executor reads the parameters of each request,
    and rarely changes them.
    """
    try:
        # Version 0 writes values alone: later ones also write which objects are shared, which says nothing here.
        return marshal.dumps(parameters, 0)
    except ValueError:
        return None
