"""OpenTelemetry set-up of the jina serving framework."""

from jina.telemetry.setup import Collector, Telemetry, resource_of, set_up_telemetry

__all__ = ['Collector', 'Telemetry', 'resource_of', 'set_up_telemetry']
