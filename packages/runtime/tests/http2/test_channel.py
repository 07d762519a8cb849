"""Channels of ours against our server, the C library's, one of the h2 library, and servers that do what they shouldn't."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from jina.core.calls import EOF, CallError, StatusCode
from jina.core.errors import ConfigError
from jina.runtime.http2 import frame
from jina.runtime.http2.channel import Http2Channel, written_timeout
from jina.runtime.http2.client_settings import ClientSettings
from jina.runtime.http2.hpack import literal

LIMIT = 1 << 31
Serve = Any
Open = Callable[..., Http2Channel]
SETTINGS = ClientSettings(receive=LIMIT, send=LIMIT, backoff_s=0.02, most_backoff_s=0.05)
BEGIN = b'\x88' + literal(b'content-type', b'application/grpc')


def path(method: str) -> str:
    return f'/test.Service/{method}'


async def failure(call: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(CallError) as caught:
        await call
    return caught.value.status.name, caught.value.details()


async def all_of(call: Any) -> list[bytes]:
    found = []
    while (message := await call.read()) is not EOF:
        found.append(message)
    return found


@pytest.fixture
async def channel() -> AsyncIterator[Open]:
    opened = []

    def open_one(port: int, **settings: Any) -> Http2Channel:
        values = {**vars(SETTINGS), **settings}
        opened.append(Http2Channel(f'127.0.0.1:{port}', ClientSettings(**values)))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()


class CLibrary:
    """The same methods by the server of the C library."""

    def __init__(self, methods: Any, **options: Any) -> None:
        self.methods = methods
        self.server = grpc.aio.server(options=[('grpc.so_reuseport', 0)], **options)
        unary, streaming = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        handlers = {
            'Echo': unary(self.methods._echo),
            'Abort': unary(self._abort),
            'Fail': unary(self.methods._fail),
            'Wait': unary(self.methods._wait),
            'Count': grpc.unary_stream_rpc_method_handler(self.methods._count),
            'Endless': grpc.unary_stream_rpc_method_handler(self.methods._endless),
            'Talk': streaming(self._talk),
            'Sum': grpc.stream_unary_rpc_method_handler(self.methods._sum),
        }
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler('test.Service', handlers)])
        self.port = self.server.add_insecure_port('127.0.0.1:0')

    async def _abort(self, raw: bytes, context: Any) -> None:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, 'nö, 100 %')

    async def _talk(self, messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for message in messages:
            yield message


@pytest.fixture(params=['ours', 'c-library', 'compressing'])
async def serving(request: pytest.FixtureRequest, serve: Serve, make_methods: Callable[[], Any]) -> AsyncIterator[Any]:
    if request.param == 'ours':
        yield await serve()
        return
    packed = {'compression': grpc.Compression.Gzip} if request.param == 'compressing' else {}
    one = CLibrary(make_methods(), **packed)
    await one.server.start()
    yield one
    await one.server.stop(None)


async def test_unary_calls(serving: Any, channel: Open) -> None:
    one = channel(serving.port)
    echo = one.unary(path('Echo'))
    assert await echo(b'') == b''
    answers = await asyncio.gather(*(echo(str(n).encode() * 50, timeout=30) for n in range(500)))
    assert answers == [str(n).encode() * 50 for n in range(500)]
    await echo(b'x', metadata=(('x-key', 'value'), ('x-raw-bin', b'\x00\x01\xff'), ('X-Key', 'again')))
    got = [tuple(pair) for pair in serving.methods.metadata if pair[0].startswith('x-')]
    assert sorted(map(str, got)) == sorted(
        map(str, [('x-key', 'value'), ('x-raw-bin', b'\x00\x01\xff'), ('x-key', 'again')])
    )


@pytest.mark.parametrize('size', [(1 << 16) - 6, (1 << 18) - 5, (1 << 18) + 1, 30_000_000])
async def test_messages_of_any_size(serving: Any, channel: Open, size: int) -> None:
    message = (b'0123456789abcde' * (size // 15 + 1))[:size]
    one = channel(serving.port)
    if isinstance(serving, CLibrary) and size > 4_000_000:  # its limit
        status, details = await failure(one.unary(path('Echo'))(message))
        assert status == 'RESOURCE_EXHAUSTED'
        assert 'larger than max' in details
    else:
        assert await one.unary(path('Echo'))(message) == message


async def test_how_calls_fail(serving: Any, channel: Open) -> None:
    one = channel(serving.port, send=1000, receive=500)
    assert (await failure(one.unary(path('Nothing'))(b'x')))[0] == 'UNIMPLEMENTED'
    assert (await failure(one.unary(path('Fail'))(b'x')))[0] == 'UNKNOWN'
    if isinstance(serving, CLibrary):
        assert await failure(one.unary(path('Abort'))(b'x')) == ('FAILED_PRECONDITION', 'nö, 100 %')
    else:
        assert await failure(one.unary(path('Refuse'))(b'x')) == ('UNKNOWN', 'nö, 100 %')
    assert await failure(one.unary(path('Echo'))(b'x' * 1001)) == (
        'RESOURCE_EXHAUSTED',
        'Sent message larger than max (1001 vs. 1000)',
    )
    status, details = await failure(one.unary(path('Echo'))(bytes(range(250)) * 3))
    assert (status, 'larger than max' in details) == ('RESOURCE_EXHAUSTED', True)
    assert await failure(one.unary(path('Wait'))(b'x', timeout=0.05)) == ('DEADLINE_EXCEEDED', 'Deadline Exceeded')
    await asyncio.wait_for(serving.methods.cancelled.wait(), 5)
    assert await one.unary(path('Echo'))(b'on') == b'on'
    (connection,) = one._connections
    assert connection.streams == {}


async def test_who_does_not_wait_any_more_cancels(serving: Any, channel: Open) -> None:
    one = channel(serving.port)
    task = asyncio.ensure_future(one.unary(path('Wait'))(b'x'))
    await asyncio.wait_for(serving.methods.begun.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(serving.methods.cancelled.wait(), 5)


async def test_streams_of_responses(serving: Any, channel: Open) -> None:
    one = channel(serving.port)
    for _ in range(2):  # before there is a connection, and on it
        call = one.responses(path('Count'))(b'300')
        assert await all_of(call) == [str(n).encode() for n in range(300)]
        assert await call.read() is EOF
    assert (await failure(one.responses(path('Nothing'))(b'x').read()))[0] == 'UNIMPLEMENTED'
    call = one.responses(path('Endless'))(b'y' * 1000)
    assert await call.read() == b'y' * 1000
    await asyncio.sleep(0.2)
    assert serving.methods.written < 5000  # nobody reads, so the server waits
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        while True:
            await call.read()
    await asyncio.wait_for(serving.methods.cancelled.wait(), 5)
    (connection,) = one._connections
    assert connection.streams == {}


async def test_streams_in_both_directions(serving: Any, channel: Open) -> None:
    one = channel(serving.port)
    for _ in range(2):
        call = one.stream(path('Talk'), ())()
        for message in (b'a', b'', b'b' * 100_000):
            await call.write(message)
            assert await call.read() == message
        await call.write([b'in ', memoryview(b'pieces')])
        assert await call.read() == b'in pieces'
        await call.done_writing()
        assert await call.read() is EOF
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(b'late')
    call = one.stream(path('Sum'), ())()
    for _ in range(100):
        await call.write(b'z' * 10_000)
    await call.done_writing()
    assert await all_of(call) == [b'1000000']


async def test_a_call_that_is_cancelled_before_there_is_a_connection(serve: Serve, channel: Open) -> None:
    one = channel((await serve()).port)
    call = one.stream(path('Talk'), ())()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert await one.unary(path('Echo'))(b'on') == b'on'


async def test_more_calls_than_the_server_allows(serve: Serve, channel: Open) -> None:
    serving = await serve(most_streams=3)
    one = channel(serving.port)
    answers = await asyncio.gather(*(one.unary(path('Echo'))(b'%d' % n) for n in range(200)))
    assert answers == [b'%d' % n for n in range(200)]
    waiting = [asyncio.ensure_future(one.unary(path('Wait'))(b'x')) for _ in range(3)]
    await asyncio.wait_for(serving.methods.begun.wait(), 5)
    assert await failure(one.unary(path('Echo'))(b'x', timeout=0.05)) == ('DEADLINE_EXCEEDED', 'Deadline Exceeded')
    queued = [asyncio.ensure_future(one.unary(path('Echo'))(b'%d' % n)) for n in range(4)]
    await asyncio.sleep(0)
    queued[0].cancel()
    serving.methods.go.set()
    assert await asyncio.gather(*waiting, *queued[1:]) == [b'x'] * 3 + [b'1', b'2', b'3']


async def test_a_server_that_comes_goes_and_comes_back(
    serve: Serve, make_methods: Callable[[], Any], channel: Open
) -> None:
    serving = await serve(shares_port=True)
    one = channel(serving.port)
    await asyncio.wait_for(one.lost(), 5)  # there is no connection yet
    await asyncio.wait_for(one.ready(), 5)
    lost = asyncio.ensure_future(one.lost())
    waiting = asyncio.ensure_future(one.unary(path('Wait'))(b'late'))
    await asyncio.wait_for(serving.methods.begun.wait(), 5)
    assert not lost.done()
    stopping = asyncio.ensure_future(serving.server.stop(10))
    await asyncio.wait_for(lost, 5)
    status, details = await failure(one.unary(path('Echo'))(b'x'))
    assert status == 'UNAVAILABLE'
    assert details.startswith(f'failed to connect to all addresses; last error: 127.0.0.1:{serving.port}: ')
    serving.methods.go.set()
    assert await waiting == b'late'  # what was under way is answered
    await asyncio.wait_for(stopping, 5)
    ready = asyncio.ensure_future(one.ready())
    await asyncio.sleep(0.2)
    assert not ready.done()
    listener = await asyncio.start_server(lambda *_: None, '127.0.0.1', serving.port)
    listener.close()
    again = CLibrary(make_methods())
    again.port = again.server.add_insecure_port(f'127.0.0.1:{serving.port}')
    await again.server.start()
    await asyncio.wait_for(ready, 5)
    assert await one.unary(path('Echo'))(b'on') == b'on'
    await again.server.stop(None)


async def test_a_closed_channel(serve: Serve, channel: Open) -> None:
    serving = await serve()
    one = channel(serving.port)
    waiting = asyncio.ensure_future(one.unary(path('Wait'))(b'x'))
    await asyncio.wait_for(serving.methods.begun.wait(), 5)
    await one.close()
    assert await failure(waiting) == ('CANCELLED', 'the channel is closed')
    assert await failure(one.unary(path('Echo'))(b'x')) == ('CANCELLED', 'the channel is closed')
    connecting = channel(serving.port)
    late = asyncio.ensure_future(connecting.unary(path('Echo'))(b'x'))
    await asyncio.sleep(0)
    await connecting.close()
    assert await failure(late) == ('CANCELLED', 'the channel is closed')


# Servers that are driven by hand.

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def scripted() -> AsyncIterator[Callable[[Script], Awaitable[int]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(script: Script) -> int:
            tasks = set()

            async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                tasks.add(asyncio.current_task())
                with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                    await script(reader, writer)
                writer.close()

            server = await asyncio.start_server(run, '127.0.0.1', 0)

            async def stop() -> None:
                server.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks)

            stack.push_async_callback(stop)
            return int(server.sockets[0].getsockname()[1])

        yield start


def says(*frames: bytes, stays: bool = True) -> Script:
    """Waits for a request and says this."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame.settings({}))
        received = b''
        while b'/test.Service/' not in received:
            received += await reader.read(65_536)
        for one in frames:
            writer.write(one)
        if stays:
            await asyncio.sleep(30)

    return script


