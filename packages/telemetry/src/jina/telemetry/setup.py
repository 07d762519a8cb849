"""OpenTelemetry providers of a runtime that send to a collector over OTLP/gRPC."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from jina.core.errors import ConfigError
from jina.core.version import __version__
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Meter, NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracer, Tracer

__all__ = ['Collector', 'Telemetry', 'resource_of', 'set_up_telemetry']

DEFAULT_PORT = 4317
"""The port of OTLP over gRPC."""
_KUBERNETES = {
    'K8S_NAMESPACE_NAME': 'k8s.namespace.name',
    'K8S_DEPLOYMENT_NAME': 'k8s.deployment.name',
    'K8S_STATEFULSET_NAME': 'k8s.statefulset.name',
    'K8S_CLUSTER_NAME': 'k8s.cluster.name',
    'K8S_NODE_NAME': 'k8s.node.name',
    'K8S_POD_NAME': 'k8s.pod.name',
}


@dataclass(frozen=True)
class Collector:
    """Where traces or metrics are sent.

    Args:
        host: Host of the collector. Empty: what the SDK's ``OTEL_EXPORTER_OTLP_*`` variables say, or ``localhost``.
        port: Its port for OTLP over gRPC.
    """

    host: str = ''
    port: int = DEFAULT_PORT

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ConfigError(f'port {self.port!r} of a collector is not between 1 and 65535')

    @property
    def endpoint(self) -> str | None:
        """Address for the exporter; None leaves it to the SDK's variables."""
        return f'{self.host}:{self.port}' if self.host else None


@dataclass(frozen=True)
class Telemetry:
    """The providers of one runtime; one that is None was not asked for and costs nothing.

    Use as a context manager, or call :meth:`shutdown`, so that what was recorded last is sent.
    """

    runtime_name: str
    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None

    def tracer(self) -> Tracer:
        """The tracer of the runtime, named after it; one that records nothing without tracing."""
        return self.tracer_provider.get_tracer(self.runtime_name) if self.tracer_provider else NoOpTracer()

    def meter(self) -> Meter:
        """The meter of the runtime, named after it; one that records nothing without metrics."""
        return self.meter_provider.get_meter(self.runtime_name) if self.meter_provider else NoOpMeter(self.runtime_name)

    def flush(self, *, timeout_s: float = 5.0) -> bool:
        """Sends what was recorded so far.

        Args:
            timeout_s: How long each provider may take.

        Returns:
            True if everything was handed over in time.
        """
        milliseconds = int(timeout_s * 1000)
        traces = self.tracer_provider.force_flush(milliseconds) if self.tracer_provider else True
        metrics = self.meter_provider.force_flush(milliseconds) if self.meter_provider else True
        return traces and metrics

    def shutdown(self) -> None:
        """Sends what was recorded and ends the exporters' threads."""
        if self.tracer_provider:
            self.tracer_provider.shutdown()
        if self.meter_provider:
            self.meter_provider.shutdown()

    def __enter__(self) -> Telemetry:
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()


def set_up_telemetry(
    runtime_name: str,
    *,
    traces: Collector | None = None,
    metrics: Collector | None = None,
    metrics_interval_s: float = 0.5,
) -> Telemetry:
    """Builds the providers of a runtime. Nothing global is set, so that several runtimes can live in one process.

    Args:
        runtime_name: For example ``encoder/rep-0``; becomes the resource attribute ``service.name``.
        traces: Where spans are sent. None: no tracing.
        metrics: Where metrics are sent. None: no metrics.
        metrics_interval_s: Time between two exports of metrics.

    Returns:
        The providers. The caller shuts them down.

    Raises:
        ConfigError: ``metrics_interval_s`` isn't positive.
    """
    if metrics_interval_s <= 0:
        raise ConfigError(f'metrics_interval_s={metrics_interval_s!r} is not positive')
    resource = resource_of(runtime_name)
    tracer_provider = meter_provider = None
    if traces is not None:
        # our exporters never speak TLS to a collector that is given by host and port, as documented
        span_exporter = OTLPSpanExporter(endpoint=traces.endpoint, insecure=True if traces.host else None)
        tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        tracer_provider.add_span_processor(BatchSpanProcessor(span_exporter))
    if metrics is not None:
        metric_exporter = OTLPMetricExporter(endpoint=metrics.endpoint, insecure=True if metrics.host else None)
        reader = PeriodicExportingMetricReader(metric_exporter, export_interval_millis=metrics_interval_s * 1000)
        meter_provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    return Telemetry(runtime_name, tracer_provider, meter_provider)


def resource_of(runtime_name: str, variables: Mapping[str, str] | None = None) -> Resource:
    """What describes a runtime in every span and metric: its name, our version and where it runs in Kubernetes.

    Args:
        runtime_name: Becomes ``service.name``.
        variables: Environment variables; default those of the process.
    """
    variables = os.environ if variables is None else variables
    places = {attribute: variables[name] for name, attribute in _KUBERNETES.items() if variables.get(name)}
    return Resource.create({SERVICE_NAME: runtime_name, SERVICE_VERSION: __version__, **places})
