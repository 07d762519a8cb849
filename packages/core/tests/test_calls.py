from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from jina.core.calls import EOF, CallError, StatusCode
from jina.core.grpc_stream import GrpcStream, failure_of


def test_the_statuses_are_those_of_grpc() -> None:
    assert {status.name: int(status) for status in StatusCode} == {code.name: code.value[0] for code in grpc.StatusCode}
    assert all(status.to_grpc() is grpc.StatusCode[status.name] for status in StatusCode)


def test_an_error_of_grpc_keeps_its_status_and_its_details() -> None:
    metadata = grpc.aio.Metadata()
    error = failure_of(grpc.aio.AioRpcError(grpc.StatusCode.ABORTED, metadata, metadata, 'no', None))
    assert (error.status, error.details(), str(error)) == (StatusCode.ABORTED, 'no', 'ABORTED: no')
    assert error.code() is grpc.StatusCode.ABORTED
    silent = failure_of(grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, metadata, metadata, None, None))
    assert (silent.status, silent.details()) == (StatusCode.CANCELLED, '')


@pytest.fixture
async def channel() -> AsyncIterator[Any]:
    """A channel to a server that sends back what it gets, and fails at ``fail``."""

    async def talk(messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for message in messages:
            if message == b'fail':
                await context.abort(grpc.StatusCode.DATA_LOSS, 'lost')
            yield message

    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(talk)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('calls.Test', {'Talk': handler}),))
    port = server.add_insecure_port('127.0.0.1:0')
    await server.start()
    async with grpc.aio.insecure_channel(f'127.0.0.1:{port}') as made:
        yield made
    await server.stop(None)


async def test_a_stream_ends_with_our_own_end(channel: Any) -> None:
    stream = GrpcStream(channel.stream_stream('/calls.Test/Talk')())
    await stream.write(b'')
    assert await stream.read() == b''
    await stream.done_writing()
    assert await stream.read() is EOF
    with pytest.raises(asyncio.InvalidStateError):
        await stream.write(b'more')


async def test_a_stream_fails_with_our_own_error(channel: Any) -> None:
    stream = GrpcStream(channel.stream_stream('/calls.Test/Talk')())
    await stream.write(b'fail')
    for _ in range(2):
        with pytest.raises(CallError, match='DATA_LOSS: lost') as caught:
            await stream.read()
        assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)
        assert caught.value.status is StatusCode.DATA_LOSS


async def test_a_stream_that_this_side_cancels(channel: Any) -> None:
    stream = GrpcStream(channel.stream_stream('/calls.Test/Talk')())
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream.read()
