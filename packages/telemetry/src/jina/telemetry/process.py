"""The telemetry of a server process or a client, as its options ask for it."""

from __future__ import annotations

import os

from jina.core.config import ClientOptions, ExecutorOptions, GatewayOptions
from jina.core.errors import ConfigError
from jina.core.measures import Measures
from jina.telemetry.setup import Collector, Telemetry, set_up_telemetry

__all__ = ['set_up_client', 'set_up_process']

_INTERVAL_S = 0.5


def set_up_process(options: ExecutorOptions | GatewayOptions, measures: Measures | None) -> Telemetry:
    """Builds the providers of a server process.

    Args:
        options: Options of the process.
        measures: What the process records; needed for metrics.

    Raises:
        ConfigError: ``OTEL_METRIC_EXPORT_INTERVAL`` is no number of milliseconds.
        PortInUseError: Another process listens on the port for Prometheus.
    """
    host = options.host if isinstance(options, GatewayOptions) else options.host[0]
    ports, index = options.port_monitoring, options.replica_id
    return set_up_telemetry(
        options.runtime_name,
        traces=_collector(options.traces_exporter_host, options.traces_exporter_port) if options.tracing else None,
        metrics=_collector(options.metrics_exporter_host, options.metrics_exporter_port) if options.metrics else None,
        metrics_interval_s=_interval_s() if options.metrics else _INTERVAL_S,
        prometheus=(host, ports[index] if index < len(ports) else 0) if options.monitoring else None,
        measures=measures,
    )


def set_up_client(options: ClientOptions, name: str) -> Telemetry:
    """Builds the provider of a client, which records traces only.

    Args:
        options: Options of the client.
        name: Name of the client in traces, for example ``GRPCClient``.
    """
    return set_up_telemetry(name, traces=_collector(options.traces_exporter_host, options.traces_exporter_port))


def _collector(host: str | None, port: int | None) -> Collector:
    return Collector(host or '', port) if port else Collector(host or '')


def _interval_s() -> float:
    """Time between two exports of metrics: what the SDK's variable says, or half a second."""
    text = os.environ.get('OTEL_METRIC_EXPORT_INTERVAL')
    if not text:
        return _INTERVAL_S
    try:
        seconds = float(text) / 1000
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ConfigError(
            f'environment variable OTEL_METRIC_EXPORT_INTERVAL is {text!r}', hint='give milliseconds, for example 60000'
        )
    return seconds
