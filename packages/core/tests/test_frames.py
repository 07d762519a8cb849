from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.core.errors import RequestTypeError
from jina.core.frames import (
    CANCEL,
    CHUNK,
    ERROR,
    HELLO,
    MORE,
    REQUEST,
    RESPONSE,
    FrameReader,
    FrameWriter,
    Hello,
    decode_error,
    decode_request,
    encode_error,
    request_prefix,
)
from jina.core.payloads import Message
from jina.core.trace_headers import CHECKED_PARENT, PARENT_FORM

payloads = st.lists(st.binary(max_size=200), max_size=30)


@settings(max_examples=150, deadline=None)
@given(payloads, st.integers(1, 64), st.integers(1, 300))
def test_every_record_arrives_whole_whatever_the_limits(contents: list[bytes], chunk: int, frame: int) -> None:
    writer, reader = FrameWriter(frame, chunk), FrameReader()
    for number, content in enumerate(contents):
        writer.add(REQUEST, number, content, 4)
    found = {}
    while (packed := writer.take()) is not None:
        for kind, number, flags, payload in reader.read(packed):
            assert (kind, flags) == (REQUEST, 4)
            assert number not in found
            found[number] = payload
    assert found == dict(enumerate(contents))
    assert (writer.size, reader.unfinished, bool(writer)) == (0, 0, False)


def test_a_long_payload_is_neither_copied_into_a_frame_nor_out_of_it() -> None:
    writer, reader = FrameWriter(), FrameReader()
    payload = bytes(range(256)) * 1000
    writer.add(REQUEST, 1, b'short')
    writer.add(REQUEST, 2, payload, 0, b'before')
    pieces = writer.pieces()
    assert pieces is not None
    assert any(isinstance(piece, memoryview) and piece.obj is payload for piece in pieces)
    frame = Message(b''.join(pieces))
    (_, _, _, short), (_, _, _, long) = reader.read(frame)
    assert (short, long) == (b'short', b'before' + payload)
    assert long is frame
    assert (writer.size, bool(writer)) == (0, False)


def test_a_frame_for_grpc_holds_as_many_long_payloads_as_fit() -> None:
    writer, reader = FrameWriter(), FrameReader()
    for number in range(1, 21):
        writer.add(REQUEST, number, bytes([number]) * 40_000)
    frames = []
    while (frame := writer.take()) is not None:
        frames.append(frame)
    assert len(frames) == 2
    found = [record for frame in frames for record in reader.read(frame)]
    assert found == [(REQUEST, number, 0, bytes([number]) * 40_000) for number in range(1, 21)]


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_nonsense_is_refused_or_read_but_never_crashes(raw: bytes) -> None:
    try:
        FrameReader().read(raw)
    except RequestTypeError as error:
        assert 'frame of the fast lane is damaged' in str(error)


@given(
    st.none() | st.floats(0, 4_000_000),
    st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=4),
    st.binary(max_size=50),
)
@settings(deadline=None)
def test_deadline_and_metadata_stand_before_a_request(
    timeout: float | None, metadata: list[tuple[str, str]], raw: bytes
) -> None:
    flags, prefix = request_prefix(timeout, metadata)
    found_timeout, found_metadata, found = decode_request(flags, prefix + raw)
    assert (list(found_metadata), found) == (metadata, raw)
    assert (found_timeout is None) == (timeout is None)
    if timeout is not None and found_timeout is not None:
        assert timeout - 0.0011 <= found_timeout <= timeout


def test_small_records_pass_a_long_payload_and_long_ones_take_turns() -> None:
    writer, reader = FrameWriter(frame_bytes=100, chunk_bytes=10), FrameReader()
    writer.add(REQUEST, 1, b'a' * 95)
    writer.add(REQUEST, 2, b'b' * 25)
    writer.add(REQUEST, 3, b'small')
    order = []
    frames = 0
    while (frame := writer.take()) is not None:
        frames += 1
        order += [number for _, number, _, _ in reader.read(frame)]
    assert order == [3, 2, 1]
    assert frames == 13  # ten chunks and three, one a frame


def test_not_more_than_four_payloads_are_under_way_at_once() -> None:
    writer, reader = FrameWriter(chunk_bytes=10), FrameReader()
    for number in range(20):
        writer.add(RESPONSE, number, b'x' * 55)
    most = 0
    while (frame := writer.take()) is not None:
        reader.read(frame)
        most = max(most, reader.unfinished)
    assert most == 4


def test_many_small_records_do_not_keep_a_long_one_waiting() -> None:
    writer = FrameWriter(frame_bytes=50, chunk_bytes=20)
    writer.add(REQUEST, 1, b'x' * 30)
    for number in range(2, 100):
        writer.add(REQUEST, number, b'y' * 20)
    reader = FrameReader()
    seen = [{number for _, number, _, _ in reader.read(writer.take() or b'')} for _ in range(2)]
    assert 1 in seen[1]


