"""Requests and responses between bytes and objects, at the edge of a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from google.protobuf.message import DecodeError
from jina.core import wire
from jina.core.errors import JinaError, RequestTypeError
from jina.core.payloads import Payload, as_bytes
from jina.core.request import DataRequest

Blame: TypeAlias = Callable[[JinaError, DataRequest], str]


def read_many(raw: Payload) -> list[DataRequest]:
    """Parses a ``DataRequestListProto``.

    Raises:
        RequestTypeError: The bytes are something else.
    """
    try:
        batch = wire.DataRequestListProto.FromString(as_bytes(raw))
    except DecodeError as error:
        raise RequestTypeError(f'{len(raw)} bytes are no DataRequestListProto: {error}') from error
    return [DataRequest(proto) for proto in batch.requests]


def serialise(response: DataRequest, blame: Blame | None = None) -> tuple[Payload, bool]:
    """Returns a response for the fast lane, and whether it is an error.

    A result that has no form on the wire is the Executor's mistake: the response becomes an error without documents.

    Args:
        response: The response.
        blame: Called with that error and the response; logs it, and returns the name of the Executor's class.
    """
    try:
        return response.to_payload(), response.is_error
    except JinaError as error:
        return _bare_error(response.header, error, blame(error, response) if blame else ''), True


def _bare_error(header: wire.HeaderProto, error: JinaError, executor: str) -> bytes:
    empty = DataRequest()
    empty.header.CopyFrom(header)
    empty.add_exception(error, executor)
    return empty.to_bytes()
