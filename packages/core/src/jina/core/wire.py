"""The wire: envelope messages, gRPC method paths, service names, channel defaults and metadata keys.

The classes here are shallow twins of the public messages in ``protos/jina.proto``: documents stay ``bytes``, so that
parsing a request costs the same whatever it carries. This is the only module that imports the generated code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

from jina.core._proto.envelope_pb2 import (
    DataRequestListProto,
    DataRequestProto,
    EndpointsProto,
    HeaderProto,
    JinaInfoProto,
    RouteProto,
    SingleDocumentRequestProto,
    StatusProto,
)

__all__ = [
    'ATTEMPTS_KEY',
    'CALL',
    'DEFAULT_ENDPOINT',
    'DEFAULT_GRPC_OPTIONS',
    'DRY_RUN',
    'DRY_RUN_ENDPOINT',
    'ENDPOINT_DISCOVERY',
    'ENDPOINT_KEY',
    'FAILED_SHARDS_KEY',
    'FAST_LANE',
    'IS_ERROR_KEY',
    'LEAVING',
    'MESSAGE_BYTES',
    'METRICS_FACT',
    'NO_LIMITS',
    'PREFETCH_KEY',
    'PROCESS_DATA',
    'PROCESS_SINGLE_DATA',
    'PROTO_VERSION',
    'RESTORE',
    'RESTORE_STATUS',
    'RESULTS_IN_ORDER_KEY',
    'SERVICE_NAMES',
    'SNAPSHOT',
    'SNAPSHOT_STATUS',
    'STATUS',
    'STREAM_DOC',
    'TOPOLOGY_FACT',
    'TOTAL_SHARDS_KEY',
    'DataRequestListProto',
    'DataRequestProto',
    'EndpointsProto',
    'HeaderProto',
    'JinaInfoProto',
    'MessageLimits',
    'RouteProto',
    'SingleDocumentRequestProto',
    'StatusProto',
    'merge_grpc_options',
    'message_limits',
    'varint',
]

PROTO_VERSION: Final = '0.1.27'
"""Version of the public wire contract, as ``jina -vf`` shows it."""

PROCESS_DATA: Final = '/jina.JinaDataRequestRPC/process_data'
PROCESS_SINGLE_DATA: Final = '/jina.JinaSingleDataRequestRPC/process_single_data'
FAST_LANE: Final = '/jina.core.FastLane/Connect'
"""Between processes of this framework only: one stream with all requests, see ``jina.core.lane``."""
STREAM_DOC: Final = '/jina.JinaSingleDocumentRequestRPC/stream_doc'
CALL: Final = '/jina.JinaRPC/Call'
ENDPOINT_DISCOVERY: Final = '/jina.JinaDiscoverEndpointsRPC/endpoint_discovery'
DRY_RUN: Final = '/jina.JinaGatewayDryRunRPC/dry_run'
STATUS: Final = '/jina.JinaInfoRPC/_status'
TOPOLOGY_FACT: Final = 'topology'
"""What gateways add to the facts of ``_status`` over gRPC: their graph and the addresses behind it, as JSON."""
METRICS_FACT: Final = 'metrics_port'
"""What processes add that serve metrics to Prometheus: the port."""
SNAPSHOT: Final = '/jina.JinaExecutorSnapshot/snapshot'
SNAPSHOT_STATUS: Final = '/jina.JinaExecutorSnapshotProgress/snapshot_status'
RESTORE: Final = '/jina.JinaExecutorRestore/restore'
RESTORE_STATUS: Final = '/jina.JinaExecutorRestoreProgress/restore_status'

SERVICE_NAMES: Final[tuple[str, ...]] = (
    'jina.JinaDataRequestRPC',
    'jina.JinaDiscoverEndpointsRPC',
    'jina.JinaGatewayDryRunRPC',
    'jina.JinaInfoRPC',
    'jina.JinaRPC',
    'jina.JinaSingleDataRequestRPC',
    'jina.JinaSingleDocumentRequestRPC',
)
"""Services that reflection lists and health reports. Every server lists all of them, also those that it answers with
UNIMPLEMENTED: peers choose their stubs from this list."""

DEFAULT_ENDPOINT: Final = '/default'
"""Endpoint of a bare ``@requests``; it serves every request that no other endpoint matches."""
DRY_RUN_ENDPOINT: Final = '_jina_dry_run_'
"""Hidden endpoint that every Executor has; a dry run of a Flow sends an empty request there."""

ENDPOINT_KEY: Final = 'endpoint'
"""Metadata of internal calls: the endpoint that the request is for."""
IS_ERROR_KEY: Final = 'is-error'
"""Trailing metadata, value ``true``: the response carries an ERROR status."""
LEAVING: Final = 'is shutting down'
"""How a server refuses what it hasn't begun since it ends, or since another process takes its place: these are the last words."""
RESULTS_IN_ORDER_KEY: Final = '__results_in_order__'
"""Metadata of a client call: responses must come in the order of the requests."""
PREFETCH_KEY: Final = '__prefetch__'
"""Metadata of a client call: how many requests the gateway may have in flight for this stream."""
ATTEMPTS_KEY: Final = 'jina-client-attempts'
"""Trailing metadata of a retried client call that failed: how often it was tried."""
TOTAL_SHARDS_KEY: Final = 'total_shards'
"""Trailing metadata of a head: how many shards were asked."""
FAILED_SHARDS_KEY: Final = 'failed_shards'
"""Trailing metadata of a head: how many shards failed."""

