"""What callers see of exceptions and of processes that are gone, and that Executors are closed in every case."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import DeadlineError, RemoteError, TransportError
from jina.excepts import RuntimeFailToStart

from tests.support.processes import peer


class Text(BaseDoc):
    text: str = ''


class ModelIsBroken(LookupError):
    """What a user would define."""


class Careless(Executor):
    """Writes files when it is made and closed."""

    def __init__(self, folder: str, broken: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = Path(folder)
        if broken:
            while len(list(self.folder.glob('*.made'))) < 2:
                time.sleep(0.01)
            raise ValueError('no model here')

    def warm_up(self) -> None:
        (self.folder / f'{os.getpid()}.made').touch()

    @requests
    def work(self, docs: DocList[Text], **kwargs: Any) -> None:
        for doc in docs:
            if doc.text == 'bad':
                raise NotImplementedError('No time for it')
            if doc.text == 'worse':
                raise ModelIsBroken('out of memory')
            doc.text = f'{os.getpid()}'

    @requests(on='/wait')
    def wait(self, **kwargs: Any) -> None:
        threading.Event().wait(5)

    def close(self) -> None:
        (self.folder / f'{os.getpid()}.closed').touch()


def ask(running: Any, text: str = '') -> str:
    found: str = running.post('/', Text(text=text), return_type=DocList[Text])[0].text
    return found


def http(port: int, path: str) -> tuple[int, Any]:
    call = urllib.request.Request(
        f'http://127.0.0.1:{port}{path}', b'{"data": [{"text": ""}]}', {'content-type': 'application/json'}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(call, timeout=60)
    with caught.value as error:
        return error.code, json.load(error)


def closed(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob('*.closed')}


def test_an_init_that_raises_fails_the_start_and_closes_the_others(tmp_path: Path) -> None:
    flow = Flow(quiet=True).add(uses=Careless, uses_with={'folder': str(tmp_path)}, replicas=2)
    flow = flow.add(uses=Careless, uses_with={'folder': str(tmp_path), 'broken': True}, name='second')
    with pytest.raises(RuntimeFailToStart, match="'second' failed to start: ValueError: no model here"):
        flow.start()
    assert len(closed(tmp_path)) == 2
    assert flow.num_pods == 0


@pytest.mark.parametrize(
    'make',
    [lambda **options: Deployment(quiet=True, **options), lambda **options: Flow(quiet=True).add(**options)],
    ids=['deployment', 'flow'],
)
def test_an_exception_fails_its_request_and_no_other(tmp_path: Path, make: Callable[..., Any]) -> None:
    with make(uses=Careless, uses_with={'folder': str(tmp_path)}) as running:
        seen: list[Any] = []
        running.post(
            '/',
            DocList[Text]([Text(text=text) for text in ('a', 'bad', 'b')]),
            request_size=1,
            results_in_order=True,
            on_done=lambda response: seen.append(response.docs[0].text.isdigit()),
            on_error=lambda response: seen.append(response.status.description),
            return_type=DocList[Text],
        )
        assert sorted(map(str, seen)) == ["NotImplementedError('No time for it')", 'True', 'True']
        with pytest.raises(RemoteError, match='No time for it') as caught:
            ask(running, 'bad')
        assert (caught.value.name, caught.value.executor) == ('NotImplementedError', 'Careless')
        pid = ask(running)
    assert closed(tmp_path) == {pid}


def test_the_executor_is_closed_when_the_program_fails(tmp_path: Path) -> None:
    def run() -> None:
        with Deployment(quiet=True, uses=Careless, uses_with={'folder': str(tmp_path)}):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert len(closed(tmp_path)) == 1


def test_the_executor_is_closed_when_its_process_is_told_to_stop(tmp_path: Path) -> None:
    with Deployment(quiet=True, uses=Careless, uses_with={'folder': str(tmp_path)}) as running:
        pid = ask(running)
        os.kill(int(pid), signal.SIGTERM)
        assert running.pods[0].wait(30)
        assert closed(tmp_path) == {pid}


WAITS = """
import threading
from pathlib import Path
from jina import Executor

class Waits(Executor):
    def warm_up(self):
        Path('made').write_text('now')
        threading.Event().wait(120)

    def close(self):
        Path('closed').touch()
