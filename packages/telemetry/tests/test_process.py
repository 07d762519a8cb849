"""The telemetry of a process, as its options and variables ask for it."""

from __future__ import annotations

import time

import pytest
from jina.core.config import GatewayOptions
from jina.core.errors import ConfigError
from jina.core.measures import Measures
from jina.telemetry.process import set_up_process

from .otlp_receiver import Receiver


def test_the_variable_of_the_sdk_says_how_often_metrics_are_sent(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('OTEL_METRIC_EXPORT_INTERVAL', '10')
    options = GatewayOptions(metrics=True, metrics_exporter_host='127.0.0.1', metrics_exporter_port=receiver.port)
    measures = Measures({'runtime_name': 'gateway/rep-0'})
    measures.counter('jina_successful_requests', 'Requests that were answered').add()
    began = time.monotonic()
    with set_up_process(options, measures):
        for _ in range(30):
            receiver.metrics.get(timeout=30)
    assert time.monotonic() - began < 30 * 0.5, 'they came as seldom as without the variable'


@pytest.mark.parametrize('text', ['soon', '0', '-5'])
def test_wrong_intervals(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OTEL_METRIC_EXPORT_INTERVAL', text)
    with pytest.raises(ConfigError, match=f"OTEL_METRIC_EXPORT_INTERVAL is '{text}'; give milliseconds"):
        set_up_process(GatewayOptions(metrics=True), Measures())