def headers(*pairs: tuple[bytes, bytes], end: bool = True, number: int = 1, block: bytes = b'') -> bytes:
    flags = frame.END_HEADERS | (frame.END_STREAM if end else 0)
    return frame.frame(frame.HEADERS, flags, number, block + b''.join(literal(*pair) for pair in pairs))


def http(status: bytes, kind: bytes = b'text/html') -> bytes:
    return headers((b':status', status), (b'content-type', kind))


@pytest.mark.parametrize(
    ('said', 'status', 'details'),
    [
        (http(b'503'), 'UNAVAILABLE', 'the server answers with HTTP status 503'),
        (http(b'404'), 'UNIMPLEMENTED', 'the server answers with HTTP status 404'),
        (http(b'418'), 'UNKNOWN', 'the server answers with HTTP status 418'),
        (http(b'2x0'), 'UNKNOWN', 'the server answers with HTTP status 2x0'),
        (http(b'200'), 'UNKNOWN', "the server answers with 'text/html', which is not gRPC"),
        (headers((b'grpc-status', b'99'), block=BEGIN), 'UNKNOWN', ''),
        (headers((b'grpc-status', b'seven'), block=BEGIN), 'UNKNOWN', ''),
        (headers(block=BEGIN), 'INTERNAL', 'the server ended the stream in the middle of the response'),
        (
            headers((b'grpc-status', b'0'), block=BEGIN),
            'INTERNAL',
            'the server answers with none instead of one message',
        ),
        (
            headers(block=BEGIN, end=False) + frame.frame(frame.DATA, frame.END_STREAM, 1, b'\0\0\0\0\x01x'),
            'INTERNAL',
            'the server ended the stream in the middle of the response',
        ),
        (
            headers(block=BEGIN, end=False)
            + frame.frame(frame.DATA, 0, 1, b'\0\0\0\0\x09x')
            + headers((b'grpc-status', b'0')),
            'INTERNAL',
            'the server ended the stream in the middle of the response',
        ),
        (
            headers(block=BEGIN, end=False)
            + frame.frame(frame.DATA, 0, 1, b'\0\0\0\0\x01x' * 2)
            + headers((b'grpc-status', b'0')),
            'INTERNAL',
            'the server answers with several instead of one message',
        ),
        (frame.reset(1, frame.REFUSED_STREAM), 'UNAVAILABLE', 'the server reset the stream with error code 7'),
        (frame.reset(1, frame.CANCEL), 'CANCELLED', 'the server reset the stream with error code 8'),
        (
            frame.reset(1, frame.ENHANCE_YOUR_CALM),
            'RESOURCE_EXHAUSTED',
            'the server reset the stream with error code 11',
        ),
        (frame.reset(1, 2), 'INTERNAL', 'the server reset the stream with error code 2'),
        (frame.goaway(0, 0, 'bye'), 'UNAVAILABLE', '{} takes no more calls: bye'),
        (
            frame.frame(frame.GOAWAY, 0, 0, b'x'),
            'UNAVAILABLE',
            '{} breaks the rules of HTTP/2: a frame of 1 bytes says goodbye',
        ),
        (frame.window_update(1, 0), 'INTERNAL', 'the server widens the window of a stream by too much'),
        (
            frame.frame(frame.DATA, 0, 3, b'x'),
            'UNAVAILABLE',
            '{} breaks the rules of HTTP/2: there is content for stream 3, which is not open',
        ),
        (
            frame.frame(frame.PUSH_PROMISE, 4, 1, b'\0\0\0\x02'),
            'UNAVAILABLE',
            '{} breaks the rules of HTTP/2: nobody here may promise anything',
        ),
        (frame.frame(frame.HEADERS, 5, 1, b'\xff\xff\xff\xff\xff\xff'), 'UNAVAILABLE', None),
        (frame.HEAD.pack(1 << 9, 0, 0, 0, 1), 'UNAVAILABLE', None),
    ],
)
async def test_strange_answers(
    scripted: Callable[[Script], Awaitable[int]], channel: Open, said: bytes, status: str, details: str | None
) -> None:
    port = await scripted(says(said))
    found = await asyncio.wait_for(failure(channel(port).unary(path('Echo'))(b'x')), 5)
    assert found[0] == status
    if details is not None:
        assert found[1] == details.format(f'127.0.0.1:{port}')


