"""Executors in processes of their own that record spans and metrics, which a real OTLP/gRPC receiver gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Deployment, Executor, Flow, TestClient, dynamic_batching, monitor, requests
from jina.telemetry import Collector, set_up_telemetry
from opentelemetry.trace import Status, StatusCode

from packages.telemetry.tests.otlp_receiver import Receiver, attributes


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


class Recorded(Executor):
    """Sends to a collector whose port it is given."""

    def __init__(self, collector_port: int, **kwargs: Any) -> None:
        collector = Collector('127.0.0.1', collector_port)
        self.telemetry = set_up_telemetry(kwargs['runtime_args']['name'], traces=collector, metrics=collector)
        kwargs['runtime_args'].update(tracer=self.telemetry.tracer(), meter=self.telemetry.meter())
        super().__init__(**kwargs)
        assert self.meter is not None
        self.counter = self.meter.create_counter('my_count', description='my count')

    @requests
    def foo(self, docs: DocList[TextDoc], tracing_context: Any, **kwargs: Any) -> DocList[TextDoc]:
        assert self.tracer is not None
        self.counter.add(len(docs))
        with self.tracer.start_as_current_span('process_docs', context=tracing_context) as process_span:
            process_span.set_attribute('sampling_rate', 0.01)
            self.process(docs)
            with self.tracer.start_as_current_span('update_docs') as update_span:
                try:
                    self.update(docs)
                except ValueError as error:
                    update_span.set_status(Status(StatusCode.ERROR))
                    update_span.record_exception(error)
        return docs

    @monitor()
    def process(self, docs: DocList[TextDoc]) -> None:
        for doc in docs:
            doc.text = f'{doc.text}!'

    def update(self, docs: DocList[TextDoc]) -> None:
        with self.monitor('update_seconds', 'Time updating my document'):
            raise ValueError('no update')

    @requests(on='/fail')
    async def fail(self, **kwargs: Any) -> None:
        raise ValueError('not today')

    @requests(on='/stream')
    def stream(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        for _ in range(2):
            yield TextDoc(text=doc.text)

    @dynamic_batching(preferred_batch_size=2, timeout=600_000)
    @requests(on='/batch')
    def batch(self, docs: DocList[TextDoc], **kwargs: Any) -> None: ...

    def close(self) -> None:
        self.telemetry.shutdown()


def named(spans: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for span in spans:
        found.setdefault(span.name, []).append(span)
    return found


@pytest.mark.parametrize('kind', ['grpc', 'http', 'flow', 'in process'])
def test_spans_and_metrics_arrive(kind: str, receiver: Receiver) -> None:
    options: dict[str, Any] = {'uses': Recorded, 'uses_with': {'collector_port': receiver.port}}
    target: Any
    if kind == 'flow':
        target = Flow().add(name='executor').add(name='last', **options)
    elif kind == 'in process':
        target = TestClient(**options)
    else:
        target = Deployment(protocol=kind, **options)
    name = 'last/rep-0' if kind == 'flow' else 'executor/rep-0'
    with target as service:
        for _ in range(2):
            docs = service.post('/', DocList[TextDoc]([TextDoc(text='a')]), return_type=DocList[TextDoc])
            assert docs.text == ['a!']
    spans = named(receiver.spans())
    assert {name: len(found) for name, found in spans.items()} == {'foo': 2, 'process_docs': 2, 'update_docs': 2}
    by_id = {span.span_id: span for found in spans.values() for span in found}
    for inner in spans['update_docs']:
        middle = by_id[inner.parent_span_id]
        outer = by_id[middle.parent_span_id]
        assert (middle.name, outer.name, outer.parent_span_id) == ('process_docs', 'foo', b'')
        assert (inner.status.code, middle.status.code, outer.status.code) == (2, 0, 0)
    points = receiver.points()
    assert points['my_count'][0].as_int == 2
    expected = {'executor': 'Recorded', 'runtime_name': name, 'executor_endpoint': '/default'}
    for metric in ('jina_process_request_seconds', 'jina_process_seconds', 'jina_update_seconds'):
        (point,) = points[metric]
        assert point.count == 2
        assert attributes(point) == expected


def test_streams_batches_and_failures_are_recorded(receiver: Receiver) -> None:
    with Deployment(uses=Recorded, uses_with={'collector_port': receiver.port}) as deployment:
        streamed = deployment.client.stream_doc('/stream', TextDoc(text='a'), return_type=TextDoc)
        assert [doc.text for doc in streamed] == ['a', 'a']
        batched = deployment.post('/batch', DocList[TextDoc]([TextDoc(text='a')] * 4), request_size=1)
        assert len(batched) == 4
        errors: list[str] = []
        deployment.post('/fail', TextDoc(), on_error=lambda response: errors.append(response.status.description))
        assert errors == ["ValueError('not today')"]
    spans = named(receiver.spans())
    # one span a batch, not one a request
    assert {name: len(found) for name, found in spans.items()} == {'stream': 1, 'batch': 2, 'fail': 1}
    assert [span.status.code for name in ('stream', 'batch', 'fail') for span in spans[name]] == [0, 0, 0, 2]
    assert spans['fail'][0].status.message == 'ValueError: not today'
    points = receiver.points()
    counts = {attributes(point)['executor_endpoint']: point.count for point in points['jina_process_request_seconds']}
    assert counts == {'/stream': 1, '/batch': 2, '/fail': 1}
    assert points['jina_batch_size'][0].sum == 4
