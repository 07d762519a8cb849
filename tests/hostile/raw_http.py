"""Bytes on an HTTP port that are no HTTP, or HTTP that servers have read in different ways."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.hostile.payloads import BYTES, chosen, mutated

_GOOD = b'{"data": [{"text": "a"}]}'


def _post(body: bytes = _GOOD, *headers: bytes, path: bytes = b'/things', line: bytes = b'') -> bytes:
    start = line or b'POST ' + path + b' HTTP/1.1'
    return b'\r\n'.join([start, b'host: a', b'content-type: application/json', *headers, b'', body])


def _length(body: bytes) -> bytes:
    return b'content-length: %d' % len(body)


def _chunked(*chunks: bytes) -> bytes:
    return _post(b''.join(chunks), b'transfer-encoding: chunked')


_FIXED = [
    _post(_GOOD, _length(_GOOD)),
    _post(_GOOD, _length(_GOOD)) * 3,  # several requests at once
    _post(_GOOD, b'content-length: 5', b'content-length: 500'),
    _post(_GOOD, b'content-length: 5, 500'),
    _post(_GOOD, b'content-length: -1'),
    _post(_GOOD, b'content-length: +26'),
    _post(_GOOD, b'content-length: 0x1a'),
    _post(_GOOD, b'content-length: ' + b'9' * 40),
    _post(_GOOD, b'content-length: 18446744073709551616'),
    _post(_GOOD, b'content-length: 1e3'),
    _post(_GOOD, b'content-length : 26'),
    _post(_GOOD, b'content-length:'),
    _post(_GOOD, _length(_GOOD), b'transfer-encoding: chunked'),
    _post(b'0\r\n\r\nGET /status HTTP/1.1\r\nhost: a\r\n\r\n', b'content-length: 4', b'transfer-encoding: chunked'),
    _post(_GOOD, b'transfer-encoding: identity, chunked'),
    _post(_GOOD, b'transfer-encoding: xchunked'),
    _post(_GOOD, b'transfer-encoding: chunked, identity'),
    _post(_GOOD, b'transfer-encoding:\x0bchunked'),
    _chunked(b'1a\r\n' + _GOOD + b'\r\n0\r\n\r\n'),
    _chunked(b'1A;a=b\r\n' + _GOOD + b'\r\n0\r\nx: y\r\n\r\n'),
    _chunked(b'ffffffffffffffff\r\n' + _GOOD),
    _chunked(b'fffffffffffffffff\r\n' + _GOOD),
    _chunked(b'-1\r\n' + _GOOD),
    _chunked(b'zz\r\n' + _GOOD),
    _chunked(b'1\n{\n0\n\n'),
    _chunked(b'5\r\n' + _GOOD + b'\r\n0\r\n\r\n'),
    _chunked(b'0' * 5000 + b'1\r\n{\r\n0\r\n\r\n'),
    _chunked(b'1;' + b'a' * 100_000 + b'\r\n{\r\n0\r\n\r\n'),
    _post(_GOOD, _length(_GOOD), b'x: ' + b'a' * 200_000),
    _post(_GOOD, _length(_GOOD), *[b'x%d: y' % number for number in range(5000)]),
    _post(_GOOD, _length(_GOOD), b'x\0y: z'),
    _post(_GOOD, _length(_GOOD), b'x: y\0z'),
    _post(_GOOD, _length(_GOOD), b'x: \xff\xfe'),
    _post(_GOOD, _length(_GOOD), b' folded: x'),
    _post(_GOOD, _length(_GOOD), b'no colon'),
    _post(_GOOD, _length(_GOOD), b': no name'),
    _post(_GOOD, _length(_GOOD), b'host: b'),
    _post(_GOOD, _length(_GOOD), b'expect: 100-continue'),
    _post(_GOOD, _length(_GOOD), b'expect: nothing'),
    _post(_GOOD, _length(_GOOD), b'content-encoding: gzip'),
    _post(_GOOD, _length(_GOOD), b'connection: upgrade', b'upgrade: websocket'),
    _post(
        _GOOD,
        _length(_GOOD),
        b'connection: upgrade, HTTP2-Settings',
        b'upgrade: h2c',
        b'http2-settings: AAMAAABkAARAAAAAAAIAAAAA',
    ),
    _post(_GOOD, _length(_GOOD), b'content-type: text/plain; charset=utf-99'),
    _post(_GOOD, _length(_GOOD), path=b'/things\0'),
    _post(_GOOD, _length(_GOOD), path=b'/th%69ngs'),
    _post(_GOOD, _length(_GOOD), path=b'/%ff%fe'),
    _post(_GOOD, _length(_GOOD), path=b'/%'),
    _post(_GOOD, _length(_GOOD), path=b'/%00'),
    _post(_GOOD, _length(_GOOD), path=b'/\xff\xfe'),
    _post(_GOOD, _length(_GOOD), path=b'//things'),
    _post(_GOOD, _length(_GOOD), path=b'/../../etc/passwd'),
    _post(_GOOD, _length(_GOOD), path=b'/static-offline-docs/../../../etc/passwd'),
    _post(_GOOD, _length(_GOOD), path=b'http://[::1/things'),
    _post(_GOOD, _length(_GOOD), path=b'http://other/things'),
    _post(_GOOD, _length(_GOOD), path=b'*'),
    _post(_GOOD, _length(_GOOD), path=b'things'),
    _post(_GOOD, _length(_GOOD), path=b'/' + b'a' * 100_000),
    _post(_GOOD, _length(_GOOD), path=b'/things?' + b'a=b&' * 20_000),
    _post(_GOOD, _length(_GOOD), path=b'/stream?parameters=%5B&name=%ff'),
    _post(_GOOD, _length(_GOOD), line=b'POST /things HTTP/9.9'),
    _post(_GOOD, _length(_GOOD), line=b'POST /things HTTP/1.0'),
    _post(_GOOD, _length(_GOOD), line=b'POST /things'),
    _post(_GOOD, _length(_GOOD), line=b'PO\0ST /things HTTP/1.1'),
    _post(_GOOD, _length(_GOOD), line=b'CONNECT a:80 HTTP/1.1'),
    _post(_GOOD, _length(_GOOD), line=b'TRACE /things HTTP/1.1'),
    _post(_GOOD, _length(_GOOD), line=b'OPTIONS * HTTP/1.1'),
    _post(_GOOD, _length(_GOOD), line=b'GET /stream?name=a HTTP/1.1'),
    _post(_GOOD, _length(_GOOD), line=b'HEAD /graphql HTTP/1.1'),
    _post(_GOOD, _length(_GOOD), line=b'X' * 70_000 + b' / HTTP/1.1'),
    _post(b'', b'content-length: 100'),
    b'POST /things HTTP/1.1\r\n',
    b'\r\n' * 1000,
    b'\n',
    b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0\x04\0\0\0\0\0' * 10,
    b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(100),
    b'\0' * 70_000,
    b'GET ' + b'/' * 70_000,
]

RAW_HTTP = st.one_of(chosen(_FIXED), chosen([raw for raw in _FIXED if len(raw) < 5000]).flatmap(mutated), BYTES)
"""What is written to a connection."""
