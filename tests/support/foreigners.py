"""Clients that nobody wrote for this framework, which use a gateway all the time: they reconnect when they are told to."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import grpc
from docarray import DocList
from docarray.documents import TextDoc
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
    """Messages on a connection that is opened again, and what is unanswered sent again, when the server leaves or restarts."""
    message = json.dumps({'data': [{'text': 'x'}], 'execEndpoint': '/'})
    while True:
        with connect(f'ws://127.0.0.1:{port}/') as connection:
            try:
                while True:
                    connection.send(message)
                    assert json.loads(connection.recv(30))['data'][0]['text'] == 'x!'
                    yield
            except ConnectionClosed as closed:
                assert closed.rcvd is not None and closed.rcvd.code in (1001, 1012), closed


class Foreigners:
    """Threads that use a service all the time; what one of them raises is a failure."""

    def __init__(self, use: Callable[[int], Generator[None]], port: int, *, threads: int = 4) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(use, port)) for _ in range(threads)]

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
