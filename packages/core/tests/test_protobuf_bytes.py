from __future__ import annotations

import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.wrappers_pb2 import BytesValue, UInt64Value
from hypothesis import given
from hypothesis import strategies as st
from jina.core import protobuf_bytes
from jina.core.errors import RequestTypeError

NUMBERS = st.integers(0, 2**64 - 1) | st.sampled_from(
    [n + d for n in (0, 127, 1023, 2**14, 2**21, 2**28) for d in (0, 1)]
)


@given(NUMBERS)
def test_varints_are_those_of_protobuf(number: int) -> None:
    raw = protobuf_bytes.varint(number)
    assert protobuf_bytes.size_bytes(number) == raw
    assert protobuf_bytes.read_varint(b'x' + raw + b'x', 1) == (number, len(raw) + 1)
    if number:
        assert UInt64Value(value=number).SerializeToString() == b'\x08' + raw


@given(st.binary(min_size=1, max_size=300))
def test_fields_are_those_of_protobuf(value: bytes) -> None:
    raw = protobuf_bytes.field(1, value)
    assert raw == BytesValue(value=value).SerializeToString()
    assert raw == protobuf_bytes.field_head(1, len(value)) + value
    assert list(protobuf_bytes.fields(raw)) == [(1, value)]
    start, end = protobuf_bytes.payload(raw, 0, len(raw), 10)
    assert raw[start:end] == value
    assert protobuf_bytes.whole(raw, 0, len(raw), 10) == start


def test_items_and_entries() -> None:
    values = ListValue(values=[Value(string_value=text) for text in ('a', 'b' * 200)])
    raw = values.SerializeToString()
    assert [Value.FromString(raw[a:b]).string_value for a, b in protobuf_bytes.items(raw, 0, len(raw))] == [
        'a',
        'b' * 200,
    ]
    raw = Struct(fields={'ä': Value(number_value=1)}).SerializeToString()
    ((key, start, stop),) = protobuf_bytes.entries(raw, 0, len(raw))
    assert (key, Value.FromString(raw[start:stop]).number_value) == ('ä', 1)


@pytest.mark.parametrize('raw', [b'', b'\x12\x01a', b'\x0a\x02a', b'\x0a\x01ab', b'\x0a\x01a\x10\x01'])
def test_anything_else_is_unreadable(raw: bytes) -> None:
    with pytest.raises(ValueError, match='not in the one form'):
        protobuf_bytes.whole(raw, 0, len(raw), 10)


def test_numbers_that_do_not_end() -> None:
    with pytest.raises(RequestTypeError):
        protobuf_bytes.read_varint(b'\xff' * 11, 0)
    with pytest.raises(IndexError):
        protobuf_bytes.read_varint(b'\xff', 0)


def test_the_last_field_is_found_only_in_plain_messages() -> None:
    field = protobuf_bytes.field
    value = b'v' * 300
    assert protobuf_bytes.find_last_field(field(1, b'a') + field(3, b'b') + field(4, value), 4) == 9
    assert protobuf_bytes.find_last_field(field(4, value), 4) == 3
    for raw in (
        b'',
        field(1, b'a'),
        field(4, value) + field(4, value),
        field(4, value) + field(1, b'a'),
        b'\x10\x01' + field(4, value),
        field(1, b'a') + field(4, value)[:-1],
        b'\x0a\x81\x00a' + field(4, value),
        b'\x0a\xff',
        b'\xfa\x01\x01a' + field(4, value),
    ):
        assert protobuf_bytes.find_last_field(raw, 4) is None
