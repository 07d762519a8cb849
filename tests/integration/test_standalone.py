"""One Executor by itself: ``Executor.serve``, ``jina executor`` and the exports of an Executor class."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Executor, requests
from jina.core.enums import StandaloneExecutorType
from jina.core.errors import ConfigError, RemoteError

from tests.support.processes import free_port

LIMIT_S = 60
SOURCE = """
import json, os
from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests

class MyExec(Executor):
    def __init__(self, word='one', **kwargs):
        super().__init__(**kwargs)
        self.word = word

    @requests
    def say(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = f'{self.word} {self.metas.name}'

    @requests(on='/facts')
    def facts(self, **kwargs):
        return {'runtime': {'name': self.runtime_args.name, 'workspace': self.runtime_args.workspace},
                'own': self.workspace, 'env': os.environ.get('SPECIAL', '')}

    def fail(self, **kwargs):
        raise KeyError('gone')

    def close(self):
        print(f'closed {self.word}', flush=True)
"""


def eventually(get: Callable[[], object], wanted: object) -> None:
    """Waits until ``get`` gives what is wanted; while it raises it is asked again."""
    deadline = time.monotonic() + LIMIT_S
    found: object = None
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError, RemoteError):
            found = get()
            if found == wanted:
                return
        time.sleep(0.05)
    raise AssertionError(f'{found!r} never became {wanted!r}')


def say(port: int, endpoint: str = '/', protocol: str = 'grpc') -> str:
    client: Any = Client(port=port, protocol=protocol)
    return str(client.post(endpoint, TextDoc(), return_type=DocList[TextDoc])[0].text)


@contextlib.contextmanager
def program(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout
        process.stdout.close()


def jina(*arguments: str) -> list[str]:
    return [sys.executable, '-c', 'import sys; from jina.core.cli.main import main; sys.exit(main())', *arguments]


class Served(Executor):
    def __init__(self, word: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.word = word

    @requests
    def say(self, docs: DocList[TextDoc], **kwargs: Any) -> None:
        docs[0].text = f'{self.word} {self.metas.name} {len(docs)}'


@pytest.mark.parametrize('make_event', [threading.Event, multiprocessing.Event])
def test_serve_blocks_until_the_event(make_event: Callable[[], Any]) -> None:
    port, event = free_port(), make_event()
    options = {
        'uses_with': {'word': 'hello'},
        'uses_metas': {'name': 'Speaker'},
        'uses_requests': {'/say': 'say'},
        'uses_dynamic_batching': {'/say': {'preferred_batch_size': 2, 'timeout': 50}},
        'port': port,
        'protocol': 'http',
    }
    thread = threading.Thread(target=Served.serve, kwargs={'stop_event': event, **options}, daemon=True)
    thread.start()
    eventually(lambda: say(port, '/say', 'http'), 'hello Speaker 1')
    assert thread.is_alive()
    event.set()
    thread.join(LIMIT_S)
    assert not thread.is_alive()
    with pytest.raises(ConnectionError):
        say(port, '/say', 'http')


def test_serve_in_a_script_ends_with_its_signal(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / 'main.py').write_text(f"{SOURCE}\nMyExec.serve(uses_with={{'word': 'two'}}, port={port})\n")
    with program([sys.executable, 'main.py'], tmp_path) as process:
        eventually(lambda: say(port), 'two MyExec')
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 128 + signal.SIGTERM
    assert 'closed two' in output


def test_serve_follows_the_source(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / 'my_exec.py').write_text(SOURCE)
    (tmp_path / 'main.py').write_text(f'from my_exec import MyExec\nMyExec.serve(reload=True, port={port})\n')
    with program([sys.executable, 'main.py'], tmp_path):
        eventually(lambda: say(port), 'one MyExec')
        (tmp_path / 'my_exec.py').write_text(SOURCE.replace("'one'", "'other'"))
        eventually(lambda: say(port), 'other MyExec')


def test_serve_refuses_unknown_options() -> None:
    with pytest.raises(ConfigError, match=r"Deployment\.prot: no such option; did you mean 'port'"):
        Served.serve(prot=1)


@pytest.mark.parametrize(
    ('export', 'kind'),
    [(Executor.to_kubernetes_yaml, 'kubernetes'), (Executor.to_docker_compose_yaml, 'docker-compose')],
)
@pytest.mark.parametrize('executor_type', [StandaloneExecutorType.SHARED, 'external'])
def test_exports(export: Callable[..., None], kind: str, executor_type: Any, tmp_path: Path) -> None:
    options = {'executor_type': executor_type, 'uses_with': {'a': 1}, 'uses_metas': {'name': 'x'}, 'replicas': 3}
    out = tmp_path / 'out'
    with pytest.raises(ConfigError, match='hub'):
        export('jinaai+docker://jina-ai/DummyHubExecutor', str(out), **options)
    assert not out.exists()
    export('docker://my_executor:1', str(out), **options)
    files = [out] if out.is_file() else sorted(out.rglob('*.yml'))
    text = ''.join(file.read_text() for file in files)
    assert text.count('image: my_executor:1') == (3 if kind == 'docker-compose' else 1)
    assert '"a": 1' in text or 'a: 1' in text, text


@pytest.mark.parametrize('form', ['class', 'yaml', 'none'])
def test_the_command_serves_what_uses_names(form: str, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / 'executor.py').write_text(SOURCE)
    (tmp_path / 'my-exec.yml').write_text('jtype: MyExec\npy_modules:\n  - executor.py\n')
    uses = {'class': ['--uses', 'MyExec', '--py-modules', 'executor.py'], 'yaml': ['--uses', 'my-exec.yml'], 'none': []}
    with program(jina('executor', *uses[form], '--port', str(port)), tmp_path) as process:
        eventually(lambda: say(port), 'None' if form == 'none' else 'one MyExec')
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert ('closed one' in output) == (form != 'none')


def test_options_of_the_command_take_effect(tmp_path: Path) -> None:
    port, http_port = free_port(), free_port()
    modules = tmp_path / 'modules'
    modules.mkdir()
    (modules / 'executor.py').write_text(SOURCE)
    command = jina(
        'executor',
        *('--uses', 'MyExec', '--extra-search-paths', str(modules), '--py-modules', 'executor.py'),
        *('--uses-with', 'word: three', '--uses-metas', 'name=Other', '--uses-requests', '/fail: fail'),
        *('--name', 'encoder', '--replica-id', '2', '--workspace', 'files', '--env', 'SPECIAL=set'),
        *('--port', str(port), str(http_port), '--protocol', 'grpc', 'http', '--exit-on-exceptions', 'KeyError'),
        *('--uses-dynamic-batching', json.dumps({'/default': {'preferred_batch_size': 2, 'timeout': 20}})),
        *('--allow-concurrent', '--log-config', 'plain', '--quiet-error', '--compression', 'Gzip'),
        *('--timeout-ready', '60000', '--native'),
    )
    with program(command, tmp_path) as process:
        eventually(lambda: say(port), 'three Other')
        eventually(lambda: say(http_port, protocol='http'), 'three Other')
        response = Client(port=port).post('/facts', return_responses=True)[0]
        (name, facts), *_ = response.parameters['__results__'].items()
        assert name == 'encoder/rep-2'
        assert facts['runtime'] == {'name': 'encoder/rep-2', 'workspace': 'files'}
        assert facts['own'] == str(tmp_path / 'files' / 'Other' / '0')
        assert facts['env'] == 'set'
        with pytest.raises(RemoteError, match='gone'):
            Client(port=port).post('/fail')
        output, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 1
    assert 'encoder/rep-2 ends because exit_on_exceptions names KeyError' in output
    assert 'closed three' in output
    assert 'Traceback' not in output
