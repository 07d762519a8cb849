"""The C library's clients of gRPC against our server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from jina.runtime.http2.server import Http2Server
from jina.runtime.http2.settings import Settings

Serve = Any
WINDOW = 1 << 18
LIMIT = 1 << 31


async def test_unary_calls_by_callback_and_by_coroutine(serve: Serve) -> None:
    serving = await serve()
    async with serving.channel() as channel:
        for method in ('Direct', 'Echo'):
            call = channel.unary_unary(f'/test.Service/{method}')
            assert await call(b'') == b''
            assert await call(b'hello') == b'hello'
            assert await asyncio.gather(*(call(str(n).encode()) for n in range(300))) == [
                str(n).encode() for n in range(300)
            ]


@pytest.mark.parametrize('method', ['Direct', 'Echo'])
@pytest.mark.parametrize('size', [WINDOW - 5, WINDOW, WINDOW + 1, 1 << 22, 70_000_000])
async def test_messages_of_any_size(serve: Serve, method: str, size: int) -> None:
    serving = await serve()
    message = (b'0123456789abcde' * (size // 15 + 1))[:size]
    async with serving.channel() as channel:
        assert await channel.unary_unary(f'/test.Service/{method}')(message) == message


async def test_metadata_in_both_directions(serve: Serve) -> None:
    serving = await serve()
    sent = (('x-key', 'value'), ('x-raw-bin', b'\x00\x01\xff'), ('x-key', 'again'))
    async with serving.channel() as channel:
        call = channel.unary_unary('/test.Service/Echo')(b'x', metadata=sent)
        await call
        trailing = dict(list(await call.trailing_metadata()))
        got = serving.methods.metadata
        assert sorted(str(one) for one in got if one[0].startswith('x-')) == sorted(str(one) for one in sent)
        assert trailing['raw-bin'] == b'\x00\xff'
        assert trailing['peer'].startswith('ipv4:127.0.0.1:')
        call = channel.unary_unary('/test.Service/Direct')(b'tell', metadata=sent)
        assert await call == b'tell'
        assert dict(list(await call.trailing_metadata()))['told'] == 'yes'
        assert ('x-raw-bin', b'\x00\x01\xff') in serving.methods.metadata


async def test_metadata_longer_than_a_frame(serve: Serve) -> None:
    serving = await serve()
    value = 'v' * 40_000
    async with serving.channel(('grpc.max_metadata_size', 100_000)) as channel:
        await channel.unary_unary('/test.Service/Direct')(b'', metadata=(('x-long', value),))
    assert dict(serving.methods.metadata)['x-long'] == value


@pytest.mark.parametrize(
    ('method', 'code', 'details'),
    [
        ('Refuse', grpc.StatusCode.UNKNOWN, 'nö, 100 %'),
        ('Fail', grpc.StatusCode.UNKNOWN, "Unexpected <class 'ValueError'>: boom"),
        ('Abort', grpc.StatusCode.DATA_LOSS, 'gone'),
        ('Nothing', grpc.StatusCode.UNIMPLEMENTED, 'Method not found!'),
    ],
)
async def test_failures(serve: Serve, method: str, code: grpc.StatusCode, details: str) -> None:
    serving = await serve()
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with serving.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f'/test.Service/{method}')(b'x')
    assert caught.value.code() is code
    assert caught.value.details() == details
    if method in ('Refuse', 'Abort'):
        assert len(caught.value.trailing_metadata()) == 1


@pytest.mark.parametrize('method', ['Hold', 'Wait'])
async def test_a_deadline_ends_the_work(serve: Serve, method: str) -> None:
    serving = await serve()
    async with serving.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f'/test.Service/{method}')(b'x', timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(serving.methods.cancelled.wait(), 5)
        assert await channel.unary_unary('/test.Service/Direct')(b'on') == b'on'


@pytest.mark.parametrize('method', ['Hold', 'Wait'])
async def test_a_client_that_cancels_ends_the_work(serve: Serve, method: str) -> None:
    serving = await serve()
    async with serving.channel() as channel:
        call = channel.unary_unary(f'/test.Service/{method}')(b'x')
        await asyncio.wait_for(serving.methods.begun.wait(), 5)
        call.cancel()
        await asyncio.wait_for(serving.methods.cancelled.wait(), 5)


@pytest.mark.parametrize('method', ['Hold', 'Wait'])
async def test_a_client_that_is_gone_ends_the_work(serve: Serve, method: str) -> None:
    serving = await serve()
    channel = serving.channel()
    call = asyncio.ensure_future(channel.unary_unary(f'/test.Service/{method}')(b'x'))
    await asyncio.wait_for(serving.methods.begun.wait(), 5)
    await channel.close()
    await asyncio.wait_for(serving.methods.cancelled.wait(), 5)
    await asyncio.gather(call, return_exceptions=True)


async def test_streams(serve: Serve) -> None:
    serving = await serve()

    async def messages() -> AsyncIterator[bytes]:
        for number in range(500):
            yield b'x' * number

    async with serving.channel() as channel:
        got = [one async for one in channel.unary_stream('/test.Service/Count')(b'500')]
        assert got == [str(n).encode() for n in range(500)]
        assert [one async for one in channel.unary_stream('/test.Service/Count')(b'0')] == []
        assert await channel.stream_unary('/test.Service/Sum')(messages()) == str(sum(range(500))).encode()
        talked = [one async for one in channel.stream_stream('/test.Service/Talk')(messages())]
        assert talked == [b'x' * number for number in range(500)]


async def test_large_messages_in_streams_both_ways(serve: Serve) -> None:
    serving = await serve()
    sent = [bytes([number]) * 5_000_000 for number in range(6)]

    async def messages() -> AsyncIterator[bytes]:
        for one in sent:
            yield one

    async with serving.channel() as channel:
        assert [one async for one in channel.stream_stream('/test.Service/Talk')(messages())] == sent


async def test_a_slow_client_holds_a_stream_up_and_no_other(serve: Serve) -> None:
    serving = await serve()
    options = (('grpc.http2.bdp_probe', 0), ('grpc.http2.lookahead_bytes', 65_536))
    async with serving.channel(*options) as channel:
        stream = channel.unary_stream('/test.Service/Endless')(b'x' * 10_000)
        await stream.read()
        last = -1
        while serving.methods.written != last:  # until it goes no further
            last = serving.methods.written
            for _ in range(50):
                assert await channel.unary_unary('/test.Service/Direct')(b'quick') == b'quick'
        assert last * 10_000 < 8 << 20
        for _ in range(100):
            assert await stream.read() == b'x' * 10_000
        stream.cancel()
        await asyncio.wait_for(serving.methods.cancelled.wait(), 5)


async def test_a_handler_that_does_not_read_holds_the_client_up(serve: Serve) -> None:
    serving = await serve()
    async with serving.channel(('grpc.http2.write_buffer_size', 0)) as channel:
        call = channel.stream_unary('/test.Service/Slow')()
        written = 0

        async def write() -> None:
            nonlocal written
            for _ in range(400):
                await call.write(b'x' * 100_000)
                written += 1
            await call.done_writing()

        writing = asyncio.ensure_future(write())
        await asyncio.wait_for(serving.methods.begun.wait(), 5)
        last = -1
        while written != last:
            last = written
            for _ in range(50):
                assert await channel.unary_unary('/test.Service/Direct')(b'quick') == b'quick'
        assert last < 400
        serving.methods.go.set()
        await writing
        assert await call == b'400'


@pytest.mark.parametrize('compression', [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_clients_that_compress(serve: Serve, compression: grpc.Compression) -> None:
    serving = await serve()
    async with serving.channel(compression=compression) as channel:
        for method in ('Direct', 'Echo'):
            assert await channel.unary_unary(f'/test.Service/{method}')(b'a' * 50_000) == b'a' * 50_000


async def test_limits_of_messages(serve: Serve) -> None:
    serving = await serve(receive=1000, send=500)
    async with serving.channel() as channel:
        for method in ('Direct', 'Echo'):
            call = channel.unary_unary(f'/test.Service/{method}')
            assert await call(b'x' * 500) == b'x' * 500
            for size, text in ((501, 'Sent message larger than max'), (1001, 'Received message larger than max')):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(b'x' * size)
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert f'{text} ({size} vs. ' in caught.value.details()


async def test_more_calls_than_a_connection_may_have_wait(serve: Serve) -> None:
    serving = await serve(most_streams=2)
    async with serving.channel() as channel:
        held = [asyncio.ensure_future(channel.unary_unary('/test.Service/Hold')(b'x')) for _ in range(6)]
        await asyncio.wait_for(serving.methods.begun.wait(), 5)
        serving.methods.go.set()
        assert await asyncio.gather(*held) == [b'x'] * 6


@pytest.mark.parametrize('method', ['Hold', 'Wait'])
async def test_stop_lets_calls_end_that_have_begun(serve: Serve, method: str) -> None:
    serving = await serve()
    async with serving.channel() as channel:
        call = asyncio.ensure_future(channel.unary_unary(f'/test.Service/{method}')(b'x'))
        await asyncio.wait_for(serving.methods.begun.wait(), 5)
        stopped = asyncio.ensure_future(serving.server.stop(10))
        await asyncio.sleep(0)
        serving.methods.go.set()
        assert await call == b'x'
        await asyncio.wait_for(stopped, 5)  # the client goes by itself: nobody waits for the ten seconds


@pytest.mark.parametrize('grace', [None, 0.1])
async def test_stop_cancels_what_takes_longer(serve: Serve, grace: float | None) -> None:
    serving = await serve()
    async with serving.channel() as channel:
        call = asyncio.ensure_future(channel.unary_unary('/test.Service/Wait')(b'x'))
        await asyncio.wait_for(serving.methods.begun.wait(), 5)
        await asyncio.wait_for(serving.server.stop(grace), 5)
        assert serving.methods.cancelled.is_set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_no_call_fails_while_a_server_of_a_shared_port_leaves(serve: Serve) -> None:
    first = await serve(shares_port=True)
    second = Http2Server(Settings(receive=LIMIT, send=LIMIT, shares_port=True))
    second.add_methods((first.methods.table(),))
    asked, enough, stop = 0, asyncio.Event(), False

    async def ask(channel: grpc.aio.Channel) -> None:
        nonlocal asked
        call = channel.unary_unary('/test.Service/Direct')
        while not stop:
            assert await call(b'x') == b'x'
            asked += 1
            if asked > 1000:
                enough.set()

    async with first.channel() as one, first.channel() as other:
        askers = [asyncio.ensure_future(ask(channel)) for channel in (one, other) for _ in range(8)]
        assert await one.unary_unary('/test.Service/Direct')(b'x') == b'x'
        assert second.bind('127.0.0.1', first.port, 'test') == first.port
        await second.start()
        await first.server.stop(5)
        await asyncio.wait_for(enough.wait(), 20)
        stop = True
        await asyncio.gather(*askers)
    await second.stop(1)


async def test_a_synchronous_client_of_another_thread(serve: Serve) -> None:
    serving = await serve()

    def ask() -> list[bytes]:
        with grpc.insecure_channel(serving.address, options=(('grpc.enable_http_proxy', 0),)) as channel:
            unary = channel.unary_unary('/test.Service/Echo')
            streamed = channel.stream_stream('/test.Service/Talk')(iter([b'1', b'2', b'3']))
            return [unary(b'a'), *streamed]

    assert await asyncio.to_thread(ask) == [b'a', b'1', b'2', b'3']
