"""Requests that are nearly right, and bytes that are nothing, at every entry: no crash, no hang, no fault of the server.

A short run sends the same requests each time, see ``settings``; ``python -m tests.hostile`` sends as many as asked for.
"""

from __future__ import annotations

import asyncio
import json
import struct
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from jina.core import wire
from schemathesis import GenerationMode

from tests.hostile import connections
from tests.hostile.payloads import (
    BOMBS,
    BYTES,
    JSON_BYTES,
    MANY_BYTES,
    REQUEST_BYTES,
    SINGLE_BYTES,
    chosen,
    frame_lists,
    graphql,
)
from tests.hostile.raw_http import RAW_HTTP
from tests.hostile.settings import attack, configured
from tests.hostile.victim import PATIENCE_S, Target, Victim

pytestmark = [
    pytest.mark.timeout(0),  # an attack has its own limit
    pytest.mark.filterwarnings('ignore:Generating overly large repr'),
]


@pytest.fixture(autouse=True)
def _alive(victim: Victim) -> Iterator[None]:
    yield
    victim.check()


def _send(victim: Victim, kind: str, payloads: list[Any], attack_one: Callable[[Target, Any], Any]) -> None:
    """Attacks both servers with all payloads at the same time, and counts what it came to."""

    async def all_of_them() -> list[str]:
        attacks = [attack_one(target, payload) for payload in payloads for target in victim.targets]
        return list(await asyncio.gather(*attacks))

    for outcome in victim.run(all_of_them()):
        victim.count(kind, outcome)


@attack(0.14, REQUEST_BYTES)
def test_grpc_single(victim: Victim, payloads: list[bytes]) -> None:
    method = wire.PROCESS_SINGLE_DATA
    _send(victim, 'grpc single', payloads, lambda to, raw: connections.unary(victim, to.grpc, method, raw))


@attack(0.03, MANY_BYTES)
def test_grpc_many(victim: Victim, payloads: list[bytes]) -> None:
    method = wire.PROCESS_DATA
    _send(victim, 'grpc many', payloads, lambda to, raw: connections.unary(victim, to.grpc, method, raw))


@attack(0.05, st.tuples(st.sampled_from([wire.ENDPOINT_DISCOVERY, wire.DRY_RUN, wire.STATUS]), BYTES))
def test_grpc_discovery(victim: Victim, payloads: list[tuple[str, bytes]]) -> None:
    _send(victim, 'grpc discovery', payloads, lambda to, sent: connections.unary(victim, to.grpc, *sent))


@attack(0.05, st.lists(REQUEST_BYTES, max_size=3))
def test_grpc_call(victim: Victim, payloads: list[list[bytes]]) -> None:
    _send(victim, 'grpc call', payloads, lambda to, raws: connections.stream_both(victim, to.grpc, wire.CALL, raws))


@attack(0.06, SINGLE_BYTES)
def test_grpc_stream(victim: Victim, payloads: list[bytes]) -> None:
    _send(victim, 'grpc stream', payloads, lambda to, raw: connections.stream_out(victim, to.grpc, raw))


@attack(0.05, frame_lists())
def test_fast_lane(victim: Victim, payloads: list[list[bytes]]) -> None:
    method = wire.FAST_LANE
    _send(victim, 'fast lane', payloads, lambda to, raws: connections.stream_both(victim, to.grpc, method, raws))


@attack(0.04, st.tuples(frame_lists(), st.sampled_from([None] * 6 + [0, 1, 2**22, 2**23 + 1, 2**32 - 1])))
def test_local_lane(victim: Victim, payloads: list[tuple[list[bytes], int | None]]) -> None:
    doors = {target.name: victim.run(connections.door_of(victim, target.grpc)) for target in victim.targets}

    def framed(frames: list[bytes], last: int | None) -> list[bytes]:
        found = [struct.pack('<I', len(frame)) + frame for frame in frames]
        return found if last is None else [*found, struct.pack('<I', last), b'x' * 100]

    _send(victim, 'local lane', payloads, lambda to, sent: connections.local(doors[to.name], framed(*sent)))


_PATHS = st.sampled_from(['/things', '/one', '/parts', '/default', '/stream', '/post', '/nope'])


@attack(0.14, st.tuples(_PATHS, JSON_BYTES))
def test_http_bodies(victim: Victim, payloads: list[tuple[str, bytes]]) -> None:
    _send(victim, 'http bodies', payloads, lambda to, sent: connections.post(victim, to.http, *sent))


@attack(0.03, graphql())
def test_graphql(victim: Victim, payloads: list[bytes]) -> None:
    _send(victim, 'graphql', payloads, lambda to, body: connections.post(victim, to.http, '/graphql', body))


