"""Streams through a graph: the Executors before the last one work as always, the last one streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from docarray import BaseDoc, DocList
from jina.core import wire
from jina.core.endpoints import requests
from jina.core.errors import TopologyError
from jina.core.executor import Executor
from jina.core.request import SingleDocumentRequest

Cluster = Any


class Text(BaseDoc):
    text: str = ''


class Other(BaseDoc):
    number: int = 0


class Shout(Executor):
    @requests(on='/stream')
    def shout(self, docs: DocList[Text], parameters: dict[str, Any], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text = doc.text.upper() + parameters.get('mark', '')
        return docs


class Split(Executor):
    @requests(on='/stream')
    def split(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return DocList[Text]([Text(text=letter) for doc in docs for letter in doc.text])


class Bare(Executor):
    """Serves other endpoints only."""

    @requests(on='/other')
    def other(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return docs


class Fails(Executor):
    @requests(on='/stream')
    def fail(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        raise ValueError('not this one')


class Count(Executor):
    closed = 0

    @requests(on='/stream')
    async def count(self, doc: Text, parameters: dict[str, Any], **kwargs: Any) -> AsyncIterator[Text]:
        for number in range(int(parameters.get('times', 2))):
            yield Text(text=f'{doc.text} {number}')

    @requests(on='/endless')
    def endless(self, doc: Text, **kwargs: Any) -> Iterator[Text]:
        try:
            while True:
                yield doc
        finally:
            type(self).closed += 1

    @requests(on='/hangs')
    async def hangs(self, doc: Text, **kwargs: Any) -> AsyncIterator[Text]:
        yield doc
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            type(self).closed += 1


async def read(
    cluster: Cluster, address: str, endpoint: str = '/stream', target: str = '', text: str = 'ab', **parameters: Any
) -> list[str]:
    """Returns the texts of a stream, and the description of its error."""
    request = SingleDocumentRequest()
    request.exec_endpoint = endpoint
    request.target_executor = target
    request.document = Text(text=text)
    if parameters:
        request.parameters = parameters
    found = []
    async for raw in cluster.channel(address).unary_stream(wire.STREAM_DOC)(request.to_bytes(), timeout=10):
        response = SingleDocumentRequest.from_bytes(raw)
        response.document_cls = Text
        found.append(response.status.description if response.is_error else response.document.text)  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize(
    ('chain', 'expected'),
    [
        ((Count,), ['ab 0', 'ab 1']),
        ((Shout, Count), ['AB 0', 'AB 1']),
        ((Bare, Shout, Count), ['AB 0', 'AB 1']),
        ((Shout, Count, Bare), ['AB 0', 'AB 1']),
        ((Shout, Split, Count), ['A 0', 'A 1', 'B 0', 'B 1']),
    ],
)
async def test_the_last_executor_streams(
    cluster: Cluster, chain: tuple[type[Executor], ...], expected: list[str]
) -> None:
    flow = await cluster.flow(*chain)
    assert await read(cluster, flow.address) == expected


async def test_parameters_reach_all(cluster: Cluster) -> None:
    flow = await cluster.flow(Shout, Count)
    assert await read(cluster, flow.address, mark='!', times=1) == ['AB! 0']
    assert await read(cluster, flow.address, e1__mark='?', e2__times=1) == ['AB? 0']


async def test_the_target_executor_skips_the_others(cluster: Cluster) -> None:
    flow = await cluster.flow(Shout, Count)
    assert await read(cluster, flow.address, target='e2') == ['ab 0', 'ab 1']
    (failure,) = await read(cluster, flow.address, target='e1')
    assert 'endpoint must be generator' in failure
    (failure,) = await read(cluster, flow.address, target='nobody')
    assert "target_executor 'nobody'" in failure
    (failure,) = await read(cluster, flow.address, target='(')
    assert 'no regular expression' in failure


async def test_a_failure_before_the_stream_is_in_the_stream(cluster: Cluster) -> None:
    flow = await cluster.flow(Fails, Count)
    assert await read(cluster, flow.address) == ["ValueError('not this one')"]


@pytest.mark.parametrize('chain', [(Count, Shout), (Count, Bare, Count), (Count, Count)])
async def test_a_generator_that_is_not_last_says_so(cluster: Cluster, chain: tuple[type[Executor], ...]) -> None:
    flow = await cluster.flow(*chain)
    (failure,) = await read(cluster, flow.address)
    assert f"Executor 'e1' streams at '/stream', and Executor 'e{len(chain)}' of this Flow comes after it" in failure


async def test_the_start_warns_of_a_generator_that_is_not_last(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    await cluster.flow(Count, Shout, log_config='plain')
    output = capsys.readouterr()
    assert "'/stream' can not be called with stream_doc" in output.out + output.err + caplog.text


async def test_an_endpoint_that_does_not_stream(cluster: Cluster) -> None:
    flow = await cluster.flow(Shout, Bare)
    (failure,) = await read(cluster, flow.address)
    assert "endpoint must be generator: '/stream' does not stream" in failure


async def test_types_are_checked_before_the_stream_too(cluster: Cluster) -> None:
    class Numbers(Executor):
        @requests(on='/stream')
        def numbers(self, docs: DocList[Text], **kwargs: Any) -> DocList[Other]:
            return DocList[Other]([Other()])

    with pytest.raises(TopologyError, match=r"'e1' gives Other.*'e2' takes Text"):
        await cluster.flow(Numbers, Count)


async def test_branches_meet_before_the_stream(cluster: Cluster) -> None:
    names = {'left': Shout, 'right': Bare, 'aside': Shout, 'last': Count}
    workers = {name: await cluster.worker(kind, name) for name, kind in names.items()}
    graph = {
        'start-gateway': ['left', 'right', 'aside'],
        'left': ['last'],
        'right': ['last'],
        'aside': [],
        'last': ['end-gateway'],
    }
    gateway = await cluster.gateway(graph, {name: [worker.address] for name, worker in workers.items()})
    # Both branches give the same document, and are merged by its id.
    assert await read(cluster, gateway.address) in (['AB 0', 'AB 1'], ['ab 0', 'ab 1'])


async def test_a_condition_leaves_documents_out(cluster: Cluster) -> None:
    worker = await cluster.worker(Count, 'last')
    gateway = await cluster.gateway(
        {'start-gateway': ['last'], 'last': ['end-gateway']},
        {'last': [worker.address]},
        graph_conditions={'last': {'text': {'$eq': 'yes'}}},
    )
    assert await read(cluster, gateway.address, text='yes') == ['yes 0', 'yes 1']
    assert await read(cluster, gateway.address, text='no') == []


@pytest.mark.parametrize('endpoint', ['/endless', '/hangs'])
async def test_a_client_that_leaves_ends_the_generator_behind_a_gateway(
    cluster: Cluster, endpoint: str, wait_for: Callable[[Callable[[], bool]], Any]
) -> None:
    Count.closed = 0
    flow = await cluster.flow(Bare, Count)
    request = SingleDocumentRequest()
    request.exec_endpoint = endpoint
    request.document = Text(text='x')
    call = cluster.channel(flow.address).unary_stream(wire.STREAM_DOC)(request.to_bytes())
    await call.read()
    call.cancel()
    await wait_for(lambda: Count.closed == 1)


async def test_a_slow_reader_holds_the_generator_back_through_a_gateway(
    cluster: Cluster, wait_for: Callable[[Callable[[], bool]], Any]
) -> None:
    made = 0

    class Large(Executor):
        @requests(on='/large')
        async def large(self, doc: Text, **kwargs: Any) -> AsyncIterator[Text]:
            nonlocal made
            while True:
                made += 1
                yield Text(text='x' * 100_000)

    flow = await cluster.flow(Large)
    request = SingleDocumentRequest()
    request.exec_endpoint = '/large'
    request.document = Text()
    call = cluster.channel(flow.address).unary_stream(wire.STREAM_DOC)(request.to_bytes())
    await call.read()
    before = 0
    while made != before:
        before = made
        await asyncio.sleep(0.5)  # long enough for some more, if nothing held them back
    assert made < 300
    call.cancel()


async def test_timeout_send_ends_a_stream_that_stands_still(
    cluster: Cluster, wait_for: Callable[[Callable[[], bool]], Any]
) -> None:
    Count.closed = 0
    flow = await cluster.flow(Count, timeout_send=300, retries=0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read(cluster, flow.address, '/hangs')
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 'timeout_send' in caught.value.details()
    await wait_for(lambda: Count.closed == 1)
