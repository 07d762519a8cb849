"""OpenTelemetry providers of a runtime that send to a collector over OTLP/gRPC, or serve Prometheus."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from jina.core.errors import ConfigError
from jina.core.measures import SECONDS, Measures
from jina.core.version import __version__
from jina.telemetry.measured import MeasuredMetrics
from jina.telemetry.prometheus import PrometheusServer
from jina.telemetry.pushing import MetricsPusher
from jina.telemetry.recording import ChosenIds, RecordingTracer, sampled_below
from jina.telemetry.span_buffer import SpanBuffer
from opentelemetry.metrics import Meter, NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased
from opentelemetry.trace import NoOpTracer, Tracer

__all__ = ['Collector', 'Telemetry', 'resource_of', 'set_up_telemetry']

DEFAULT_PORT = 4317
"""The port of OTLP over gRPC."""
_SECONDS_VIEW = View(instrument_unit='s', aggregation=ExplicitBucketHistogramAggregation(SECONDS))
"""OpenTelemetry's own buckets begin with five seconds."""
_AS_THE_CALLER = 'remoteParentNotSampled:AlwaysOffSampler'
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


class Telemetry:
    """The providers of one runtime; one that is None was not asked for and costs nothing.

    Use as a context manager, or call :meth:`shutdown`, so that what was recorded last is sent.

    Args:
        runtime_name: Name of the runtime, and of its tracer and meter.
        tracer_provider: Records spans.
        tracer: The tracer of the runtime.
        meter_provider: Records what instruments of OpenTelemetry measure.
        pusher: Sends metrics.
        prometheus: Serves metrics.
    """

    def __init__(
        self,
        runtime_name: str,
        tracer_provider: TracerProvider | None = None,
        tracer: Tracer | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        pusher: MetricsPusher | None = None,
        prometheus: PrometheusServer | None = None,
    ) -> None:
        self.runtime_name = runtime_name
        self.tracer_provider = tracer_provider
        self._tracer = tracer
        self.meter_provider = meter_provider
        self._pusher = pusher
        self._prometheus = prometheus

    @property
    def prometheus_port(self) -> int | None:
        """Port where Prometheus finds the metrics; None if they aren't served."""
        return None if self._prometheus is None else self._prometheus.port

    @property
    def follows_callers(self) -> bool:
        """Whether no span of a trace is recorded that the caller doesn't record, as the SDK's ``parentbased`` samplers do."""
        sampler = getattr(self.tracer_provider, 'sampler', None)
        return isinstance(sampler, ParentBased) and _AS_THE_CALLER in sampler.get_description()  # type: ignore[no-untyped-call]

    def tracer(self) -> Tracer:
        """The tracer of the runtime, named after it; one that records nothing without tracing."""
        return self._tracer or NoOpTracer()

    def meter(self) -> Meter:
        """The meter of the runtime, named after it; one that records nothing without metrics."""
        return self.meter_provider.get_meter(self.runtime_name) if self.meter_provider else NoOpMeter(self.runtime_name)

    def flush(self, *, timeout_s: float = 5.0) -> bool:
        """Sends what was recorded so far.

        Args:
            timeout_s: How long traces and metrics may take each.

        Returns:
            True if everything was handed over in time.
        """
        traces = self.tracer_provider.force_flush(int(timeout_s * 1000)) if self.tracer_provider else True
        metrics = self._pusher.flush(timeout_s) if self._pusher else True
        return traces and metrics

    def shutdown(self, *, timeout_s: float = 5.0) -> None:
        """Sends what was recorded and ends the exporters' threads.

        Args:
            timeout_s: How long a collector that doesn't answer may hold this up.
        """
        if self._prometheus:
            self._prometheus.close()
        if self.tracer_provider:
            self.tracer_provider.shutdown()
        if self._pusher:
            self._pusher.shutdown(timeout_s)
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
    prometheus: tuple[str, int] | None = None,
    measures: Measures | None = None,
) -> Telemetry:
    """Builds the providers of a runtime. Nothing global is set, so that several runtimes can live in one process.

    Args:
        runtime_name: For example ``encoder/rep-0``; becomes the resource attribute ``service.name``.
        traces: Where spans are sent. None: no tracing.
        metrics: Where metrics are sent. None: they aren't sent.
        metrics_interval_s: Time between two exports of metrics.
        prometheus: Address and port where Prometheus finds the metrics; port 0 takes a free one. None: they aren't served.
        measures: What the runtime itself records; exported with what instruments of OpenTelemetry record.

    Returns:
        The providers. The caller shuts them down.

    Raises:
        ConfigError: ``metrics_interval_s`` isn't positive.
        PortInUseError: Another process listens on the port for Prometheus.
    """
    if metrics_interval_s <= 0:
        raise ConfigError(f'metrics_interval_s={metrics_interval_s!r} is not positive')
    resource = resource_of(runtime_name)
    provider, tracer = (None, None) if traces is None else _tracing(traces, resource, runtime_name)
    if metrics is None and prometheus is None:
        return Telemetry(runtime_name, provider, tracer)
    reader = InMemoryMetricReader()
    meter_provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False, views=[_SECONDS_VIEW])
    own = MeasuredMetrics(measures or Measures(), resource, runtime_name)

    def read() -> MetricsData:
        return own.joined(reader.get_metrics_data())

    server = None
    if prometheus is not None:
        server = PrometheusServer(read, host=prometheus[0], port=prometheus[1], owner=runtime_name)
    pusher = None
    if metrics is not None:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (  # noqa: PLC0415 - grpcio, for those who push
            OTLPMetricExporter,
        )

        exporter = OTLPMetricExporter(endpoint=metrics.endpoint, insecure=True if metrics.host else None)
        pusher = MetricsPusher(exporter, read, interval_s=metrics_interval_s)
    return Telemetry(runtime_name, provider, tracer, meter_provider, pusher=pusher, prometheus=server)


def _tracing(traces: Collector, resource: Resource, runtime_name: str) -> tuple[TracerProvider, Tracer]:
    """Returns what records spans, and the tracer of the runtime."""
    from jina.telemetry.span_export import SpanExporter  # noqa: PLC0415 - grpcio, for those who push

    # our exporters never speak TLS to a collector that is given by host and port, as documented
    insecure = True if traces.host else None
    exporter = SpanExporter(resource, runtime_name, endpoint=traces.endpoint, insecure=insecure)
    buffer, ids = SpanBuffer(exporter), ChosenIds()
    provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=ids)
    provider.add_span_processor(buffer)
    tracer = provider.get_tracer(runtime_name)
    below = sampled_below(provider)
    if below is None or not isinstance(tracer, SdkTracer):  # another one if the SDK is disabled
        return provider, tracer
    return provider, RecordingTracer(tracer, buffer.keep, ids, below)


def resource_of(runtime_name: str, variables: Mapping[str, str] | None = None) -> Resource:
    """What describes a runtime in every span and metric: its name, our version and where it runs in Kubernetes.

    Args:
        runtime_name: Becomes ``service.name``.
        variables: Environment variables; default those of the process.
    """
    variables = os.environ if variables is None else variables
    places = {attribute: variables[name] for name, attribute in _KUBERNETES.items() if variables.get(name)}
    return Resource.create({SERVICE_NAME: runtime_name, SERVICE_VERSION: __version__, **places})
