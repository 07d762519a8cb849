"""What a gateway's connections promise, on the fast lane exactly as by unary calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio
import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core import wire
from jina.core.errors import DeadlineError, TransportError
from jina.core.lane import Lane
from jina.core.local_stream import LocalStream, open_door
from jina.core.request import DataRequest
from jina.runtime.connections import ConnectionSettings, PeerGroup


class Text(BaseDoc):
    text: str = ''


class Gated(Executor):
    """Answers when its gate is open, and notes what it got."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.began: list[str] = []
        self.running = self.cancelled = 0
        self.gate = asyncio.Event()

    @requests
    async def answer(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        self.began += docs.text
        self.running += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return docs

    @requests(on='/big')
    async def big(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        self.began += docs.text
        return DocList[Text]([Text(text='x' * 1_000_000)])


class Cable:
    """A proxy between two peers whose connections can be cut."""

    def __init__(self, target: str) -> None:
        self._host, self._port = target.rsplit(':', 1)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = ''

    async def __aenter__(self) -> Cable:
        self._server = await asyncio.start_server(self._connect, '127.0.0.1', 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f'{host}:{port}'
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        while pending := [task for task in self._tasks if not task.done()]:
            self.cut()
            await asyncio.wait(pending, timeout=0.05)  # a connection that was just being made is cut the next time

    def cut(self) -> None:
        """Breaks all connections; new ones are made as before."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._tasks.add(asyncio.create_task(self._join(reader, writer)))

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(back)
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture(params=['local', 'lane', 'unary'])
def way(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    off = {'lane': 'JINA_DISABLE_LOCAL_LANE', 'unary': 'JINA_DISABLE_FAST_LANE'}
    if request.param in off:
        monkeypatch.setenv(off[request.param], '1')
    return str(request.param)


Post = Callable[..., Any]
Make = Callable[..., DataRequest]


@pytest.fixture
async def connect(way: str, by_door: Any) -> AsyncIterator[Callable[..., Any]]:
    groups: list[PeerGroup] = []

    async def make(*addresses: str, direct: bool = True, **settings: Any) -> PeerGroup:
        group = PeerGroup('e1', addresses, ConnectionSettings(**settings))
        groups.append(group)
        for peer in group._peers if way == 'local' and direct else ():
            await by_door(peer._lane)
        return group

    yield make
    for group in groups:
        assert all(peer._lane.missing is (way == 'unary') for peer in group._peers)
        await group.close()


@pytest.fixture
def post(request_of: Make) -> Post:
    """Sends a text through a group and returns the text that comes back."""

    async def send(group: PeerGroup, text: str, timeout: float | None = None) -> str:
        raw = await group.process(request_of('/', text).to_bytes(), '/', timeout=timeout)
        response = DataRequest.from_bytes(raw)
        assert not response.is_error
        response.document_array_cls = DocList[Text]
        return response.docs[0].text

    return send


def is_local(group: PeerGroup) -> bool:
    session = group._peers[0]._lane._session
    return session is not None and isinstance(session.lane._call, LocalStream)


async def until(condition: Callable[[], Any]) -> None:
    async def poll() -> None:
        while not condition():  # noqa: ASYNC110 - of many kinds
            await asyncio.sleep(0.002)

    await asyncio.wait_for(poll(), 20)


async def test_cancellation_reaches_the_executor(cluster: Any, connect: Any, post: Post) -> None:
    worker = await cluster.worker(Gated)
    executor, group = worker.pod.service.executor, await connect(worker.address)
    tasks = [asyncio.create_task(post(group, str(number))) for number in range(3)]
    await until(lambda: executor.running == 3)
    tasks[1].cancel()
    await until(lambda: executor.cancelled == 1)
    executor.gate.set()
    assert await tasks[0] == '0' and await tasks[2] == '2'
    assert sorted(executor.began) == ['0', '1', '2'], 'a cancelled request was tried again'
    assert group._peers[0].in_flight == 0


async def test_a_deadline_ends_the_work_and_no_further_try_begins(cluster: Any, connect: Any, post: Post) -> None:
    worker = await cluster.worker(Gated)
    executor, group = worker.pod.service.executor, await connect(worker.address)
    with pytest.raises(DeadlineError):
        await post(group, 'a', timeout=0.3)
    await until(lambda: executor.cancelled == 1)
    assert executor.began == ['a']
    executor.gate.set()
    assert await post(group, 'b', timeout=20) == 'b'


async def test_the_limit_for_a_try_is_followed_by_another_replica(cluster: Any, connect: Any, post: Post) -> None:
    stuck, well = await cluster.worker(Gated), await cluster.worker(Gated)
    well.pod.service.executor.gate.set()
    group = await connect(stuck.address, well.address, timeout=0.5)
    answers = await asyncio.gather(*(post(group, str(number)) for number in range(6)))
    assert answers == [str(number) for number in range(6)]
    assert sorted(well.pod.service.executor.began) == answers
    await until(lambda: stuck.pod.service.executor.cancelled == 3)


async def test_a_replica_that_stops_hands_its_requests_to_another(cluster: Any, connect: Any, post: Post) -> None:
    first, second = await cluster.worker(Gated), await cluster.worker(Gated)
    group = await connect(first.address, second.address)
    tasks = [asyncio.create_task(post(group, str(number))) for number in range(20)]
    executors = [worker.pod.service.executor for worker in (first, second)]
    await until(lambda: [executor.running for executor in executors] == [10, 10])
    await first.pod.stop(0)
    await until(lambda: executors[1].running == 20)
    executors[1].gate.set()
    assert await asyncio.gather(*tasks) == [str(number) for number in range(20)]


async def test_a_broken_connection_is_made_again(cluster: Any, connect: Any, post: Post) -> None:
    worker = await cluster.worker(Gated)
    executor = worker.pod.service.executor
    async with Cable(worker.address) as cable:
        group = await connect(cable.address, direct=False)
        tasks = [asyncio.create_task(post(group, str(number))) for number in range(10)]
        await until(lambda: executor.running == 10)
        assert not is_local(group)  # who put something between the two wants it to be there
        cable.cut()
        await until(lambda: executor.cancelled == 10 and executor.running == 10)
        executor.gate.set()
        assert await asyncio.gather(*tasks) == [str(number) for number in range(10)]
        await until(lambda: not group._peers[0].down)
        assert await post(group, 'after') == 'after'
        await group.close()


async def test_a_connection_to_a_door_that_breaks_is_made_again(
    cluster: Any, post: Post, by_door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await cluster.worker(Gated)
    executor = worker.pod.service.executor
    group = PeerGroup('e1', [worker.address], ConnectionSettings())
    await by_door(group._peers[0]._lane)
    tasks = [asyncio.create_task(post(group, str(number))) for number in range(10)]
    await until(lambda: executor.running == 10)
    assert is_local(group)
    group._peers[0]._lane._session.lane._call._transport.abort()  # type: ignore[union-attr]
    await until(lambda: executor.cancelled == 10 and executor.running == 10)
    executor.gate.set()
    assert await asyncio.gather(*tasks) == [str(number) for number in range(10)]
    await until(lambda: not group._peers[0].down and is_local(group))
    assert await post(group, 'after') == 'after'
    await group.close()


async def test_without_tries_left_the_client_learns_what_broke(cluster: Any, connect: Any, post: Post) -> None:
    worker = await cluster.worker(Gated)
    async with Cable(worker.address) as cable:
        group = await connect(cable.address, direct=False, retries=0)
        task = asyncio.create_task(post(group, 'a'))
        await until(lambda: worker.pod.service.executor.running == 1)
        cable.cut()
        with pytest.raises(TransportError, match='Communication error with deployment e1') as caught:
            await task
        assert caught.value.code == 'UNAVAILABLE'
        await group.close()


@pytest.mark.parametrize('kind', ['worker', 'flow'])
async def test_a_client_that_reads_slowly_bounds_what_is_made_for_it(
    cluster: Any, request_of: Make, way: str, kind: str
) -> None:
    with_lane = way != 'unary'

    server = await getattr(cluster, kind)(Gated)
    worker = server if kind == 'worker' else cluster.running[0]
    executor = worker.pod.service.executor
    raws = [request_of('/big', str(number)).to_bytes() for number in range(200)]
    found = 0
    if with_lane:
        door = await open_door(server.pod._servers[0]._door.name) if way == 'local' else None
        lane = Lane(door or cluster.lane_call(server.address), 8)
        for raw in raws:
            lane.send(raw)
        assert await lane.receive() == []  # the hello
    else:
        call = cluster.channel(server.address).stream_stream(wire.CALL)(metadata=((wire.PREFETCH_KEY, '8'),))
        writer = asyncio.create_task(_write_all(call, raws))
    await until(lambda: len(executor.began) >= 8)
    seen = -1
    while seen != (seen := len(executor.began)):  # noqa: ASYNC110 - for the absence of an event
        await asyncio.sleep(0.5)  # long enough for some more, if nothing held them back
    # What the client's own buffers took, and one window.
    assert seen < 120
    while found < 200:
        found += len(await lane.receive() or []) if with_lane else await call.read() is not grpc.aio.EOF
    assert len(executor.began) == 200
    if with_lane:
        await lane.close()
    else:
        await writer


async def _write_all(call: Any, raws: list[bytes]) -> None:
    for raw in raws:
        await call.write(raw)
    await call.done_writing()
