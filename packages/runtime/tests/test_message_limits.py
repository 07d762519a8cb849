"""Messages that are too long, on the fast lane and by unary calls: only the request at fault fails."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core import frames, lane, wire
from jina.core.errors import TransportError
from jina.core.lane import Lane, LaneError, SharedLane
from jina.core.request import DataRequest
from jina.runtime.connections import ConnectionSettings, PeerGroup

LIMIT = 300_000
SEND, RECEIVE = 'grpc.max_send_message_length', 'grpc.max_receive_message_length'
Make = Callable[..., DataRequest]


class Text(BaseDoc):
    text: str = ''


class Stretch(Executor):
    @requests(on='/echo')
    def echo(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return docs

    @requests(on='/stretch')
    def stretch(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return DocList[Text]([Text(text='x' * int(docs[0].text))])


@pytest.fixture(params=[True, False], ids=['lane', 'unary'])
def with_lane(request: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    return bool(request.param)


Connect = Callable[..., PeerGroup]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    groups: list[PeerGroup] = []

    def make(address: str, **options: object) -> PeerGroup:
        groups.append(PeerGroup('e1', [address], ConnectionSettings(channel_options=options)))
        return groups[-1]

    yield make
    for group in groups:
        await group.close()


@pytest.mark.parametrize('side', ['server', 'client'])
@pytest.mark.parametrize(('option', 'endpoint'), [(RECEIVE, '/echo'), (SEND, '/stretch')])
async def test_a_message_beyond_a_limit_fails_alone(
    cluster: Any, connect: Connect, request_of: Make, with_lane: bool, side: str, option: str, endpoint: str
) -> None:
    # A server receives requests and a client sends them; with responses it is the other way round.
    if side == 'server':
        worker = await cluster.worker(Stretch, grpc_server_options={option: LIMIT})
        group = connect(worker.address)
    else:
        worker = await cluster.worker(Stretch)
        group = connect(worker.address, **{RECEIVE if option == SEND else SEND: LIMIT})

    async def post(size: int) -> int:
        text = 'y' * size if endpoint == '/echo' else str(size)
        response = DataRequest.from_bytes(await group.process(request_of(endpoint, text).to_bytes(), endpoint))
        response.document_array_cls = DocList[Text]
        return len(response.docs[0].text)

    # An echo repeats text and id, a stretched text has a short one.
    fits = LIMIT // 2 - 1000 if endpoint == '/echo' else LIMIT - 1000
    sizes = [10, fits, 2 * LIMIT, 20, fits, LIMIT, *range(30, 60)]
    results = await asyncio.gather(*(post(size) for size in sizes), return_exceptions=True)
    for size, result in zip(sizes, results, strict=True):
        if size < LIMIT:
            assert result == size
        else:
            assert isinstance(result, TransportError) and result.code == 'RESOURCE_EXHAUSTED'
            assert 'larger than max' in str(result) and f'vs. {LIMIT})' in str(result)
    assert await post(7) == 7
    peer = group._peers[0]
    assert peer._lane.missing is not with_lane and not peer.down


async def test_frames_keep_within_a_limit(cluster: Any, connect: Connect, request_of: Make) -> None:
    worker = await cluster.worker(Stretch, grpc_server_options={RECEIVE: LIMIT})
    group = connect(worker.address)
    raw = request_of('/echo', 'y' * 20_000).to_bytes()  # a hundred of them wait when the first frame is packed
    answers = await asyncio.gather(*(group.process(raw, '/echo') for _ in range(100)))
    assert all(len(answer) > 20_000 for answer in answers)


async def test_a_peer_that_sends_more_than_the_server_takes(cluster: Any, request_of: Make) -> None:
    worker = await cluster.worker(Stretch, max_request_bytes=LIMIT)
    call = cluster.channel(worker.address).stream_stream(wire.FAST_LANE)()
    writer, reader = frames.FrameWriter(), frames.FrameReader()
    writer.add(frames.HELLO, 0, frames.Hello().to_bytes())
    for number, size in ((1, LIMIT // 2 + 1000), (2, 10)):
        writer.add(frames.REQUEST, number, request_of('/echo', 'y' * size).to_bytes())
    frame = writer.take()
    assert frame is not None and len(frame) > LIMIT and not writer
    await call.write(frame)
    answers: dict[int, tuple[int, bytes]] = {}
    while len(answers) < 2:
        for kind, number, _, payload in reader.read(await asyncio.wait_for(call.read(), 20)):
            if kind in (frames.ERROR, frames.RESPONSE):
                answers[number] = kind, payload
    assert answers[1][0] == frames.ERROR
    code, message = frames.decode_error(answers[1][1])
    assert code == 'RESOURCE_EXHAUSTED' and f'the {LIMIT} bytes that max_request_bytes allows' in message
    assert answers[2][0] == frames.RESPONSE
    call.cancel()


async def test_four_gigabytes_are_refused_before_anything_is_copied(
    cluster: Any, request_of: Make, tmp_path: Path
) -> None:
    worker = await cluster.worker(Stretch)
    bare = Lane(cluster.lane_call(worker.address))
    sparse = tmp_path / 'sparse'
    with sparse.open('wb') as file:
        file.truncate(4 << 30)
    with sparse.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as huge:
        for options in ({}, {'timeout': 5.0}):
            with pytest.raises(LaneError, match='send fewer documents in a request') as caught:
                bare.send(huge, **options)  # type: ignore[arg-type]
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    number = bare.send(request_of('/echo', 'a').to_bytes())
    answers: list[Any] = []
    while not answers:
        answers = await bare.receive() or []
    assert [(found, error) for found, _, error in answers] == [(number, None)]
    await bare.close()


async def test_a_lane_without_numbers_is_followed_by_another(
    cluster: Any, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, 'LAST_NUMBER', 20)
    worker = await cluster.worker(Stretch)
    opened = 0

    def open_call() -> Any:
        nonlocal opened
        opened += 1
        return cluster.lane_call(worker.address)

    shared = SharedLane(open_call)
    wanted = [request_of('/echo', str(number)) for number in range(50)]
    raws = await asyncio.gather(*(shared.request(request.to_bytes()) for request in wanted))
    assert [DataRequest.from_bytes(raw).request_id for raw in raws] == [request.request_id for request in wanted]
    assert opened == 3
    await shared.close()
