"""When requests to a server of the same machine leave gRPC, and when they stay there."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core import local_stream
from jina.core.calls import EOF
from jina.core.local_stream import LocalStream, open_door
from jina.core.request import DataRequest
from jina.runtime import grpc_server
from jina.runtime.connections import ConnectionSettings, PeerGroup
from jina.runtime.gateway import compression_of

pytestmark = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='abstract Unix sockets')

Make = Callable[..., DataRequest]


class Text(BaseDoc):
    text: str = ''


class Echo(Executor):
    @requests
    async def echo(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return docs


class Held(Executor):
    """Works on its first request until it is cancelled."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.began, self.cancelled = asyncio.Event(), asyncio.Event()

    @requests
    async def hold(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        if self.began.is_set():
            return docs
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return docs


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., PeerGroup]]:
    groups: list[PeerGroup] = []

    def make(address: str, **settings: Any) -> PeerGroup:
        groups.append(PeerGroup('e1', [address], ConnectionSettings(**settings)))
        return groups[-1]

    yield make
    for group in groups:
        await group.close()


async def settle(group: PeerGroup, request_of: Make) -> bool:
    """Sends requests until it is clear which way they go; returns whether it is the door."""
    lane = group._peers[0]._lane
    for _ in range(3):
        response = DataRequest.from_bytes(await group.process(request_of('/', 'a').to_bytes(), '/'))
        assert not response.is_error
        if lane._moving is not None:
            await asyncio.wait_for(asyncio.wait((lane._moving,)), 20)
    assert lane._session is not None
    return isinstance(lane._session.lane._call, LocalStream)


async def test_a_flow_goes_through_the_doors_of_its_executors(cluster: Any, request_of: Make) -> None:
    flow = await cluster.flow(Echo, Echo)
    groups = flow.pod.service._groups.values()
    await asyncio.gather(*(cluster.post(flow.address, '/', str(number)) for number in range(20)))
    for group in groups:
        assert await settle(group, request_of)
    responses = await asyncio.gather(*(cluster.post(flow.address, '/', str(number)) for number in range(20)))
    assert [response.docs.text for response in responses] == [[str(number)] for number in range(20)]


async def test_requests_on_the_way_when_a_lane_moves_are_answered(
    cluster: Any, connect: Any, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await cluster.worker(Echo)
    group = connect(worker.address)
    raws = [request_of('/', str(number)).to_bytes() for number in range(2000)]
    answers = await asyncio.gather(*(group.process(raw, '/') for raw in raws))
    assert [DataRequest.from_bytes(raw).request_id for raw in answers] == [
        DataRequest.from_bytes(raw).request_id for raw in raws
    ]
    assert await settle(group, request_of)
    old = next(iter(group._peers[0]._lane._old - {group._peers[0]._lane._session}), None)
    assert old is None or not old.pending


async def test_requests_on_the_way_when_a_lane_moves_can_be_cancelled(
    cluster: Any, connect: Any, request_of: Make
) -> None:
    worker = await cluster.worker(Held)
    executor, group = worker.pod.service.executor, connect(worker.address)
    held = asyncio.create_task(group.process(request_of('/', 'held').to_bytes(), '/'))
    await asyncio.wait_for(executor.began.wait(), 20)
    lane = group._peers[0]._lane
    (old,) = (session for session in lane._old if session.pending)
    assert await settle(group, request_of)
    assert lane._session is not old and not held.done()
    held.cancel()
    await asyncio.wait_for(executor.cancelled.wait(), 20)
    await asyncio.wait_for(asyncio.wait((old._task,)), 20)  # and the stream over gRPC ends


@pytest.mark.parametrize('side', ['client', 'server'])
async def test_who_does_not_want_the_door_stays_on_grpc(
    cluster: Any, connect: Any, request_of: Make, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    if side == 'server':
        monkeypatch.setenv('JINA_DISABLE_LOCAL_LANE', '1')
    worker = await cluster.worker(Echo)
    monkeypatch.delenv('JINA_DISABLE_LOCAL_LANE', raising=False)
    if side == 'client':
        monkeypatch.setenv('JINA_DISABLE_LOCAL_LANE', '1')
    assert not await settle(connect(worker.address), request_of)


async def test_compressed_requests_stay_on_grpc(cluster: Any, connect: Any, request_of: Make) -> None:
    worker = await cluster.worker(Echo)
    assert not await settle(connect(worker.address, compression=compression_of('Gzip')), request_of)
    assert await settle(connect(worker.address, compression=compression_of('NoCompression')), request_of)


async def test_clients_of_other_machines_are_told_of_no_door(
    cluster: Any, connect: Any, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await cluster.worker(Echo)
    assert grpc_server._host_of(type('Context', (), {'peer': lambda _: 'ipv6:%5B::1%5D:80'})()) == '[::1]:80'
    assert grpc_server._host_of(type('Context', (), {'peer': lambda _: 'unix:/run/socket'})()) == ''
    monkeypatch.setattr(grpc_server, '_host_of', lambda _: '10.0.0.1:4000')
    group = connect(worker.address)
    assert not await settle(group, request_of)
    assert group._peers[0]._lane._session.lane.door == ''


@pytest.mark.parametrize('name', ['jina-lane-{port}-' + '0' * 32, '/run/docker.sock'])
async def test_a_door_that_is_not_to_be_found_changes_nothing(
    cluster: Any, connect: Any, request_of: Make, name: str
) -> None:
    worker = await cluster.worker(Echo)
    worker.pod._servers[0]._door.name = name.format(port=worker.address.rpartition(':')[2])
    group = connect(worker.address)
    assert not await settle(group, request_of)
    assert group._peers[0]._lane._session.lane.door != ''


async def test_a_door_that_stays_mute_changes_nothing(
    cluster: Any, connect: Any, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('jina.core.lane._GREETING_S', 0.2)
    monkeypatch.setattr(LocalStream, 'is_stranger', lambda _: True)  # the server refuses whom it takes for one
    worker = await cluster.worker(Echo)
    assert not await settle(connect(worker.address), request_of)


async def test_strangers_get_nothing(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await cluster.worker(Echo)
    stream = await open_door(worker.pod._servers[0]._door.name)
    assert stream is not None
    assert (await asyncio.wait_for(stream.read(), 20)).find(b'"version"') > 0
    stream.cancel()
    user = os.geteuid()
    monkeypatch.setattr(local_stream, '_is_stranger', lambda _: False)
    monkeypatch.setattr(LocalStream, 'is_stranger', lambda _: os.geteuid() == user)
    stream = await open_door(worker.pod._servers[0]._door.name)
    assert stream is not None
    assert await asyncio.wait_for(stream.read(), 20) is EOF


async def test_a_stopped_server_leaves_no_door(cluster: Any, connect: Any, request_of: Make) -> None:
    worker = await cluster.worker(Echo)
    group = connect(worker.address, retries=0)
    assert await settle(group, request_of)
    name = worker.pod._servers[0]._door.name
    await worker.pod.stop(5)
    assert await open_door(name) is None
    assert worker.pod._servers[0]._door.name == ''


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end_of_a_server(cluster: Any, request_of: Make) -> None:
    worker = await cluster.worker(Echo)
    stream = await open_door(worker.pod._servers[0]._door.name)
    assert stream is not None
    stream._transport.pause_reading()
    await asyncio.wait_for(worker.pod.stop(0.5), 20)
    stream.cancel()
