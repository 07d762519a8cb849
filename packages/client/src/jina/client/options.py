"""Keyword arguments of the client as types, so that editors and type checkers know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from jina.client.callbacks import Callback
from jina.core.config.build import unknown_option
from jina.core.enums import ProtocolType
from pydantic import BaseModel

__all__ = ['ClientKeywords', 'PostExtras', 'PostKeywords', 'StreamKeywords', 'check_extras']


class ClientKeywords(TypedDict, total=False):
    """Keywords of ``Client``: the options of ``jina.core.config.ClientOptions``, which documents and checks them."""

    host: str
    port: int | None
    protocol: str | ProtocolType
    tls: bool
    ssl_cafile: str | None
    ssl_server_name: str | None
    api_key: str | None
    asyncio: bool
    prefetch: int
    reuse_session: bool
    proxy: bool
    grpc_channel_options: Mapping[str, Any] | None
    cors: bool
    log_config: str
    suppress_root_logging: bool
    tracing: bool
    traces_exporter_host: str | None
    traces_exporter_port: int | None
    metrics: bool
    metrics_exporter_host: str | None
    metrics_exporter_port: int | None


class PostExtras(TypedDict, total=False):
    """Keywords of ``post`` and ``stream_doc`` about how a call travels."""

    metadata: Mapping[str, str] | Sequence[tuple[str, str]] | None
    """gRPC metadata, or headers of HTTP requests or of the request that opens a WebSocket."""
    headers: Mapping[str, str] | Sequence[tuple[str, str]] | None
    """The same as ``metadata``; both may be given."""
    compression: str | None
    """gRPC only: ``'Gzip'``, ``'Deflate'`` or None, in any case. For what the client sends."""
    timeout: float | None
    """Limit in seconds for each call (for the whole stream, if it is one). Default: none."""


class PostKeywords(PostExtras, total=False):
    """Keywords of ``post`` that don't change the type of its result; ``PostMixin.post`` documents them."""

    on_error: Callback | None
    parameters: Mapping[str, Any] | BaseModel | None
    target_executor: str | None
    request_size: int
    show_progress: bool
    continue_on_error: bool
    max_attempts: int
    initial_backoff: float
    max_backoff: float
    backoff_multiplier: float
    results_in_order: bool
    stream: bool
    prefetch: int | None


class StreamKeywords(PostExtras, total=False):
    """Keywords of ``stream_doc``; ``PostMixin.stream_doc`` documents them."""

    parameters: Mapping[str, Any] | BaseModel | None
    target_executor: str | None


_EXTRAS: Final = tuple(PostExtras.__annotations__)
_OTHERS: Final = {
    'post': (*PostKeywords.__annotations__, 'on', 'inputs', 'return_type', 'on_done', 'on_always', 'return_responses'),
    'stream_doc': (*StreamKeywords.__annotations__, 'on', 'inputs', 'return_type'),
}
"""What else each method takes."""


def check_extras(extras: PostExtras, method: str) -> None:
    """Refuses keywords that don't exist.

    Raises:
        ConfigError: There is one; the nearest that exists is named.
    """
    for name in extras:
        if name not in _EXTRAS:
            raise unknown_option(name, {*_EXTRAS, *_OTHERS[method]}, where=method)
