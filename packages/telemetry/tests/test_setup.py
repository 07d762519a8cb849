"""The providers send to a real OTLP/gRPC receiver in this process."""

from __future__ import annotations

from typing import Any

import pytest
from jina.core.errors import ConfigError
from jina.telemetry import Collector, resource_of, set_up_telemetry

from .otlp_receiver import Receiver, attributes


def test_spans_arrive_with_the_name_of_the_runtime(receiver: Receiver) -> None:
    with (
        set_up_telemetry('encoder/rep-0', traces=receiver.collector) as telemetry,
        telemetry.tracer().start_as_current_span('/search') as span,
    ):
        span.set_attribute('docs', 3)
    (batch,) = receiver.traces.get(timeout=10).resource_spans
    assert attributes(batch.resource)['service.name'] == 'encoder/rep-0'
    (scope,) = batch.scope_spans
    assert scope.scope.name == 'encoder/rep-0'
    assert [(item.name, item.attributes[0].value.int_value) for item in scope.spans] == [('/search', 3)]
    assert receiver.metrics.empty()


def test_metrics_arrive_periodically_and_at_the_end(receiver: Receiver) -> None:
    telemetry = set_up_telemetry('gateway/rep-0', metrics=receiver.collector, metrics_interval_s=0.05)
    counter = telemetry.meter().create_counter('jina_document_processed')
    counter.add(2, {'executor': 'Encoder'})
    first = receiver.metrics.get(timeout=10)
    assert attributes(first.resource_metrics[0].resource)['service.name'] == 'gateway/rep-0'
    counter.add(5, {'executor': 'Encoder'})
    telemetry.shutdown()
    last = first
    while not receiver.metrics.empty():
        last = receiver.metrics.get()
    (metric,) = last.resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.sum.data_points[0].as_int) == ('jina_document_processed', 7)


def test_two_runtimes_in_one_process_keep_apart(receiver: Receiver) -> None:
    first, second = (set_up_telemetry(name, traces=receiver.collector) for name in ('a/rep-0', 'b/rep-0'))
    for telemetry in (first, second):
        with telemetry.tracer().start_as_current_span('work'):
            pass
        assert telemetry.flush()
    names = {attributes(receiver.traces.get(timeout=10).resource_spans[0].resource)['service.name'] for _ in range(2)}
    assert names == {'a/rep-0', 'b/rep-0'}
    first.shutdown()
    second.shutdown()


def test_without_collectors_nothing_is_recorded() -> None:
    telemetry = set_up_telemetry('encoder/rep-0')
    assert telemetry.tracer_provider is None
    assert telemetry.meter_provider is None
    assert telemetry.prometheus_port is None
    with telemetry.tracer().start_as_current_span('work') as span:
        assert not span.is_recording()
    telemetry.meter().create_counter('count').add(1)
    assert telemetry.flush()
    telemetry.shutdown()


def test_endpoint_of_the_environment_is_used_without_a_host(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('OTEL_EXPORTER_OTLP_ENDPOINT', f'http://127.0.0.1:{receiver.port}')
    with set_up_telemetry('a', traces=Collector()) as telemetry, telemetry.tracer().start_as_current_span('work'):
        pass
    assert receiver.traces.get(timeout=10)


def test_resource_carries_the_place_in_kubernetes() -> None:
    resource = resource_of('a', {'K8S_POD_NAME': 'pod-1', 'K8S_NODE_NAME': '', 'OTHER': 'x'})
    assert resource.attributes['k8s.pod.name'] == 'pod-1'
    assert 'k8s.node.name' not in resource.attributes


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: Collector('host', 0), 'port 0 of a collector is not between 1 and 65535'),
        (lambda: set_up_telemetry('a', metrics_interval_s=0), 'metrics_interval_s=0 is not positive'),
    ],
)
def test_wrong_values_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert str(caught.value) == message