async def test_an_interim_response_and_changes_of_the_table(
    scripted: Callable[[Script], Awaitable[int]], channel: Open
) -> None:
    inserted = b'\x40' + literal(b'grpc-status', b'5')[1:]
    said = (
        headers((b':status', b'103'), end=False),
        headers(block=BEGIN, end=False),
        frame.frame(frame.HEADERS, 5, 1, inserted),
        frame.frame(frame.HEADERS, 5, 3, BEGIN + b'\xbe'),  # the entry that was inserted
    )
    port = await scripted(says(*said))
    one = channel(port)
    calls = [one.unary(path('Echo'))(b'x') for _ in range(2)]
    assert await asyncio.gather(*(failure(call) for call in calls)) == [('NOT_FOUND', '')] * 2


@pytest.mark.parametrize('what', ['HTTP/1.1', 'TLS', 'nothing', 'hangs up'])
async def test_who_does_not_speak_it(what: str, scripted: Callable[[Script], Awaitable[int]], channel: Open) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        if what == 'nothing':
            await asyncio.sleep(30)
        elif what != 'hangs up':
            writer.write(
                b'HTTP/1.1 400 Bad Request\r\n\r\n' if what == 'HTTP/1.1' else b'\x15\x03\x01\x00\x02\x02\x46\0\0\0'
            )
            await reader.read(1000)

    one = channel(await scripted(script))
    status, details = await failure(one.unary(path('Echo'))(b'x', timeout=0.5))
    if what == 'nothing':
        assert status == 'DEADLINE_EXCEEDED'
    else:
        assert status == 'UNAVAILABLE'
        assert ('is that a server of gRPC without TLS?' if what in ('HTTP/1.1', 'TLS') else 'is lost') in details


