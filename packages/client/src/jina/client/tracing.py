"""Traces of a client: a span for each call, below that which is current where the call is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from jina.core.enums import ProtocolType
from jina.core.telemetry import load_telemetry
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from jina.client.transports.base import CallOptions
    from jina.core.config import ClientOptions

__all__ = ['ClientTracing']

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_GRPC_NAMES: Final = {'call': '/jina.JinaRPC/Call', 'stream': '/jina.JinaSingleDocumentRequestRPC/stream_doc'}
_NAMES: Final = {
    ProtocolType.HTTP: {'call': 'POST', 'stream': 'GET'},
    ProtocolType.WEBSOCKET: {'call': '/', 'stream': '/'},
}
"""Names of spans."""


class ClientTracing:
    """Records the calls of one client.

    Args:
        options: Where spans are sent.
        name: Name of the client, which becomes ``service.name``.
        protocol: What it speaks.

    Raises:
        MissingExtraError: ``jina-telemetry`` isn't installed.
    """

    def __init__(self, options: ClientOptions, name: str, protocol: ProtocolType) -> None:
        self._names = _NAMES.get(protocol, _GRPC_NAMES)
        self._telemetry: Any = load_telemetry('client')(options, name)
        self._tracer = self._telemetry.tracer()

    @contextmanager
    def span(self, method: Literal['call', 'stream'], endpoint: str, options: CallOptions) -> Iterator[CallOptions]:
        """Records what is done inside as one span.

        Args:
            method: What is called.
            endpoint: The endpoint that is called.
            options: How requests travel.

        Yields:
            The same with the trace in the metadata, so that servers go on with it.
        """
        span = self._tracer.start_span(
            self._names[method], kind=SpanKind.CLIENT, attributes={'jina.endpoint': endpoint}
        )
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(span))
        kept = tuple(pair for pair in options.metadata if pair[0].lower() not in _PROPAGATOR.fields)
        try:
            yield replace(options, metadata=(*kept, *carrier.items()))
        except Exception as error:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, f'{type(error).__name__}: {error}'))
            raise
        finally:
            span.end()

    def shutdown(self) -> None:
        """Sends what was recorded."""
        self._telemetry.shutdown()
