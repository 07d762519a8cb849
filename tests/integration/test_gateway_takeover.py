"""A gateway that is replaced while clients which nobody wrote for this framework use it: they reconnect when they are told to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from fastapi import FastAPI
from jina import Client, Executor, Flow, Gateway, requests
from jina.core.errors import StartupError

from tests.support.foreigners import Foreigners, over_grpc, over_http, over_websocket

Texts = DocList[TextDoc]


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
