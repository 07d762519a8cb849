"""2,000 requests in flight while a replica is killed with -9 every second: each is answered, once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator

import grpc
import grpc.aio
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Flow
from jina.core import wire
from jina.core.errors import TransportError
from jina.core.request import DataRequest

from tests.support.replica import Replica
from tests.support.replicas import ReplicaSet

IN_FLIGHT = 2000
OFF = {'JINA_DISABLE_FAST_LANE': '1'}
Texts = DocList[TextDoc]

pytestmark = pytest.mark.timeout(180)


async def by_client(port: int, seconds: float) -> tuple[int, Counter[str]]:
    """Keeps requests in flight with our own Client; returns how many, and the answers by request."""
    made, answered = 0, Counter[str]()

    def inputs() -> Iterator[TextDoc]:
        nonlocal made
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            made += 1
            yield TextDoc(text=str(made))

    async with Client(port=port, asyncio=True) as client:
        posted = client.post('/pid', inputs, request_size=1, prefetch=IN_FLIGHT, return_type=Texts)
        async for docs in posted:
            answered.update(doc.text.split()[0] for doc in docs)
    return made, answered


async def by_unary_calls(port: int, seconds: float) -> tuple[int, Counter[str]]:
    """The same with a plain gRPC call for each request."""
    made, answered = 0, Counter[str]()
    until = time.monotonic() + seconds

    async def caller(call: grpc.aio.UnaryUnaryMultiCallable) -> None:
        nonlocal made
        while time.monotonic() < until:
            made += 1
            request = DataRequest()
            request.exec_endpoint = '/pid'
            request.docs = Texts([TextDoc(text=str(made))])
            response = DataRequest.from_bytes(await call(request.to_bytes()))
            assert not response.is_error, response.status.description
            response.document_array_cls = Texts
            answered.update([response.docs[0].text.split()[0]])

    async with grpc.aio.insecure_channel(f'127.0.0.1:{port}') as channel:
        call = channel.unary_unary(wire.PROCESS_SINGLE_DATA)
        await asyncio.gather(*(caller(call) for _ in range(IN_FLIGHT)))
    return made, answered


def check(made: int, answered: Counter[str]) -> None:
    assert made > IN_FLIGHT
    assert answered == Counter(str(number) for number in range(1, made + 1))


@pytest.mark.parametrize('way', ['lane', 'unary', 'mixed'])
def test_through_a_flow(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == 'unary':
        monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    replicas = ReplicaSet(3, first_env=OFF if way == 'mixed' else None)
    try:
        hosts = [f'127.0.0.1:{port}' for port in replicas.ports]
        # A slow machine may keep a request at one replica for a second, so it may meet several crashes.
        with Flow(quiet=True, retries=20).add(name='replica', external=True, host=hosts) as flow:
            drive = by_unary_calls if way == 'unary' else by_client
            with replicas.killing(every_s=1.0):
                check(*asyncio.run(drive(flow.port, 5.0)))
    finally:
        replicas.close()
    assert replicas.killed >= 3


def test_through_a_deployment() -> None:
    with Deployment(uses=Replica, replicas=3, quiet=True) as deployment:
        with Client(port=deployment.port) as client:
            docs = client.post(
                '/pid', Texts([TextDoc(text=str(i)) for i in range(60)]), request_size=1, return_type=Texts
            )
            pids = sorted({int(doc.text.split()[1]) for doc in docs})
        assert len(pids) == 3
        killers = [threading.Timer(second, os.kill, (pid, signal.SIGKILL)) for second, pid in enumerate(pids[:2], 1)]
        for killer in killers:
            killer.start()
        check(*asyncio.run(by_client(deployment.port, 3.5)))
        for killer in killers:
            killer.join()


@pytest.mark.parametrize('way', ['lane', 'unary'])
def test_a_replica_that_comes_back_is_used_at_once(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == 'unary':
        monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    replicas = ReplicaSet(1)
    try:
        served = Flow(quiet=True).add(name='replica', external=True, host='127.0.0.1', port=replicas.ports[0])
        with served as flow, Client(port=flow.port) as client:
            assert len(client.post('/pid', TextDoc(), return_type=Texts)) == 1
            for _ in range(3):
                replicas.kill(0)
                pauses_grow_until = time.monotonic() + 2.5
                while time.monotonic() < pauses_grow_until:
                    with pytest.raises(TransportError):
                        client.post('/pid', TextDoc())
                replicas.start(0)
                back_at = time.monotonic()
                while not is_answered(client):
                    assert time.monotonic() - back_at < 1.0
    finally:
        replicas.close()


def is_answered(client: Client) -> bool:
    try:
        client.post('/pid', TextDoc())
    except TransportError:
        return False
    return True
