"""Limits through real processes: who is refused, who waits, and what the client makes of it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core import wire
from jina.core.errors import ClientError, OverloadError, TransportError
from jina.core.request import DataRequest

CONCURRENCY, QUEUE = 2, 1
PROTOCOLS = ['grpc', 'http', 'websocket']
LIMITS: dict[str, Any] = {'max_concurrency': CONCURRENCY, 'max_queue': QUEUE}


class Gate(Executor):
    """Answers when a file is there, and counts what it works on."""

    def __init__(self, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = Path(folder)
        self.working = self.most = 0

    @requests
    async def wait(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        self.working += 1
        self.most = max(self.most, self.working)
        (self.folder / 'most').write_text(str(self.most))
        try:
            while not (self.folder / 'open').exists():  # noqa: ASYNC110 - who makes it is another process
                await asyncio.sleep(0.02)
        finally:
            self.working -= 1
        return docs


@dataclass
class Served:
    """Something with limits."""

    kind: str
    running: Any
    folder: Path

    def open(self) -> None:
        (self.folder / 'open').touch()

    def shut(self) -> None:
        (self.folder / 'open').unlink(missing_ok=True)
        (self.folder / 'most').unlink(missing_ok=True)

    @property
    def most(self) -> int:
        """How many requests the Executor worked on at the same time."""
        file = self.folder / 'most'
        return int(file.read_text() or 0) if file.exists() else 0

    def client(self, protocol: str, **options: Any) -> Any:
        port = self.running.port[PROTOCOLS.index(protocol)]
        return Client(host='localhost', port=port, protocol=protocol, **options)


@pytest.fixture(scope='module', params=['flow', 'executor', 'deployment'])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp('gate')
    with_ = {'uses': Gate, 'uses_with': {'folder': str(folder)}}
    running: Any = {
        'flow': lambda: Flow(protocol=PROTOCOLS, quiet=True, **LIMITS).add(**with_),
        'executor': lambda: Flow(protocol=PROTOCOLS, quiet=True).add(**with_, **LIMITS),
        'deployment': lambda: Deployment(protocol=PROTOCOLS, quiet=True, **with_, **LIMITS),
    }[request.param]()
    with running:
        yield Served(request.param, running, folder)


@pytest.fixture(autouse=True)
def shut(served: Served) -> Iterator[None]:
    served.shut()
    yield
    served.open()


@contextmanager
def opened_at_last(served: Served) -> Iterator[None]:
    """Lets calls end also when the test fails: the threads that wait for them are joined before the fixtures end."""
    try:
        yield
    finally:
        served.open()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def outcome(future: Future[Any]) -> str:
    error = future.exception(60)
    return type(error).__name__ if error is not None else str(len(future.result()))


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_single_requests(served: Served, protocol: str) -> None:
    waits = protocol == 'websocket'
    client = served.client(protocol)
    with ThreadPoolExecutor(7) as threads, opened_at_last(served):
        calls = [threads.submit(client.post, '/', TextDoc(), return_type=DocList[TextDoc]) for _ in range(7)]
        until(lambda: sum(call.done() for call in calls) == (0 if waits else 4) and served.most == CONCURRENCY)
        assert client.is_flow_ready(60) or served.kind == 'executor'  # health is none of the requests
        served.open()
        counted = Counter(outcome(call) for call in calls)
    assert counted == ({'1': 7} if waits else {'1': 3, 'OverloadError': 4})
    assert served.most == CONCURRENCY


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('stream', [True, False], ids=['stream', 'single'])
def test_one_call_sends_as_much_as_the_server_takes_on(served: Served, protocol: str, stream: bool) -> None:
    client = served.client(protocol)
    with ThreadPoolExecutor(1) as thread, opened_at_last(served):
        inputs = [TextDoc(text=str(number)) for number in range(40)]
        call = thread.submit(
            client.post,
            '/',
            inputs,
            request_size=1,
            stream=stream,
            results_in_order=True,
            return_type=DocList[TextDoc],
        )
        until(lambda: served.most == CONCURRENCY or call.done())
        served.open()
        assert call.result(120).text == [str(number) for number in range(40)]
    assert served.most == CONCURRENCY


@pytest.mark.parametrize('protocol', ['grpc', 'http'])
def test_a_retry_finds_a_place(served: Served, protocol: str) -> None:
    client = served.client(protocol)
    with ThreadPoolExecutor(4) as threads, opened_at_last(served):
        full = [threads.submit(client.post, '/', TextDoc(), return_type=DocList[TextDoc]) for _ in range(3)]
        until(lambda: served.most == CONCURRENCY)
        patient = threads.submit(
            client.post,
            '/',
            TextDoc(),
            max_attempts=100,
            initial_backoff=0.05,
            max_backoff=0.1,
            return_type=DocList[TextDoc],
        )
        with pytest.raises(
            OverloadError, match='works at its limit of 2 requests, and 1 more wait; send it again later'
        ):
            while True:
                client.post('/', TextDoc())
        served.open()
        assert [outcome(call) for call in (*full, patient)] == ['1'] * 4


def test_what_foreign_clients_see(served: Served) -> None:
    client = served.client('grpc')
    with ThreadPoolExecutor(3) as threads, opened_at_last(served):
        full = [threads.submit(client.post, '/', TextDoc()) for _ in range(3)]
        until(lambda: served.most == CONCURRENCY)
        until(lambda: client_is_refused(served))
        url = f'http://localhost:{served.running.port[1]}/default'
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(json_request(url, b'{"data":[{"text":"a"}]}'), timeout=60)
        with caught.value as error:
            assert (error.code, error.headers['retry-after']) == (503, '1')
            assert json.load(error)['header']['status']['exception']['name'] == 'OverloadError'
        request = DataRequest()
        request.exec_endpoint = '/'
        request.docs = DocList[TextDoc]([TextDoc()])
        with grpc.insecure_channel(f'localhost:{served.running.port[0]}') as channel:
            for call in (
                lambda: channel.unary_unary(wire.PROCESS_SINGLE_DATA)(request.to_bytes(), timeout=60),
                lambda: list(channel.stream_stream(wire.CALL)(iter([request.to_bytes()]), timeout=60)),
            ):
                with pytest.raises(grpc.RpcError) as refused:
                    call()
                assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
        served.open()
        assert [outcome(call) for call in full] == ['1'] * 3


def json_request(url: str, body: bytes) -> urllib.request.Request:
    return urllib.request.Request(url, body, {'content-type': 'application/json'})


def client_is_refused(served: Served) -> bool:
    try:
        served.client('grpc').post('/', TextDoc(), timeout=0.5)
    except OverloadError:
        return True
    except TransportError:
        return False
    return False


async def test_a_websocket_is_not_read_meanwhile(served: Served) -> None:
    message = json.dumps({'data': [{'text': 'y' * 200_000}], 'execEndpoint': '/'})
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f'http://localhost:{served.running.port[2]}/', protocols=('json',), max_msg_size=0
        ) as socket,
    ):
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(200):
                await socket.send_str(message)
                sent += 1

        sending = asyncio.create_task(send())
        before = -1
        while before != sent:  # until no more goes into the buffers of the system
            before = sent
            await asyncio.sleep(0.5)
        assert sent < 200 and served.most == CONCURRENCY
        served.open()
        for _ in range(200):
            assert (await socket.receive_json(timeout=60))['data'][0]['text'].startswith('y')
        await sending


def test_large_requests_are_refused() -> None:
    with Flow(protocol=PROTOCOLS, max_request_bytes=100_000, quiet=True).add() as flow:
        for protocol, port in zip(PROTOCOLS, flow.port, strict=True):
            client = Client(host='localhost', port=port, protocol=protocol)
            small, large = TextDoc(text='y' * 50_000), TextDoc(text='y' * 200_000)
            for inputs in (large, [large, large], [small, large]):
                with pytest.raises((ClientError, TransportError)) as caught:
                    client.post('/', inputs, request_size=1)
                assert any(word in str(caught.value) for word in ('RESOURCE_EXHAUSTED', ' 413 ', '(1009)'))
            assert len(client.post('/', [small] * 3, request_size=1)) == 3
        with pytest.raises(TransportError, match='RESOURCE_EXHAUSTED'):
            Client(port=flow.port[0]).post('/', large, compression='gzip')
