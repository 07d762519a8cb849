"""Traces and metrics of a whole Flow: as an OTLP/gRPC receiver gets them, and as a real Prometheus scrapes them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, dynamic_batching, requests
from jina.telemetry.dashboards import export_dashboards, expressions
from opentelemetry.sdk.trace import TracerProvider

from packages.telemetry.tests.otlp_receiver import Receiver, attributes
from tests.support.processes import free_port
from tests.support.prometheus import query, scraping

pytestmark = pytest.mark.timeout(180)

SERVER, CLIENT, INTERNAL = 2, 3, 1
UNARY = '/jina.JinaSingleDataRequestRPC/process_single_data'
CALL = '/jina.JinaRPC/Call'


class Worked(Executor):
    @requests(on='/foo')
    def foo(self, docs: DocList[TextDoc], tracing_context: Any = None, **kwargs: Any) -> DocList[TextDoc]:
        if self.tracer is not None:
            with self.tracer.start_as_current_span('inner', context=tracing_context):
                self.logger.info('inside')
        with self.monitor('own_seconds', 'Time of its own'):
            return docs

    @requests(on='/fail')
    def fail(self, **kwargs: Any) -> None:
        raise ValueError('not today')

    @requests(on='/batch')
    @dynamic_batching(preferred_batch_size=4, timeout=50)
    def batch(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs


class Last(Executor):
    @requests(on='/foo')
    def foo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs

    @requests(on='/stream')
    async def stream(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        for index in range(3):
            yield TextDoc(text=f'{doc.text}{index}')


@pytest.fixture(scope='module')
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture(scope='module')
def monitored(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    folder = tmp_path_factory.mktemp('logs')
    handler = {'output': str(folder / 'log'), 'formatter': 'JsonFormatter'}
    (folder / 'log.yml').write_text(
        json.dumps({'handlers': ['FileHandler'], 'level': 'INFO', 'configs': {'FileHandler': handler}})
    )
    ports = [free_port() for _ in range(3)]
    flow = Flow(
        protocol=['grpc', 'http', 'websocket'],
        tracing=True,
        traces_exporter_host='http://localhost',
        traces_exporter_port=receiver.port,
        metrics=True,
        metrics_exporter_host='127.0.0.1',
        metrics_exporter_port=receiver.port,
        monitoring=True,
        port_monitoring=ports[0],
        env={'OTEL_BSP_SCHEDULE_DELAY': '100'},
    )
    flow = flow.add(
        uses=Worked, name='first', port_monitoring=ports[1], quiet_error=True, log_config=str(folder / 'log.yml')
    )
    flow = flow.add(uses=Last, name='last', port_monitoring=ports[2])
    with flow:
        flow.monitoring_ports = ports
        flow.log_file = folder / 'log'
        yield flow


def clients(flow: Flow) -> dict[str, Client]:
    assert isinstance(flow.port, list)
    return {
        protocol: Client(port=port, protocol=protocol)
        for protocol, port in zip(('grpc', 'http', 'websocket'), flow.port, strict=True)
    }


def post(client: Client, endpoint: str = '/foo', count: int = 1) -> Any:
    docs = DocList[TextDoc]([TextDoc(text=str(index)) for index in range(count)])
    return client.post(endpoint, docs, return_type=DocList[TextDoc])


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Polls another process until it says what is awaited."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, 'it did not come in time'
        time.sleep(0.1)
    return found


def collect_trace(receiver: Receiver, name: str, count: int) -> list[Any]:
    """Spans of the trace whose server span at the gateway has this name, once there are so many of them."""
    gathered: list[Any] = []

    def complete() -> list[Any] | None:
        gathered.extend(receiver.spans())
        roots = [span for span in gathered if not span.parent_span_id and span.name == name]
        if not roots:
            return None
        found = [span for span in gathered if span.trace_id == roots[-1].trace_id]
        return found if len(found) >= count else None

    return until(complete)


@pytest.mark.parametrize(('protocol', 'name'), [('grpc', CALL), ('http', 'POST /foo'), ('websocket', '/')])
def test_one_trace_from_the_gateway_to_the_methods(
    monitored: Flow, receiver: Receiver, protocol: str, name: str
) -> None:
    receiver.spans()
    client = clients(monitored)[protocol]
    post(client)
    spans = collect_trace(receiver, name, 8)
    by_id = {span.span_id: span for span in spans}

    def path(span: Any) -> list[str]:
        return [*(path(by_id[span.parent_span_id]) if span.parent_span_id else []), span.name]

    ends = sorted(path(span) for span in spans if span.kind == INTERNAL)
    assert ends == [[name, UNARY, UNARY, 'foo'], [name, UNARY, UNARY, 'foo'], [name, UNARY, UNARY, 'foo', 'inner']]
    assert sorted(span.kind for span in spans) == [INTERNAL] * 3 + [SERVER] * 3 + [CLIENT] * 2
    called = sorted(attributes(span)['deployment'] for span in spans if span.kind == CLIENT)
    assert called == ['first', 'last']


def test_log_lines_carry_the_trace(monitored: Flow, receiver: Receiver) -> None:
    receiver.spans()
    client = clients(monitored)['grpc']
    post(client)
    (inner,) = (span for span in collect_trace(receiver, CALL, 8) if span.name == 'inner')
    with pytest.raises(Exception, match='not today'):
        post(client, '/fail')
    (failed,) = {span.trace_id.hex() for span in collect_trace(receiver, CALL, 4)}

    def logged() -> dict[str, Any]:
        return {line['msg']: line for line in map(json.loads, monitored.log_file.read_text().splitlines())}

    lines = until(lambda: {'inside', "ValueError('not today')"} <= set(logged()) and logged())
    assert (lines['inside']['trace_id'], lines['inside']['span_id']) == (inner.trace_id.hex(), inner.span_id.hex())
    assert lines["ValueError('not today')"]['trace_id'] == failed


def test_a_request_joins_the_trace_of_its_caller(monitored: Flow, receiver: Receiver) -> None:
    assert isinstance(monitored.port, list)
    trace, parent = '0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'
    body = json.dumps({'data': [{'text': 'a'}]}).encode()
    headers = {'content-type': 'application/json', 'traceparent': f'00-{trace}-{parent}-01'}
    request = urllib.request.Request(f'http://127.0.0.1:{monitored.port[1]}/foo', body, headers)
    assert json.loads(urllib.request.urlopen(request).read())['data'][0]['text'] == 'a'
    gathered: list[Any] = []

    def joined() -> list[Any] | None:
        gathered.extend(span for span in receiver.spans() if span.trace_id.hex() == trace)
        return gathered if len(gathered) == 8 else None

    roots = [span for span in until(joined) if span.parent_span_id.hex() == parent]
    assert [span.name for span in roots] == ['POST /foo']


@pytest.mark.parametrize(('protocol', 'name'), [('grpc', CALL), ('http', 'POST'), ('websocket', '/')])
def test_a_client_begins_the_trace_or_joins_one(monitored: Flow, receiver: Receiver, protocol: str, name: str) -> None:
    port = dict(zip(('grpc', 'http', 'websocket'), monitored.port, strict=True))[protocol]
    client = Client(
        port=port, protocol=protocol, tracing=True, traces_exporter_host='127.0.0.1', traces_exporter_port=receiver.port
    )
    provider = TracerProvider()
    receiver.spans()
    post(client)
    with provider.get_tracer('of the user').start_as_current_span('mine') as mine:
        post(client)
    client.teardown_instrumentation()
    client.teardown_instrumentation()  # once more does nothing
    gathered: list[Any] = []

    def both() -> list[Any] | None:
        gathered.extend(receiver.spans())
        begun = [span for span in gathered if span.name == name and span.kind == CLIENT]
        served = [span for span in gathered if span.parent_span_id in {one.span_id for one in begun}]
        return begun if len(begun) == len(served) == 2 else None

    first, second = sorted(until(both), key=lambda span: span.start_time_unix_nano)
    assert not first.parent_span_id
    assert second.trace_id == mine.get_span_context().trace_id.to_bytes(16, 'big')
    assert second.parent_span_id == mine.get_span_context().span_id.to_bytes(8, 'big')


def test_failures_batches_and_streams_are_traced(monitored: Flow, receiver: Receiver) -> None:
    client = clients(monitored)['grpc']
    with pytest.raises(Exception, match='not today'):
        post(client, '/fail')
    failed = [span for span in collect_trace(receiver, CALL, 4) if span.status.code == 2]
    assert {span.name for span in failed} == {CALL, UNARY, 'fail'}
    post(client, '/batch', 4)
    assert 'batch' in {span.name for span in collect_trace(receiver, CALL, 4)}
    texts = [doc.text for doc in client.stream_doc('/stream', TextDoc(text='a'), return_type=TextDoc)]
    assert texts == ['a0', 'a1', 'a2']
    names = [span.name for span in collect_trace(receiver, '/jina.JinaSingleDocumentRequestRPC/stream_doc', 4)]
    assert names.count('/jina.JinaSingleDocumentRequestRPC/stream_doc') == 3
    assert 'stream' in names


def scrape(port: int) -> dict[str, float]:
    """The samples that a process serves, without buckets."""
    text = urllib.request.urlopen(f'http://127.0.0.1:{port}/anything').read().decode()
    lines = (line.rpartition(' ') for line in text.splitlines() if line[0] != '#' and '_bucket{' not in line)
    return {name: float(value) for name, _, value in lines}


GATEWAY_METRICS = {
    'jina_receiving_request_seconds_count{runtime_name="gateway/rep-0"}',
    'jina_successful_requests_total{runtime_name="gateway/rep-0"}',
    'jina_failed_requests_total{runtime_name="gateway/rep-0"}',
    'jina_number_of_pending_requests{runtime_name="gateway/rep-0"}',
    'jina_received_request_bytes_sum{runtime_name="gateway/rep-0"}',
    'jina_sent_response_bytes_sum{runtime_name="gateway/rep-0"}',
}
OUTGOING = (
    'jina_sending_request_seconds_count',
    'jina_sent_request_bytes_sum',
    'jina_received_response_bytes_sum',
    'jina_replica_requests_in_flight',
)
LABELS = '{executor="Worked",executor_endpoint="/foo",runtime_name="first/rep-0"}'


def test_metrics_of_the_documented_table(monitored: Flow, receiver: Receiver) -> None:
    gateway_port, first_port, _ = monitored.monitoring_ports
    before, worked_before = scrape(gateway_port), scrape(first_port)
    for client in clients(monitored).values():
        post(client, count=5)
        with pytest.raises(Exception, match='not today'):
            post(client, '/fail')
    gateway, worked = scrape(gateway_port), scrape(first_port)
    assert set(gateway) >= GATEWAY_METRICS
    for name in OUTGOING:
        assert {key.partition('{')[0] for key in gateway if 'deployment="first"' in key} >= {name}

    def grew(name: str, now: dict[str, float], then: dict[str, float]) -> float:
        return now[name] - then.get(name, 0.0)

    ours = '{runtime_name="gateway/rep-0"}'
    assert grew(f'jina_successful_requests_total{ours}', gateway, before) == 3
    assert grew(f'jina_failed_requests_total{ours}', gateway, before) == 3
    assert grew(f'jina_receiving_request_seconds_count{ours}', gateway, before) == 3
    assert gateway[f'jina_number_of_pending_requests{ours}'] == 0
    assert grew(f'jina_received_request_bytes_count{ours}', gateway, before) == 6
    assert grew(f'jina_sent_response_bytes_count{ours}', gateway, before) == 3
    theirs = '{runtime_name="first/rep-0"}'
    assert grew(f'jina_receiving_request_seconds_count{theirs}', worked, worked_before) == 6
    assert grew(f'jina_failed_requests_total{theirs}', worked, worked_before) == 3
    assert grew(f'jina_document_processed_total{LABELS}', worked, worked_before) == 15
    for name in ('process_request_seconds', 'received_request_bytes', 'sent_response_bytes'):
        assert grew(f'jina_{name}_count{LABELS}', worked, worked_before) == 3
    assert f'jina_own_seconds_count{LABELS}' in worked
    assert f'jina_queue_length{theirs}' in worked
    assert f'jina_event_loop_lag_seconds_count{theirs}' in worked
    sent: dict[str, Any] = {}
    until(lambda: sent.update(receiver.points()) or {'jina_process_request_seconds', 'jina_own_seconds'} <= set(sent))
    assert {'jina_successful_requests', 'jina_number_of_pending_requests', 'jina_document_processed'} <= set(sent)


@pytest.fixture(scope='module')
def prometheus(monitored: Flow) -> Iterator[str]:
    """URL of a real Prometheus that scrapes the Flow."""
    with scraping([{'targets': [f'127.0.0.1:{one}' for one in monitored.monitoring_ports]}]) as url:
        yield url


def test_a_real_prometheus_scrapes_the_flow(monitored: Flow, prometheus: str) -> None:
    until(lambda: len(query(prometheus, 'up == 1')) == 3)
    client = clients(monitored)['grpc']
    expression = 'sum(jina_successful_requests_total{runtime_name="gateway/rep-0"})'
    before = float(until(lambda: query(prometheus, expression))[0]['value'][1])
    for _ in range(10):
        post(client)
    until(lambda: float(query(prometheus, expression)[0]['value'][1]) == before + 10)
    quantile = 'histogram_quantile(0.9, sum by (le, runtime_name) (jina_receiving_request_seconds_bucket))'
    values = {item['metric']['runtime_name']: float(item['value'][1]) for item in query(prometheus, quantile)}
    assert set(values) == {'gateway/rep-0', 'first/rep-0', 'last/rep-0'}
    assert all(0 < value < 60 for value in values.values())


def test_every_query_of_the_dashboard_and_the_alerts_finds_something(
    monitored: Flow, prometheus: str, tmp_path: Path
) -> None:
    client = clients(monitored)['grpc']
    for _ in range(3):
        post(client)
    post(client, '/batch', 4)
    assert list(client.stream_doc('/stream', TextDoc(text='a'), return_type=TextDoc))
    with pytest.raises(Exception, match='not today'):
        post(client, '/fail')
    for expression in expressions(interval='20s'):
        # An alert that doesn't fire has no result, but what it compares has.
        measured = re.split(r' [<>=]+ ', expression)[0]
        until(lambda measured=measured: query(prometheus, measured))
        query(prometheus, expression)
    _, rules, _ = export_dashboards(tmp_path)
    checked = subprocess.run(['promtool', 'check', 'rules', rules], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


class Restarted(Executor):
    @requests(on='/pid')
    def pid(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        docs.text = [str(os.getpid())] * len(docs)
        return docs


def test_restarts_are_counted_by_the_process_that_was_started_again() -> None:
    gateway_port, port = free_port(), free_port()
    flow = Flow(monitoring=True, port_monitoring=gateway_port, restart='on-failure', quiet=True)
    ours, theirs = (f'jina_restarts_total{{runtime_name="{name}/rep-0"}}' for name in ('gateway', 'one'))
    with flow.add(uses=Restarted, name='one', port_monitoring=port) as flow:
        assert (scrape(gateway_port)[ours], scrape(port)[theirs]) == (0, 0)
        for times in (1, 2):
            pid = flow.post('/pid', TextDoc(), return_type=DocList[TextDoc])[0].text
            os.kill(int(pid), signal.SIGKILL)
            until(lambda times=times: flow['one'].restarts['one/rep-0'] == times and flow['one'].is_ready)
            assert scrape(port)[theirs] == times
        assert scrape(gateway_port)[ours] == 0


class Part(Executor):
    @requests(on='/part')
    def part(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs


def recorded(receiver: Receiver, **further: Any) -> dict[str, Any]:
    """Options of something that records all there is."""
    collector = {'traces_exporter_host': '127.0.0.1', 'traces_exporter_port': receiver.port}
    env = {'OTEL_BSP_SCHEDULE_DELAY': '100'}
    return {'tracing': True, **collector, 'monitoring': True, 'quiet': True, 'env': env, **further}


def test_a_head_and_its_shards(receiver: Receiver) -> None:
    gateway_port, *ports = [free_port() for _ in range(4)]
    flow = Flow(**recorded(receiver, port_monitoring=gateway_port))
    with flow.add(uses=Part, name='parts', shards=2, polling='ALL', port_monitoring=ports) as flow:
        receiver.spans()
        Client(port=flow.port).post('/part', TextDoc())
        spans = collect_trace(receiver, CALL, 9)
        by_id = {span.span_id: span for span in spans}

        def path(span: Any) -> list[str]:
            return [*(path(by_id[span.parent_span_id]) if span.parent_span_id else []), span.name]

        # gateway, its call of the head, the head, its call of a shard, the shard, the method
        ends = [path(span) for span in spans if span.kind == INTERNAL]
        assert ends == [[CALL, UNARY, UNARY, UNARY, UNARY, 'part']] * 2
        samples = [scrape(port) for port in ports]
        head = {name.replace('parts/head', 'gateway/rep-0') for name in samples[0] if 'parts/head' in name}
        assert head >= GATEWAY_METRICS
        assert {name.partition('{')[0] for name in head} >= set(OUTGOING)
        for shard, found in enumerate(samples[1:]):
            assert found[f'jina_successful_requests_total{{runtime_name="parts/shard-{shard}/rep-0"}}'] == 1


def test_a_deployment_records_in_front_of_its_replicas(receiver: Receiver) -> None:
    with Deployment(uses=Part, replicas=2, **recorded(receiver)) as deployment:
        receiver.spans()
        Client(port=deployment.port).post('/part', TextDoc())
        names = sorted(span.name for span in collect_trace(receiver, CALL, 4))
        assert names == sorted([CALL, UNARY, UNARY, 'part'])


@pytest.mark.parametrize(('sampler', 'recorded_traces'), [('parentbased_always_off', 0), ('parentbased_always_on', 1)])
def test_the_sampler_of_the_sdk_decides(sampler: str, recorded_traces: int) -> None:
    receiver = Receiver()
    try:
        options = recorded(receiver, monitoring=False, env={'OTEL_TRACES_SAMPLER': sampler})
        with Deployment(uses=Part, **options) as deployment:
            Client(port=deployment.port).post('/part', TextDoc())
        # closing has sent what was recorded last
        assert len({span.trace_id for span in receiver.spans()}) == recorded_traces
    finally:
        receiver.stop()