_TYPES = [
    'text/plain',
    'application/xml',
    '',
    'application/json; charset=utf-16',
    'multipart/form-data',
    '\xff',
    'a' * 500,
]


@attack(0.01, st.tuples(_PATHS, JSON_BYTES, st.sampled_from(_TYPES)))
def test_http_content_types(victim: Victim, payloads: list[tuple[str, bytes, str]]) -> None:
    _send(victim, 'http content types', payloads, lambda to, sent: connections.post(victim, to.http, *sent))


@attack(0.2, RAW_HTTP)
def test_http_bytes(victim: Victim, payloads: list[bytes]) -> None:
    _send(victim, 'http bytes', payloads, lambda to, raw: connections.raw(to.http, raw))


_TYPED = st.sampled_from([None, 'json', 'bytes', 'bytes', 'bytes', 'nothing'])


@attack(0.04, st.lists(JSON_BYTES, max_size=3))
def test_websocket_json(victim: Victim, payloads: list[list[bytes]]) -> None:
    texts = [[raw.decode('utf-8', 'replace') for raw in raws] for raws in payloads]
    _send(victim, 'websocket json', texts, lambda to, messages: connections.talk(to.websocket, 'json', messages))


@attack(0.03, st.tuples(_TYPED, st.lists(st.one_of(REQUEST_BYTES, BYTES, st.text(max_size=20)), max_size=3)))
def test_websocket_bytes(victim: Victim, payloads: list[tuple[str | None, list[Any]]]) -> None:
    _send(victim, 'websocket bytes', payloads, lambda to, sent: connections.talk(to.websocket, *sent))


_FRAMES = st.one_of(
    st.binary(max_size=60),
    chosen(
        [
            b'\x81\x05hello',  # not masked
            b'\x81\xff' + b'\xff' * 8 + b'abcd',  # 2**64 - 1 bytes
            b'\x81\xff' + b'\x7f' + b'\xff' * 7 + b'abcd',
            b'\x82\xfe\x00\x05abcd' + b'x' * 5,  # a length that is longer than it need be
            b'\x09\x80abcd',  # a ping in parts
            b'\x89\xfe\x01\x00abcd' + b'x' * 256,  # a long ping
            b'\x80\x80abcd',  # goes on with nothing
            b'\x01\x80abcd' * 3,
            b'\x83\x80abcd',  # an opcode that there isn't
            b'\xf1\x80abcd',  # reserved bits
            b'\x88\x81abcdx',  # a close of one byte
            b'\x88\x82abcd\x00\x00',
            b'\x81\x82\0\0\0\0\xff\xfe',  # a text that is no UTF-8
            b'\x01\x81\0\0\0\0{' * 2000,
        ]
        + [b'\x82\xfe' + struct.pack('>H', len(bomb)) + b'\0\0\0\0' + bomb for bomb in BOMBS if 125 < len(bomb) < 65536]
    ),
)


@attack(0.1, _FRAMES)
def test_websocket_frames(victim: Victim, payloads: list[bytes]) -> None:
    _send(victim, 'websocket frames', payloads, lambda to, raw: connections.after_handshake(to.websocket, raw))


@attack(0.025, st.tuples(st.sampled_from(['websocket', 'grpc']), RAW_HTTP))
def test_bytes_on_other_ports(victim: Victim, payloads: list[tuple[str, bytes]]) -> None:
    _send(victim, 'bytes on other ports', payloads, lambda to, sent: connections.raw(getattr(to, sent[0]), sent[1]))


_STATUSES = [200, 400, 404, 405, 413, 415, 422, 499, 503]


@pytest.mark.parametrize('name', ['flow', 'deployment'])
def test_openapi(victim: Victim, name: str) -> None:
    """What schemathesis makes of the description of a server: right and wrong requests to all of its routes."""
    base = f'http://127.0.0.1:{getattr(victim, name).http}'
    with urllib.request.urlopen(f'{base}/openapi.json', timeout=30) as answer:
        described = json.load(answer)
    schema = schemathesis.openapi.from_dict(described)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {'/', '/status', '/things', '/one', '/parts', '/stream'}
    with requests.Session() as session:
        for operation in operations:
            modes = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

            @configured(0.005 / 2 / len(operations), batch=1)
            @given(case=st.one_of(modes))
            def send(case: schemathesis.Case) -> None:
                response = case.call(base_url=base, session=session, timeout=PATIENCE_S)
                assert response.status_code in _STATUSES, (case.as_curl_command(), response.text)
                victim.count('openapi', response.status_code)

            send()
