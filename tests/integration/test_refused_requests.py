"""Requests that servers refuse, as a scrape of the real processes counts them."""

from __future__ import annotations

import asyncio
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core import wire
from jina.core.errors import AccessError, JinaError, OverloadError
from jina.core.request import DataRequest

from tests.support.processes import free_port

KEY = 'a-key-for-refusals'
PROTOCOLS = ['grpc', 'http', 'websocket']


class Turnstile(Executor):
    """Answers when a file is there."""

    def __init__(self, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = Path(folder)

    @requests
    async def wait(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        (self.folder / 'entered').touch()
        while not (self.folder / 'open').exists():  # noqa: ASYNC110 - who makes it is another process
            await asyncio.sleep(0.02)
        return docs


def refusals(port: int) -> dict[str, float]:
    """Refused requests by their reasons, as a process tells Prometheus."""
    text = urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics', timeout=60).read().decode()
    lines = [line.rpartition(' ') for line in text.splitlines() if line.startswith('jina_refused_requests_total{')]
    return {labels.partition('reason="')[2].partition('"')[0]: float(value) for labels, _, value in lines}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize('limited', ['gateway', 'executor', 'deployment'])
def test_overload(limited: str, tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    places: dict[str, Any] = {'max_concurrency': 1, 'max_queue': 0}
    executor = {'uses': Turnstile, 'uses_with': {'folder': str(tmp_path)}, 'port_monitoring': ports[1]}
    common = {'protocol': PROTOCOLS, 'monitoring': True, 'quiet': True}
    running: Any = {
        'gateway': lambda: Flow(**common, **places, port_monitoring=ports[0]).add(**executor),
        'executor': lambda: Flow(**common, port_monitoring=ports[0]).add(**executor, **places),
        'deployment': lambda: Deployment(**common, **executor, **places),
    }[limited]()
    port = ports[0] if limited == 'gateway' else ports[1]
    with running, ThreadPoolExecutor(1) as thread:
        assert refusals(port) == {'overload': 0, 'access': 0, 'size': 0, 'timeout': 0}
        held = thread.submit(Client(port=running.port[0]).post, '/', TextDoc(), return_type=DocList[TextDoc])
        try:
            until((tmp_path / 'entered').exists)
            for number, protocol in enumerate(('grpc', 'http'), 1):
                with pytest.raises(OverloadError):
                    Client(port=running.port[PROTOCOLS.index(protocol)], protocol=protocol).post('/', TextDoc())
                assert refusals(port) == {'overload': number, 'access': 0, 'size': 0, 'timeout': 0}
        finally:
            (tmp_path / 'open').touch()
        assert len(held.result(60)) == 1


def test_keys_and_sizes() -> None:
    port = free_port()
    limits: dict[str, Any] = {'api_key': KEY, 'max_request_bytes': 100_000, 'timeout_headers': 1000}
    with Flow(protocol=PROTOCOLS, monitoring=True, port_monitoring=port, quiet=True, **limits).add() as flow:

        def grows(reason: str, act: Callable[[], object]) -> float:
            before = refusals(port)
            act()
            until(lambda: refusals(port)[reason] > before[reason])
            after = refusals(port)
            assert all(after[other] == before[other] for other in before if other != reason)
            return after[reason] - before[reason]

        for protocol, public in zip(PROTOCOLS, flow.port, strict=True):
            stranger = Client(port=public, protocol=protocol, api_key='wrong')

            def stay_out(stranger: Any = stranger) -> None:
                with pytest.raises(AccessError):
                    stranger.post('/', TextDoc())

            assert grows('access', stay_out) >= 1  # a gRPC client looks for the fast lane first
        for protocol, public in zip(PROTOCOLS[1:], flow.port[1:], strict=True):
            client = Client(port=public, protocol=protocol, api_key=KEY)

            def send_much(client: Any = client) -> None:
                with pytest.raises(JinaError):
                    client.post('/', TextDoc(text='y' * 200_000))

            assert grows('size', send_much) == 1
        assert grows('timeout', lambda: send_half_a_head(flow.port[1])) == 1


def request_with(text: str) -> bytes:
    request = DataRequest()
    request.exec_endpoint = '/'
    request.docs = DocList[TextDoc]([TextDoc(text=text)])
    return request.to_bytes()


def test_sizes_over_grpc() -> None:
    """Requests up to twice the limit are counted, whatever they are sent by; longer ones gRPC refuses itself."""
    port, most = free_port(), 100_000
    served = Flow(monitoring=True, port_monitoring=port, max_request_bytes=most, quiet=True).add()
    with served as flow, grpc.insecure_channel(f'localhost:{flow.port}') as channel:
        small, longer, longest = request_with('y' * 50_000), request_with('y' * most), request_with('y' * 3 * most)
        call: Any = channel.stream_stream(wire.CALL)
        ways: list[Callable[[bytes], Any]] = [
            lambda raw: channel.unary_unary(wire.PROCESS_SINGLE_DATA)(raw, timeout=60),
            lambda raw: channel.unary_unary(wire.ENDPOINT_DISCOVERY)(raw, timeout=60),
            lambda raw: list(channel.unary_stream(wire.STREAM_DOC)(raw, timeout=60)),
            lambda raw: list(call(iter([small, raw]), timeout=60)),
        ]
        for counted, send in enumerate(ways, 1):
            with pytest.raises(grpc.RpcError) as caught:
                send(longer)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert f'longer than the {most} bytes that max_request_bytes allows' in caught.value.details()
            assert refusals(port)['size'] == counted
            with pytest.raises(grpc.RpcError) as caught:
                send(longest)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert refusals(port)['size'] == counted
        assert len(DataRequest.from_bytes(ways[0](small)).docs) == 1
        assert len(ways[3](small)) == 2
        assert refusals(port) == {'overload': 0, 'access': 0, 'size': len(ways), 'timeout': 0}


def send_half_a_head(port: int) -> None:
    with socket.create_connection(('localhost', port), timeout=60) as client:
        client.sendall(b'GET / HTTP/1.1\r\nhost: ')
        assert client.recv(1000).startswith(b'HTTP/1.1 408 ')
