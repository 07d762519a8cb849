from __future__ import annotations

import asyncio
from typing import Any

import pytest
from jina.core.gathering import GatheringTransport


class Recorder(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({'peername': ('a', 1)})
        self.written: list[bytes] = []
        self.calls: list[str] = []
        self.closing = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def __getattribute__(self, name: str) -> Any:
        simple = ('write_eof', 'pause_reading', 'resume_reading', 'close', 'abort')
        if name in simple:
            return lambda: self.calls.append(name)
        return super().__getattribute__(name)

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 7

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 1, 2

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.calls.append(f'limits {high} {low}')

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def transport(recorder: Recorder) -> GatheringTransport:
    return GatheringTransport(recorder)


async def test_what_is_written_in_a_turn_goes_together(transport: GatheringTransport, recorder: Recorder) -> None:
    transport.write(b'a')
    transport.write(bytearray(b'b'))
    assert recorder.written == []
    assert transport.get_write_buffer_size() == 9
    await asyncio.sleep(0)
    assert recorder.written == [b'ab']
    transport.write(b'c')
    await asyncio.sleep(0)
    assert recorder.written == [b'ab', b'c']


async def test_much_is_written_at_once(transport: GatheringTransport, recorder: Recorder) -> None:
    transport.write(b'x')
    transport.write(b'y' * 100_000)
    assert [len(data) for data in recorder.written] == [100_001]
    await asyncio.sleep(0)
    assert len(recorder.written) == 1


@pytest.mark.parametrize('end', ['write_eof', 'close'])
async def test_the_end_comes_behind_what_was_written(
    transport: GatheringTransport, recorder: Recorder, end: str
) -> None:
    transport.write(b'a')
    getattr(transport, end)()
    assert recorder.written == [b'a']
    assert recorder.calls == [end]


async def test_an_abort_forgets_what_was_written(transport: GatheringTransport, recorder: Recorder) -> None:
    transport.write(b'a')
    transport.abort()
    await asyncio.sleep(0)
    assert (recorder.written, recorder.calls) == ([], ['abort'])


async def test_a_closing_transport_takes_nothing(transport: GatheringTransport, recorder: Recorder) -> None:
    transport.write(b'a')
    recorder.closing = True
    await asyncio.sleep(0)
    assert recorder.written == []
    assert transport.is_closing()


async def test_all_else_is_the_other_s(transport: GatheringTransport, recorder: Recorder) -> None:
    transport.pause_reading()
    transport.resume_reading()
    transport.set_write_buffer_limits(5, 3)
    assert recorder.calls == ['pause_reading', 'resume_reading', 'limits 5 3']
    assert transport.get_write_buffer_limits() == (1, 2)
    assert transport.get_extra_info('peername') == ('a', 1)
    assert transport.can_write_eof()
    assert transport.is_reading()
    protocol = asyncio.Protocol()
    transport.set_protocol(protocol)
    assert transport.get_protocol() is protocol
