from __future__ import annotations

import contextlib

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st
from jina.runtime.http2.hpack import HeaderDecoder, HpackError, literal

names = st.one_of(
    st.sampled_from([b':path', b':method', b'content-type', b'te', b'grpc-timeout', b'x', b'x-trace-bin']),
    st.binary(min_size=1, max_size=40),
)
headers = st.lists(st.tuples(names, st.binary(max_size=80)), max_size=12)


@given(st.lists(headers, max_size=6), st.booleans())
def test_reads_what_another_implementation_writes_to_the_same_tables(blocks: list[list], huffman: bool) -> None:
    theirs, ours = Encoder(), HeaderDecoder()
    for block in blocks:
        assert ours.decode(theirs.encode(block, huffman=huffman)) == block


@given(st.lists(headers, max_size=4), st.integers(0, 4096), st.integers(0, 4096))
def test_tables_that_shrink_and_grow(blocks: list[list], small: int, large: int) -> None:
    theirs, ours = Encoder(), HeaderDecoder()
    for number, block in enumerate(blocks):
        theirs.header_table_size = (small, large)[number % 2]
        assert ours.decode(theirs.encode(block)) == block


@given(headers)
def test_another_implementation_reads_literals(block: list) -> None:
    raw = b''.join(literal(*header) for header in block)
    assert [(bytes(name), bytes(value)) for name, value in Decoder().decode(raw, raw=True)] == block


@pytest.mark.parametrize('size', [126, 127, 128, 254, 255, 16_384, 60_000])
def test_lengths_of_several_bytes(size: int) -> None:
    raw = literal(b'name', b'v' * size)
    assert HeaderDecoder().decode(raw) == [(b'name', b'v' * size)]


@given(st.binary(max_size=200))
def test_nonsense_is_an_error_and_nothing_else(raw: bytes) -> None:
    with contextlib.suppress(HpackError):
        HeaderDecoder().decode(raw)


def test_the_examples_of_the_standard() -> None:
    decoder = HeaderDecoder()
    first = bytes.fromhex('828684418cf1e3c2e5f23a6ba0ab90f4ff')
    second = bytes.fromhex('828684be5886a8eb10649cbf')
    third = bytes.fromhex('828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf')
    base = [(b':method', b'GET'), (b':scheme', b'http'), (b':path', b'/'), (b':authority', b'www.example.com')]
    assert decoder.decode(first) == base
    assert decoder.decode(second) == [*base, (b'cache-control', b'no-cache')]
    assert decoder.decode(third) == [
        (b':method', b'GET'),
        (b':scheme', b'https'),
        (b':path', b'/index.html'),
        (b':authority', b'www.example.com'),
        (b'custom-key', b'custom-value'),
    ]


def test_tells_whether_the_same_bytes_mean_the_same_next_time() -> None:
    decoder, encoder = HeaderDecoder(), Encoder()
    decoder.decode(encoder.encode([(b'a', b'1')]))
    assert decoder.changed
    decoder.decode(encoder.encode([(b'a', b'1')]))
    assert not decoder.changed
    decoder.decode(literal(b'b', b'2'))
    assert not decoder.changed


@pytest.mark.parametrize(
    ('raw', 'message'),
    [
        (b'\x80', 'no entry 0'),
        (b'\xbe', 'no entry 62'),
        (b'\x40', 'middle of an entry'),
        (b'\x00\x05ab', 'middle of an entry'),
        (b'\xff\xff\xff\xff\xff\xff\xff', 'too long'),
        (b'\x3f\xe2\x1f', 'size 4097'),
        (b'\x82\x20', 'size 0'),
        (b'\x00\x81\x00\x01a', 'middle of a code'),
        (b'\x00\x84\xff\xff\xff\xff\x00', 'end in the middle'),
        (b'\x00\x82\xff\xff\x00', 'middle of a code'),
    ],
)
def test_says_what_is_wrong(raw: bytes, message: str) -> None:
    with pytest.raises(HpackError, match=message):
        HeaderDecoder().decode(raw)


def test_few_bytes_that_unpack_to_many_are_refused() -> None:
    decoder = HeaderDecoder(header_bytes=10_000)
    block = literal(b'a', b'x' * 3000).replace(b'\0', b'\x40', 1) + b'\xbe' * 5
    with pytest.raises(HpackError, match='more than 10000 bytes'):
        decoder.decode(block)
