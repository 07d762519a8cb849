"""An OTLP/gRPC collector inside of a test."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from jina.telemetry import Collector
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2


class Receiver:
    """An OTLP collector that puts what it gets into queues."""

    def __init__(self) -> None:
        self.traces: queue.Queue[Any] = queue.Queue()
        self.metrics: queue.Queue[Any] = queue.Queue()
        self._server = grpc.server(ThreadPoolExecutor(2))
        for service, messages, received in (
            ('trace.v1.TraceService', trace_service_pb2, self.traces),
            ('metrics.v1.MetricsService', metrics_service_pb2, self.metrics),
        ):
            kind = service.rpartition('.')[2].removesuffix('Service')
            request, response = (getattr(messages, f'Export{kind}Service{part}') for part in ('Request', 'Response'))
            handler = grpc.unary_unary_rpc_method_handler(
                lambda message, context, received=received, response=response: received.put(message) or response(),
                request_deserializer=request.FromString,
                response_serializer=response.SerializeToString,
            )
            name = f'opentelemetry.proto.collector.{service}'
            self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, {'Export': handler})])
        self.port = self._server.add_insecure_port('127.0.0.1:0')
        self._server.start()

    @property
    def collector(self) -> Collector:
        return Collector('127.0.0.1', self.port)

    def stop(self) -> None:
        self._server.stop(None).wait(5)

    def spans(self) -> list[Any]:
        """The spans that came and weren't taken yet. A provider that was shut down has sent all of its own."""
        return [
            span
            for message in _drained(self.traces)
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def points(self) -> dict[str, list[Any]]:
        """The last data points of each metric that came, by its name."""
        return {
            metric.name: list(getattr(metric, metric.WhichOneof('data')).data_points)
            for message in _drained(self.metrics)
            for resource in message.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


def _drained(received: queue.Queue[Any]) -> Iterator[Any]:
    while not received.empty():
        yield received.get()


def attributes(holder: Any) -> dict[str, str]:
    """The textual attributes of a resource, a span or a data point."""
    return {item.key: item.value.string_value for item in holder.attributes}
