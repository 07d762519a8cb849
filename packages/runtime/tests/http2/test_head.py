from __future__ import annotations

import pytest
from jina.runtime.http2.head import Head, encoded_metadata, seconds

BASE = ((b':method', b'POST'), (b':path', b'/a.B/C'), (b'content-type', b'application/grpc'), (b'te', b'trailers'))


def test_what_is_metadata_and_what_is_not() -> None:
    head = Head(
        (
            *BASE,
            (b'grpc-timeout', b'250m'),
            (b'grpc-encoding', b'gzip'),
            (b'grpc-accept-encoding', b'identity'),
            (b'user-agent', b'curl'),
            (b'x-text', 'ü'.encode()),
            (b'x-latin', b'\xfc'),
            (b'x-raw-bin', b'AP8,AQ'),
            (b'x-broken-bin', b'A'),
        )
    )
    assert (head.method, head.timeout, head.encoding, head.refusal) == ('/a.B/C', 0.25, 'gzip', None)
    assert head.invocation_metadata == (
        ('user-agent', 'curl'),
        ('x-text', 'ü'),
        ('x-latin', 'ü'),
        ('x-raw-bin', b'\x00\xff'),
        ('x-raw-bin', b'\x01'),
    )


@pytest.mark.parametrize(
    ('change', 'status'),
    [
        ((b'content-type', b'text/html'), 415),
        ((b':method', b'GET'), 405),
        ((b'content-type', b'application/grpc+proto'), None),
    ],
)
def test_requests_that_are_not_grpc(change: tuple[bytes, bytes], status: int | None) -> None:
    headers = dict(BASE)
    headers.update([change])
    assert Head(headers.items()).refusal == status


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('1H', 3600.0),
        ('2M', 120.0),
        ('3S', 3.0),
        ('4m', 0.004),
        ('5u', 5e-6),
        ('6n', 6e-9),
        ('', None),
        ('S', None),
        ('1x', None),
        ('-1S', None),
        ('1.5S', None),
        ('²S', None),
        ('123456789S', None),
    ],
)
def test_timeouts(text: str, expected: float | None) -> None:
    assert seconds(text) == (None if expected is None else pytest.approx(expected))


def test_metadata_as_headers() -> None:
    assert encoded_metadata((('A', 'ü'), ('b-bin', b'\x00\xff'))) == [(b'a', 'ü'.encode()), (b'b-bin', b'AP8')]
