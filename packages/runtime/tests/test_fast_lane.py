from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core import frames, wire
from jina.core.lane import Lane, LaneError, LaneMissingError, SharedLane
from jina.core.local_stream import open_door
from jina.core.request import DataRequest
from jina.runtime import fast_lane
from jina.runtime.connections import ConnectionSettings, PeerGroup


class Text(BaseDoc):
    text: str = ''


class Recorder(Executor):
    """Notes what it runs; waits for ``gate`` where it is told to."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ran: list[str] = []
        self.gate = threading.Event()
        self.cancelled = 0
        self.most = self.running = self.made = 0

    @requests(on='/echo')
    def echo(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        self.ran += docs.text
        return docs

    @requests(on='/wait')
    def wait(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        self.ran += docs.text
        self.gate.wait(20)
        return docs

    @requests(on='/sleep')
    async def sleep(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        self.ran += docs.text
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            while not self.gate.is_set():  # noqa: ASYNC110 - set from a test of any kind
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return docs

    @requests(on='/fail')
    def fail(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        raise ValueError('boom')

    @requests(on='/big')
    def big(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        self.made += 1
        return DocList[Text]([Text(text='x' * 500_000)])


Opened = Callable[[str], Awaitable[SharedLane]]
Begun = Callable[[Any], Awaitable[Any]]


@pytest.fixture(params=['grpc', 'local'])
def way(request: Any) -> str:
    return str(request.param)


@pytest.fixture
async def shared(cluster: Any, way: str, by_door: Any) -> AsyncIterator[Opened]:
    """Opens fast lanes to addresses."""
    opened: list[SharedLane] = []

    async def connect(address: str) -> SharedLane:
        call = partial(cluster.lane_call, address)
        opened.append(SharedLane(call, enter=open_door if way == 'local' else None))
        if way == 'local':
            await by_door(opened[-1])
        return opened[-1]

    yield connect
    for one in opened:
        await one.close()


@pytest.fixture
def begun(cluster: Any, way: str) -> Begun:
    """Begins a stream of frames to a server."""

    async def begin(server: Any) -> Any:
        if way == 'local':
            return await open_door(server.pod._servers[0]._door.name)
        return cluster.lane_call(server.address)

    return begin


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10) if sys.version_info >= (3, 11) else contextlib.nullcontext():
        while not condition():  # noqa: ASYNC110 - of many kinds
            await asyncio.sleep(0.005)


async def settled(count: Callable[[], int]) -> int:
    """Returns a count that has begun to grow, and has then not grown for half a second."""
    await until(count)
    seen = -1
    while seen != (seen := count()):  # noqa: ASYNC110 - for the absence of an event
        await asyncio.sleep(0.5)
    return seen


def text_of(raw: bytes) -> str:
    response = DataRequest.from_bytes(raw)
    assert not response.is_error
    response.document_array_cls = DocList[Text]
    return response.docs[0].text


async def test_many_requests_at_once_get_each_its_own_answer(
    cluster: Any, shared: Opened, request_of: Callable[..., DataRequest]
) -> None:
    worker = await cluster.worker(Recorder)
    one = await shared(worker.address)
    wanted = [str(number) for number in range(300)]
    answers = await asyncio.gather(*(one.request(request_of('/echo', text).to_bytes()) for text in wanted))
    assert [text_of(raw) for raw in answers] == wanted
    assert worker.pod.service.executor.ran == wanted  # one after the other, in their order
    failed = DataRequest.from_bytes(await one.request(request_of('/fail', 'a').to_bytes()))
    assert failed.is_error and failed.status.exception.name == 'ValueError'
    with pytest.raises(LaneError) as caught:
        await one.request(b'\xff\xff\xff')
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize('endpoint', ['/wait', '/sleep'])
async def test_who_goes_away_cancels_what_is_queued_or_runs(
    cluster: Any, shared: Opened, request_of: Callable[..., DataRequest], endpoint: str
) -> None:
    worker = await cluster.worker(Recorder)
    executor, one = worker.pod.service.executor, await shared(worker.address)
    tasks = [asyncio.create_task(one.request(request_of('/wait', 'first').to_bytes()))]
    await until(lambda: executor.ran == ['first'])
    tasks.append(asyncio.create_task(one.request(request_of(endpoint, 'second').to_bytes())))
    tasks.append(asyncio.create_task(one.request(request_of('/echo', 'third').to_bytes())))
    await until(lambda: endpoint == '/wait' or executor.running == 1)
    await asyncio.sleep(0.05)
    tasks[1].cancel()
    await until(lambda: endpoint == '/wait' or executor.cancelled == 1)
    await asyncio.sleep(0.05)
    executor.gate.set()
    assert text_of(await tasks[0]) == 'first'
    assert text_of(await tasks[2]) == 'third'
    assert executor.ran == (['first', 'third'] if endpoint == '/wait' else ['first', 'second', 'third'])


async def test_a_broken_client_cancels_everything(
    cluster: Any, shared: Opened, request_of: Callable[..., DataRequest]
) -> None:
    worker = await cluster.worker(Recorder)
    executor, one = worker.pod.service.executor, await shared(worker.address)
    tasks = [asyncio.create_task(one.request(request_of('/sleep', str(i)).to_bytes())) for i in range(5)]
    await until(lambda: executor.running == 5)
    await one.close()
    await until(lambda: executor.cancelled == 5)
    for task in tasks:
        with pytest.raises(LaneError) as caught:
            await task
        assert caught.value.code() is grpc.StatusCode.CANCELLED


async def test_deadlines_hold_on_both_sides(
    cluster: Any, shared: Opened, begun: Begun, request_of: Callable[..., DataRequest]
) -> None:
    worker = await cluster.worker(Recorder)
    executor, one = worker.pod.service.executor, await shared(worker.address)
    start = time.monotonic()
    with pytest.raises(LaneError) as caught:
        await one.request(request_of('/sleep', 'a').to_bytes(), timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.15 < time.monotonic() - start < 5
    await until(lambda: executor.cancelled == 1)
    # The server's own watch, with a client that doesn't look at the clock:
    bare = Lane(await begun(worker))
    bare.send(request_of('/sleep', 'b').to_bytes(), timeout=0.2)
    answers: list[Any] = []
    while not answers:
        answers = await bare.receive() or []
    assert answers[0][2].code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: executor.cancelled == 2)
    await bare.close()


async def test_the_window_of_the_client_is_never_exceeded(
    cluster: Any, begun: Begun, request_of: Callable[..., DataRequest]
) -> None:
    worker = await cluster.worker(Recorder)
    executor = worker.pod.service.executor
    bare = Lane(await begun(worker), 3)
    assert await bare.receive() == []  # hello
    for number in range(10):
        bare.send(request_of('/sleep', str(number)).to_bytes())
    await until(lambda: executor.running == 3)
    await asyncio.sleep(0.05)
    assert executor.running == 3
    bare.cancel(10)  # waits still: never begins
    await asyncio.sleep(0.05)
    executor.gate.set()
    found = 0
    while found < 9:
        found += len(await bare.receive() or [])
    assert executor.most == 3 and sorted(executor.ran) == [str(number) for number in range(9)]
    await bare.close()


async def test_callers_beyond_the_window_of_a_server_wait_for_their_turn(
    cluster: Any, shared: Opened, request_of: Callable[..., DataRequest]
) -> None:
    worker = await cluster.worker(Recorder)
    flow = await cluster.gateway({'start-gateway': ['e1'], 'e1': ['end-gateway']}, {'e1': [worker.address]}, prefetch=2)
    executor, one = worker.pod.service.executor, await shared(flow.address)
    executor.gate.set()
    assert text_of(await one.request(request_of('/echo', 'a').to_bytes())) == 'a'  # now it knows the window
    executor.gate.clear()
    tasks = [asyncio.create_task(one.request(request_of('/sleep', str(i)).to_bytes())) for i in range(6)]
    late = asyncio.create_task(one.request(request_of('/sleep', 'late').to_bytes(), timeout=0.1))
    await until(lambda: executor.running == 2)
    tasks[2].cancel()
    with pytest.raises(LaneError, match='DEADLINE_EXCEEDED'):
        await late
    executor.gate.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[2], asyncio.CancelledError)
    assert [text_of(raw) for raw in done if isinstance(raw, bytes)] == ['0', '1', '3', '4', '5']
    assert executor.most == 2


async def test_a_client_that_does_not_read_stops_the_server(
    cluster: Any, begun: Begun, request_of: Callable[..., DataRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_lane, '_UNWRITTEN_BYTES', 4_000_000)
    worker = await cluster.worker(Recorder)
    executor = worker.pod.service.executor
    bare = Lane(await begun(worker), 500)
    assert await bare.receive() == []  # hello
    for number in range(100):  # 50 MB of answers: far more than the windows and buffers between the two sides take
        bare.send(request_of('/big', str(number)).to_bytes())
    assert await settled(lambda: executor.made) == 100
    for number in range(100, 400):
        bare.send(request_of('/big', str(number)).to_bytes())
    assert await settled(lambda: executor.made) == 100
    found = 0
    while found < 400:
        found += len(await bare.receive() or [])
    assert executor.made == 400
    await bare.close()


@pytest.mark.parametrize('size', [3_000_000, 64_000_000])
async def test_a_payload_longer_than_frame_and_chunk(
    cluster: Any, shared: Opened, request_of: Callable[..., DataRequest], size: int
) -> None:
    worker = await cluster.worker(Recorder)
    one = await shared(worker.address)
    big = asyncio.create_task(one.request(request_of('/echo', 'y' * size).to_bytes()))
    small = await asyncio.gather(*(one.request(request_of('/echo', str(i)).to_bytes()) for i in range(20)))
    assert [text_of(raw) for raw in small] == [str(i) for i in range(20)]
    assert text_of(await big) == 'y' * size


async def test_lowered_limits_stand_for_payloads_beyond_four_gigabytes(
    cluster: Any, begun: Begun, request_of: Callable[..., DataRequest]
) -> None:
    # A length on the wire is that of a chunk, never that of a payload: 2,000 chunks here are 1 GB at the real size.
    worker = await cluster.worker(Recorder)
    bare = Lane(await begun(worker))
    bare._waiting._chunk_bytes = 64
    bare._waiting._frame_bytes = 640
    wanted = {bare.send(request_of('/echo', letter * 128_000).to_bytes()): letter * 128_000 for letter in 'abcdef'}
    while wanted:
        for number, raw, error in await bare.receive() or []:
            assert error is None and text_of(raw) == wanted.pop(number)
    await bare.close()


async def test_a_draining_server_answers_what_it_has_read(
    cluster: Any, shared: Opened, request_of: Callable[..., DataRequest]
) -> None:
    worker = await cluster.worker(Recorder)
    executor, one = worker.pod.service.executor, await shared(worker.address)
    under_way = asyncio.create_task(one.request(request_of('/sleep', 'a').to_bytes()))
    await until(lambda: executor.running == 1)
    stopping = asyncio.create_task(worker.pod.stop(5))
    await until(lambda: one._session is None or not one._session.lane.open)
    with pytest.raises(LaneError) as caught:
        await one.request(request_of('/sleep', 'b').to_bytes())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    executor.gate.set()
    assert text_of(await under_way) == 'a'
    await asyncio.wait_for(stopping, 4)
    assert executor.ran == ['a']


async def test_a_server_with_the_lane_switched_off(
    cluster: Any, request_of: Callable[..., DataRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    plain = await cluster.worker(Recorder, 'e1')
    monkeypatch.delenv('JINA_DISABLE_FAST_LANE')
    fast = await cluster.worker(Recorder, 'e2')
    one = SharedLane(partial(cluster.lane_call, plain.address), enter=open_door)
    with pytest.raises(LaneMissingError):
        await one.request(request_of('/echo', 'a').to_bytes())
    await one.close()
    flow = await cluster.gateway(
        {'start-gateway': ['e1'], 'e1': ['e2'], 'e2': ['end-gateway']},
        {'e1': [plain.address], 'e2': [fast.address]},
    )
    responses = await asyncio.gather(*(cluster.post(flow.address, '/echo', str(i)) for i in range(20)))
    assert [response.docs.text for response in responses] == [[str(i)] for i in range(20)]
    lanes = {name: group._peers[0]._lane for name, group in flow.pod.service._groups.items()}
    assert lanes['e1'].missing and not lanes['e2'].missing
    assert lanes['e2']._session is not None


async def test_versions_that_do_not_meet(cluster: Any) -> None:
    worker = await cluster.worker(Recorder)
    call = cluster.channel(worker.address).stream_stream(wire.FAST_LANE)()
    writer = frames.FrameWriter()
    writer.add(frames.HELLO, 0, frames.Hello(9, 9).to_bytes())
    await call.read()
    await call.write(writer.take())
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await call.details() == 'the fast lane of this server has version 1, not 9'


async def test_a_number_that_is_taken(cluster: Any, request_of: Callable[..., DataRequest]) -> None:
    worker = await cluster.worker(Recorder)
    executor = worker.pod.service.executor
    raw = request_of('/sleep', 'a').to_bytes()

    async def send(window: int) -> tuple[Any, list[frames.Record]]:
        """Sends a request, two with the number of another, one of them damaged; returns the call and the answers."""
        executor.gate.clear()
        call = cluster.channel(worker.address).stream_stream(wire.FAST_LANE)()
        writer = frames.FrameWriter()
        writer.add(frames.HELLO, 0, frames.Hello(window=window).to_bytes())
        writer.add(frames.REQUEST, 1, raw)
        writer.add(frames.REQUEST, 1, raw)
        writer.add(frames.REQUEST, 2, b'x', flags=4)
        await call.write(writer.take())
        if window:
            await until(lambda: executor.running == 1)
            executor.gate.set()
            await call.done_writing()
        reader, found = frames.FrameReader(), []
        with contextlib.suppress(grpc.aio.AioRpcError):  # its code and details are looked at
            while (frame := await call.read()) is not grpc.aio.EOF:
                found += reader.read(frame)
        return call, found

    call, _ = await send(0)
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await call.details() == 'the fast lane has a request with the number 1 under way already'
    # with room for one the others wait for their turn; the number is free by then
    call, found = await send(1)
    assert await call.code() is grpc.StatusCode.OK
    assert [record[:2] for record in found[1:]] == [(frames.RESPONSE, 1), (frames.RESPONSE, 1), (frames.ERROR, 2)]
    assert frames.decode_error(found[-1][3])[0] == 'INVALID_ARGUMENT'
    await until(lambda: executor.running == 0)


async def test_a_server_of_another_version_is_served_without_the_lane(
    cluster: Any, request_of: Callable[..., DataRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await cluster.worker(Recorder)

    class Later(frames.Hello):
        def to_bytes(self) -> bytes:
            return frames.Hello(9, 9).to_bytes()

    monkeypatch.setattr(fast_lane, 'Hello', Later)
    group = PeerGroup('e1', [worker.address], ConnectionSettings())
    assert text_of(await group.process(request_of('/echo', 'a').to_bytes(), '/echo')) == 'a'
    assert group._peers[0]._lane.missing
    await group.close()


SCRIPT = """
import sys, time
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core.config import ExecutorOptions
from jina.runtime.process import serve

