from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from jina.core import wire
from jina.core.config import ExecutorOptions
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError, PortInUseError
from jina.core.request import DataRequest
from jina.runtime.process import PodServer, remaining_threads, run, serve

EXECUTOR = """
import os, sys, threading, time
from docarray import DocList, BaseDoc
from jina import Executor, requests

class Text(BaseDoc):
    text: str = ''

class Slow(Executor):
    @requests
    def echo(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        return docs

    @requests(on='/slow')
    def slow(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        print('working', flush=True)
        time.sleep(0.5)
        return docs

    @requests(on='/stuck')
    def stuck(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        print('working', flush=True)
        time.sleep(60)

    @requests(on='/thread')
    def thread(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        threading.Thread(target=time.sleep, args=(60,)).start()
        return docs

    @requests(on='/fail')
    def fail(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        raise ValueError('boom')

    @requests(on='/env')
    def env(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        return {'value': os.environ['SPECIAL'], 'name': os.environ['JINA_DEPLOYMENT_NAME']}

    def close(self):
        print('closed', flush=True)
"""


class Process:
    """A real ``jina executor``."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        (folder / 'slow.py').write_text(EXECUTOR)
        (folder / 'config.yml').write_text('jtype: Slow\npy_modules: [slow.py]\n')
        program = 'import sys; from jina.core.cli.main import main; sys.exit(main())'
        command = [sys.executable, '-c', program, 'executor', '--uses', 'config.yml', '--host', '127.0.0.1']
        self.process = subprocess.Popen(
            [*command, '--log-config', 'plain', *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ''
        self.channel: Any = None

    def wait_until_ready(self) -> Process:
        port = re.search(r'grpc://127\.0\.0\.1:(\d+)', self.wait_for('ready and listening'))
        assert port
        self.channel = grpc.insecure_channel(f'127.0.0.1:{port[1]}')
        return self

    def wait_for(self, text: str) -> str:
        """Reads output until a line has the text, and returns that line."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return line
        raise AssertionError(f'{text!r} never came:\n{self.output}')

    def start_call(self, request: DataRequest) -> Any:
        return self.channel.unary_unary(wire.PROCESS_SINGLE_DATA).future(request.to_bytes(), timeout=10)

    def finish(self) -> int:
        assert self.process.stdout
        self.output += self.process.stdout.read()
        return self.process.wait(8)

    def close(self) -> None:
        if self.channel is not None:
            self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def run_process(*arguments: str) -> Process:
        started.append(Process(tmp_path, *arguments))
        return started[-1].wait_until_ready()

    yield run_process
    for process in started:
        process.close()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_a_request_in_flight_finish(start: Callable[..., Process], request_of: Any, number: int) -> None:
    pod = start()
    call = pod.start_call(request_of('/slow', 'x'))
    pod.wait_for('working')
    pod.process.send_signal(number)
    assert not DataRequest.from_bytes(call.result()).is_error
    assert pod.finish() == 0
    assert pod.output.rstrip().endswith('closed')


def test_method_that_never_returns_does_not_keep_the_process(start: Callable[..., Process], request_of: Any) -> None:
    pod = start()
    call = pod.start_call(request_of('/stuck', 'x'))
    pod.wait_for('working')
    pod.process.terminate()
    assert pod.process.wait(6) == 0
    assert call.exception().code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def test_second_signal_ends_at_once(start: Callable[..., Process], request_of: Any) -> None:
    pod = start()
    call = pod.start_call(request_of('/stuck', 'x'))
    pod.wait_for('working')
    pod.process.terminate()
    # The server refuses new calls as soon as the first signal was handled.
    with pytest.raises(grpc.RpcError):
        while True:
            pod.channel.unary_unary('/grpc.health.v1.Health/Check')(b'', timeout=1)
    pod.process.terminate()
    assert pod.process.wait(20) == 1
    assert call.exception() is not None


