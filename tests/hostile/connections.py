"""Attacks on one kind of entry each: they send a payload and say what came back. Raising is for the server's faults."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from jina.core import frames, wire
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tests.hostile.victim import PATIENCE_S, Victim

NO_FAULT = frozenset({200, 400, 404, 405, 408, 413, 414, 415, 416, 417, 422, 426, 431, 499, 501, 503, 504, 505})
"""Statuses of an answer to nonsense: above all no 500."""
_FAULTS = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS}


_WRITE_FAILED = 'Internal error from Core'
"""What grpc.aio makes at the client of a call that the server has ended."""


class Fault(AssertionError):
    """The server did what it must not."""


async def unary(victim: Victim, port: int, method: str, payload: bytes) -> str:
    """One gRPC call."""
    call = victim.channel(port).unary_unary(method)
    try:
        answer = await call(payload, timeout=PATIENCE_S)
    except grpc.aio.AioRpcError as error:
        return _code(error, method, payload)
    if method == wire.PROCESS_SINGLE_DATA:
        return _status(answer)
    return 'OK'


async def stream_out(victim: Victim, port: int, payload: bytes) -> str:
    """One call of the method that streams documents."""
    call = victim.channel(port).unary_stream(wire.STREAM_DOC)(payload, timeout=PATIENCE_S)
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return _code(error, wire.STREAM_DOC, payload)
    return 'OK'


async def stream_both(victim: Victim, port: int, method: str, payloads: list[bytes]) -> str:
    """One call of a method that streams both ways."""

    async def sent() -> AsyncIterator[bytes]:
        for payload in payloads:
            yield payload

    call = victim.channel(port).stream_stream(method)(sent(), timeout=PATIENCE_S)
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return _code(error, method, payloads)
    return 'OK'


def _code(error: grpc.aio.AioRpcError, method: str, payload: Any) -> str:
    if error.details() == _WRITE_FAILED:
        return 'ended while the client wrote'
    if error.code() in _FAULTS:
        raise Fault(f'{method}: {error.code()} {error.details()} for {payload!r}')
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        raise Fault(f'{method} hangs for {payload!r}')
    return error.code().name


def _status(answer: bytes) -> str:
    status = wire.DataRequestProto.FromString(answer).header.status
    if status.code == wire.StatusProto.SUCCESS:
        return 'OK'
    return status.exception.name or 'ERROR'


async def door_of(victim: Victim, port: int) -> str:
    """Where a gRPC server listens for clients of its machine."""

    async def sent() -> AsyncIterator[bytes]:
        writer = frames.FrameWriter()
        writer.add(frames.HELLO, 0, frames.Hello().to_bytes())
        yield writer.take() or b''

    call = victim.channel(port).stream_stream(wire.FAST_LANE)(sent(), timeout=PATIENCE_S)
    async for frame in call:
        for kind, _, _, payload in frames.FrameReader().read(frame):
            if kind == frames.HELLO:
                return frames.Hello.from_bytes(payload).door
    raise Fault('the server has no fast lane')


async def local(door: str, chunks: list[bytes]) -> str:
    """Bytes on the local socket of a gRPC server."""
    reader, writer = await asyncio.open_unix_connection(f'\0{door}')
    with contextlib.suppress(OSError):
        for chunk in chunks:
            writer.write(chunk)
        await writer.drain()
        writer.write_eof()
        await asyncio.wait_for(reader.read(-1), PATIENCE_S)
    writer.close()
    return 'closed'


async def raw(port: int, payload: bytes) -> str:
    """Bytes on an HTTP port, and the statuses of what comes back until the server closes."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    answer = b''
    with contextlib.suppress(OSError):  # the server has closed
        writer.write(payload)
        await writer.drain()
        writer.write_eof()
    with contextlib.suppress(OSError):  # the server has closed
        answer = await asyncio.wait_for(reader.read(-1), PATIENCE_S)
    writer.close()
    statuses = re.findall(rb'^HTTP/1\.1 (\d+)', answer, re.MULTILINE)
    if any(int(status) not in NO_FAULT and int(status) != 100 for status in statuses):
        raise Fault(f'{answer[:500]!r} for {payload[:2000]!r}')
    return b','.join(statuses[:2]).decode() or 'nothing'


async def post(victim: Victim, port: int, path: str, body: bytes, content_type: str = 'application/json') -> str:
    """One POST."""
    headers = {'content-type': content_type}
    async with victim.session().post(f'http://127.0.0.1:{port}{path}', data=body, headers=headers) as answer:
        text = await answer.read()
        if answer.status not in NO_FAULT:
            raise Fault(f'POST {path} {content_type} {body[:2000]!r}: {answer.status} {text[:500]!r}')
        return str(answer.status)


async def talk(port: int, subprotocol: str | None, messages: list[Any]) -> str:
    """One WebSocket connection with some messages, until the server ends it or has nothing more to say."""
    subprotocols = [Subprotocol(subprotocol)] if subprotocol else None
    ending = b'\0' if subprotocol == 'bytes' else '{}'
    try:
        async with connect(
            f'ws://127.0.0.1:{port}', subprotocols=subprotocols, open_timeout=PATIENCE_S, close_timeout=PATIENCE_S
        ) as connection:
            for message in [*messages, ending]:
                await connection.send(message)
            async with asyncio.timeout(PATIENCE_S) if hasattr(asyncio, 'timeout') else contextlib.nullcontext():
                async for _ in connection:
                    pass
    except ConnectionClosed:
        pass
    except InvalidHandshake as error:
        return type(error).__name__
    if connection.close_code not in (1000, 1003, 1007, 1009):
        raise Fault(f'{subprotocol}: closed with {connection.close_code} {connection.close_reason} for {messages!r}')
    return str(connection.close_code)


async def after_handshake(port: int, payload: bytes) -> str:
    """Bytes on a WebSocket connection after its handshake."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    writer.write(
        b'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n'
        b'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
    )
    with contextlib.suppress(OSError):  # the server has closed
        head = await asyncio.wait_for(reader.readuntil(b'\r\n\r\n'), PATIENCE_S)
        if b' 101 ' not in head:
            raise Fault(f'no handshake: {head!r}')
        writer.write(payload)
        await writer.drain()
        writer.write_eof()
        await asyncio.wait_for(reader.read(-1), PATIENCE_S)
    writer.close()
    return 'closed'
