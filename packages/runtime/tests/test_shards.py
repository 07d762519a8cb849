from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core import wire
from jina.core.config import ExecutorOptions
from jina.core.errors import TopologyError
from jina.core.request import DataRequest, SingleDocumentRequest


class Text(BaseDoc):
    text: str = ''


class Other(BaseDoc):
    number: int


class Shard(Executor):
    @requests(on=['/', '/index', '/search', '/all', '/plain'])
    def note(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        self.calls = getattr(self, 'calls', 0) + 1
        for doc in docs:
            doc.text += f'[{self.runtime_args.shard_id}]'
        return docs

    @requests(on='/own')
    def own(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        """A document of its own beside the one that all shards have."""
        return DocList[Text]([*docs, Text(id=f'own-{self.runtime_args.shard_id}')])

    @requests(on='/branches')
    def branches(self, docs: DocList[Text], docs_map: Any = None, **kwargs: Any) -> DocList[Text]:
        return DocList[Text]([Text(id=f'{name}', text=docs[0].text) for name, docs in (docs_map or {}).items()])

    @requests(on='/result')
    def result(self, **kwargs: Any) -> dict[str, Any]:
        return {'shard': self.runtime_args.shard_id}

    @requests(on='/fail')
    def fail(self, **kwargs: Any) -> None:
        if self.runtime_args.shard_id == 1:
            raise ValueError('broken shard')

    @requests(on=['/slow', '/slow-one'])
    async def slow(self, **kwargs: Any) -> None:
        self.cancelled = False
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    @requests(on=['/stream', '/stream-all'])
    def stream(self, doc: Text, **kwargs: Any) -> Text:
        for number in range(3):
            yield Text(text=f'{doc.text}{number}@{self.runtime_args.shard_id}')


class Joiner(Executor):
    @requests(on=['/all', '/plain'])
    def join(self, docs: DocList[Text], docs_map: Any = None, docs_matrix: Any = None, **kwargs: Any) -> DocList[Text]:
        by_shard = {name: [doc.text for doc in docs] for name, docs in (docs_map or {}).items()}
        return DocList[Text]([Text(text=f'{by_shard} {len(docs_matrix or ())} {docs.text}')])


class Before(Executor):
    @requests(on='/all')
    def mark(self, docs: DocList[Text], **kwargs: Any) -> None:
        for doc in docs:
            doc.text = f'<{doc.text}>'


class Misfit(Executor):
    @requests(on='/all')
    def join(self, docs: DocList[Other], **kwargs: Any) -> DocList[Other]:
        return docs


POLLING = {
    '*': 'ANY',
    **dict.fromkeys(('/all', '/own', '/result', '/fail', '/slow', '/branches', '/stream-all'), 'ALL'),
}


class Sharded:
    """A head in front of two shards, all in the test's event loop."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster

    async def start(self, replicas: int = 1, **options: Any) -> Sharded:
        self.workers: list[list[Any]] = [[], []]
        for shard, replica in itertools.product(range(2), range(replicas)):
            worker = await self._cluster.worker(
                Shard,
                'enc',
                shards=2,
                shard_id=shard,
                replica_id=replica,
                no_reduce=bool(options.get('no_reduce')),
            )
            self.workers[shard].append(worker)
        self.head = await self._cluster._start(
            ExecutorOptions(
                name='enc',
                host='127.0.0.1',
                log_config='plain',
                pod_role='HEAD',
                **{
                    'polling': POLLING,
                    'connection_list': self.connections,
                    **options,
                },
            )
        )
        self.address = self.head.address
        return self

    @property
    def connections(self) -> dict[str, list[str]]:
        return {str(number): [worker.address for worker in shard] for number, shard in enumerate(self.workers)}

    def executor(self, shard: int, replica: int = 0) -> Any:
        return self.workers[shard][replica].pod.service.executor

    async def texts(self, endpoint: str, *texts: str) -> list[str]:
        return (await self._cluster.post(self.address, endpoint, *texts)).docs.text


@pytest.fixture(params=[False, True], ids=['lane', 'unary'])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of calls between a head and its shards."""
    if request.param:
        monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')


@pytest.mark.usefixtures('way')
async def test_any_asks_the_shards_in_turn_and_all_asks_all(cluster: Any) -> None:
    sharded = await Sharded(cluster).start()
    assert [await sharded.texts('/index', 'x') for _ in range(4)] == [['x[0]'], ['x[1]'], ['x[0]'], ['x[1]']]
    assert await sharded.texts('/all', 'x', 'y') == ['x[0]', 'y[0]'], 'the same documents become one, the first wins'
    assert await sharded.texts('/search', 'x') == ['x[0]'], '/search goes to all shards by itself'
    assert sharded.executor(0).calls == sharded.executor(1).calls == 4
    response = await cluster.post(sharded.address, '/own', 'x')
    assert response.docs.id == ['x', 'own-0', 'own-1']
    assert [route.executor for route in response.routes] == ['gateway', 'enc']
    results = (await cluster.post(sharded.address, '/result', 'x')).parameters['__results__']
    assert results == {'enc/shard-0/rep-0': {'shard': 0}, 'enc/shard-1/rep-0': {'shard': 1}}


async def test_an_error_of_one_shard_is_the_answer(cluster: Any) -> None:
    sharded = await Sharded(cluster).start()
    response = await cluster.post(sharded.address, '/fail', 'x')
    assert response.is_error
    assert response.status.description == "ValueError('broken shard')"
    assert [route.executor for route in response.routes] == ['gateway', 'enc']


async def test_executors_around_the_shards(cluster: Any) -> None:
    joiner = await cluster.worker(Joiner, 'enc', no_reduce=True)
    before = await cluster.worker(Before, 'enc')
    sharded = await Sharded(cluster).start(uses_before_address=before.address, uses_after_address=joiner.address)
    assert await sharded.texts('/all', 'x') == [
        "{'enc/shard-0': ['<x>[0]'], 'enc/shard-1': ['<x>[1]']} 2 ['<x>[0]', '<x>[1]']"
    ]
    assert await sharded.texts('/plain', 'x') == ["{} 0 ['x[0]']"], 'the result of one shard needs no joining'
    assert await sharded.texts('/own', 'x') == ['x', '', ''], 'neither has this endpoint'
    failed = await cluster.post(sharded.address, '/fail', 'x')
    assert failed.is_error


async def test_documents_must_fit_through(cluster: Any) -> None:
    misfit = await cluster.worker(Misfit, 'enc', no_reduce=True)
    with pytest.raises(
        TopologyError, match=r"at '/all' Executor 'enc' gives Text .+ and Executor 'enc/uses_after' takes"
    ):
        await Sharded(cluster).start(uses_after_address=misfit.address)
    with pytest.raises(TopologyError, match=r"Executor 'enc/uses_before' gives Other .+ and Executor 'enc' takes Text"):
        await Sharded(cluster).start(uses_before_address=misfit.address)


def lists_of(make_request: Callable[..., DataRequest], endpoint: str) -> bytes:
    batch = wire.DataRequestListProto()
    for name in ('left', 'right'):
        request = make_request(endpoint, 'x')
        request.docs[0].text = name
        proto = batch.requests.add()
        proto.CopyFrom(request.proto)
        del proto.routes[:]
        proto.routes.add(executor=name)
    return batch.SerializeToString()


@pytest.mark.parametrize('no_reduce', [False, True])
async def test_results_of_several_branches(
    cluster: Any, request_of: Callable[..., DataRequest], no_reduce: bool
) -> None:
    sharded = await Sharded(cluster).start(no_reduce=no_reduce)

    async def send(endpoint: str) -> DataRequest:
        call = cluster.channel(sharded.address).unary_unary(wire.PROCESS_DATA)
        response = DataRequest.from_bytes(await call(lists_of(request_of, endpoint), timeout=10))
        response.document_array_cls = DocList[Text]
        return response

    assert (await send('/plain')).docs.text in (['left[0]'], ['left[0]', 'right[0]'])
    branches = await send('/branches')
    expected = [('left', 'left'), ('right', 'right')] if no_reduce else []
    assert [(doc.id, doc.text) for doc in branches.docs] == expected


@pytest.mark.usefixtures('way')
async def test_a_dead_shard_fails_requests_to_all_and_is_left_out_by_those_to_any(cluster: Any) -> None:
    sharded = await Sharded(cluster).start()
    gateway = await cluster.gateway({'start-gateway': ['enc'], 'enc': ['end-gateway']}, {'enc': [sharded.address]})
    await cluster.post(gateway.address, '/index', 'x')
    await cluster.post(gateway.address, '/index', 'x')
    await sharded.workers[1][0].pod.stop(0)
    assert [await sharded.texts('/index', 'x') for _ in range(3)] == [['x[0]']] * 3
    before = sharded.executor(0).calls
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await cluster.post(gateway.address, '/all', 'x')
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    address = sharded.workers[1][0].address
    assert (
        f"|Head: Communication error with deployment enc/shard-1 at address(es) {{'{address}'}}"
        in caught.value.details()
    )
    assert sharded.executor(0).calls == before + 1, 'the gateway does not have the healthy shard work again'
    with pytest.raises(grpc.aio.AioRpcError, match='shard-1'):
        await cluster.post(sharded.address, '/all', 'x')


async def test_a_replica_takes_over_for_another_one_of_its_shard(cluster: Any) -> None:
    sharded = await Sharded(cluster).start(replicas=2)
    await sharded.texts('/all', 'x')
    await sharded.workers[1][0].pod.stop(0)
    assert [await sharded.texts('/all', 'x') for _ in range(3)] == [['x[0]']] * 3


async def test_streams_come_from_one_shard(cluster: Any) -> None:
    joiner = await cluster.worker(Joiner, 'enc', no_reduce=True)
    sharded = await Sharded(cluster).start(uses_after_address=joiner.address)

    async def stream(endpoint: str) -> tuple[list[str], str]:
        request = SingleDocumentRequest()
        request.exec_endpoint = endpoint
        request.document = Text(text='x')
        texts, error = [], ''
        async for raw in cluster.channel(sharded.address).unary_stream(wire.STREAM_DOC)(request.to_bytes(), timeout=10):
            item = SingleDocumentRequest.from_bytes(raw)
            item.document_cls = Text
            if item.is_error:
                error = item.status.description
            else:
                texts.append(item.document.text)
        return texts, error

    assert await stream('/stream') == (['x0@0', 'x1@0', 'x2@0'], '')
    assert await stream('/stream') == (['x0@1', 'x1@1', 'x2@1'], '')
    texts, error = await stream('/stream-all')
    assert texts == []
    assert "'/stream-all' goes to all shards of 'enc', and a stream comes from one" in error


async def test_health_and_endpoints(cluster: Any) -> None:
    sharded = await Sharded(cluster).start()
    await sharded.head.pod.service.dry_run()
    found = await sharded.head.pod.service.endpoints()
    assert set(found.endpoints) >= {'/all', '/stream', '/index'}
    await sharded.workers[1][0].pod.stop(0)
    with pytest.raises(ConnectionError, match='enc/shard-1'):
        await sharded.head.pod.service.dry_run()


@pytest.mark.usefixtures('way')
async def test_deadlines_and_cancellation_reach_all_shards(
    cluster: Any, request_of: Callable[..., DataRequest], wait_for: Callable[[Callable[[], bool]], Any]
) -> None:
    sharded = await Sharded(cluster).start()
    for endpoint, shards in (('/slow', (0, 1)), ('/slow-one', (0,))):
        began = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError, match='DEADLINE_EXCEEDED'):
            await cluster.call(sharded.address, request_of(endpoint, 'x'), timeout=0.5)
        assert time.monotonic() - began < 10
        await wait_for(lambda shards=shards: all(sharded.executor(shard).cancelled for shard in shards))  # type: ignore[misc]


async def test_replicas_change_while_requests_are_under_way(cluster: Any) -> None:
    sharded = await Sharded(cluster).start()
    service: Any = sharded.head.pod.service
    stop = asyncio.Event()

    async def ask() -> int:
        count = 0
        while not stop.is_set():
            assert await sharded.texts('/all', 'x') == ['x[0]']
            count += 1
        return count

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    first = sharded.workers[0][0]
    for shard in range(2):
        sharded.workers[shard].append(await cluster.worker(Shard, 'enc', shards=2, shard_id=shard, replica_id=1))
    await service.reconnect('enc', list(sharded.connections.values()), 10)
    assert len(service._shards.addresses) == 4
    await asyncio.sleep(0.1)
    del sharded.workers[0][0]
    await service.reconnect('enc', list(sharded.connections.values()), 10)
    calls = first.pod.service.executor.calls
    await first.pod.stop(0)
    await asyncio.sleep(0.1)
    stop.set()
    assert min(await asyncio.gather(*asking)) > 0
    assert first.pod.service.executor.calls == calls, 'who has left gets nothing more'
    assert sharded.executor(0).calls > 0
