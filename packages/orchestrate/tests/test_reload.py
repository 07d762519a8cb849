"""Hot reload, through real processes and files."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Flow
from jina.core import wire
from jina.core.request import DataRequest

pytest.importorskip('watchfiles')

LIMIT_S = 60
CODE = """
import time
from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests
{imports}

class Speaker(Executor):
    def __init__(self, text='', **kwargs):
        super().__init__(**kwargs)
        self.text = text
        {init}

    @requests
    def say(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = {words} + self.text
        return docs

    @requests(on='/slow')
    def slow(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        open('{flag}', 'w').close()
        time.sleep(1.5)
        return self.say(docs)

    def close(self):
        open('{flag}.closed', 'w').close()
{more}
"""


class Source:
    """An Executor's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flag = folder / 'flag'
        self.write()
        self.config()

    def write(self, words: str = "'one'", imports: str = '', init: str = 'pass', more: str = '') -> None:
        text = CODE.format(words=words, imports=imports, init=init, more=more, flag=self.flag)
        (self.folder / 'speaker.py').write_text(text)

    def config(self, text: str = '') -> None:
        (self.folder / 'config.yml').write_text(
            f'jtype: Speaker\nwith:\n  text: "{text}"\npy_modules:\n  - speaker.py\n'
        )

    @property
    def uses(self) -> str:
        return str(self.folder / 'config.yml')


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


def say(target: Any, on: str = '/') -> str:
    return str(target.post(on, TextDoc(), return_type=TextDoc).text)


def eventually(found: Callable[[], Any], wanted: Any) -> None:
    deadline = time.monotonic() + LIMIT_S
    while (last := found()) != wanted:
        assert time.monotonic() < deadline, f'still {last!r}, not {wanted!r}'
        time.sleep(0.05)


def test_code_yaml_and_errors(source: Source, capfd: pytest.CaptureFixture[str]) -> None:
    output = ''

    def logged(text: str) -> bool:
        nonlocal output
        output += ''.join(capfd.readouterr())
        return text in output

    with Deployment(uses=source.uses, reload=True, env={'JINA_LOG_LEVEL': 'INFO'}) as deployment:
        port = deployment.port
        assert say(deployment) == 'one'
        source.write("'two'")
        eventually(lambda: say(deployment), 'two')
        eventually(lambda: logged('detected changes in'), True)
        source.config('!')
        eventually(lambda: say(deployment), 'two!')
        eventually(lambda: logged('change in Executor configuration YAML'), True)

        (source.folder / 'speaker.py').write_text('class Speaker(:\n')
        eventually(lambda: logged('SyntaxError'), True)
        assert say(deployment) == 'two!'
        source.write("'three'", init="raise ValueError('no such model')")
        eventually(lambda: logged('no such model'), True)
        assert 'Traceback' in output
        assert say(deployment) == 'two!'
        source.write("'three'", more='    async def warm_up(self):\n        raise ValueError("still cold")\n')
        eventually(lambda: logged('still cold'), True)
        assert say(deployment) == 'two!'
        source.write("'three'")
        eventually(lambda: say(deployment), 'three!')
        assert deployment.port == port


def test_modules_of_a_package(tmp_path: Path) -> None:
    package = tmp_path / 'pack'
    (package / 'inner').mkdir(parents=True)
    (package / '__init__.py').write_text('from .speaker import Speaker\n')
    (package / 'inner' / '__init__.py').touch()
    words = package / 'inner' / 'words.py'
    words.write_text("WORDS = 'one'\n")
    source = Source(package)
    source.write('WORDS', imports='from .inner.words import WORDS')
    config = tmp_path / 'config.yml'
    config.write_text('jtype: Speaker\npy_modules:\n  - pack\n')
    with Flow().add(uses=str(config), reload=True) as flow:
        assert say(flow) == 'one'
        words.write_text("WORDS = 'two'\n")
        eventually(lambda: say(flow), 'two')
        # The gateway learns of endpoints that weren't there.
        source.write(
            'WORDS',
            imports='from .inner.words import WORDS',
            more="    @requests(on='/new')\n    def new(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:\n"
            "        return DocList[TextDoc]([TextDoc(text='new')])\n",
        )
        eventually(lambda: say(flow, '/new'), 'new')


def test_http_has_the_endpoints_of_the_new_code(source: Source) -> None:
    import json
    import urllib.request

    with Deployment(uses=source.uses, reload=True, protocol='http') as deployment:

        def has_route() -> bool:
            with urllib.request.urlopen(f'http://127.0.0.1:{deployment.port}/openapi.json') as answer:
                return '/new' in json.load(answer)['paths']

        assert not has_route()
        source.write(
            more="    @requests(on='/new')\n    def new(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:\n"
            '        return docs\n'
        )
        eventually(has_route, True)


def test_requests_in_flight_finish_on_the_old_code(source: Source) -> None:
    with Deployment(uses=source.uses, reload=True) as deployment:
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(say(deployment, '/slow')))
        thread.start()
        eventually(source.flag.exists, True)
        source.write("'two'")
        eventually(lambda: say(deployment), 'two')
        thread.join(LIMIT_S)
        assert answers == ['one']
        eventually(Path(f'{source.flag}.closed').exists, True)


def test_nothing_is_lost_under_load(source: Source) -> None:
    versions = 5
    with Deployment(uses=source.uses, reload=True) as deployment:
        ended = threading.Event()
        answers: list[list[str]] = [[], [], []]
        failures: list[Exception] = []

        def load(seen: list[str]) -> None:
            client = Client(port=deployment.port)
            while not ended.is_set():
                try:
                    seen.append(say(client))
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=load, args=(seen,)) for seen in answers]
        for thread in threads:
            thread.start()
        try:
            for version in range(1, versions + 1):
                for half in ('half', ''):  # two saves in a row
                    source.write(f"'{version}{half}'")
                eventually(lambda version=version: say(deployment), str(version))  # type: ignore[misc]
            eventually(lambda: [seen[-1:] for seen in answers], [[str(versions)]] * len(answers))
        finally:
            ended.set()
            for thread in threads:
                thread.join(LIMIT_S)
        assert not failures
        for seen in answers:
            order = list(dict.fromkeys(text for text in seen if not text.endswith('half')))
            assert order == sorted(order, key=lambda text: 0 if text == 'one' else int(text))
            assert order[-1] == str(versions)