MESSAGE_BYTES: Final = (1 << 31) - 1
"""The longest message that protobuf reads, and so every peer."""
_GRPC_RECEIVE_BYTES: Final = 4 << 20
"""What gRPC receives when nobody says anything."""

DEFAULT_GRPC_OPTIONS: Final[tuple[tuple[str, object], ...]] = (
    ('grpc.max_send_message_length', -1),
    ('grpc.max_receive_message_length', -1),
    ('grpc.keepalive_time_ms', 9999),
    ('grpc.keepalive_timeout_ms', 4999),
    ('grpc.keepalive_permit_without_calls', True),
    ('grpc.http1.max_pings_without_data', 0),
    ('grpc.http1.min_time_between_pings_ms', 10000),
    ('grpc.http1.min_ping_interval_without_data_ms', 5000),
)
"""Options of every channel and server unless the user gives others; -1 is unlimited."""


def merge_grpc_options(user: Mapping[str, object] | None) -> list[tuple[str, object]]:
    """Returns the options for a gRPC channel or server.

    Args:
        user: Options of the user by their full gRPC name (``grpc.…``); they win over the defaults. A value of None
            removes the default.
    """
    merged = {**dict(DEFAULT_GRPC_OPTIONS), **(user or {})}
    return [(name, value) for name, value in merged.items() if value is not None]


class MessageLimits(NamedTuple):
    """Bytes that one message may have at most."""

    send: int = MESSAGE_BYTES
    receive: int = MESSAGE_BYTES


NO_LIMITS: Final = MessageLimits()
"""No others than protobuf's."""


def message_limits(options: Sequence[tuple[str, object]]) -> MessageLimits:
    """Returns what gRPC allows with the options of a channel or server, and protobuf in any case."""
    found = dict(options)

    def limit(name: str, default: int) -> int:
        value = cast('int', found.get(name, default))
        return MESSAGE_BYTES if value < 0 else min(value, MESSAGE_BYTES)

    return MessageLimits(
        limit('grpc.max_send_message_length', -1), limit('grpc.max_receive_message_length', _GRPC_RECEIVE_BYTES)
    )


def varint(value: int) -> bytes:
    """Returns a non-negative number as protobuf writes it, for messages that are put together by hand."""
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value > 0x7F:
        encoded.append((value & 0x7F) | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
