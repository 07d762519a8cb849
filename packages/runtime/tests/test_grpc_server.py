from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core import wire
from jina.core.errors import PortInUseError, StartupError
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.status import StatusMessage
from jina.runtime.grpc_server import GrpcServer

Make = Callable[..., DataRequest]


class Text(BaseDoc):
    text: str = ''


class Server(Executor):
    active = 0
    most = 0
    cancelled = 0
    gate: asyncio.Event

    @requests
    async def echo(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return docs

    @requests(on='/wait')
    async def wait(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        cls = type(self)
        cls.active += 1
        cls.most = max(cls.most, cls.active)
        try:
            await asyncio.sleep(0.03 if docs and docs[0].text == '0' else 0.005)
        finally:
            cls.active -= 1
        return docs

    @requests(on='/hang')
    async def hang(self, **kwargs: Any) -> None:
        cls = type(self)
        cls.active += 1
        try:
            await asyncio.Event().wait()
        finally:
            cls.cancelled += 1

    @requests(on='/fail')
    async def fail(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        raise ValueError('boom')

    @requests(on='/unsendable')
    async def unsendable(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return {'x': object()}  # type: ignore[return-value]

    @requests(on='/endless')
    async def endless(self, doc: Text, **kwargs: Any) -> AsyncIterator[Text]:
        try:
            while True:
                yield doc
                await asyncio.sleep(0)
        finally:
            type(self).cancelled += 1

    @requests(on='/stream')
    async def stream(self, doc: Text, **kwargs: Any) -> AsyncIterator[Text]:
        for number in range(3):
            yield Text(text=f'{doc.text}{number}')


@pytest.fixture(autouse=True)
def fresh_counters() -> None:
    Server.active = Server.most = Server.cancelled = 0


async def test_error_is_marked_in_the_trailing_metadata(cluster: Any, request_of: Make) -> None:
    worker = await cluster.worker(Server)
    single = cluster.channel(worker.address).unary_unary(wire.PROCESS_SINGLE_DATA)
    good, bad = single(request_of('/', 'a').to_bytes()), single(request_of('/fail', 'a').to_bytes())
    assert DataRequest.from_bytes(await good).is_error is False
    assert DataRequest.from_bytes(await bad).is_error is True
    assert dict(await good.trailing_metadata() or ()) == {}
    assert {key: value for key, value in await bad.trailing_metadata()} == {'is-error': 'true'}


async def test_result_without_wire_form_is_an_error_response(cluster: Any, request_of: Make) -> None:
    worker = await cluster.worker(Server)
    response = await cluster.call(worker.address, request_of('/unsendable', 'a'))
    assert response.is_error
    assert 'object' in response.status.description


@pytest.mark.parametrize('path', [wire.PROCESS_SINGLE_DATA, wire.PROCESS_DATA])
async def test_bytes_that_are_no_request_are_an_invalid_argument(cluster: Any, path: str) -> None:
    worker = await cluster.worker(Server)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await cluster.channel(worker.address).unary_unary(path)(b'\x0a\xff', timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_call_streams_in_order_when_asked(cluster: Any, request_of: Make) -> None:
    worker = await cluster.worker(Server)

    async def send() -> AsyncIterator[bytes]:
        for number in range(10):
            yield request_of('/wait', str(number)).to_bytes()

    async def texts(*metadata: tuple[str, str]) -> list[str]:
        found = []
        async for raw in cluster.channel(worker.address).stream_stream(wire.CALL)(
            send(), metadata=metadata, timeout=10
        ):
            response = DataRequest.from_bytes(raw)
            response.document_array_cls = DocList[Text]
            found.append(response.docs[0].text)
        return found

    ordered = [str(number) for number in range(10)]
    assert await texts(('__results_in_order__', 'true')) == ordered
    unordered = await texts()
    assert unordered != ordered
    assert sorted(unordered) == ordered
    assert Server.most > 2
    Server.most = 0
    assert await texts(('__prefetch__', '1')) == ordered
    assert Server.most == 1


async def test_error_in_a_call_does_not_end_the_stream(cluster: Any, request_of: Make) -> None:
    worker = await cluster.worker(Server)
    call = cluster.channel(worker.address).stream_stream(wire.CALL)(timeout=10)
    await call.write(request_of('/fail', 'a').to_bytes())
    assert DataRequest.from_bytes(await call.read()).is_error
    await call.write(request_of('/', 'a').to_bytes())
    assert not DataRequest.from_bytes(await call.read()).is_error
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert {key: value for key, value in await call.trailing_metadata()} == {'is-error': 'true'}


async def test_client_that_goes_away_cancels_its_work(cluster: Any, request_of: Make) -> None:
    worker = await cluster.worker(Server)
    channel = cluster.channel(worker.address)
    call = channel.stream_stream(wire.CALL)()
    for _ in range(3):
        await call.write(request_of('/hang').to_bytes())
    single = channel.unary_unary(wire.PROCESS_SINGLE_DATA)(request_of('/hang').to_bytes())
    waiting = asyncio.ensure_future(single)
    await wait_until(lambda: Server.active == 4)
    call.cancel()
    waiting.cancel()
    await wait_until(lambda: Server.cancelled == 4)


async def test_a_burst_of_callers_is_answered(cluster: Any, request_of: Make) -> None:
    # More than gRPC itself lets wait for the event loop.
    worker = await cluster.worker(Server)
    call = cluster.channel(worker.address).unary_unary(wire.PROCESS_SINGLE_DATA)
    raw = request_of('/', 'a').to_bytes()
    answers = await asyncio.gather(*(call(raw) for _ in range(4000)))
    assert not any(DataRequest.from_bytes(answer).is_error for answer in answers)


async def test_deadline_of_the_client_ends_the_work(cluster: Any, request_of: Make) -> None:
    worker = await cluster.worker(Server)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await cluster.call(worker.address, request_of('/hang'), timeout=0.1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await wait_until(lambda: Server.cancelled == 1)


async def test_process_data_joins_on_workers_only(cluster: Any, request_of: Make) -> None:
    flow = await cluster.flow(Server)
    worker = await cluster.worker(Server)
    batch = wire.DataRequestListProto(requests=[request_of('/', 'a').proto, request_of('/', 'a', 'b').proto])
    raw = await cluster.channel(worker.address).unary_unary(wire.PROCESS_DATA)(batch.SerializeToString(), timeout=5)
    response = DataRequest.from_bytes(raw)
    response.document_array_cls = DocList[Text]
    assert [doc.text for doc in response.docs] == ['a', 'b']
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await cluster.channel(flow.address).unary_unary(wire.PROCESS_DATA)(batch.SerializeToString(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize('kind', ['worker', 'flow'])
async def test_stream_doc(cluster: Any, kind: str) -> None:
    server = await getattr(cluster, kind)(Server)
    request = SingleDocumentRequest()
    request.exec_endpoint = '/stream'
    request.document = Text(text='x')
    found = []
    async for raw in cluster.channel(server.address).unary_stream(wire.STREAM_DOC)(request.to_bytes(), timeout=5):
        response = SingleDocumentRequest.from_bytes(raw)
        response.document_cls = Text
        found.append(response.document.text)  # type: ignore[attr-defined]
    assert found == ['x0', 'x1', 'x2']


@pytest.mark.parametrize('kind', ['worker', 'flow'])
async def test_leaving_a_stream_ends_the_generator(cluster: Any, kind: str) -> None:
    server = await getattr(cluster, kind)(Server)
    request = SingleDocumentRequest()
    request.exec_endpoint = '/endless'
    request.document = Text(text='x')
    call = cluster.channel(server.address).unary_stream(wire.STREAM_DOC)(request.to_bytes())
    await call.read()
    call.cancel()
    await wait_until(lambda: Server.cancelled == 1)


@pytest.mark.parametrize('kind', ['worker', 'flow'])
async def test_discovery_dry_run_and_status(cluster: Any, kind: str) -> None:
    server = await getattr(cluster, kind)(Server)
    channel = cluster.channel(server.address)
    endpoints = wire.EndpointsProto.FromString(await channel.unary_unary(wire.ENDPOINT_DISCOVERY)(b'', timeout=5))
    assert {'/default', '/wait', '/stream'} <= set(endpoints.endpoints)
    assert await channel.unary_unary(wire.DRY_RUN)(b'', timeout=5) == b''
    info = wire.JinaInfoProto.FromString(await channel.unary_unary(wire.STATUS)(b'', timeout=5))
    assert info.jina['jina']
    assert info.envs['JINA_LOG_LEVEL']


async def test_a_gateway_tells_its_topology(cluster: Any) -> None:
    worker = await cluster.worker(Server, 'e1')
    graph = {'start-gateway': ['e1'], 'e1': ['end-gateway']}
    gateway = await cluster.gateway(graph, {'e1': [worker.address]})
    told = [
        wire.JinaInfoProto.FromString(await cluster.channel(server.address).unary_unary(wire.STATUS)(b'', timeout=5))
        for server in (gateway, worker)
    ]
    assert json.loads(told[0].jina[wire.TOPOLOGY_FACT]) == {'graph': graph, 'replicas': {'e1': [worker.address]}}
    assert wire.TOPOLOGY_FACT not in told[1].jina


async def test_dry_run_of_a_broken_flow_says_what_is_down(cluster: Any) -> None:
    worker = await cluster.worker(Server, 'e1')
    gateway = await cluster.gateway({'start-gateway': ['e1'], 'e1': ['end-gateway']}, {'e1': [worker.address]})
    await worker.pod.stop(0)
    raw = await cluster.channel(gateway.address).unary_unary(wire.DRY_RUN)(b'', timeout=10)
    status = StatusMessage.from_bytes(raw).to_dict()
    assert status['code'] == 1
    assert status['description'].endswith(
        f" |Gateway: Communication error with deployment e1 at address(es) {{'{worker.address}'}}. "
        'Head or worker(s) may be down.'
    )


async def test_port_of_another_server_is_refused(cluster: Any) -> None:
    worker = await cluster.worker(Server)
    port = int(worker.address.rpartition(':')[2])
    with pytest.raises(PortInUseError, match=f'port {port} is taken by another process'):
        await cluster.worker(Server, port=port)


@pytest.mark.parametrize(
    ('host', 'reason'), [('203.0.113.7', 'Cannot assign requested address'), ('no.such.host.invalid', 'not known')]
)
async def test_a_host_that_is_not_this_machine(cluster: Any, host: str, reason: str) -> None:
    free = await cluster.worker('BaseExecutor')
    server = GrpcServer(free.pod.service, host=host, port=20_000)
    with pytest.raises(StartupError, match=f'can not listen on {host}:20000: .*{reason}') as caught:
        await server.start()
    assert not isinstance(caught.value, PortInUseError)


@pytest.mark.parametrize('host', ['0.0.0.0', '::', 'localhost'])
async def test_all_addresses_of_a_host_have_one_port(cluster: Any, host: str) -> None:
    free = await cluster.worker('BaseExecutor')
    server = GrpcServer(free.pod.service, host=host)
    port = await server.start()
    families = {socket.AF_INET: '127.0.0.1'}
    if host != 'localhost' and socket.has_dualstack_ipv6():
        families[socket.AF_INET6] = '::1'
    for address in families.values():
        _, writer = await asyncio.open_connection(address, port)
        writer.close()
    await server.stop()


async def test_free_ports_come_from_the_given_range(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    free = await cluster.worker('BaseExecutor')
    port = int(free.address.rpartition(':')[2])
    await free.pod.stop(0)
    server = GrpcServer(free.pod.service, host='127.0.0.1', port=(port, port))
    assert await server.start() == port
    other = GrpcServer(free.pod.service, host='127.0.0.1', port=(port, port))
    with pytest.raises(PortInUseError):
        await other.start()
    await server.stop()
    await other.stop()


async def test_stop_answers_what_is_in_flight_and_ends_open_calls(cluster: Any, request_of: Make) -> None:
    worker = await cluster.worker(Server)
    channel = cluster.channel(worker.address)
    call = channel.stream_stream(wire.CALL)()
    await call.write(request_of('/wait', '0').to_bytes())
    single = asyncio.ensure_future(cluster.call(worker.address, request_of('/wait', '0')))
    await wait_until(lambda: Server.active == 2)
    stopping = asyncio.create_task(worker.pod.stop(4))
    assert not (await single).is_error
    assert not DataRequest.from_bytes(await call.read()).is_error
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert 'shutting down' in caught.value.details()
    await asyncio.wait_for(stopping, 2)


async def wait_until(condition: Callable[[], bool]) -> None:
    async def poll() -> None:
        while not condition():  # noqa: ASYNC110 - the counters belong to the Executor under test
            await asyncio.sleep(0.001)

    await asyncio.wait_for(poll(), 5)