def test_thread_of_an_executor_does_not_keep_the_process(start: Callable[..., Process], request_of: Any) -> None:
    pod = start()
    pod.start_call(request_of('/thread', 'x')).result()
    pod.process.terminate()
    assert pod.process.wait(5) == 0


def test_exit_on_exceptions_ends_the_process_after_the_response(start: Callable[..., Process], request_of: Any) -> None:
    pod = start('--exit-on-exceptions', 'ValueError')
    assert DataRequest.from_bytes(pod.start_call(request_of('/fail', 'x')).result()).is_error
    assert pod.finish() == 1
    assert 'closed' in pod.output


def test_environment_and_name_reach_the_executor(start: Callable[..., Process], request_of: Any) -> None:
    pod = start('--env', 'SPECIAL: yes', '--name', 'enc')
    response = DataRequest.from_bytes(pod.start_call(request_of('/env', 'x')).result())
    assert response.parameters == {'__results__': {'enc/rep-0': {'value': 'yes', 'name': 'enc/rep-0'}}}


def test_serve_reports_ready_and_works_outside_of_the_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_DEPLOYMENT_NAME', 'before')
    ready = threading.Event()
    found: list[Any] = []

    def end(addresses: Any) -> None:
        found.extend(addresses)
        ready.set()
        raise KeyboardInterrupt

    def call() -> None:
        with pytest.raises(KeyboardInterrupt):
            serve(ExecutorOptions(uses='BaseExecutor', host='127.0.0.1', log_config='plain'), on_ready=end)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(10)
    assert ready.is_set()
    assert found[0].port > 0
    assert os.environ['JINA_DEPLOYMENT_NAME'] == 'executor/rep-0'


def test_what_the_executor_raises_on_loading_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_DEPLOYMENT_NAME', 'before')
    with pytest.raises(ConfigError):
        serve(ExecutorOptions(uses={'jtype': 'NoSuchExecutor'}), on_ready=lambda _: None)


async def test_second_port_that_is_taken_closes_the_first(cluster: Any) -> None:
    other = await cluster.worker('BaseExecutor')
    taken = int(other.address.rpartition(':')[2])
    pod = PodServer(ExecutorOptions(uses='BaseExecutor', host='127.0.0.1', port=taken, log_config='plain'))
    with pytest.raises(PortInUseError):
        await pod.start()


async def test_two_protocols_at_once() -> None:
    pytest.importorskip('fastapi')
    options = ExecutorOptions(uses='BaseExecutor', host='127.0.0.1', protocol=['grpc', 'http'], log_config='plain')
    pod = PodServer(options)
    grpc_address, http_address = await pod.start()
    assert (grpc_address.protocol, http_address.protocol) == (ProtocolType.GRPC, ProtocolType.HTTP)
    body = await asyncio.to_thread(lambda: urllib.request.urlopen(str(http_address), timeout=5).read())
    assert body == b'{}'
    async with grpc.aio.insecure_channel(grpc_address.target) as channel:
        assert await channel.unary_unary('/grpc.health.v1.Health/Check')(b'', timeout=5) == b'\x08\x01'
    await pod.stop(1)


def test_run_does_not_wait_for_threads_of_the_loop() -> None:
    release = threading.Event()

    async def main() -> str:
        asyncio.get_running_loop().run_in_executor(None, release.wait, 30)
        return 'done'

    assert run(main()) == 'done'
    assert [
        thread for thread in remaining_threads() if thread.name.startswith(('asyncio', 'uvloop', 'ThreadPoolExecutor'))
    ]
    release.set()


@pytest.mark.parametrize('disabled', [True, False])
def test_event_loop(monkeypatch: pytest.MonkeyPatch, disabled: bool) -> None:
    monkeypatch.delenv('JINA_DISABLE_UVLOOP', raising=False)
    if disabled:
        monkeypatch.setenv('JINA_DISABLE_UVLOOP', '')

    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__

    uvloop = pytest.importorskip('uvloop')
    assert (run(main()) == uvloop.__name__) is not disabled
