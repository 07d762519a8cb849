from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from jina.core.config import GatewayOptions
from jina.runtime.access import OPEN, Access, AccessHandler, Protection

ACCESS = Access(['one', 'two'])


@pytest.mark.parametrize(
    'headers',
    [
        [('authorization', 'Bearer one')],
        [('authorization', 'bearer  two ')],
        [('x-api-key', 'one')],
        [(b'x-api-key', b'two')],
        [(b'host', b'x'), (b'authorization', b'BEARER one')],
        [('authorization', 'Basic abc'), ('x-api-key', 'one')],
        [('x-api-key', 'wrong'), ('authorization', 'Bearer two')],
    ],
)
def test_a_key_opens(headers: Any) -> None:
    assert ACCESS.refusal(headers) is None


@pytest.mark.parametrize(
    ('headers', 'message'),
    [
        ([], 'a key is needed'),
        ([('authorization', 'one')], 'a key is needed'),
        ([('authorization', 'Basic one')], 'a key is needed'),
        ([('authorization', 'Bearer ')], 'the key is wrong'),
        ([('authorization', 'Bearer one two')], 'the key is wrong'),
        ([('authorization', 'Bearer ONE')], 'the key is wrong'),
        ([('x-api-key', 'on')], 'the key is wrong'),
        ([('x-api-key', '\udcff\u20ac')], 'the key is wrong'),
        ([(b'x-api-key', b'\xff\x00')], 'the key is wrong'),
    ],
)
def test_everything_else_does_not(headers: Any, message: str) -> None:
    error = ACCESS.refusal(headers)
    assert error is not None and message in str(error)
    assert (error.grpc_code, error.http_status) == ('UNAUTHENTICATED', 401)


def test_subprotocols_of_browsers() -> None:
    encoded = base64.urlsafe_b64encode(b'one').decode()
    assert ACCESS.allows_protocols(['json', f'bearer.{encoded}'])
    assert ACCESS.allows_protocols([f'bearer.{encoded.rstrip("=")}'])
    for wrong in ([], ['json'], ['bearer.'], ['bearer.one'], ['bearer.\u20ac'], [encoded]):
        assert not ACCESS.allows_protocols(wrong)


def test_keys_are_not_kept() -> None:
    access = Access(['hush-hush'])
    assert 'hush' not in repr(vars(access)) and b'hush' not in b''.join(access._digests)
    assert access._digests != Access(['hush-hush'])._digests  # salted


def test_grpc_calls_are_refused_before_they_are_read() -> None:
    handler = AccessHandler(ACCESS)

    def refused(method: str, *metadata: tuple[str, str]) -> bool:
        details: Any = SimpleNamespace(method=method, invocation_metadata=metadata)
        return handler.find(details) is not None

    for method in ('/jina.JinaRPC/Call', '/jina.core.FastLane/Connect', '/jina.JinaInfoRPC/_status'):
        assert refused(method) and not refused(method, ('x-api-key', 'one'))
    assert not refused('/grpc.health.v1.Health/Check')
    assert not refused('/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo')


def test_without_options_nothing_is_protected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('JINA_API_KEY', raising=False)
    assert Protection.of(GatewayOptions()) == OPEN and OPEN.is_open
    assert not Protection.of(GatewayOptions(api_key=['x'])).is_open
