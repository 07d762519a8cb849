from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.document_stream import STREAM_KEY
from jina.core.endpoints import requests
from jina.core.executor import Executor
from jina.core.request import DataRequest
from websockets.exceptions import ConnectionClosed


class Talker(Executor):
    """Endpoints that a test can hold, and look at afterwards."""

    opened: asyncio.Event
    ended: list[str]
    changed: asyncio.Event
    running = 0
    most = 0

    @requests(on='/echo')
    async def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text += '!'
        return docs

    @requests(on='/hold')
    async def hold(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        cls = type(self)
        cls.running += 1
        cls.most = max(cls.most, cls.running)
        cls.changed.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.ended.append(docs[0].text)
            raise
        finally:
            cls.running -= 1
            cls.changed.set()
        return docs

    @requests(on='/count')
    async def count(self, doc: TextDoc, parameters: dict[str, Any], **kwargs: Any) -> TextDoc:
        try:
            for number in range(int(parameters.get('n', 3))):
                yield TextDoc(text=f'{doc.text}{number}{parameters.get("mark", "")}')
        finally:
            self.ended.append(doc.text)

    @requests(on='/forever')
    async def forever(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        try:
            while True:
                type(self).running += 1
                yield TextDoc(text=doc.text * 1000)
                await asyncio.sleep(0)
        finally:
            self.ended.append(doc.text)
            self.opened.set()

    @requests(on='/break')
    async def breaks(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        yield TextDoc(text='first')
        raise ValueError('after the first')

    @requests(on='/fail')
    def fail(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        raise ValueError('boom')


@pytest.fixture(autouse=True)
def fresh() -> None:
    Talker.opened, Talker.changed, Talker.ended = asyncio.Event(), asyncio.Event(), []
    Talker.running = Talker.most = 0


async def until(happened: Callable[[], bool]) -> None:
    """Waits for something that a request of ``/hold`` does."""
    while not happened():
        Talker.changed.clear()
        await Talker.changed.wait()


@pytest.fixture(params=['deployment', 'flow'])
async def site(request: pytest.FixtureRequest, sites: Any) -> Any:
    return await getattr(sites, request.param)(Talker)


async def test_many_requests_on_one_connection(site: Any, message_of: Any, texts_of: Any) -> None:
    async with site.connect() as connection:
        assert connection.subprotocol == 'bytes'
        for number in range(200):
            await connection.send(message_of('/echo', str(number)))
        answers = [texts_of(await connection.recv()) for _ in range(200)]
    assert sorted(answers) == sorted([f'{number}!'] for number in range(200))


async def test_answers_come_as_they_are_ready_with_the_id_of_their_request(site: Any, message_of: Any) -> None:
    slow, quick = message_of('/hold', 'slow'), message_of('/echo', 'quick')
    async with site.connect() as connection:
        await connection.send(slow)
        await connection.send(quick)
        ids = [DataRequest.from_bytes(await connection.recv()).request_id]
        Talker.opened.set()
        ids.append(DataRequest.from_bytes(await connection.recv()).request_id)
    assert ids == [DataRequest.from_bytes(message).request_id for message in (quick, slow)]


async def test_the_last_message_ends_the_connection_after_all_answers(
    site: Any, message_of: Any, texts_of: Any
) -> None:
    async with site.connect() as connection:
        await connection.send(message_of('/hold', 'a'))
        await connection.send(b'\x00')
        Talker.opened.set()
        assert texts_of(await connection.recv()) == ['a']
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


async def test_a_failed_executor_is_a_status(site: Any, message_of: Any) -> None:
    async with site.connect() as connection:
        await connection.send(message_of('/fail', 'a'))
        response = DataRequest.from_bytes(await connection.recv())
        assert response.is_error
        assert response.status.exception.name == 'ValueError'
        await connection.send(message_of('/echo', 'a'))
        assert not DataRequest.from_bytes(await connection.recv()).is_error


@pytest.mark.parametrize('message', [b'\xff\xff nonsense', 'text'])
async def test_what_is_no_request_ends_the_connection(site: Any, message: Any) -> None:
    async with site.connect() as connection:
        await connection.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1007
    assert closed.value.rcvd.reason


async def test_work_ends_with_the_connection(site: Any, message_of: Any) -> None:
    async with site.connect() as connection:
        await connection.send(message_of('/hold', 'left'))
        await until(lambda: Talker.running == 1)
        connection.transport.abort()
    await until(lambda: Talker.ended == ['left'])


async def test_no_more_requests_than_prefetch_are_worked_on(sites: Any, message_of: Any) -> None:
    site = await sites.flow(Talker, prefetch=3)
    async with site.connect() as connection:
        for number in range(20):
            await connection.send(message_of('/hold', str(number)))
        await until(lambda: Talker.running == 3)
        Talker.opened.set()
        for _ in range(20):
            await connection.recv()
    assert Talker.most == 3


async def test_a_stream_is_messages_and_an_end(site: Any, message_of: Any, texts_of: Any) -> None:
    message = message_of('/count', 's', stream=True, n=4, mark='?')
    async with site.connect() as connection:
        await connection.send(message)
        answers = [await connection.recv() for _ in range(5)]
        await connection.send(message_of('/echo', 'after'))
        assert texts_of(await connection.recv()) == ['after!']
    assert [texts_of(answer) for answer in answers] == [['s0?'], ['s1?'], ['s2?'], ['s3?'], []]
    responses = [DataRequest.from_bytes(answer) for answer in answers]
    assert [response.parameters for response in responses] == [*[{STREAM_KEY: 'more'}] * 4, {STREAM_KEY: 'end'}]
    assert {response.request_id for response in responses} == {DataRequest.from_bytes(message).request_id}
    assert Talker.ended == ['s']


async def test_streams_and_posts_share_a_connection(site: Any, message_of: Any) -> None:
    streams = [message_of('/count', str(number), stream=True, n=20) for number in range(5)]
    async with site.connect() as connection:
        for stream in streams:
            await connection.send(stream)
            await connection.send(message_of('/echo', 'x'))
        answers = [DataRequest.from_bytes(await connection.recv()) for _ in range(5 * 21 + 5)]
    counts = [sum(DataRequest.from_bytes(one).request_id == answer.request_id for answer in answers) for one in streams]
    assert counts == [21] * 5


async def test_a_failure_in_mid_stream_is_its_end(site: Any, message_of: Any, texts_of: Any) -> None:
    async with site.connect() as connection:
        await connection.send(message_of('/break', 'a', stream=True))
        assert texts_of(await connection.recv()) == ['first']
        last = DataRequest.from_bytes(await connection.recv())
    assert last.is_error
    assert last.status.exception.name == 'ValueError'
    assert last.parameters == {STREAM_KEY: 'end'}


@pytest.mark.parametrize('texts', [(), ('a', 'b')])
async def test_a_stream_wants_one_document(site: Any, message_of: Any, texts: tuple[str, ...]) -> None:
    async with site.connect() as connection:
        await connection.send(message_of('/count', *texts, stream=True))
        last = DataRequest.from_bytes(await connection.recv())
    assert last.is_error
    assert 'a stream answers one document' in last.status.description
    assert last.parameters == {STREAM_KEY: 'end'}


async def test_a_stream_of_an_endpoint_that_does_not_stream(site: Any, message_of: Any) -> None:
    async with site.connect() as connection:
        await connection.send(message_of('/echo', 'a', stream=True))
        last = DataRequest.from_bytes(await connection.recv())
    assert 'endpoint must be generator' in last.status.description


async def test_a_reader_that_stops_stops_the_stream(site: Any, message_of: Any) -> None:
    async with site.connect(max_queue=1) as connection:
        await connection.send(message_of('/forever', 'x', stream=True))
        await connection.recv()
        before, quiet = -1, 0
        while quiet < 3:  # it has made nothing new for a while: buffers are full
            await asyncio.sleep(0.2)
            quiet = quiet + 1 if Talker.running == before else 0
            before = Talker.running
        assert Talker.running < 50_000  # of 1,000 bytes each
        connection.transport.abort()
    await asyncio.wait_for(Talker.opened.wait(), 20)
    assert Talker.ended == ['x']
