"""What the user's gRPC options say to this server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jina.core.wire import message_limits
from jina.runtime.http2.options import check_numbers, seconds_of

_IGNORED: Final = frozenset(
    {
        # About other threads, proxies and pings of clients, of which this server takes any number.
        'grpc.enable_http_proxy',
        'grpc.http1.max_pings_without_data',
        'grpc.http1.min_ping_interval_without_data_ms',
        'grpc.http1.min_time_between_pings_ms',
        'grpc.http2.max_ping_strikes',
        'grpc.http2.max_pings_without_data',
        'grpc.http2.min_ping_interval_without_data_ms',
        'grpc.http2.min_recv_ping_interval_without_data_ms',
        'grpc.http2.min_time_between_pings_ms',
        'grpc.server.max_pending_requests',
        'grpc.server.max_pending_requests_hard_limit',
    }
)
_SERVED: Final = frozenset(
    {
        'grpc.keepalive_permit_without_calls',
        'grpc.keepalive_time_ms',
        'grpc.keepalive_timeout_ms',
        'grpc.max_concurrent_streams',
        'grpc.max_connection_age_grace_ms',
        'grpc.max_connection_age_ms',
        'grpc.max_connection_idle_ms',
        'grpc.max_receive_message_length',
        'grpc.max_send_message_length',
        'grpc.server_handshake_timeout_ms',
        'grpc.so_reuseport',
    }
)


@dataclass(frozen=True)
class Settings:
    """What a server of HTTP/2 does; times are seconds, None for no limit.

    Attributes:
        receive: Bytes that a request may have.
        send: Bytes that a response may have.
        shares_port: Whether other processes may listen at the same port.
        most_streams: Calls of one connection at a time.
        handshake_s: A client has to begin in that time.
        ping_s: A connection on which nothing came for so long is asked whether somebody is there.
        ping_timeout_s: So long the answer to that may take.
        pings_idle: Whether that is done without calls too.
        idle_s: A connection without calls is ended after that time.
        age_s: A connection is ended after that time.
        age_grace_s: So long the calls may take that are under way then.
    """

    receive: int
    send: int
    shares_port: bool = False
    most_streams: int | None = None
    handshake_s: float | None = 120.0
    ping_s: float | None = 7200.0
    ping_timeout_s: float = 20.0
    pings_idle: bool = False
    idle_s: float | None = None
    age_s: float | None = None
    age_grace_s: float | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings | None:
        """Returns what gRPC options mean; None if there is one that only gRPC's own server has.

        Args:
            options: By their full names.

        Raises:
            ConfigError: A value is no whole number.
        """
        if not options.keys() <= _IGNORED | _SERVED:
            return None
        check_numbers(options, _SERVED, 'grpc_server_options')
        limits = message_limits(tuple(options.items()))
        streams = options.get('grpc.max_concurrent_streams')
        return cls(
            receive=limits.receive,
            send=limits.send,
            shares_port=bool(options.get('grpc.so_reuseport', 1)),
            most_streams=None if streams is None or streams < 0 else int(streams),
            handshake_s=seconds_of(options, 'server_handshake_timeout', cls.handshake_s),
            ping_s=seconds_of(options, 'keepalive_time', cls.ping_s),
            ping_timeout_s=seconds_of(options, 'keepalive_timeout', cls.ping_timeout_s) or cls.ping_timeout_s,
            pings_idle=bool(options.get('grpc.keepalive_permit_without_calls', cls.pings_idle)),
            idle_s=seconds_of(options, 'max_connection_idle', cls.idle_s),
            age_s=seconds_of(options, 'max_connection_age', cls.age_s),
            age_grace_s=seconds_of(options, 'max_connection_age_grace', cls.age_grace_s),
        )
