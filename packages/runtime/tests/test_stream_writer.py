from __future__ import annotations

import asyncio

import pytest
from jina.runtime.stream_writer import StreamWriter


class Client:
    """Takes what is written, each time after ``read`` or at once."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.got: list[bytes] = []
        self.writing = 0
        self._at_once = at_once
        self._may_take: asyncio.Queue[None] = asyncio.Queue()

    async def write(self, item: bytes) -> None:
        self.writing += 1
        if not self._at_once:
            await self._may_take.get()
        self.got.append(item)
        self.writing -= 1

    async def read(self, count: int) -> None:
        wanted = len(self.got) + count
        for _ in range(count):
            self._may_take.put_nowait(None)
        while len(self.got) < wanted:  # noqa: ASYNC110 - the writer is driven by callbacks of the loop
            await asyncio.sleep(0)


def fill(writer: StreamWriter) -> int:
    """Puts items, at least a few, until the writer asks to wait; returns how many it took."""
    count = 0
    while writer.put(b'%d.' % count) or count < 8:
        count += 1
        assert count < 1000
    return count + 1


async def test_items_come_in_order_one_write_at_a_time() -> None:
    client = Client()
    writer = StreamWriter(client.write)
    for number in range(50):
        if not writer.put(b'%d' % number):
            room = asyncio.ensure_future(writer.room())
            while not room.done():
                assert client.writing <= 1
                await client.read(1) if client.writing else await asyncio.sleep(0)
            await room
    finished = asyncio.ensure_future(writer.finish())
    await client.read(50 - len(client.got))
    await finished
    assert client.got == [b'%d' % number for number in range(50)]


async def test_a_slow_client_holds_the_generator_back() -> None:
    client = Client()
    writer = StreamWriter(client.write)
    taken = fill(writer)
    assert taken < 30
    room = asyncio.ensure_future(writer.room())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not room.done()
    await client.read(taken)
    await room


async def test_large_items_wait_one_by_one() -> None:
    client = Client()
    writer = StreamWriter(client.write)
    for _ in range(8):
        writer.put(b'')
    assert not writer.put(bytes(1 << 17))
    writer.abandon()


async def test_quick_items_are_packed() -> None:
    client = Client(at_once=True)
    writer = StreamWriter(client.write, packs=True)
    for number in range(12):
        writer.put(b'%d.' % number)
    await writer.finish()
    assert b''.join(client.got) == b''.join(b'%d.' % number for number in range(12))
    assert client.got[0] == b'0.'  # the first one waits for nothing
    assert len(client.got) < 12


async def test_packed_items_leave_when_the_generator_waits() -> None:
    client = Client(at_once=True)
    writer = StreamWriter(client.write, packs=True)
    for _ in range(12):
        writer.put(b'.')
    await asyncio.sleep(0)
    assert b''.join(client.got) == b'.' * 12


async def test_a_failed_write_is_raised_where_the_items_are() -> None:
    async def write(_: bytes) -> None:
        await asyncio.sleep(0)
        raise ConnectionResetError('gone')

    writer = StreamWriter(write)
    writer.put(b'a')
    with pytest.raises(ConnectionResetError, match='gone'):
        await writer.finish()
    with pytest.raises(ConnectionResetError, match='gone'):
        writer.put(b'b')
    with pytest.raises(ConnectionResetError, match='gone'):
        await writer.room()


async def test_abandoning_ends_the_write() -> None:
    ended = asyncio.Event()

    async def write(_: bytes) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    writer = StreamWriter(write)
    writer.put(b'a')
    writer.abandon()
    assert ended.is_set()