def test_a_save_while_the_executor_is_being_made_counts(source: Source) -> None:
    wait = "open(f'{__file__}.made', 'w').close()\n        while not __import__('os').path.exists(f'{__file__}.go'): time.sleep(0.02)"
    source.write(init=wait)
    deployment = Deployment(uses=source.uses, reload=True)
    starting = threading.Thread(target=deployment.start)
    starting.start()
    try:
        eventually((source.folder / 'speaker.py.made').exists, True)
        source.write("'two'")
        (source.folder / 'speaker.py.go').touch()
        starting.join(LIMIT_S)
        eventually(lambda: say(deployment), 'two')
    finally:
        starting.join(LIMIT_S)
        deployment.close()


def test_a_class_that_is_imported(source: Source, run_script: Callable[..., Any]) -> None:
    script = run_script(
        """
from jina import Deployment
from speaker import Speaker

with Deployment(uses=Speaker, reload=True) as deployment:
    print('port', deployment.port, flush=True)
    deployment.block()
"""
    )
    client = Client(port=int(script.wait_for('port')))
    assert say(client) == 'one'
    source.write("'two'")
    eventually(lambda: say(client), 'two')


def test_classes_of_the_main_script(tmp_path: Path, run_script: Callable[..., Any]) -> None:
    config = tmp_path / 'executor.yml'
    config.write_text('jtype: Before\n')
    script = run_script(
        """
from docarray import DocList
from docarray.documents import TextDoc
from jina import Deployment, Executor, requests

class Before(Executor):
    @requests
    def say(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        return DocList[TextDoc]([TextDoc(text=type(self).__name__)])

class After(Before):
    pass

with Deployment(uses='executor.yml', reload=True) as deployment:
    print('port', deployment.port, flush=True)
    deployment.block()
"""
    )
    client = Client(port=int(script.wait_for('port')))
    assert say(client) == 'Before'
    config.write_text('jtype: After\n')
    eventually(lambda: say(client), 'After')
    script.process.terminate()
    assert "reload can not follow the code of Before: it is defined in '__main__'" in script.finish()


def test_on_the_command_line(source: Source) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        '-c',
        'import sys; from jina.core.cli.main import main; sys.exit(main())',
        'executor',
        '--uses',
        source.uses,
        '--reload',
        '--port',
        str(port),
    ]
    process = subprocess.Popen(command, env={**os.environ, 'JINA_LOG_LEVEL': 'ERROR'})
    try:
        client = Client(port=port)
        eventually(lambda: client.is_deployment_ready(5), True)
        assert say(client) == 'one'
        source.write("'two'")
        eventually(lambda: say(client), 'two')
    finally:
        process.terminate()
        assert process.wait(LIMIT_S) == 0


def test_the_package_that_it_needs_is_named(source: Source, run_script: Callable[..., Any]) -> None:
    script = run_script(
        f"""
import sys
sys.modules['watchfiles'] = None
from jina.core.config import ExecutorOptions
from jina.runtime.process import serve
serve(ExecutorOptions(uses={source.uses!r}, reload=True), on_ready=print)
"""
    )
    assert 'pip install "jina-runtime[reload]"' in script.finish()


def test_what_waits_for_a_batch_is_answered_by_the_old_code(source: Source) -> None:
    batching = {'/wait': {'preferred_batch_size': 100, 'timeout': 600_000}}
    wait = "    @requests(on='/wait')\n    def wait(self, docs: DocList[TextDoc], **kwargs):\n        self.say(docs)\n"
    source.write(more=wait)
    with Deployment(uses=source.uses, reload=True, uses_dynamic_batching=batching) as deployment:
        with grpc.insecure_channel(f'127.0.0.1:{deployment.port}') as channel:
            call = channel.unary_unary(wire.PROCESS_SINGLE_DATA)
            waiting = call.future(request('/wait'), timeout=LIMIT_S)
            # it came later on the same connection: the first one is in its line
            call(request('/'), timeout=LIMIT_S)
            source.write("'two'", more=wait)
            eventually(lambda: say(deployment), 'two')
            response = DataRequest.from_bytes(waiting.result())
        response.document_array_cls = DocList[TextDoc]
        assert [doc.text for doc in response.docs] == ['one']


def request(endpoint: str) -> bytes:
    made = DataRequest()
    made.exec_endpoint = endpoint
    made.docs = DocList[TextDoc]([TextDoc()])
    return made.to_bytes()
