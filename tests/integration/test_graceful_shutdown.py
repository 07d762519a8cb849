"""How long a process that is asked to end works on what it has begun: ``timeout_graceful_shutdown``."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import ConfigError, TransportError

from tests.support.processes import free_port, peer, wait_for_port

Texts = DocList[TextDoc]


class Patient(Executor):
    """Works as long as a request asks for, and leaves a file when it has begun."""

    def __init__(self, began: str, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.began = began

    @requests
    def work(self, docs: Texts, parameters: dict[str, float], **kwargs: object) -> Texts:
        Path(self.began).touch()
        time.sleep(parameters['seconds'])
        for doc in docs:
            doc.text = 'done'
        return docs


WAITING = """
import time
from pathlib import Path
from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests


class Waiting(Executor):
    def __init__(self, began, **kwargs):
        super().__init__(**kwargs)
        self.began = began

    @requests
    def work(self, docs: DocList[TextDoc], parameters, **kwargs) -> DocList[TextDoc]:
        Path(self.began).touch()
        time.sleep(parameters['seconds'])
        for doc in docs:
            doc.text = 'done'
        return docs
"""


class Call:
    """A request in a thread of its own."""

    def __init__(self, port: int, protocol: str, seconds: float) -> None:
        self.outcome = ''
        self._arguments = (port, protocol, seconds)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        port, protocol, seconds = self._arguments
        with Client(port=port, protocol=protocol) as client:
            try:
                self.outcome = client.post('/', TextDoc(), parameters={'seconds': seconds}, return_type=Texts)[0].text
            except TransportError as error:
                self.outcome = type(error).__name__

    def has_begun(self, file: Path) -> None:
        deadline = time.monotonic() + 60
        while not file.exists():
            assert self._thread.is_alive() and time.monotonic() < deadline
            time.sleep(0.01)

    def result(self) -> str:
        self._thread.join(60)
        return self.outcome


@pytest.mark.parametrize('protocol', ['grpc', 'http', 'websocket'])
@pytest.mark.parametrize(('limit', 'is_done'), [(100, False), (20_000, True)])
def test_a_process_has_so_much_time(protocol: str, limit: int, is_done: bool, tmp_path: Path) -> None:
    file = tmp_path / 'began'
    with Deployment(
        uses=Patient, uses_with={'began': str(file)}, protocol=protocol, quiet=True, timeout_graceful_shutdown=limit
    ) as deployment:
        call = Call(deployment.port, protocol, 1.5)
        call.has_begun(file)
        begin = time.monotonic()
        os.kill(deployment.pods[0].pid or 0, signal.SIGTERM)
        assert (call.result() == 'done') is is_done
        if not is_done:
            assert time.monotonic() - begin < 1.5


def test_a_close_gives_all_processes_their_time(tmp_path: Path) -> None:
    file = tmp_path / 'began'
    flow = Flow(quiet=True, timeout_graceful_shutdown=100).add(
        uses=Patient, uses_with={'began': str(file)}, timeout_graceful_shutdown=20_000
    )
    assert flow.gateway_options.timeout_graceful_shutdown == 100
    assert flow[0].options.timeout_graceful_shutdown == 20_000
    flow = Flow(quiet=True, timeout_graceful_shutdown=20_000).add(uses=Patient, uses_with={'began': str(file)})
    with flow:
        call = Call(flow.port, 'grpc', 1.5)
        call.has_begun(file)
    assert call.result() == 'done'


def test_a_command_that_is_stopped_waits_longer_than_usual(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / 'began'
    (tmp_path / 'flow.yml').write_text(
        'jtype: Flow\n'
        f'with: {{port: {port}, timeout_graceful_shutdown: 15000}}\n'
        f'executors:\n- {{uses: {{jtype: Waiting, py_modules: [waiting.py], with: {{began: {file}}}}}}}\n'
    )
    (tmp_path / 'waiting.py').write_text(WAITING)
    program = 'import sys; from jina.core.cli.main import main; sys.exit(main())'
    with subprocess.Popen(
        [sys.executable, '-c', program, 'flow', '--uses', 'flow.yml'],
        cwd=tmp_path,
    ) as process:
        try:
            wait_for_port(port, timeout_s=60)
            call = Call(port, 'grpc', 5.0)
            call.has_begun(file)
            process.terminate()
            assert call.result() == 'done'
            assert process.wait(60) in (0, 128 + signal.SIGTERM)
        finally:
            process.kill()


def test_it_is_a_number_of_milliseconds() -> None:
    with pytest.raises(ConfigError, match='timeout_graceful_shutdown'):
        Deployment(timeout_graceful_shutdown=-1)


def test_a_connection_without_a_request_ends_with_an_answer(tmp_path: Path) -> None:
    """A client can't know that the server leaves before it has sent its next request."""
    (tmp_path / 'waiting.py').write_text(WAITING)
    port = free_port()
    jina = str(Path(sys.executable).with_name('jina'))
    uses = ['--uses', 'Waiting', '--py-modules', 'waiting.py', '--uses-with', f'began:{tmp_path / "began"}']
    command = [jina, 'executor', *uses, '--protocol', 'http', '--port', str(port), '--host', '127.0.0.1']
    body = json.dumps({'data': [{'text': 'x'}], 'parameters': {'seconds': 0}})
    with peer(command, cwd=tmp_path) as server:
        wait_for_port(port, timeout_s=60)
        with contextlib.closing(http.client.HTTPConnection('127.0.0.1', port, timeout=30)) as connection:

            def ask() -> bool:
                connection.request('POST', '/default', body, {'Content-Type': 'application/json'})
                answer = connection.getresponse()
                assert json.loads(answer.read())['data'][0]['text'] == 'done'
                return answer.will_close

            assert not ask()
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionError):
                while True:  # until it listens no more
                    socket.create_connection(('127.0.0.1', port), 30).close()
            assert ask()
        assert server.process.wait(30) == 0