"""


def test_the_executor_is_closed_when_it_is_told_to_stop_before_it_is_ready(tmp_path: Path) -> None:
    (tmp_path / 'waits.py').write_text(WAITS)
    os.mkfifo(tmp_path / 'made')
    program = 'import sys; from jina.core.cli.main import main; sys.exit(main())'
    options = ['executor', '--uses', 'Waits', '--py-modules', 'waits.py']
    with peer([sys.executable, '-c', program, *options], cwd=tmp_path) as server:
        assert (tmp_path / 'made').read_text() == 'now'  # comes when it is written
        server.process.terminate()
        assert server.process.wait(60) == 0, server.log()
    assert (tmp_path / 'closed').exists()


@pytest.mark.parametrize('fatal', ['ModelIsBroken', 'LookupError'])
def test_some_exceptions_end_the_process(tmp_path: Path, fatal: str) -> None:
    options = {'uses': Careless, 'uses_with': {'folder': str(tmp_path)}, 'exit_on_exceptions': [fatal]}
    with Flow(quiet=True).add(name='one', **options) as flow:
        pid = ask(flow)
        with pytest.raises(RemoteError, match='No time for it'):
            ask(flow, 'bad')
        assert ask(flow) == pid
        with pytest.raises(RemoteError, match='out of memory'):
            ask(flow, 'worse')
        assert flow['one'].pods[0].wait(30)
        assert closed(tmp_path) == {pid}
        with pytest.raises(ConnectionError, match='deployment one at address'):
            ask(flow)


def test_who_can_not_be_reached_is_named(tmp_path: Path) -> None:
    options = {'uses': Careless, 'uses_with': {'folder': str(tmp_path)}, 'replicas': 2}
    with Flow(quiet=True, protocol=['grpc', 'http']).add(name='enc', **options) as flow:
        grpc_port, http_port = flow.port
        addresses = {f'0.0.0.0:{port}' for port in flow['enc'].ports}
        for pod in flow['enc'].pods:
            os.kill(pod.pid or 0, signal.SIGKILL)
            assert pod.wait(30)
        with pytest.raises(ConnectionError) as caught:
            ask(Client(port=grpc_port))
        assert isinstance(caught.value, TransportError)
        assert caught.value.code == 'UNAVAILABLE'
        status, body = http(http_port, '/default')
        description = body['header']['status']['description']
        assert status == 503
        for message in (str(caught.value), description):
            assert "deployment enc at address(es) {'" in message
            assert all(address in message for address in addresses)


def test_who_takes_too_long_is_named(tmp_path: Path) -> None:
    options = {'uses': Careless, 'uses_with': {'folder': str(tmp_path)}}
    gateway = {'protocol': ['grpc', 'http'], 'timeout_send': 300, 'retries': 0}
    with Flow(quiet=True, **gateway).add(name='enc', **options) as flow:
        grpc_port, http_port = flow.port
        with pytest.raises(DeadlineError, match='deployment enc at address') as caught:
            Client(port=grpc_port).post('/wait')
        assert isinstance(caught.value, ConnectionError)
        status, body = http(http_port, '/wait')
        assert status == 504
        assert 'deployment enc at address' in body['header']['status']['description']


SCRIPT = """
from jina import Deployment, Executor, requests

class Careless(Executor):
    @requests
    def foo(self, **kwargs):
        raise NotImplementedError('No time for it')  # this very line

with Deployment(uses=Careless, quiet_error=QUIET) as deployment:
    deployment.post('', on_error=lambda response: print('why:', response.status.description))
"""


@pytest.mark.parametrize('quiet', [False, True])
def test_the_log_has_the_lines_of_the_script_unless_it_is_quiet(tmp_path: Path, quiet: bool) -> None:
    script = tmp_path / 'toy.py'
    script.write_text(SCRIPT.replace('QUIET', str(quiet)))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True)
    said = done.stdout + done.stderr
    assert "why: NotImplementedError('No time for it')" in said
    details = [f'File "{script}", line 7, in foo', '# this very line', 'add "--quiet-error" to suppress']
    assert [text in said for text in details] == [not quiet] * 3


CLOSES = """
from jina import Deployment, Executor
from jina.excepts import RuntimeFailToStart

class Clumsy(Executor):
    def close(self):
        raise RuntimeError('no disk')

class Cold(Clumsy):
    def warm_up(self):
        raise ValueError('no model here')

with Deployment(uses=Clumsy):
    pass
try:
    Deployment(uses=Cold).start()
except RuntimeFailToStart as error:
    print('why:', str(error).splitlines()[0])
"""


def test_a_close_that_raises_is_told_and_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / 'toy.py').write_text(CLOSES)
    done = subprocess.run(
        [sys.executable, 'toy.py'], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    said = done.stdout + done.stderr
    assert said.count("was not closed in good order: RuntimeError('no disk')") == 2
    assert 'line 7, in close' in said
    assert "why: Deployment 'executor' failed to start: ValueError: no model here" in said
