from __future__ import annotations

import pytest
from jina.core.errors import ConfigError
from jina.core.wire import MESSAGE_BYTES, merge_grpc_options
from jina.runtime.http2.settings import Settings


def test_the_defaults_of_all_servers() -> None:
    settings = Settings.of(dict(merge_grpc_options({'grpc.so_reuseport': 0})))
    assert settings is not None
    assert (settings.receive, settings.send, settings.shares_port) == (MESSAGE_BYTES, MESSAGE_BYTES, False)
    assert (settings.ping_s, settings.ping_timeout_s, settings.pings_idle) == (9.999, 4.999, True)
    assert (settings.idle_s, settings.age_s, settings.most_streams, settings.handshake_s) == (None, None, None, 120.0)


@pytest.mark.parametrize(
    ('name', 'value', 'field', 'expected'),
    [
        ('grpc.max_connection_idle_ms', 500, 'idle_s', 0.5),
        ('grpc.max_connection_age_ms', 1500, 'age_s', 1.5),
        ('grpc.max_connection_age_ms', (1 << 31) - 1, 'age_s', None),
        ('grpc.max_connection_age_grace_ms', 100, 'age_grace_s', 0.1),
        ('grpc.server_handshake_timeout_ms', 250, 'handshake_s', 0.25),
        ('grpc.keepalive_time_ms', -1, 'ping_s', None),
        ('grpc.max_concurrent_streams', 7, 'most_streams', 7),
        ('grpc.max_concurrent_streams', -1, 'most_streams', None),
        ('grpc.max_receive_message_length', 9, 'receive', 9),
        ('grpc.max_send_message_length', 8, 'send', 8),
        ('grpc.so_reuseport', 1, 'shares_port', True),
    ],
)
def test_options_of_the_user(name: str, value: int, field: str, expected: object) -> None:
    settings = Settings.of({name: value})
    assert getattr(settings, field) == expected


def test_an_option_that_only_the_c_library_has() -> None:
    assert Settings.of({'grpc.optimization_target': 'latency'}) is None


@pytest.mark.parametrize('name', ['grpc.max_concurrent_streams', 'grpc.max_receive_message_length'])
def test_a_value_that_is_no_number(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 'many'") as caught:
        Settings.of({name: 'many'})
    assert 'give a whole number' in str(caught.value)
