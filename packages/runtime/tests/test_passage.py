"""Requests that a gateway takes through a chain by callbacks: all but the first, which opens the fast lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core.errors import DeadlineError, JinaError
from jina.core.request import DataRequest

Make = Callable[..., DataRequest]
LIMIT_S = 20


class Text(BaseDoc):
    text: str = ''


class Mark(Executor):
    @requests
    def mark(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text += f'|{self.runtime_args.name.partition("/")[0]}'

    @requests(on='/fail')
    def fail(self, docs: DocList[Text]) -> DocList[Text]:
        raise ValueError('boom')


class Gate(Executor):
    """Holds requests to /wait until the gate opens."""

    opened: asyncio.Event
    came: asyncio.Event
    cancelled: asyncio.Event

    @requests
    def echo(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return docs

    @requests(on='/wait')
    async def wait(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        self.came.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return docs


@pytest.fixture(autouse=True)
def gate() -> None:
    Gate.opened, Gate.came, Gate.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()


class Sent:
    """A request that was given to a gateway."""

    def __init__(self, service: Any, request: DataRequest, **options: Any) -> None:
        self.answer: asyncio.Future[DataRequest] = asyncio.get_running_loop().create_future()
        before = asyncio.all_tasks()
        self.cancel = service.begin(request.to_bytes(), self._finish, **options)
        self.by_callbacks = asyncio.all_tasks() == before

    def _finish(self, raw: bytes, failed: bool, error: JinaError | None = None) -> None:
        if error is not None:
            self.answer.set_exception(error)
            return
        response = DataRequest.from_bytes(raw)
        assert response.is_error == failed
        response.document_array_cls = DocList[Text]
        self.answer.set_result(response)

    async def response(self) -> DataRequest:
        return await asyncio.wait_for(asyncio.shield(self.answer), LIMIT_S)


async def warm(service: Any, request_of: Make, replicas: int = 1) -> None:
    for _ in range(replicas):
        await Sent(service, request_of('/', 'first')).response()


async def test_each_request_gets_its_own_answer_without_a_task(cluster: Any, request_of: Make) -> None:
    service = (await cluster.flow(Mark, Mark)).pod.service
    first = Sent(service, request_of('/', 'x'))
    assert not first.by_callbacks
    await first.response()
    sent = [Sent(service, request_of('/', str(number))) for number in range(100)]
    assert all(one.by_callbacks for one in sent)
    for number, one in enumerate(sent):
        response = await one.response()
        assert [doc.text for doc in response.docs] == [f'{number}|e1|e2']
        assert [route.executor for route in response.routes] == ['gateway', 'e1', 'e2']


async def test_an_error_ends_the_way(cluster: Any, request_of: Make) -> None:
    service = (await cluster.flow(Mark, Mark)).pod.service
    await warm(service, request_of)
    sent = Sent(service, request_of('/fail', 'x'))
    assert sent.by_callbacks
    response = await sent.response()
    assert response.status.description == "ValueError('boom')"
    assert [route.executor for route in response.routes] == ['gateway', 'e1']


async def test_cancelling_reaches_the_executor(cluster: Any, request_of: Make) -> None:
    service = (await cluster.flow(Mark, Gate)).pod.service
    await warm(service, request_of)
    sent = Sent(service, request_of('/wait', 'x'))
    await asyncio.wait_for(Gate.came.wait(), LIMIT_S)
    sent.cancel()
    await asyncio.wait_for(Gate.cancelled.wait(), LIMIT_S)
    await Sent(service, request_of('/', 'y')).response()
    assert not sent.answer.done()
    sent.cancel()  # does nothing any more
    await Sent(service, request_of('/', 'z')).response()


async def test_time_limits(cluster: Any, request_of: Make) -> None:
    service = (await cluster.flow(Gate, retries=0)).pod.service
    await warm(service, request_of)
    sent = Sent(service, request_of('/wait', 'x'), timeout=0.1)
    assert sent.by_callbacks
    with pytest.raises(DeadlineError, match='deployment e1'):
        await sent.response()
    await asyncio.wait_for(Gate.cancelled.wait(), LIMIT_S)


async def test_another_replica_answers_what_one_leaves_behind(cluster: Any, request_of: Make) -> None:
    workers = [await cluster.worker(Gate, 'e1', replica_id=number) for number in range(2)]
    graph = {'start-gateway': ['e1'], 'e1': ['end-gateway']}
    service = (await cluster.gateway(graph, {'e1': [worker.address for worker in workers]})).pod.service
    await warm(service, request_of, replicas=2)
    sent = [Sent(service, request_of('/wait', str(number))) for number in range(10)]
    assert all(one.by_callbacks for one in sent)
    await asyncio.wait_for(Gate.came.wait(), LIMIT_S)
    await workers[0].pod.stop(0)
    Gate.opened.set()
    for number, one in enumerate(sent):
        assert [doc.text for doc in (await one.response()).docs] == [str(number)]


async def test_lists_of_requests_are_refused(cluster: Any, request_of: Make) -> None:
    service = (await cluster.flow(Mark)).pod.service
    with pytest.raises(JinaError, match='takes no lists'):
        await Sent(service, request_of('/', 'x'), many=True).response()