async def test_a_server_that_breaks_the_connection(scripted: Callable[[Script], Awaitable[int]], channel: Open) -> None:
    port = await scripted(says(stays=False))
    status, details = await failure(channel(port).unary(path('Echo'))(b'x'))
    assert (status, details.startswith(f'the connection to 127.0.0.1:{port} is lost')) == ('UNAVAILABLE', True)


async def test_a_server_that_is_silent(scripted: Callable[[Script], Awaitable[int]], channel: Open) -> None:
    port = await scripted(says())
    one = channel(port, ping_s=0.1, ping_timeout_s=0.1)
    assert await asyncio.wait_for(failure(one.unary(path('Echo'))(b'x')), 5) == (
        'UNAVAILABLE',
        f'127.0.0.1:{port} gives no sign of life',
    )


@pytest.mark.parametrize(('idle', 'most', 'expected'), [(False, 2, 0), (True, 2, 2), (True, 0, 5)])
async def test_pings_without_requests(
    idle: bool, most: int, expected: int, scripted: Callable[[Script], Awaitable[int]], channel: Open
) -> None:
    pings = 0
    enough = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal pings
        writer.write(frame.settings({}))
        while data := await reader.read(1000):
            if b'anybody?' in data:
                writer.write(frame.frame(frame.PING, frame.ACK, 0, b'anybody?'))
                pings += 1
                if pings >= 5:
                    enough.set()

    one = channel(await scripted(script), ping_s=0.05, ping_timeout_s=1, pings_idle=idle, most_pings=most)
    await one.ready()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(enough.wait(), 5 if expected == 5 else 0.6)
    assert pings >= expected if expected == 5 else pings == expected
    assert one._connection is not None