def test_a_dropped_payload_is_not_sent_any_further() -> None:
    writer, reader = FrameWriter(chunk_bytes=10), FrameReader()
    writer.add(REQUEST, 1, b'x' * 30)
    assert writer.drop(1) is True  # nothing has gone out
    assert writer.take() is None
    writer.add(REQUEST, 2, b'x' * 30)
    assert reader.read(writer.take() or b'') == []
    assert writer.drop(2) is False
    writer.add(CANCEL, 2)
    assert reader.unfinished == 1
    assert reader.read(writer.take() or b'') == [(CANCEL, 2, 0, b'')]
    assert (reader.unfinished, writer.size) == (0, 0)


def test_chunks_of_a_forgotten_request_are_left_out() -> None:
    writer, reader = FrameWriter(chunk_bytes=10), FrameReader()
    writer.add(RESPONSE, 7, b'x' * 25)
    reader.read(writer.take() or b'')
    reader.drop(7)
    while (frame := writer.take()) is not None:
        assert reader.read(frame) == []


@pytest.mark.parametrize(
    'frame',
    [b'\x02\x00', b'\x02\x00\x01\x00\x00\x00\xff\x00\x00\x00abc'],
    ids=['half a head', 'half a payload'],
)
def test_a_cut_frame(frame: bytes) -> None:
    with pytest.raises(RequestTypeError, match='damaged'):
        FrameReader().read(frame)


def test_two_payloads_with_one_number() -> None:
    reader, writer = FrameReader(), FrameWriter(chunk_bytes=1)
    writer.add(REQUEST, 1, b'ab')
    first = writer.take() or b''
    assert first[0] == REQUEST and first[1] == MORE
    reader.read(first)
    with pytest.raises(RequestTypeError, match='a second payload has the number 1'):
        reader.read(first)
    assert (writer.take() or b'')[0] == CHUNK


def test_errors_travel_with_code_and_message() -> None:
    assert decode_error(encode_error('UNAVAILABLE', 'two\nlines \udcff')) == ('UNAVAILABLE', 'two\nlines \\udcff')


def test_hello_tells_versions_and_window() -> None:
    assert Hello.from_bytes(Hello(3, 2, 10).to_bytes()) == Hello(3, 2, 10)
    assert Hello.from_bytes(b'{"version": 1, "oldest": 1, "window": null, "new": true}') == Hello()
    assert Hello(2, 2).understands(Hello(3, 2)) and not Hello(1, 1).understands(Hello(3, 2))
    for raw in (b'', b'[]', b'{"version": "x"}', b'\xff', b'[' * 20_000, b'{"version": 1e400, "oldest": 1}'):
        with pytest.raises(RequestTypeError, match='no hello'):
            Hello.from_bytes(raw)
    assert HELLO != ERROR


def test_a_limit_holds_for_frames_and_payloads_that_wait_already() -> None:
    writer, reader = FrameWriter(), FrameReader()
    writer.add(HELLO, 0, Hello().to_bytes())
    sizes = {1: 2_000_000, 2: 100_000, 3: 90_000, 4: 600_000, 5: 10}
    for number, size in sizes.items():
        writer.add(REQUEST, number, bytes(size))
    assert sorted(writer.limit(100_000)) == [(1, 2_000_000), (4, 600_000)]
    found = []
    while (frame := writer.take()) is not None:
        assert len(frame) <= 100_000
        found += reader.read(frame)
    assert found[0][0] == HELLO
    assert {number: len(payload) for _, number, _, payload in found[1:]} == {2: 100_000, 3: 90_000, 5: 10}
    assert writer.size == 0


def test_who_sends_more_than_the_hello_allowed_is_cut_off() -> None:
    writer, reader = FrameWriter(), FrameReader(100_000)
    writer.add(REQUEST, 1, bytes(2_000_000))
    with pytest.raises(RequestTypeError, match='a payload is longer than 100000 bytes'):
        while (frame := writer.take()) is not None:
            reader.read(frame)


@pytest.mark.parametrize(
    'value',
    [
        f'00-{"4b" * 16}-{"0f" * 8}-01',
        f'00-{"4b" * 16}-{"0f" * 8}-01x',
        f'00-{"00" * 16}-{"0f" * 8}-01',
        f'00-{"4b" * 16}-{"00" * 8}-01',
        f'01-{"4b" * 16}-{"0f" * 8}-01',
        f'00-{"4b" * 16}-{"0f" * 8}-0"',
        '-' * 55,
        '',
    ],
)
def test_the_place_in_a_trace_is_written_as_all_metadata_are(value: str) -> None:
    metadata = [('traceparent', value)]
    _, prefix = request_prefix(None, metadata)
    _, alike = request_prefix(None, [*metadata, ('a', 'b')])
    assert json.loads(prefix[4:]) == json.loads(alike[4:])[:1] == [['traceparent', value]]
    found, raw = decode_request(4, prefix + b'raw')[1:]
    assert (found, raw) == (tuple(metadata), b'raw')
    # nobody looks at it again if it has the form that W3C Trace Context prescribes
    assert (found[0][0] is CHECKED_PARENT) == (PARENT_FORM.fullmatch(value) is not None)


def test_the_place_in_a_trace_stands_behind_the_deadline() -> None:
    metadata = ((CHECKED_PARENT, f'00-{"4b" * 16}-{"0f" * 8}-01'),)
    flags, prefix = request_prefix(1.5, metadata)
    assert decode_request(flags, prefix + b'raw') == (1.5, metadata, b'raw')
