"""A gateway that is replaced while clients which nobody wrote for this framework use it: they reconnect when they are told to."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from fastapi import FastAPI
from jina import Client, Executor, Flow, Gateway, requests
from jina.core.errors import StartupError
from jina.core.request import DataRequest
from jina.core.wire import PROCESS_SINGLE_DATA
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

Texts = DocList[TextDoc]
RETRIES = {
    'methodConfig': [
        {
            'name': [{}],
            'retryPolicy': {
                'maxAttempts': 5,
                'initialBackoff': '0.05s',
                'maxBackoff': '0.5s',
                'backoffMultiplier': 2,
                'retryableStatusCodes': ['UNAVAILABLE', 'CANCELLED'],
            },
        }
    ]
}


class Answering(Executor):
    @requests
    def answer(self, docs: Texts, **kwargs: Any) -> Texts:
        time.sleep(0.005)
        for doc in docs:
            doc.text = f'{doc.text}!'
        return docs

    @requests(on='/slow')
    def slow(self, docs: Texts, parameters: dict[str, Any], **kwargs: Any) -> Texts:
        Path(parameters['began']).touch()
        time.sleep(1.0)
        return docs


def over_grpc(port: int) -> Generator[None]:
    """Unary calls on a channel, with the retries of gRPC itself."""
    options = [('grpc.service_config', json.dumps(RETRIES)), ('grpc.use_local_subchannel_pool', 1)]
    request = DataRequest()
    request.docs = Texts([TextDoc(text='x')])
    request.exec_endpoint = '/'
    raw = request.to_bytes()
    with grpc.insecure_channel(f'127.0.0.1:{port}', options=options) as channel:
        call = channel.unary_unary(PROCESS_SINGLE_DATA)
        while True:
            response = DataRequest.from_bytes(call(raw, timeout=30))
            response.document_array_cls = Texts
            assert response.docs.text == ['x!']
            yield


def over_http(port: int) -> Generator[None]:
    """Requests on a connection that is kept as long as the server keeps it."""
    body = json.dumps({'data': [{'text': 'x'}]})
    with contextlib.closing(http.client.HTTPConnection('127.0.0.1', port, timeout=30)) as connection:
        while True:
            connection.request('POST', '/default', body, {'Content-Type': 'application/json'})
            answer = connection.getresponse()  # which closes the connection if the server says that it ends
            assert json.loads(answer.read())['data'][0]['text'] == 'x!'
            yield


def over_websocket(port: int) -> Generator[None]:
    """Messages on a connection that is opened again, and what is unanswered sent again, when the server restarts."""
    message = json.dumps({'data': [{'text': 'x'}], 'execEndpoint': '/'})
    while True:
        with connect(f'ws://127.0.0.1:{port}/') as connection:
            try:
                while True:
                    connection.send(message)
                    assert json.loads(connection.recv(30))['data'][0]['text'] == 'x!'
                    yield
            except ConnectionClosed as closed:
                assert closed.rcvd is not None and closed.rcvd.code == 1012, closed


class Foreigners:
    """Threads that use a service all the time; what one of them raises is a failure."""

    def __init__(self, use: Callable[[int], Generator[None]], port: int) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(use, port)) for _ in range(4)]

    def _run(self, use: Callable[[int], Generator[None]], port: int) -> None:
        try:
            with contextlib.closing(use(port)) as answers:
                for _ in answers:
                    self.answers += 1
                    if self._stop.is_set():
                        return
        except Exception as error:
            self.failures.append(repr(error))

    @contextmanager
    def busy(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def go_on(self, answers: int = 50) -> None:
        """Returns after so many further answers."""
        wanted = self.answers + answers
        deadline = time.monotonic() + 60
        while self.answers < wanted and not self.failures:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize(('protocol', 'use'), [('grpc', over_grpc), ('http', over_http), ('websocket', over_websocket)])
def test_no_request_is_lost(protocol: str, use: Callable[[int], Generator[None]]) -> None:
    with Flow(protocol=protocol, quiet=True).add(name='enc', uses=Answering) as flow:
        port, before = flow.port, flow._gateways[0].pid
        foreigners = Foreigners(use, port)
        with foreigners.busy():
            for _ in range(2):
                foreigners.go_on()
                flow.restart('gateway')
            foreigners.go_on()
        assert foreigners.failures == []
        assert flow.port == port
        assert flow._gateways[0].pid != before
        assert flow.num_pods == 2


def test_nobody_finds_the_port_closed() -> None:
    with Flow(quiet=True).add(name='enc', uses=Answering) as flow:
        port = flow.port

        def knock(_: int) -> Generator[None]:
            while True:
                with socket.create_connection(('127.0.0.1', port), 30) as connection:
                    assert connection.recv(1)  # the server greets
                yield

        foreigners = Foreigners(knock, port)
        with foreigners.busy():
            foreigners.go_on()
            flow.restart('gateway')
            foreigners.go_on()
        assert foreigners.failures == []


@pytest.mark.parametrize('protocol', ['grpc', 'http', 'websocket'])
def test_a_request_under_way_is_answered_by_the_gateway_that_leaves(protocol: str, tmp_path: Path) -> None:
    with Flow(protocol=protocol, quiet=True).add(name='enc', uses=Answering) as flow:
        began = tmp_path / 'began'
        answers: list[str] = []

        def ask() -> None:
            with Client(port=flow.port, protocol=protocol) as client:
                docs = client.post('/slow', TextDoc(text='x'), parameters={'began': str(began)}, return_type=Texts)
                answers.extend(docs.text)

        asking = threading.Thread(target=ask)
        asking.start()
        while not began.exists():
            assert asking.is_alive()
            time.sleep(0.01)
        flow.restart('gateway')
        asking.join()
        assert answers == ['x']


def test_a_gateway_that_fails_to_start_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / 'gateway.py'
    file.write_text(
        'from fastapi import FastAPI\n'
        'from jina.serve.runtimes.gateway.http.fastapi import FastAPIBaseGateway\n'
        'class TakenGateway(FastAPIBaseGateway):\n'
        '    @property\n'
        '    def app(self):\n'
        '        return FastAPI()\n'
    )
    with Flow(quiet=True, protocol='http').config_gateway(uses='TakenGateway', py_modules=[str(file)]) as flow:
        before = flow._gateways[0].pid
        file.write_text('raise ValueError("no more of these")\n')
        with pytest.raises(StartupError, match='no more of these'):
            flow.restart()
        assert [pod.pid for pod in flow._running_pods()] == [before]
        assert flow.is_flow_ready()


class LonelyGateway(Gateway):
    """Binds its port by itself and shares it with nobody."""

    async def setup_server(self) -> None:
        import uvicorn

        app = FastAPI()
        app.add_api_route('/', lambda: {})
        self.server = uvicorn.Server(uvicorn.Config(app, host=self.host, port=self.port, log_level='error'))

    async def run_server(self) -> None:
        await self.server.serve()

    async def shutdown(self) -> None:
        self.server.should_exit = True


def test_a_gateway_that_shares_its_port_with_nobody_goes_on() -> None:
    with Flow(quiet=True, protocol='http').config_gateway(uses=LonelyGateway) as flow:
        before = flow._gateways[0].pid
        with pytest.raises(StartupError, match=r'LonelyGateway does not share port \d+ with .* self.listen\(\)'):
            flow.restart('gateway')
        assert [pod.pid for pod in flow._running_pods()] == [before]
        assert flow.is_flow_ready()


def test_a_port_is_shared_with_this_user_only_while_a_gateway_is_replaced() -> None:
    with Flow(quiet=True) as flow, pytest.raises(OSError, match='in use'):
        socket.create_server(('', flow.port), reuse_port=True)
