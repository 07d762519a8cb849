"""Places for requests: how many are worked on, how many wait, and who is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core import wire
from jina.core.errors import OverloadError
from jina.core.lane import LaneError, SharedLane
from jina.core.request import DataRequest
from jina.runtime.admission import Admission, Place
from jina.runtime.connections import ConnectionSettings, PeerGroup

Make = Callable[..., DataRequest]


def noop(_: Place) -> None: ...


def test_places_are_given_in_order_and_the_rest_is_refused() -> None:
    admission = Admission(2, 2, 'e1/rep-0')
    began: list[int] = []
    places = [admission.ask(lambda _, n=number: began.append(n), patient=False) for number in range(4)]
    assert began == [0, 1] and admission.is_full and admission.capacity == 4
    with pytest.raises(
        OverloadError, match=r'e1/rep-0 works at its limit of 2 requests, and 2 more wait; send it again'
    ):
        admission.ask(noop, patient=False)
    patient = admission.ask(lambda _: began.append(9), patient=True)
    places[1].leave()
    places[1].leave()  # a second time means nothing
    assert began == [0, 1, 2]
    places[3].abandon()  # it waited
    places[0].abandon()
    assert began == [0, 1, 2, 9] and not admission.is_full
    patient.leave()
    places[2].leave()
    assert [admission.ask(noop, patient=False).begins for _ in range(2)] == [None, None]


def test_requests_that_are_answered_at_once_do_not_nest() -> None:
    admission = Admission(1, 5000, 'x')
    first = admission.ask(noop, patient=False)
    done: list[int] = []

    def answer(place: Place) -> None:
        done.append(1)
        place.leave()

    for _ in range(5000):
        admission.ask(answer, patient=False)
    first.leave()
    assert len(done) == 5000 and not admission.is_full


def test_who_waits_for_room_is_told_once() -> None:
    admission = Admission(1, 0, 'x')
    place = admission.ask(noop, patient=False)
    told: list[int] = []
    admission.when_room(lambda: told.append(1))
    place.leave()
    admission.ask(noop, patient=False).leave()
    assert told == [1]


class Text(BaseDoc):
    text: str = ''


class Gate(Executor):
    """Answers when the test lets it."""

    open: asyncio.Event
    started = 0

    @requests
    async def wait(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        type(self).started += 1
        await type(self).open.wait()
        return docs

    @requests(on='/stream')
    async def stream(self, doc: Text, **kwargs: Any) -> Text:
        yield doc
        await type(self).open.wait()


@pytest.fixture(autouse=True)
async def gate() -> type[Gate]:
    Gate.open = asyncio.Event()
    Gate.started = 0
    return Gate


@pytest.mark.parametrize('way', ['unary', 'lane'])
async def test_requests_beyond_the_queue_fail_at_once(
    cluster: Any, request_of: Make, way: str, wait_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == 'unary':
        monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    worker = await cluster.worker(Gate, max_concurrency=2, max_queue=1)
    group = PeerGroup('e1', [worker.address], ConnectionSettings())
    raw = request_of('/', 'a').to_bytes()
    calls = [asyncio.ensure_future(group.process(raw, '/')) for _ in range(3)]
    await wait_for(lambda: worker.pod._admission.is_full)
    with pytest.raises(OverloadError, match='works at its limit of 2 requests') as caught:
        await group.process(raw, '/')
    assert caught.value.code == 'RESOURCE_EXHAUSTED' and caught.value.http_status == 503
    assert Gate.started == 2
    calls[2].cancel()  # whoever goes gives its place in the queue to the next one
    await wait_for(lambda: not worker.pod._admission.is_full)
    calls[2] = asyncio.ensure_future(group.process(raw, '/'))
    await wait_for(lambda: worker.pod._admission.is_full)
    Gate.open.set()
    assert all(DataRequest.from_bytes(answer).is_error is False for answer in await asyncio.gather(*calls))
    assert Gate.started in (3, 4)  # unary calls come in any order: the one that was cancelled had begun, or had not
    assert group._peers[0]._lane.missing is (way == 'unary') and not group._peers[0].down
    await group.close()


async def test_another_replica_is_asked_before_anybody_hears_of_it(
    cluster: Any, request_of: Make, wait_for: Any
) -> None:
    full = await cluster.worker(Gate, max_concurrency=1, max_queue=0)
    free = await cluster.worker(Gate, max_concurrency=3, max_queue=0)
    group = PeerGroup('e1', [full.address, free.address], ConnectionSettings())
    raw = request_of('/', 'a').to_bytes()
    calls = [asyncio.ensure_future(group.process(raw, '/')) for _ in range(4)]
    await wait_for(lambda: Gate.started == 4)
    with pytest.raises(OverloadError):
        await group.process(raw, '/')
    Gate.open.set()
    await asyncio.gather(*calls)
    await group.close()


async def test_a_stream_keeps_its_place_to_its_end(cluster: Any, request_of: Make, wait_for: Any) -> None:
    worker = await cluster.worker(Gate, max_concurrency=1, max_queue=0)
    group = PeerGroup('e1', [worker.address], ConnectionSettings())
    from jina.core.request import SingleDocumentRequest

    single = SingleDocumentRequest()
    single.exec_endpoint = '/stream'
    single.document = Text(text='x')
    stream = group.stream_doc(single.to_bytes(), '/stream')
    await anext(stream)
    with pytest.raises(OverloadError):
        await group.process(request_of('/', 'a').to_bytes(), '/')
    other = group.stream_doc(single.to_bytes(), '/stream')
    with pytest.raises(OverloadError):
        await anext(other)
    await stream.aclose()
    await wait_for(lambda: not worker.pod._admission.is_full)
    Gate.open.set()
    assert await group.process(request_of('/', 'a').to_bytes(), '/')
    await group.close()


async def test_a_call_that_was_let_in_waits_with_its_further_requests(
    cluster: Any, request_of: Make, wait_for: Any
) -> None:
    worker = await cluster.worker(Gate, max_concurrency=1, max_queue=1)
    open_call = cluster.channel(worker.address).stream_stream(wire.CALL)
    calls = [open_call(), open_call()]
    raws = [request_of('/', str(number)).to_bytes() for number in range(5)]
    for call in calls:
        for raw in raws:
            await call.write(raw)
        await call.done_writing()
    await wait_for(lambda: worker.pod._admission.is_full and len(worker.pod._admission._waiting) == 3)
    late = open_call()
    await late.write(raws[0])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await late.read()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    Gate.open.set()
    for call in calls:
        assert len([raw async for raw in call]) == 5


async def test_a_deadline_counts_while_a_request_waits(cluster: Any, request_of: Make, wait_for: Any) -> None:
    worker = await cluster.worker(Gate, max_concurrency=1, max_queue=1)
    lane = SharedLane(lambda: cluster.lane_call(worker.address))
    raw = request_of('/', 'a').to_bytes()
    first = asyncio.ensure_future(lane.request(raw))
    await wait_for(lambda: Gate.started == 1)
    with pytest.raises(LaneError) as caught:
        await lane.request(raw, timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await wait_for(lambda: not worker.pod._admission.is_full)
    Gate.open.set()
    await first
    assert Gate.started == 1
    await lane.close()


async def test_without_the_option_nothing_stands_in_between(cluster: Any) -> None:
    worker = await cluster.worker(Gate)
    assert worker.pod._served('grpc') is worker.pod.service
