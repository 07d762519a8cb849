"""OpenTelemetry and Prometheus set-up of the jina serving framework."""
