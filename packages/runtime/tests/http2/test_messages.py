from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jina.core.calls import StatusCode
from jina.core.payloads import HUGE
from jina.runtime.http2.messages import PREFIX, CallFault, MessageReader


def framed(message: bytes, flag: int = 0) -> bytes:
    return PREFIX.pack(flag, len(message)) + message


def feed(reader: MessageReader, raw: bytes, cuts: list[int]) -> None:
    start = 0
    for end in sorted({min(cut, len(raw)) for cut in cuts} | {len(raw)}):
        reader.feed(b'##' + raw[start:end] + b'#', 2, 2 + end - start)
        start = end


def taken(reader: MessageReader) -> list[bytes]:
    return [reader.take() for _ in range(len(reader.messages))]


@given(st.lists(st.binary(max_size=50), max_size=6), st.lists(st.integers(0, 300), max_size=20))
def test_however_the_bytes_are_cut_the_messages_are_the_same(messages: list[bytes], cuts: list[int]) -> None:
    reader = MessageReader(1000, 'identity')
    feed(reader, b''.join(map(framed, messages)), cuts)
    assert reader.is_between
    assert reader.size == sum(len(message) + 48 for message in messages)
    assert taken(reader) == messages
    assert reader.size == 0


@pytest.mark.parametrize('size', [HUGE - 1, HUGE, HUGE + 1, 3 * HUGE])
def test_large_messages(size: int) -> None:
    message = bytes(range(256)) * (size // 256) + b'x' * (size % 256)
    reader = MessageReader(1 << 30, 'identity')
    feed(reader, framed(message) + framed(b'next'), list(range(0, size, 65_536)))
    assert taken(reader) == [message, b'next']


@pytest.mark.parametrize(('encoding', 'pack'), [('gzip', gzip.compress), ('deflate', zlib.compress)])
def test_compressed_messages(encoding: str, pack: object) -> None:
    reader = MessageReader(10_000, encoding)
    feed(reader, framed(pack(b'a' * 9000), 1) + framed(b'plain'), [7])  # type: ignore[operator]
    assert taken(reader) == [b'a' * 9000, b'plain']


@pytest.mark.parametrize(
    ('raw', 'encoding', 'status', 'message'),
    [
        (framed(b'x', 2), 'gzip', StatusCode.INTERNAL, 'begins with 2'),
        (framed(b'x', 1), 'identity', StatusCode.INTERNAL, 'none is named'),
        (framed(b'x', 1), 'br', StatusCode.UNIMPLEMENTED, "not 'br'"),
        (framed(b'nonsense', 1), 'gzip', StatusCode.INTERNAL, 'cannot be decompressed'),
        (framed(gzip.compress(b'a' * 99, mtime=0)[:-9], 1), 'gzip', StatusCode.INTERNAL, 'ends too early'),
        (framed(gzip.compress(b'a' * 5000, mtime=0), 1), 'gzip', StatusCode.RESOURCE_EXHAUSTED, 'larger than max'),
        (framed(b'x' * 1001), 'gzip', StatusCode.RESOURCE_EXHAUSTED, r'larger than max \(1001 vs. 1000\)'),
    ],
)
def test_says_what_is_wrong(raw: bytes, encoding: str, status: StatusCode, message: str) -> None:
    with pytest.raises(CallFault, match=message) as caught:
        feed(MessageReader(1000, encoding), raw, [])
    assert caught.value.status is status


def test_a_message_too_long_is_refused_by_its_length_alone() -> None:
    with pytest.raises(CallFault):
        feed(MessageReader(1000, 'identity'), PREFIX.pack(0, 1 << 31), [])


def test_tells_what_is_under_way() -> None:
    reader = MessageReader(1000, 'identity')
    reader.feed(b'\0\0', 0, 2)
    assert not reader.is_between
    reader.feed(b'\0\0\x05ab', 0, 5)
    assert (reader.missing, reader.is_between) == (3, False)
