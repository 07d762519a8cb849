"""HTTP/2 as another implementation speaks it (the h2 library), and as nobody should."""

from __future__ import annotations

import asyncio
from struct import pack
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from jina.runtime.http2 import frame
from jina.runtime.http2.hpack import literal

Serve = Any
HEADERS = (
    (':method', 'POST'),
    (':scheme', 'http'),
    (':path', '/test.Service/Direct'),
    (':authority', 'here'),
    ('content-type', 'application/grpc'),
    ('te', 'trailers'),
)


def framed(message: bytes) -> bytes:
    return pack('>BI', 0, len(message)) + message


class Client:
    """One connection, driven by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.http = H2Connection(H2Configuration(header_encoding='utf-8'))
        self.events: list[Event] = []
        self.data: dict[int, bytes] = {}
        self.rest = b''
        self.is_told = False

    async def begin(self) -> None:
        self.http.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.http.data_to_send())

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def ping(self) -> None:
        """Returns when the server has handled all that was sent."""
        self.http.ping(b'12345678')
        self.flush()
        await self.until(PingAckReceived)

    async def pong(self) -> None:
        """The same for calls that h2 knows nothing of."""
        self.raw(frame.frame(frame.PING, 0, 0, b'87654321'))
        received = b''
        while b'87654321' not in received:
            received = received[-8:] + await asyncio.wait_for(self.reader.read(65_536), 10)

    def ask(self, message: bytes, method: str = 'Direct', *, end: bool = True, extra: tuple = ()) -> int:
        number = self.http.get_next_available_stream_id()
        headers = [(key, f'/test.Service/{method}' if key == ':path' else value) for key, value in (*HEADERS, *extra)]
        self.http.send_headers(number, headers)
        self.http.send_data(number, framed(message), end_stream=end)
        self.flush()
        return number

    async def until(self, kind: type[Event], number: int | None = None, *, reads: bool = True) -> Any:
        while True:
            for event in self.events:
                if isinstance(event, kind) and (number is None or event.stream_id == number):
                    self.events.remove(event)
                    return event
            data = await asyncio.wait_for(self.reader.read(65_536), 10)
            if not data:
                raise EOFError([type(one).__name__ for one in self.events])
            for event in self.http.receive_data(self.without_farewell(data)):
                if isinstance(event, DataReceived):
                    self.data[event.stream_id] = self.data.get(event.stream_id, b'') + event.data
                    if reads:
                        self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.events.append(event)
            self.flush()

    def without_farewell(self, data: bytes) -> bytes:
        """h2 takes nothing more after a GOAWAY, even one that only says to begin no further calls."""
        raw, rest = self.rest + data, b''
        while len(raw) >= frame.HEAD_BYTES:
            high, low, kind, _, _ = frame.HEAD.unpack_from(raw)
            end = frame.HEAD_BYTES + (high << 8 | low)
            if len(raw) < end:
                break
            content = raw[frame.HEAD_BYTES : end]
            if kind == frame.GOAWAY and content[:4] == b'\x7f\xff\xff\xff':
                self.is_told = True
            elif kind == frame.PING and content == b'farewell':
                self.raw(frame.frame(frame.PING, frame.ACK, 0, content))
            else:
                rest += raw[:end]
            raw = raw[end:]
        self.rest = raw
        return rest

    async def outcome(self, number: int) -> tuple[dict[str, str], bytes]:
        trailers = await self.until(TrailersReceived, number)
        return dict(trailers.headers), self.data.get(number, b'')[5:]


@pytest.fixture
async def connect() -> Any:
    writers = []

    async def open_one(serving: Any, *, begun: bool = True) -> Client:
        reader, writer = await asyncio.open_connection('127.0.0.1', serving.port)
        writers.append(writer)
        client = Client(reader, writer)
        if begun:
            await client.begin()
        return client

    yield open_one
    for writer in writers:
        writer.close()


async def test_a_call_and_its_answer(serve: Serve, connect: Any) -> None:
    client = await connect(await serve())
    number = client.ask(b'hello')
    response = await client.until(ResponseReceived, number)
    assert dict(response.headers) == {':status': '200', 'content-type': 'application/grpc'}
    assert await client.outcome(number) == ({'grpc-status': '0'}, b'hello')
    await client.until(StreamEnded, number)


async def test_every_byte_in_a_packet_of_its_own(serve: Serve, connect: Any) -> None:
    client = await connect(await serve(), begun=False)
    client.http.initiate_connection()
    number = client.http.get_next_available_stream_id()
    client.http.send_headers(number, HEADERS)
    client.http.send_data(number, framed(b'slowly'), end_stream=True)
    for byte in client.http.data_to_send():
        client.raw(bytes([byte]))
        await client.writer.drain()
        await asyncio.sleep(0)
    assert await client.outcome(number) == ({'grpc-status': '0'}, b'slowly')


@pytest.mark.parametrize('cut', [1, 9, 14, 15, 30_000])
async def test_a_long_frame_in_pieces_between_other_frames(serve: Serve, connect: Any, cut: int) -> None:
    client = await connect(await serve())
    messages = [bytes([number]) * 40_000 for number in range(3)]
    numbers = [client.http.get_next_available_stream_id() for _ in messages]
    raw = b''
    for number, message in zip((1, 3, 5), messages, strict=True):
        client.http.send_headers(number, HEADERS)
        raw += client.http.data_to_send() + frame.frame(frame.DATA, frame.END_STREAM, number, framed(message))
    assert numbers[0] == 1
    for start in range(0, len(raw), len(raw) // 7 + cut):
        client.raw(raw[start : start + len(raw) // 7 + cut])
        await client.writer.drain()
        await asyncio.sleep(0.01)  # so that the server reads the pieces one by one
    for number, message in zip((1, 3, 5), messages, strict=True):
        assert await client.outcome(number) == ({'grpc-status': '0'}, message)


async def test_the_rest_of_a_long_frame_of_a_call_that_is_over(serve: Serve, connect: Any) -> None:
    client = await connect(await serve(receive=10_000))
    await client.outcome(client.ask(b'first'))  # it has nothing to say of settings then, in the middle of the frame
    number = client.http.get_next_available_stream_id()
    client.http.send_headers(number, HEADERS)
    client.flush()
    raw = frame.frame(frame.DATA, frame.END_STREAM, number, framed(b'x' * 50_000))
    client.raw(raw[:20_000])
    refused = await client.until(ResponseReceived, number)  # by its length, before all of it is there
    assert dict(refused.headers)['grpc-status'] == '8'
    client.raw(raw[20_000:])
    assert (await client.outcome(client.ask(b'on')))[1] == b'on'


async def test_padding_priority_and_continued_headers(serve: Serve, connect: Any) -> None:
    client = await connect(await serve())
    http = client.http
    number = http.get_next_available_stream_id()
    long = [(f'x-{part}', 'v' * 6000) for part in range(5)]  # beyond one frame
    http.send_headers(number, [*HEADERS, *long])
    http.send_data(number, framed(b'padded')[:4], pad_length=20)
    http.send_data(number, framed(b'padded')[4:], pad_length=0, end_stream=True)
    other = http.get_next_available_stream_id()
    http.send_headers(other, HEADERS, priority_weight=7, priority_depends_on=0)
    http.send_data(other, framed(b'first'), end_stream=True)
    client.flush()
    assert await client.outcome(number) == ({'grpc-status': '0'}, b'padded')
    assert await client.outcome(other) == ({'grpc-status': '0'}, b'first')


async def test_a_request_that_ends_with_an_empty_frame_or_with_trailers(serve: Serve, connect: Any) -> None:
    client = await connect(await serve())
    first, second = client.ask(b'one', end=False), client.ask(b'two', end=False)
    client.http.end_stream(first)
    client.http.send_headers(second, [('x-checksum', '1')], end_stream=True)
    client.flush()
    assert await client.outcome(first) == ({'grpc-status': '0'}, b'one')
    assert await client.outcome(second) == ({'grpc-status': '0'}, b'two')


@pytest.mark.parametrize('method', ['Direct', 'Echo'])
async def test_a_call_without_a_message(serve: Serve, connect: Any, method: str) -> None:
    client = await connect(await serve())
    number = client.http.get_next_available_stream_id()
    headers = [(key, f'/test.Service/{method}' if key == ':path' else value) for key, value in HEADERS]
    client.http.send_headers(number, headers, end_stream=True)
    client.flush()
    response = await client.until(ResponseReceived, number)
    assert dict(response.headers)['grpc-status'] == '12'


async def test_small_windows_of_the_client(serve: Serve, connect: Any) -> None:
    client = await connect(await serve(), begun=False)
    client.http.local_settings = client.http.local_settings.__class__(
        client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 10}
    )
    await client.begin()
    numbers = [client.ask(bytes([65 + n]) * 1000) for n in range(3)]
    for n, number in enumerate(numbers):
        assert (await client.outcome(number))[1] == bytes([65 + n]) * 1000


async def test_settings_that_change_while_a_response_waits(serve: Serve, connect: Any) -> None:
    client = await connect(await serve(), begun=False)
    client.http.local_settings = client.http.local_settings.__class__(
        client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 0}
    )
    await client.begin()
    number = client.ask(b'x' * 100)
    await client.until(ResponseReceived, number)
    client.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 50, SettingCodes.HEADER_TABLE_SIZE: 0})
    client.flush()
    await client.until(DataReceived, number, reads=False)
    assert len(client.data[number]) == 50
    client.http.increment_flow_control_window(1000, number)
    client.flush()
    assert await client.outcome(number) == ({'grpc-status': '0'}, b'x' * 100)


async def test_the_window_of_the_connection_is_shared_in_turns(serve: Serve, connect: Any) -> None:
    client = await connect(await serve(), begun=False)
    client.http.local_settings = client.http.local_settings.__class__(
        client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20}
    )
    await client.begin()
    large, small = client.ask(b'400000', 'Large'), client.ask(b'30000', 'Large')
    while len(client.data.get(large, b'')) < 65_535:
        await client.until(DataReceived, reads=False)
    assert small not in client.data
    for _ in range(8):
        client.http.increment_flow_control_window(20_000)
        client.flush()
        await client.until(DataReceived, reads=False)
    assert client.data.get(small)


async def test_pings_and_frames_that_nobody_knows(serve: Serve, connect: Any) -> None:
    client = await connect(await serve())
    client.http.ping(b'12345678')
    client.flush()
    client.raw(frame.frame(77, 3, 9, b'what?') + frame.frame(frame.PRIORITY, 0, 3, b'\0\0\0\0\x07'))
    assert (await client.until(PingAckReceived)).ping_data == b'12345678'
    assert (await client.outcome(client.ask(b'on')))[1] == b'on'


async def test_calls_that_are_reset_leave_nothing_behind(serve: Serve, connect: Any) -> None:
    serving = await serve()
    client = await connect(serving)
    for _ in range(300):
        client.http.reset_stream(client.ask(b'x', 'Hold'), ErrorCodes.CANCEL)
    client.flush()
    assert (await client.outcome(client.ask(b'on')))[1] == b'on'
    assert serving.methods.cancelled.is_set()
    (connection,) = serving.server._connections
    assert connection.streams == {}


def begun(numbers: range, *headers: bytes, method: bytes = b'Hold') -> bytes:
    """Calls with a request each; they wait for ever."""
    path = literal(b':path', b'/test.Service/Direct')
    block = HEAD.replace(path, literal(b':path', b'/test.Service/' + method)) + b''.join(headers)
    return b''.join(
        frame.frame(frame.HEADERS, frame.END_HEADERS, number, block)
        + frame.frame(frame.DATA, frame.END_STREAM, number, framed(b'x'))
        for number in numbers
    )


def reset(numbers: range) -> bytes:
    return b''.join(frame.reset(number, frame.CANCEL) for number in numbers)


async def test_who_begins_calls_only_to_reset_them_is_let_go(serve: Serve, connect: Any) -> None:
    serving = await serve()
    client = await connect(serving)
    client.raw(b''.join(begun(range(n, n + 1)) + reset(range(n, n + 1)) for n in range(1, 1003, 2)))
    ended = await client.until(ConnectionTerminated)
    assert ended.error_code is ErrorCodes.ENHANCE_YOUR_CALM
    assert b'501 of 501 calls were reset' in ended.additional_data
    other = await connect(serving)
    assert (await other.outcome(other.ask(b'on')))[1] == b'on'


@pytest.mark.parametrize('how', ['later', 'half of them', 'nearly due'])
async def test_who_gives_calls_up_for_a_reason_stays(serve: Serve, connect: Any, how: str) -> None:
    client = await connect(await serve(receive=1000))
    numbers = range(1, 2401, 2)
    client.raw(begun(numbers, *([literal(b'grpc-timeout', b'3S')] if how == 'nearly due' else [])))
    await client.ping()
    if how != 'half of them':  # begun a while ago
        await asyncio.sleep(1.1 if how == 'later' else 1.6)
    client.raw(reset(numbers[:580] if how == 'half of them' else numbers))
    client.http.highest_outbound_stream_id = numbers[-1]
    await client.ping()
    assert (await client.outcome(client.ask(b'on')))[1] == b'on'


async def test_a_window_that_grows_in_small_steps_costs_little(serve: Serve, connect: Any) -> None:
    client = await connect(await serve(), begun=False)
    client.http.local_settings = client.http.local_settings.__class__(
        client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 0}
    )
    await client.begin()
    numbers = range(1, 6001, 2)
    client.raw(begun(numbers, method=b'Direct'))
    await client.pong()
    loop = asyncio.get_running_loop()
    before = loop.time()
    client.raw(frame.window_update(0, 1) * 20_000)  # 3,000 calls wait for windows of their own
    await client.pong()
    assert loop.time() - before < 2


async def test_empty_messages_that_nobody_reads_are_held_back(serve: Serve, connect: Any) -> None:
    client = await connect(await serve())
    number = client.ask(b'x', 'Slow', end=False)
    sent = 0
    while sent < 1 << 20:
        window = client.http.local_flow_control_window(number)
        if not window:
            break
        part = framed(b'') * (min(window, 16_000) // 5)
        if not part:
            break
        client.http.send_data(number, part)
        sent += len(part)
        client.flush()
        await client.ping()
    assert sent < 1 << 19


async def test_what_comes_for_a_call_that_is_over_is_ignored(serve: Serve, connect: Any) -> None:
    client = await connect(await serve())
    number = client.ask(b'x', 'Abort', end=False)
    await client.until(ResponseReceived, number)
    client.raw(frame.frame(frame.DATA, 0, number, b'more') + frame.window_update(number, 5))
    client.raw(frame.reset(number, frame.CANCEL))
    assert (await client.outcome(client.ask(b'on')))[1] == b'on'


async def test_an_answer_before_the_request_has_ended_stops_the_request(serve: Serve, connect: Any) -> None:
    client = await connect(await serve())
    number = client.ask(b'x', 'Abort', end=False)
    assert (await client.until(StreamReset, number)).error_code is ErrorCodes.NO_ERROR


@pytest.mark.parametrize(
    ('change', 'status'), [((':method', 'GET'), '405'), (('content-type', 'application/json'), '415')]
)
async def test_requests_that_are_not_grpc(serve: Serve, connect: Any, change: tuple[str, str], status: str) -> None:
    client = await connect(await serve())
    number = client.http.get_next_available_stream_id()
    client.http.send_headers(number, [(k, change[1] if k == change[0] else v) for k, v in HEADERS], end_stream=True)
    client.flush()
    response = await client.until(ResponseReceived, number)
    assert dict(response.headers)[':status'] == status


HEAD = b''.join(literal(key.encode(), value.encode()) for key, value in HEADERS)


@pytest.mark.parametrize(
    ('raw', 'code'),
    [
        (frame.frame(frame.DATA, 0, 1, b'x'), 'PROTOCOL_ERROR'),
        (frame.frame(frame.DATA, 0, 0, b'x'), 'PROTOCOL_ERROR'),
        (frame.frame(frame.HEADERS, 4, 2, HEAD), 'PROTOCOL_ERROR'),
        (frame.frame(frame.HEADERS, 4, 1, HEAD) * 2, 'PROTOCOL_ERROR'),
        (frame.frame(frame.HEADERS, 4 | frame.PADDED, 1, b'\xff' + HEAD[:20]), 'PROTOCOL_ERROR'),
        (frame.frame(frame.HEADERS, 4 | frame.PADDED, 1, b''), 'PROTOCOL_ERROR'),
        (frame.frame(frame.HEADERS, 4, 1, b'\xff\xff\xff\xff\xff\xff\xff\xff'), 'COMPRESSION_ERROR'),
        (frame.frame(frame.HEADERS, 0, 1, HEAD) + frame.frame(frame.PING, 0, 0, b'12345678'), 'PROTOCOL_ERROR'),
        (frame.frame(frame.HEADERS, 0, 1, HEAD) + frame.frame(frame.CONTINUATION, 0, 3, HEAD), 'PROTOCOL_ERROR'),
        (
            frame.frame(frame.HEADERS, 0, 1, HEAD) + frame.frame(frame.CONTINUATION, 0, 1, b'\0' * 60_000) * 2,
            'ENHANCE_YOUR_CALM',
        ),
        (frame.frame(frame.HEADERS, 0, 1, HEAD) + frame.frame(frame.CONTINUATION, 0, 1), 'ENHANCE_YOUR_CALM'),
        (
            frame.frame(frame.HEADERS, 0, 1, HEAD) + frame.frame(frame.CONTINUATION, 0, 1, b'\0') * 70,
            'ENHANCE_YOUR_CALM',
        ),
        (frame.settings({frame.MAX_FRAME_SIZE: 1 << 15}) * 101, 'ENHANCE_YOUR_CALM'),
        (frame.frame(frame.CONTINUATION, 4, 1, HEAD), 'PROTOCOL_ERROR'),
        (frame.frame(frame.RST_STREAM, 0, 5, b'\0\0\0\0'), 'PROTOCOL_ERROR'),
        (frame.frame(frame.RST_STREAM, 0, 1, b'\0'), 'FRAME_SIZE_ERROR'),
        (frame.frame(frame.PING, 0, 0, b'1'), 'FRAME_SIZE_ERROR'),
        (frame.frame(frame.SETTINGS, 0, 0, b'1'), 'FRAME_SIZE_ERROR'),
        (frame.settings({frame.INITIAL_WINDOW_SIZE: 1 << 31}), 'FLOW_CONTROL_ERROR'),
        (frame.settings({frame.MAX_FRAME_SIZE: 5}), 'PROTOCOL_ERROR'),
        (frame.window_update(0, 0), 'FLOW_CONTROL_ERROR'),
        (frame.window_update(0, frame.LARGEST_WINDOW), 'FLOW_CONTROL_ERROR'),
        (frame.frame(frame.PUSH_PROMISE, 4, 1, b'\0\0\0\x02'), 'PROTOCOL_ERROR'),
        (frame.HEAD.pack(1 << 9, 0, 0, 0, 1), 'FRAME_SIZE_ERROR'),
    ],
)
async def test_who_breaks_the_rules_is_told_and_let_go(serve: Serve, connect: Any, raw: bytes, code: str) -> None:
    serving = await serve()
    client = await connect(serving)
    client.raw(raw)
    ended = await client.until(ConnectionTerminated)
    assert ended.error_code is ErrorCodes[code]
    assert ended.additional_data
    other = await connect(serving)
    assert (await other.outcome(other.ask(b'on')))[1] == b'on'


async def test_who_sends_more_than_the_window_loses_the_call_only(serve: Serve, connect: Any) -> None:
    client = await connect(await serve())
    number = client.ask(b'x', 'Slow', end=False)
    part = framed(b'y' * 60_000)
    client.raw(b''.join(frame.frame(frame.DATA, 0, number, part) for _ in range(6)))
    response = await client.until(ResponseReceived, number)
    assert dict(response.headers)['grpc-status'] == '8'
    assert (await client.outcome(client.ask(b'on')))[1] == b'on'


async def test_a_window_that_no_stream_can_have_resets_the_stream(serve: Serve, connect: Any) -> None:
    client = await connect(await serve())
    number = client.ask(b'x', 'Hold')
    client.raw(frame.window_update(number, frame.LARGEST_WINDOW))
    assert (await client.until(StreamReset, number)).error_code is ErrorCodes.FLOW_CONTROL_ERROR


async def test_headers_beyond_the_limit(serve: Serve, connect: Any) -> None:
    client = await connect(await serve())
    block = HEAD + b''.join(literal(b'x', b'v' * 5000).replace(b'\0', b'\x40', 1) for _ in range(1))
    client.raw(frame.frame(frame.HEADERS, 4, 1, block + b'\xbe' * 20))
    assert (await client.until(ConnectionTerminated)).error_code is ErrorCodes.COMPRESSION_ERROR


@pytest.mark.parametrize('raw', [b'GET / HTTP/1.1\r\n\r\n', b'\x16\x03\x01\x02\x00\x01\x00', b'\0' * 40])
async def test_who_speaks_something_else(serve: Serve, connect: Any, raw: bytes) -> None:
    client = await connect(await serve(), begun=False)
    client.raw(raw)
    assert b'this port speaks gRPC' in await asyncio.wait_for(client.reader.read(), 5)


async def test_who_says_nothing_is_cut_off(serve: Serve, connect: Any) -> None:
    client = await connect(await serve(handshake_s=0.2), begun=False)
    client.raw(frame.PREFACE[:10])
    with pytest.raises((ConnectionResetError, EOFError)):
        while True:
            if not await asyncio.wait_for(client.reader.read(1000), 5):
                raise EOFError


async def test_who_does_not_answer_a_ping_is_cut_off(serve: Serve, connect: Any) -> None:
    serving = await serve(ping_s=0.1, ping_timeout_s=0.2)
    client = await connect(serving)
    client.ask(b'x', 'Wait')
    await asyncio.wait_for(serving.methods.cancelled.wait(), 10)  # nobody reads here, so nobody answers


async def test_who_answers_pings_stays(serve: Serve, connect: Any) -> None:
    serving = await serve(ping_s=0.05, ping_timeout_s=0.2, pings_idle=True)
    client = await connect(serving)
    number = client.ask(b'x', 'Wait')
    asyncio.get_running_loop().call_later(1, serving.methods.go.set)
    assert (await client.outcome(number))[1] == b'x'


@pytest.mark.parametrize('settings', [{'idle_s': 0.2}, {'age_s': 0.3}])
async def test_connections_that_are_old_or_idle_are_ended(serve: Serve, connect: Any, settings: dict) -> None:
    client = await connect(await serve(**settings))
    assert (await client.outcome(client.ask(b'x')))[1] == b'x'
    assert (await client.until(ConnectionTerminated)).error_code is ErrorCodes.NO_ERROR
    assert client.is_told


async def test_who_only_sends_pings_is_idle(serve: Serve, connect: Any) -> None:
    client = await connect(await serve(idle_s=0.3))
    assert (await client.outcome(client.ask(b'x')))[1] == b'x'
    while not client.is_told:
        client.http.ping(b'12345678')
        client.flush()
        await client.until(PingAckReceived)


async def test_a_call_that_comes_before_the_client_knows_of_the_end_is_served(serve: Serve, connect: Any) -> None:
    serving = await serve()
    client = await connect(serving)
    assert (await client.outcome(client.ask(b'x')))[1] == b'x'
    stopping = asyncio.ensure_future(serving.server.stop(10))
    await asyncio.sleep(0)
    number = client.ask(b'late')  # its bytes cross those of the farewell
    assert (await client.outcome(number))[1] == b'late'
    assert client.is_told
    await asyncio.wait_for(stopping, 5)
