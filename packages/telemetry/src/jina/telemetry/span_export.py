"""Sends spans over OTLP/gRPC: those of the SDK as its exporter does, and those of requests, which are bytes already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jina.telemetry.span_notes import wrapping
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult

__all__ = ['SpanExporter']

_EXPORT: Final = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
_AT_ONCE: Final = 512
"""Spans of any length in one message; the SDK's default."""
_SHORT: Final = 1000
"""Bytes of a span that isn't long."""


class _Stub:
    """Calls a collector with bytes.

    Args:
        channel: The way to it; typed as Any, as gRPC's stubs insist on serializers.
    """

    def __init__(self, channel: Any) -> None:
        self.Export = channel.unary_unary(_EXPORT)


class SpanExporter(OTLPSpanExporter):
    """The SDK's exporter, which takes what ``span_notes.written`` gives too.

    Args:
        resource: The process that these are of.
        scope: Name of the tracer that they are attributed to.
        endpoint: Address of the collector; None for what the SDK's variables say.
        insecure: Don't use TLS; None for what the SDK's variables say.
    """

    def __init__(self, resource: Resource, scope: str, *, endpoint: str | None, insecure: bool | None) -> None:
        super().__init__(endpoint=endpoint, insecure=insecure)
        self._wrap = wrapping(resource, scope)

    @property
    def _stub(self) -> Any:
        """What the SDK's exporter calls the collector with."""
        return _Stub

    @_stub.setter
    def _stub(self, given: Any) -> None:
        """The SDK's own takes messages, not bytes."""

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Sends spans of both kinds."""
        if len(spans) <= _AT_ONCE:
            return super().export(spans)
        # Spans of the SDK, and what is said of failures, have any length, and collectors limit that of a message.
        short: list[Any] = []
        long: list[Any] = []
        for span in spans:
            (short if type(span) is bytes and len(span) <= _SHORT else long).append(span)
        parts = [short, *(long[start : start + _AT_ONCE] for start in range(0, len(long), _AT_ONCE))]
        results = [super(SpanExporter, self).export(part) for part in parts if part]
        return SpanExportResult.FAILURE if SpanExportResult.FAILURE in results else SpanExportResult.SUCCESS

    def _translate_data(self, data: Sequence[Any]) -> Any:
        written = b''.join([span for span in data if type(span) is bytes])
        message = self._wrap(written) if written else b''
        others = [span for span in data if type(span) is not bytes]
        if others:  # two messages one after the other are one that has what is in both
            message += super()._translate_data(others).SerializeToString()
        return message if isinstance(self._client, _Stub) else ExportTraceServiceRequest.FromString(message)
