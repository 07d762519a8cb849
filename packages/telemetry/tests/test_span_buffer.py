"""Spans that wait, and the thread that sends them."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from jina.core.errors import ConfigError
from jina.telemetry.span_buffer import SpanBuffer
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler
from opentelemetry.trace import SpanContext, TraceFlags


class Exporter:
    """Takes batches, when it is let."""

    def __init__(self) -> None:
        self.batches: queue.Queue[Sequence[Any]] = queue.Queue()
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()
        self.is_shut = False
        self.error: Exception | None = None

    def export(self, spans: Sequence[Any]) -> None:
        self.reached.set()
        assert self.open.wait(30)
        self.batches.put([span.name for span in spans])
        if self.error is not None:
            raise self.error

    def shutdown(self) -> None:
        self.is_shut = True


def end(spans: SpanBuffer, name: object) -> None:
    """Gives it a span that is over."""
    context = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1))
    spans.on_end(ReadableSpan(str(name), context, resource=Resource.get_empty()))


def names(numbers: Iterable[int]) -> list[str]:
    return [str(number) for number in numbers]


@pytest.fixture
def exporter() -> Exporter:
    return Exporter()


@contextmanager
def buffer(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch, *, most: int = 8, at_once: int = 4, delay_ms: int = 600_000
) -> Iterator[SpanBuffer]:
    for name, value in (('MAX_QUEUE_SIZE', most), ('MAX_EXPORT_BATCH_SIZE', at_once), ('SCHEDULE_DELAY', delay_ms)):
        monkeypatch.setenv(f'OTEL_BSP_{name}', str(value))
    made = SpanBuffer(exporter)
    try:
        yield made
    finally:
        exporter.open.set()
        made.shutdown()


def test_a_batch_is_sent_when_it_is_full(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    with buffer(exporter, monkeypatch) as spans:
        for number in range(6):
            end(spans, number)
        assert exporter.batches.get(timeout=10) == names(range(4))
        for number in range(6, 8):
            end(spans, number)
        assert exporter.batches.get(timeout=10) == names(range(4, 8))
    assert exporter.batches.empty() and exporter.is_shut


def test_what_waits_is_sent_after_the_delay(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    with buffer(exporter, monkeypatch, delay_ms=10) as spans:
        end(spans, 'a')
        assert exporter.batches.get(timeout=10) == ['a']


def test_what_waits_is_sent_on_demand_and_at_the_end(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    with buffer(exporter, monkeypatch) as spans:
        end(spans, 'a')
        assert spans.force_flush()
        assert exporter.batches.get_nowait() == ['a']
        end(spans, 'b')
    assert exporter.batches.get_nowait() == ['b']
    end(spans, 'c')
    assert not spans.force_flush()
    spans.shutdown()
    assert exporter.batches.empty()


def test_too_many_are_dropped_and_counted(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with buffer(exporter, monkeypatch) as spans:
        exporter.open.clear()
        for number in range(4):
            end(spans, number)
        assert exporter.reached.wait(10)  # that batch is under way, and eight more may wait
        with caplog.at_level(logging.WARNING):
            for number in range(4, 20):
                end(spans, number)
            exporter.open.set()
            assert [exporter.batches.get(timeout=10) for _ in range(3)] == [
                names(range(start, start + 4)) for start in (0, 4, 8)
            ]
    assert caplog.messages == ['8 spans were dropped: more come than are sent']


def test_an_exporter_that_fails_is_asked_again(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exporter.error = ValueError('broken')
    with buffer(exporter, monkeypatch, at_once=1) as spans:
        end(spans, 'a')
        assert exporter.batches.get(timeout=10) == ['a']
        exporter.error = None
        end(spans, 'b')
        assert exporter.batches.get(timeout=10) == ['b']
    assert caplog.messages == ['1 spans were not exported']


def test_many_threads_lose_none(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    with buffer(exporter, monkeypatch, most=1_000_000, at_once=100) as spans:
        threads = [
            threading.Thread(target=lambda name=name: [end(spans, f'{name} {n}') for n in range(5000)])
            for name in 'abcd'
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = [span for _ in range(exporter.batches.qsize()) for span in exporter.batches.get()]
    assert len(found) == 20_000
    for name in 'abcd':
        assert [span for span in found if span[0] == name] == [f'{name} {number}' for number in range(5000)]


@pytest.mark.parametrize('sampler', [None, ALWAYS_OFF])
def test_spans_of_the_sdk_that_are_recorded_come_too(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch, sampler: Sampler | None
) -> None:
    with buffer(exporter, monkeypatch) as spans:
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(spans)
        provider.get_tracer('a').start_span('one').end()
        assert provider.force_flush()
    names = [name for batch in exporter.batches.queue for name in batch]
    assert names == (['one'] if sampler is None else [])


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='this system does not fork')
def test_a_child_sends_its_own(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    with buffer(exporter, monkeypatch, at_once=2) as spans:
        end(spans, 'parent')
        receiver, sender = os.pipe()
        child = os.fork()
        if not child:
            end(spans, 'child')
            end(spans, 'child')
            os.write(sender, repr(exporter.batches.get(timeout=10)).encode())
            os._exit(0)
        os.close(sender)
        with os.fdopen(receiver) as answer:
            assert answer.read() == "['child', 'child']"
        os.waitpid(child, 0)
    assert exporter.batches.get_nowait() == ['parent']


@pytest.mark.parametrize('text', ['0', '-1', 'many', '1.5'])
def test_a_variable_that_is_no_number(exporter: Exporter, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv('OTEL_BSP_MAX_QUEUE_SIZE', text)
    with pytest.raises(ConfigError) as caught:
        SpanBuffer(exporter)
    assert str(caught.value) == (
        f'environment variable OTEL_BSP_MAX_QUEUE_SIZE is {text!r}; give a positive whole number'
    )
