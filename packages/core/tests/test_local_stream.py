from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jina.core import local_stream
from jina.core.calls import EOF
from jina.core.local_stream import LocalStream, is_loopback, listen, may_enter, open_door

pytestmark = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='abstract Unix sockets')

Pair = tuple[LocalStream, LocalStream]


class Door:
    """Listens, and keeps the server's ends."""

    def __init__(self) -> None:
        found = listen(1234)
        assert found is not None
        self.name, self.listener = found
        self.ends: asyncio.Queue[LocalStream] = asyncio.Queue()
        self.lost: asyncio.Queue[None] = asyncio.Queue()

    async def open(self) -> Door:
        loop = asyncio.get_running_loop()
        made, lost = self.ends.put_nowait, lambda: self.lost.put_nowait(None)
        self.server = await loop.create_unix_server(lambda: LocalStream(made, lost), sock=self.listener)
        return self


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    one = await Door().open()
    yield one
    one.server.close()


@pytest.fixture
async def pair(door: Door) -> AsyncIterator[Pair]:
    """The client's end and the server's."""
    client = await open_door(door.name)
    assert client is not None
    server = await asyncio.wait_for(door.ends.get(), 20)
    yield client, server
    for end in (client, server):
        end.cancel()
    await asyncio.wait_for(door.lost.get(), 20)


async def test_frames_of_all_sizes_arrive_whole_and_in_order(pair: Pair) -> None:
    client, server = pair
    limit = local_stream._BUFFER_BYTES
    sizes = [1, 10, limit - 5, limit - 4, limit - 3, limit, 3_000_000, 1, 7_000_000, 2, limit + 1] + [5000] * 100
    frames = [bytes([number % 251]) * size for number, size in enumerate(sizes)]

    async def send(end: LocalStream) -> None:
        for frame in frames:
            await end.write((frame,))
        await end.done_writing()

    async def take(end: LocalStream) -> list[Any]:
        return [await end.read() for _ in range(len(frames) + 1)]

    both = await asyncio.gather(send(client), send(server), take(client), take(server))
    assert both[2] == both[3] == [*frames, EOF]


async def test_bytes_that_come_one_by_one() -> None:
    stream = LocalStream()
    for byte in b'\x03\x00\x00\x00abc\x01\x00\x00\x00d':
        stream.get_buffer(-1)[0] = byte
        stream.buffer_updated(1)
    assert [await stream.read(), await stream.read()] == [b'abc', b'd']


async def test_what_is_no_stream_of_ours_is_cut_off(pair: Pair) -> None:
    client, server = pair
    client._transport.write(b'\xff\xff\xff\xffGET / HTTP/1.1')
    with pytest.raises(asyncio.CancelledError):
        await server.read()
    assert await asyncio.wait_for(client.read(), 20) is EOF


async def test_a_writer_waits_for_a_reader_that_is_behind(pair: Pair) -> None:
    client, server = pair
    written = 0

    async def write() -> None:
        nonlocal written
        for _ in range(400):
            await client.write((b'x' * 100_000,))
            written += 1

    task = asyncio.create_task(write())
    seen = -1
    while seen != (seen := written) or not seen:  # noqa: ASYNC110 - for the absence of an event
        await asyncio.sleep(0.3)
    assert written < 100  # a megabyte on each side, and what the system keeps
    for _ in range(400):
        assert len(await asyncio.wait_for(server.read(), 20)) == 100_000
    await task


@pytest.mark.parametrize('writing', [False, True])
async def test_the_end_of_one_side_is_seen_by_the_other(pair: Pair, writing: bool) -> None:
    client, server = pair

    async def write() -> None:
        while True:
            await client.write((b'x' * 100_000,))

    waits = asyncio.create_task(write() if writing else client.read())
    await asyncio.sleep(0.05)
    server.cancel()
    if writing:
        with pytest.raises(asyncio.InvalidStateError, match='closed'):
            await asyncio.wait_for(waits, 20)
    else:
        assert await asyncio.wait_for(waits, 20) is EOF
    with pytest.raises(asyncio.CancelledError):
        await server.read()
    with pytest.raises(asyncio.InvalidStateError, match='closed'):
        await server.write((b'a',))
    await server.done_writing()  # says nothing, and fails no more


async def test_close_sends_what_was_written(pair: Pair) -> None:
    client, server = pair
    closing = asyncio.gather(server.write((b'x' * 900_000,)), server.close())
    assert len(await asyncio.wait_for(client.read(), 20)) == 900_000
    assert await asyncio.wait_for(client.read(), 20) is EOF
    await asyncio.wait_for(closing, 20)


async def test_a_door_that_is_not_there_or_belongs_to_another_user(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await open_door('jina-lane-1-' + 'f' * 32) is None
    user = os.geteuid()
    monkeypatch.setattr(os, 'geteuid', lambda: user + 1)
    assert await open_door(door.name) is None


async def test_who_tells_of_a_frame_longer_than_any_gets_no_memory_for_it(door: Door) -> None:
    reader, writer = await asyncio.open_unix_connection(f'\0{door.name}')
    server = await asyncio.wait_for(door.ends.get(), 20)
    writer.write((local_stream._LONGEST + 1).to_bytes(4, 'little') + b'x' * 100)
    with pytest.raises((asyncio.CancelledError, ConnectionError)):
        await asyncio.wait_for(server.read(), 20)
    assert server._large is None
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 20) == b''
    writer.close()
    await asyncio.wait_for(door.lost.get(), 20)


async def test_both_sides_know_strangers(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(end.is_stranger() for end in pair)
    user = os.geteuid()
    monkeypatch.setattr(os, 'geteuid', lambda: user + 1)
    assert all(end.is_stranger() for end in pair)


def test_no_door_without_abstract_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'platform', 'darwin')
    assert listen(1) is None


def test_no_door_where_the_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(socket.socket):
        def bind(self, _: Any) -> None:
            raise PermissionError

    monkeypatch.setattr(socket, 'socket', Refused)
    assert listen(1) is None


@pytest.mark.parametrize(
    ('name', 'address', 'allowed'),
    [
        ('jina-lane-1234-' + '0a' * 16, '127.0.0.1:1234', True),
        ('jina-lane-1234-' + '0a' * 16, 'localhost:1234', True),
        ('jina-lane-1234-' + '0a' * 16, '0.0.0.0:1234', True),
        ('jina-lane-1234-' + '0a' * 16, '[::1]:1234', True),
        ('jina-lane-1234-' + '0a' * 16, '127.0.0.1:1235', False),  # a proxy stands in between
        ('jina-lane-1234-' + '0a' * 16, '10.0.0.1:1234', False),
        ('jina-lane-1234-' + '0a' * 16, 'localhost.example.com:1234', False),
        ('jina-lane-1234-' + '0A' * 16, '127.0.0.1:1234', False),
        ('/run/docker.sock', '127.0.0.1:1234', False),
        ('', '127.0.0.1:1234', False),
    ],
)
def test_only_doors_of_a_server_that_was_asked_here_are_tried(name: str, address: str, allowed: bool) -> None:
    assert may_enter(name, address) is allowed


@pytest.mark.parametrize(
    ('address', 'here'),
    [('127.0.0.1:1', True), ('[::1]:1', True), ('[::ffff:127.0.0.1]:1', True), ('10.1.2.3:1', False), ('', False)],
)
def test_addresses_of_this_machine(address: str, here: bool) -> None:
    assert is_loopback(address) is here
