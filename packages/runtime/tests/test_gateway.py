from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core.config import GatewayOptions
from jina.core.errors import ConnectError, MissingDeploymentError
from jina.core.request import SingleDocumentRequest
from jina.runtime.gateway import GatewayService, compression_of

ONE = {'start-gateway': ['e1'], 'e1': ['end-gateway']}


class Text(BaseDoc):
    text: str = ''


class Echo(Executor):
    @requests
    async def echo(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text += f' by {self.runtime_args.replica_id}'


async def test_replicas_share_the_requests_and_stand_in_for_each_other(cluster: Any) -> None:
    workers = [await cluster.worker(Echo, 'e1', replica_id=number) for number in range(2)]
    gateway = await cluster.gateway(ONE, {'e1': [worker.address for worker in workers]})
    seen = {(await cluster.post(gateway.address, '/', 'x')).docs[0].text for _ in range(4)}
    assert seen == {'x by 0', 'x by 1'}
    await workers[0].pod.stop(0)
    started = time.monotonic()
    assert {(await cluster.post(gateway.address, '/', 'x')).docs[0].text for _ in range(6)} == {'x by 1'}
    assert time.monotonic() - started < 20
    await gateway.pod.service.dry_run()


async def test_dry_run_fails_when_an_executor_is_gone(cluster: Any) -> None:
    flow = await cluster.flow(Echo)
    await flow.pod.service.dry_run()
    dead = await cluster.worker(Echo, 'e1')
    gateway = await cluster.gateway(ONE, {'e1': dead.address})
    await dead.pod.stop(0)
    with pytest.raises(ConnectError, match='Communication error with deployment e1'):
        await gateway.pod.service.dry_run()


@pytest.mark.parametrize('complete', [False, True], ids=['as given', 'with every default spelt out'])
async def test_a_dry_run_has_the_time_that_it_is_given(cluster: Any, complete: bool) -> None:
    worker = await cluster.worker(Echo, 'e1')

    def gateway(**values: Any) -> GatewayService:
        options = GatewayOptions(graph_description=ONE, deployments_addresses={'e1': [worker.address]}, **values)
        return GatewayService(GatewayOptions.model_construct(**dict(options)) if complete else options)

    for values, seconds in (({}, 10.0), ({'timeout_ctrl': 250}, 0.25), ({'timeout_ctrl': -1}, None)):
        service = gateway(**values)
        assert service.control_timeout == seconds
        await service.dry_run()
        await service.close()


async def test_compressed_calls_and_metadata_arrive(cluster: Any) -> None:
    worker = await cluster.worker(Echo, 'e1')
    gateway = await cluster.gateway(
        ONE,
        {'e1': [f'grpc://{worker.address}']},
        compression='gzip',
        deployments_metadata={'e1': {'authorization': 'x'}},
    )
    assert (await cluster.post(gateway.address, '/', 'x' * 5000)).docs[0].text == f'{"x" * 5000} by 0'


async def test_stream_through_several_executors_that_do_not_stream(cluster: Any) -> None:
    flow = await cluster.flow(Echo, Echo)
    request = SingleDocumentRequest()
    request.exec_endpoint = '/'
    request.document = Text()
    (response,) = [response async for response in flow.pod.service.stream(request)]
    assert response.status.exception.name == 'ValueError'


async def test_executors_behind_a_proxy(cluster: Any, request_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('grpc_proxy', 'https_proxy', 'no_proxy', 'no_grpc_proxy'):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as nobody:
        nobody.bind(('127.0.0.1', 0))
        monkeypatch.setenv('http_proxy', f'http://127.0.0.1:{nobody.getsockname()[1]}')
        direct = await cluster.flow(Echo)
        assert not (await direct.pod.service.process(request_of('/', 'a'))).is_error
        behind = await cluster.flow(Echo, proxy=True, retries=0)
        with pytest.raises(ConnectError, match='deployment e1'):
            await behind.pod.service.process(request_of('/', 'a'))


async def test_every_node_needs_an_address() -> None:
    with pytest.raises(MissingDeploymentError, match="'e1' of the graph has no address"):
        GatewayService(GatewayOptions(graph_description=ONE))


async def test_prefetch_of_the_gateway_holds_for_each_client(cluster: Any, request_of: Any) -> None:
    class Counting(Executor):
        active = most = 0

        @requests
        async def count(self, **kwargs: Any) -> None:
            cls = type(self)
            cls.active += 1
            cls.most = max(cls.most, cls.active)
            await asyncio.sleep(0.002)
            cls.active -= 1

    flow = await cluster.flow(Counting, prefetch=2)
    call = cluster.channel(flow.address).stream_stream('/jina.JinaRPC/Call')(timeout=10)
    for _ in range(10):
        await call.write(request_of('/').to_bytes())
    await call.done_writing()
    assert len([raw async for raw in call]) == 10
    assert Counting.most == 2


def test_compression_names() -> None:
    assert compression_of(None) is None
    assert compression_of('Gzip') == 'Gzip'
    assert compression_of('NoCompression') is None
