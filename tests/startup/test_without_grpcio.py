"""Executors, gateways, and the process that they are forked from, speak gRPC without grpcio; each way to call them is tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core import wire
from jina.core.grpc_stream import GrpcStream
from jina.core.lane import SharedLane
from jina.core.local_stream import open_door
from jina.core.request import DataRequest, SingleDocumentRequest

from tests.startup.spy import CLI, SERVE, running
from tests.support.processes import free_port, wait_for_port

HEALTH = '/grpc.health.v1.Health/'
REFLECTION = '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo'
LIST_SERVICES = b'\x3a\x00'
KEY = 'let-me-in'
WITH_KEY = (('authorization', f'Bearer {KEY}'),)


def request_of(text: str) -> bytes:
    request = DataRequest()
    request.exec_endpoint = '/'
    request.docs = DocList[TextDoc]([TextDoc(text=text)])
    return request.to_bytes()


async def refusal_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def call_by_methods(channel: Any, metadata: tuple[tuple[str, str], ...] = ()) -> None:
    """Calls what a server offers besides its fast lane."""
    raw = request_of('a')
    unary = channel.unary_unary(wire.PROCESS_SINGLE_DATA)
    assert not DataRequest.from_bytes(await unary(raw, metadata=metadata, timeout=10)).is_error
    stream = channel.stream_stream(wire.CALL)(iter([raw, raw]), metadata=metadata, timeout=10)
    assert len([answer async for answer in stream]) == 2
    single = SingleDocumentRequest()
    single.exec_endpoint = '/'
    single.document_cls = TextDoc
    single.document = TextDoc(text='a')
    answers = channel.unary_stream(wire.STREAM_DOC)(single.to_bytes(), metadata=metadata, timeout=10)
    assert len([answer async for answer in answers]) == 1  # an error: the endpoint does not stream
    for method in (wire.ENDPOINT_DISCOVERY, wire.DRY_RUN, wire.STATUS):
        await channel.unary_unary(method)(b'', metadata=metadata, timeout=10)
    assert await channel.unary_unary(f'{HEALTH}Check')(b'', timeout=10) == b'\x08\x01'
    watch = channel.unary_stream(f'{HEALTH}Watch')(b'', timeout=10)
    assert await watch.read() == b'\x08\x01'
    watch.cancel()
    assert await refusal_of(channel.unary_unary(f'{HEALTH}Check')(b'\x0a\x01x')) is grpc.StatusCode.NOT_FOUND
    assert await refusal_of(channel.unary_unary('/no.Such/Method')(b'')) is grpc.StatusCode.UNIMPLEMENTED
    (answer,) = [answer async for answer in channel.stream_stream(REFLECTION)(iter([LIST_SERVICES]), timeout=10)]
    assert b'jina.JinaRPC' in answer


async def call_by_lane(channel: Any, metadata: tuple[tuple[str, str], ...] = ()) -> None:
    """Sends requests on the fast lane, and by the door of the machine if there is one."""
    begin = channel.stream_stream(wire.FAST_LANE)
    lane = SharedLane(lambda: GrpcStream(begin(metadata=metadata)), enter=open_door)
    for number in range(3):
        answer = await lane.request(request_of(str(number)), timeout=10)
        assert not DataRequest.from_bytes(answer).is_error
        if lane._moving is not None:
            await lane._moving
    await lane.close()


@pytest.mark.parametrize('kind', ['flow', 'watched-flow'])
async def test_a_flow(tmp_path: Path, kind: str) -> None:
    with running(tmp_path, SERVE, kind) as (program, spy):
        served = program.read_json()
        for port in (served['port'], *served['executors']):
            async with grpc.aio.insecure_channel(f'127.0.0.1:{port}') as channel:
                if port != served['port']:
                    await call_by_methods(channel)
                await call_by_lane(channel)
        _, (_, zygote), *pods = spy.ask(program)
    assert 'jina.runtime.process' in zygote and 'grpc' not in zygote
    having = {name: 'grpc' in modules for name, modules in pods}
    assert having == {'executor0/rep-0': False, 'executor1/rep-0': False, 'gateway/rep-0': False}
    for name, modules in pods:
        assert ('prometheus_client' in modules) == (kind == 'watched-flow'), name


async def test_a_deployment_that_wants_a_key_and_short_requests(tmp_path: Path) -> None:
    with running(tmp_path, SERVE, 'guarded-deployment') as (program, spy):
        port = program.read_json()['port']
        async with grpc.aio.insecure_channel(f'127.0.0.1:{port}') as channel:
            await call_by_methods(channel, WITH_KEY)
            await call_by_lane(channel, WITH_KEY)
            unary = channel.unary_unary(wire.PROCESS_SINGLE_DATA)
            assert await refusal_of(unary(request_of('a'))) is grpc.StatusCode.UNAUTHENTICATED
            for size in (1000, 100_000):
                refused = unary(request_of('x' * size), metadata=WITH_KEY)
                assert await refusal_of(refused) is grpc.StatusCode.RESOURCE_EXHAUSTED
        _, zygote, worker = spy.ask(program)
    assert 'jina.runtime.worker' in worker[1]
    assert 'grpc' not in zygote[1] | worker[1]


@pytest.mark.parametrize(
    ('options', 'has_it'),
    [((), False), (('--monitoring',), False), (('--compression', 'Gzip'), True)],
    ids=['plain', 'watched', 'what only grpcio serves'],
)
async def test_jina_executor(tmp_path: Path, options: tuple[str, ...], has_it: bool) -> None:
    port = free_port()
    with running(tmp_path, '-c', CLI, 'executor', '--port', str(port), *options) as (program, spy):
        wait_for_port(port, timeout_s=60)
        async with grpc.aio.insecure_channel(f'127.0.0.1:{port}') as channel:
            await call_by_methods(channel)
            await call_by_lane(channel)
        ((_, modules),) = spy.ask(program)
    assert ('grpc' in modules) == has_it
    assert ('prometheus_client' in modules) == ('--monitoring' in options)
