from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core.request import DataRequest

Make = Callable[..., DataRequest]


class Text(BaseDoc):
    text: str = ''


class Mark(Executor):
    """Appends its name to every document, and returns its name as a result at /dict."""

    @requests
    async def mark(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text += f'|{self.runtime_args.name.partition("/")[0]}'

    @requests(on='/dict')
    async def facts(self, docs: DocList[Text]) -> DocList[Text]:
        return {'n': len(docs)}  # type: ignore[return-value]

    @requests(on='/new')
    async def new(self, docs: DocList[Text]) -> DocList[Text]:
        return DocList[Text]([*docs, Text(text=self.runtime_args.name)])

    @requests(on='/fail-e1')
    async def fail(self, docs: DocList[Text]) -> DocList[Text]:
        if self.runtime_args.name.startswith('e1'):
            raise ValueError('boom')
        return docs

    @requests(on='/join')
    async def join(self, docs: DocList[Text], docs_matrix: Any, docs_map: Any) -> DocList[Text]:
        if docs_map is None:
            return docs
        text = ' '.join(f'{name}={[doc.text for doc in part]}' for name, part in docs_map.items())
        return DocList[Text]([Text(text=f'{len(docs_matrix)} {text}')])


class OnlyMark(Executor):
    @requests(on='/mark')
    async def mark(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text += '|only'


class Late(Executor):
    seen: list[str]
    gate: asyncio.Event
    cancelled: asyncio.Event

    @requests
    async def late(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        self.seen.extend(doc.text for doc in docs)
        return docs


DIAMOND = {'start-gateway': ['a'], 'a': ['b', 'c'], 'b': ['d'], 'c': ['d'], 'd': ['end-gateway']}


async def start(
    cluster: Any, graph: dict[str, list[str]], special: dict[str, Any] | None = None, **options: Any
) -> str:
    """Starts a worker per node of the graph and a gateway."""
    names = [name for name in graph if name != 'start-gateway']
    uses = {name: (special or {}).get(name, {}) for name in names}
    addresses = {name: [(await cluster.worker(**{'uses': Mark, 'name': name, **uses[name]})).address] for name in names}
    return (await cluster.gateway(graph, addresses, **options)).address  # type: ignore[no-any-return]


def texts(response: DataRequest) -> list[str]:
    assert not response.is_error, response.status
    return [doc.text for doc in response.docs]


def route_names(response: DataRequest) -> list[str]:
    return [route.executor for route in response.routes]


async def test_chain(cluster: Any) -> None:
    flow = await cluster.flow(Mark, Mark)
    before = time.time()
    response = await cluster.post(flow.address, '/', 'x', 'y')
    assert texts(response) == ['x|e1|e2', 'y|e1|e2']
    assert route_names(response) == ['gateway', 'e1', 'e2']
    times = [(route.start_time.ToNanoseconds(), route.end_time.ToNanoseconds()) for route in response.routes]
    gateway, first, second = times
    assert before * 1e9 - 1e6 <= gateway[0] <= first[0] < first[1] <= second[0] < second[1] <= gateway[1]
    response = await cluster.post(flow.address, '/dict', 'x')
    assert response.parameters == {'__results__': {'e1/rep-0': {'n': 1.0}, 'e2/rep-0': {'n': 1.0}}}


async def test_flow_without_executors_answers_with_the_request(cluster: Any) -> None:
    gateway = await cluster.gateway({}, {})
    response = await cluster.post(gateway.address, '/', 'x')
    assert texts(response) == ['x']
    assert route_names(response) == ['gateway']


async def test_target_executor_skips_those_that_do_not_match(cluster: Any) -> None:
    flow = await cluster.flow(Mark, Mark, Mark)
    response = await cluster.post(flow.address, '/', 'x', target='e[13]')
    assert texts(response) == ['x|e1|e3']
    assert response.header.target_executor == ''
    assert route_names(response) == ['gateway', 'e1', 'e2', 'e3']
    assert [route.HasField('end_time') for route in response.routes] == [True, True, False, True]
    wrong = await cluster.post(flow.address, '/', 'x', target='e[')
    assert wrong.status.exception.name == 'InputError'
    assert "'e['" in wrong.status.description


async def test_executor_without_the_endpoint_is_skipped(cluster: Any) -> None:
    flow = await cluster.flow(Mark, OnlyMark)
    response = await cluster.post(flow.address, '/other', 'x')
    assert texts(response) == ['x|e1']
    assert [route.HasField('end_time') for route in response.routes] == [True, True, False]
    assert texts(await cluster.post(flow.address, '/mark', 'x')) == ['x|e1|only']


async def test_error_ends_the_way_and_keeps_its_route(cluster: Any) -> None:
    flow = await cluster.flow(Mark, Mark)
    response = await cluster.post(flow.address, '/fail-e1', 'x')
    assert response.status.description == "ValueError('boom')"
    assert route_names(response) == ['gateway', 'e1']
    assert response.routes[1].status.description == "ValueError('boom')"


async def test_diamond_merges_by_id_and_gathers_results(cluster: Any) -> None:
    address = await start(cluster, DIAMOND)
    assert texts(await cluster.post(address, '/', 'x')) == ['x|a|b|d']
    assert texts(await cluster.post(address, '/new', 'x')) == ['x', 'a/rep-0', 'b/rep-0', 'c/rep-0', 'd/rep-0']
    response = await cluster.post(address, '/dict', 'x')
    assert set(response.parameters['__results__']) == {'a/rep-0', 'b/rep-0', 'c/rep-0', 'd/rep-0'}
    assert route_names(response) == ['gateway', 'a', 'b', 'c', 'd']


async def test_several_ends_are_merged(cluster: Any) -> None:
    graph = {'start-gateway': ['a', 'b'], 'a': ['end-gateway'], 'b': ['end-gateway']}
    address = await start(cluster, graph)
    assert texts(await cluster.post(address, '/new', 'x')) == ['x', 'a/rep-0', 'b/rep-0']


async def test_no_reduce_gives_the_branches_side_by_side(cluster: Any) -> None:
    address = await start(cluster, DIAMOND, {'d': {'no_reduce': True}}, deployments_no_reduce=['d'])
    assert texts(await cluster.post(address, '/join', 'x')) == ["2 b=['x'] c=['x']"]
    # What skips a branch still is that branch's result.
    assert texts(await cluster.post(address, '/join', 'x', target='[abd]')) == ["2 b=['x'] c=['x']"]


async def test_error_in_a_branch_is_the_response(cluster: Any) -> None:
    graph = {'start-gateway': ['e1', 'e2'], 'e1': ['e3'], 'e2': ['e3'], 'e3': ['end-gateway']}
    address = await start(cluster, graph)
    response = await cluster.post(address, '/fail-e1', 'x')
    assert response.status.description == "ValueError('boom')"
    assert 'e3' not in route_names(response)


async def test_broken_connection_in_a_branch_fails_the_call(cluster: Any, request_of: Make) -> None:
    workers = {name: await cluster.worker(Mark, name) for name in 'abcd'}
    gateway = await cluster.gateway(DIAMOND, {name: [one.address] for name, one in workers.items()})
    await workers['c'].pod.stop(0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await cluster.call(gateway.address, request_of('/', 'x'))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert 'Communication error with deployment c ' in caught.value.details()


async def test_filter_sends_matching_documents_only(cluster: Any) -> None:
    flow = await cluster.flow(Mark, Mark, graph_conditions={'e2': {'text': {'$eq': 'x|e1'}}})
    assert texts(await cluster.post(flow.address, '/', 'x', 'y')) == ['x|e1|e2']
    assert texts(await cluster.post(flow.address, '/', 'y')) == []
    response = await cluster.post(flow.address, '/dict', 'y')
    assert response.parameters['__results__']['e2/rep-0'] == {'n': 0.0}


async def test_filters_of_branches_are_independent(cluster: Any) -> None:
    address = await start(
        cluster, DIAMOND, graph_conditions={'b': {'text': {'$eq': 'x|a'}}, 'c': {'text': {'$eq': 'y|a'}}}
    )
    assert texts(await cluster.post(address, '/', 'x', 'y', 'z')) == ['x|a|b|d', 'y|a|c|d']


async def test_filter_that_makes_no_sense_fails_the_start(cluster: Any) -> None:
    with pytest.raises(ValueError, match=r'text: \$nonsense is no operator'):
        await cluster.flow(Mark, graph_conditions={'e1': {'text': {'$nonsense': 1}}})


async def test_floating_executor_is_not_waited_for_but_drained(cluster: Any) -> None:
    Late.seen, Late.gate = [], asyncio.Event()
    late = await cluster.worker(Late, 'late')
    first = await cluster.worker(Mark, 'first')
    gateway = await cluster.gateway(
        {'start-gateway': ['first'], 'first': ['late', 'end-gateway'], 'late': []},
        {'first': [first.address], 'late': [late.address]},
    )
    response = await cluster.post(gateway.address, '/', 'x')
    assert texts(response) == ['x|first']
    assert Late.seen == []
    stopping = asyncio.create_task(gateway.pod.stop(4))
    await asyncio.sleep(0.05)
    assert not stopping.done()
    Late.gate.set()
    await asyncio.wait_for(stopping, 3)
    assert Late.seen == ['x|first']


async def test_floating_executor_that_is_down_does_no_harm(cluster: Any, capfd: pytest.CaptureFixture[str]) -> None:
    late, first = await cluster.worker(Mark, 'late'), await cluster.worker(Mark, 'first')
    graph = {'start-gateway': ['first', 'late'], 'first': ['end-gateway'], 'late': []}
    gateway = await cluster.gateway(graph, {'first': [first.address], 'late': [late.address]}, retries=0)
    await late.pod.stop(0)
    assert texts(await cluster.post(gateway.address, '/', 'x')) == ['x|first']
    await gateway.pod.stop(2)
    assert 'a floating Executor could not be reached' in ''.join(capfd.readouterr())


async def test_client_that_goes_away_cancels_what_waits_for_an_executor(cluster: Any, request_of: Make) -> None:
    Late.seen, Late.gate, Late.cancelled = [], asyncio.Event(), asyncio.Event()
    flow = await cluster.flow(Late, Mark)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await cluster.call(flow.address, request_of('/', 'x'), timeout=0.1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(Late.cancelled.wait(), 5)
    Late.gate.set()
    assert texts(await cluster.post(flow.address, '/', 'y')) == ['y|e2']
    assert Late.seen == ['y']


async def test_time_limit_of_calls_to_executors(cluster: Any, request_of: Make) -> None:
    Late.seen, Late.gate, Late.cancelled = [], asyncio.Event(), asyncio.Event()
    flow = await cluster.flow(Late, timeout_send=50, retries=0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await cluster.call(flow.address, request_of('/', 'x'))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 'deployment e1' in caught.value.details()