async def test_another_implementation_with_small_windows(
    scripted: Callable[[Script], Awaitable[int]], channel: Open
) -> None:
    """The h2 library answers with the request, in frames with padding, as its windows allow."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        side = H2Connection(H2Configuration(client_side=False, header_encoding='utf-8'))
        side.local_settings = side.local_settings.__class__(
            client=False, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 1000, SettingCodes.MAX_FRAME_SIZE: 16_384}
        )
        side.initiate_connection()
        waiting: dict[int, bytes] = {}
        heard: set[int] = set()
        while True:
            writer.write(side.data_to_send())
            data = await reader.read(65_536)
            if not data:
                return
            for event in side.receive_data(data):
                if isinstance(event, RequestReceived):
                    assert dict(event.headers)['te'] == 'trailers'
                    side.send_headers(event.stream_id, [(':status', '200'), ('content-type', 'application/grpc+proto')])
                    waiting[event.stream_id] = b''
                elif isinstance(event, DataReceived):
                    waiting[event.stream_id] += event.data
                    side.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, StreamEnded):
                    heard.add(event.stream_id)
                else:
                    assert not isinstance(event, StreamReset)
            for number in tuple(heard):
                while waiting[number]:
                    room = min(side.local_flow_control_window(number) - 10, 900)
                    if room <= 0:
                        break
                    side.send_data(number, waiting[number][:room], pad_length=9)
                    waiting[number] = waiting[number][room:]
                if not waiting[number]:
                    side.send_headers(number, [('grpc-status', '0')], end_stream=True)
                    heard.discard(number)

    one = channel(await scripted(script))
    messages = [bytes([65 + n]) * 30_000 * n for n in range(4)]
    assert await asyncio.gather(*map(one.unary(path('Echo')), messages)) == messages


# Settings.


@pytest.mark.parametrize(
    ('name', 'value', 'field', 'expected'),
    [
        ('grpc.keepalive_time_ms', 1500, 'ping_s', 1.5),
        ('grpc.keepalive_time_ms', -1, 'ping_s', None),
        ('grpc.keepalive_time_ms', (1 << 31) - 1, 'ping_s', None),
        ('grpc.keepalive_timeout_ms', 250, 'ping_timeout_s', 0.25),
        ('grpc.keepalive_permit_without_calls', True, 'pings_idle', True),
        ('grpc.http2.max_pings_without_data', 0, 'most_pings', 0),
        ('grpc.initial_reconnect_backoff_ms', 100, 'backoff_s', 0.1),
        ('grpc.max_reconnect_backoff_ms', 200, 'most_backoff_s', 0.2),
        ('grpc.max_receive_message_length', 9, 'receive', 9),
        ('grpc.max_send_message_length', 8, 'send', 8),
    ],
)
def test_options_of_the_user(name: str, value: int, field: str, expected: object) -> None:
    found = ClientSettings.of({name: value})
    assert getattr(found, field) == expected


@pytest.mark.parametrize('option', [('grpc.primary_user_agent', 'me'), ('grpc.enable_http_proxy', 1)])
def test_options_that_only_the_c_library_has(option: tuple[str, object]) -> None:
    assert ClientSettings.of(dict([option])) is None


@pytest.mark.parametrize(
    ('seconds', 'expected'),
    [
        (0.0001, b'1m'),
        (1.5, b'1500m'),
        (0.0101, b'11m'),
        (99_999, b'99999000m'),
        (200_000, b'200000S'),
        (1e9, b'16666667M'),
    ],
)
def test_times_as_headers_have_them(seconds: float, expected: bytes) -> None:
    assert written_timeout(seconds) == expected


def test_what_is_no_number() -> None:
    with pytest.raises(ConfigError, match=r"grpc.keepalive_time_ms is 'soon'"):
        ClientSettings.of({'grpc.keepalive_time_ms': 'soon'})


def test_statuses_have_the_numbers_of_grpc() -> None:
    assert {status.name: status.value for status in StatusCode} == {one.name: one.value[0] for one in grpc.StatusCode}