class Text(BaseDoc):
    text: str = ''

class Echo(Executor):
    @requests
    def echo(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        time.sleep(0.002)
        return docs

options = ExecutorOptions(uses=Echo, host='127.0.0.1', port=int(sys.argv[1]))
serve(options, on_ready=lambda addresses: print(addresses[0].port, flush=True))
"""


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], int]]]:
    """Starts Executor processes."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / 'replica.py').write_text(SCRIPT)

    def start(port: int = 0) -> tuple[subprocess.Popen[str], int]:
        command = [sys.executable, str(tmp_path / 'replica.py'), str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        while not (line := process.stdout.readline()).strip().isdigit():
            assert line, 'the replica ended'
        return process, int(line)

    yield start
    for process in started:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


async def test_killed_replicas_lose_no_request(
    replica: Callable[..., tuple[subprocess.Popen[str], int]], request_of: Callable[..., DataRequest]
) -> None:
    first, second = await asyncio.to_thread(replica), await asyncio.to_thread(replica)
    group = PeerGroup('e1', [f'127.0.0.1:{port}' for _, port in (first, second)], ConnectionSettings())
    answered = Counter[str]()

    async def one(text: str) -> None:
        assert text_of(await group.process(request_of('/echo', text).to_bytes(), '/echo')) == text
        answered[text] += 1

    tasks = [asyncio.create_task(one(str(number))) for number in range(400)]
    await until(lambda: len(answered) >= 20)
    assert sum(peer.in_flight for peer in group._peers) > 100
    first[0].kill()
    await asyncio.gather(*tasks)
    assert answered == Counter(str(number) for number in range(400))
    revived, _ = await asyncio.to_thread(replica, first[1])
    await until(lambda: not group._peers[0].down)
    second[0].kill()
    await asyncio.gather(*(one(f'again {number}') for number in range(50)))
    assert len(answered) == 450 and revived.poll() is None
    await group.close()
