"""What the user's gRPC options say to the channels of this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jina.core.wire import message_limits
from jina.runtime.http2.options import check_numbers, seconds_of

_NUMBERS: Final = frozenset(
    {
        'grpc.http2.max_pings_without_data',
        'grpc.initial_reconnect_backoff_ms',
        'grpc.keepalive_permit_without_calls',
        'grpc.keepalive_time_ms',
        'grpc.keepalive_timeout_ms',
        'grpc.max_reconnect_backoff_ms',
        'grpc.max_receive_message_length',
        'grpc.max_send_message_length',
    }
)
_IGNORED: Final = frozenset(
    {
        # Names that gRPC doesn't know either, and what this package does anyway.
        'grpc.enable_http_proxy',
        'grpc.http1.max_pings_without_data',
        'grpc.http1.min_ping_interval_without_data_ms',
        'grpc.http1.min_time_between_pings_ms',
        'grpc.use_local_subchannel_pool',
    }
)


@dataclass(frozen=True)
class ClientSettings:
    """What a channel does; times are seconds.

    Attributes:
        receive: Bytes that a response may have.
        send: Bytes that a request may have.
        ping_s: A server from which nothing came for so long is asked whether it is there; None for never.
        ping_timeout_s: So long the answer to that may take.
        pings_idle: Whether that is done without calls too.
        most_pings: Pings without any request between them, which many servers take for an attack; 0 for no limit.
        backoff_s: Pause after the first failure to connect.
        most_backoff_s: Longest pause.
    """

    receive: int
    send: int
    ping_s: float | None = None
    ping_timeout_s: float = 20.0
    pings_idle: bool = False
    most_pings: int = 2
    backoff_s: float = 1.0
    most_backoff_s: float = 120.0

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ClientSettings | None:
        """Returns what gRPC options mean; None if there is one that only gRPC's own channels have.

        Args:
            options: By their full names.

        Raises:
            ConfigError: A value is no whole number.
        """
        if not options.keys() <= _NUMBERS | _IGNORED or options.get('grpc.enable_http_proxy'):
            return None
        check_numbers(options, _NUMBERS, 'grpc_channel_options')
        limits = message_limits(tuple(options.items()))
        return cls(
            receive=limits.receive,
            send=limits.send,
            ping_s=seconds_of(options, 'keepalive_time', cls.ping_s),
            ping_timeout_s=seconds_of(options, 'keepalive_timeout', cls.ping_timeout_s) or cls.ping_timeout_s,
            pings_idle=bool(options.get('grpc.keepalive_permit_without_calls', cls.pings_idle)),
            most_pings=options.get('grpc.http2.max_pings_without_data', cls.most_pings),
            backoff_s=seconds_of(options, 'initial_reconnect_backoff', cls.backoff_s) or cls.backoff_s,
            most_backoff_s=seconds_of(options, 'max_reconnect_backoff', cls.most_backoff_s) or cls.most_backoff_s,
        )
