"""Gateways that users write, through real processes: the documentation's examples, YAML, the command, replicas, ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Deployment, Executor, Flow, Gateway, TestClient, requests
from jina.core.errors import ConfigError, ConfigSourceError, PortInUseError, StartupError
from jina.serve.runtimes.gateway.http import HTTPGateway
from jina.serve.runtimes.gateway.http.fastapi import FastAPIBaseGateway

from tests.support.processes import free_port

PREAMBLE = """
import asyncio, json, time, urllib.request
from docarray import DocList
from docarray.documents import TextDoc
from fastapi import FastAPI
from jina import Executor, Flow, Gateway, requests
from jina.serve.runtimes.gateway.http.fastapi import FastAPIBaseGateway
from jina.serve.streamer import GatewayStreamer

def get(flow, path):
    with urllib.request.urlopen(f'http://localhost:{flow.port}{path}') as response:
        return json.load(response)
"""

CALLS_OF_SINGLE_EXECUTORS = """
class MyGateway(FastAPIBaseGateway):
    @property
    def app(self):
        app = FastAPI()

        def call(name, text):
            return self.executor[name].post(on='/', inputs=DocList[TextDoc]([TextDoc(text=text)]),
                                            parameters={'k': 'v'}, return_type=DocList[TextDoc])

        @app.get('/one-by-one')
        async def one_by_one(text: str):
            toc = time.time()
            docs1 = await call('executor1', text)
            docs2 = await call('executor2', text)
            return {'result': docs1.text + docs2.text, 'time_taken': time.time() - toc}

        @app.get('/together')
        async def together(text: str):
            toc = time.time()
            docs1, docs2 = await asyncio.gather(call('executor1', text), call('executor2', text))
            return {'result': docs1.text + docs2.text, 'time_taken': time.time() - toc}

        return app

class FirstExec(Executor):
    @requests
    def func(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        time.sleep(2)
        for doc in docs:
            doc.text += ' saw the first executor'

class SecondExec(Executor):
    @requests
    def func(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        time.sleep(2)
        for doc in docs:
            doc.text += ' saw the second executor'

with Flow().config_gateway(uses=MyGateway, protocol='http').add(uses=FirstExec, name='executor1').add(uses=SecondExec, name='executor2') as flow:
    for path, limits in (('/one-by-one', (4, 99)), ('/together', (0, 2.5))):
        answer = get(flow, path + '?text=hello')
        assert answer['result'] == ['hello saw the first executor', 'hello saw the second executor']
        assert limits[0] < answer['time_taken'] < limits[1], answer
        print(path, answer['time_taken'])
"""

OWN_SERVER = """
from uvicorn import Server, Config

class MyGateway(Gateway):
    def __init__(self, arg: str = None, **kwargs):
        super().__init__(**kwargs)
        self.arg = arg

    async def setup_server(self):
        app = FastAPI(title='Custom Gateway')

        @app.get(path='/service')
        async def my_service(input: str):
            docs = DocList[TextDoc]([TextDoc(text=input)])
            result = None
            async for response_docs in self.streamer.stream_docs(
                docs=docs, exec_endpoint='/', return_type=DocList[TextDoc]
            ):
                result = response_docs[0].text
            return {'result': result}

        @app.get(path='/elsewhere')
        async def elsewhere(input: str):
            streamer = GatewayStreamer.get_streamer()
            docs = DocList[TextDoc]([TextDoc(text=input)])
            return [docs[0].text async for docs in streamer.stream_docs(docs=docs, exec_endpoint='/')]

        @app.get(path='/endpoint')
        def custom_endpoint():
            return {'message': 'custom-gateway', 'arg': self.arg}

        @app.get(path='/')
        def health_check():
            return {}

        self.server = Server(Config(app, host=self.host, port=self.port))

    async def run_server(self):
        await self.server.serve()

    async def shutdown(self):
        self.server.should_exit = True
        await self.server.shutdown()

class Upper(Executor):
    @requests
    def upper(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = doc.text.upper()

    @requests(on='/picky')
    def picky(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        if docs[0].text == 'bad':
            raise ValueError('bad word')

with Flow().config_gateway(uses=MyGateway, protocol='http', uses_with={'arg': 'value'}).add(uses=Upper) as flow:
    print(get(flow, '/service?input=hello'), get(flow, '/elsewhere?input=far'), get(flow, '/endpoint'))
"""

FASTAPI = """
class MyGateway(FastAPIBaseGateway):
    @property
    def app(self):
        from fastapi import FastAPI

        app = FastAPI(title='Custom FastAPI Gateway')

        @app.get(path='/endpoint')
        def custom_endpoint():
            return {'message': 'custom-fastapi-gateway'}

        @app.get('/stream_docs')
        async def stream_docs(text: str):
            result = None
            async for docs in self.streamer.stream_docs(
                docs=DocList[TextDoc]([TextDoc(text=text)]),
                exec_endpoint='/',
                return_type=DocList[TextDoc],
            ):
                result = docs[0].text
            return {'result': result}

        @app.get('/stream')
        async def stream(text: str):
            results = []
            errors = []
            async for docs, error in self.streamer.stream(
                docs=DocList[TextDoc]([TextDoc(text=text)]),
                exec_endpoint='/picky',
                return_type=DocList[TextDoc],
            ):
                if error:
                    errors.append(error)
                else:
                    results.append(docs[0].text)
            return {'results': results, 'errors': [error.name for error in errors]}

        return app

with Flow().config_gateway(uses='MyGateway').add(uses=Upper) as flow:
    print(get(flow, '/endpoint'), get(flow, '/stream_docs?text=a'), get(flow, '/stream?text=b'), get(flow, '/stream?text=bad'))
"""


def run(folder: Path, script: str) -> str:
    (folder / 'app.py').write_text(script)
    done = subprocess.run(
        [sys.executable, 'app.py'], cwd=folder, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f'http://127.0.0.1:{port}{path}', timeout=30) as response:
        return json.load(response)


@pytest.mark.timeout(200)
def test_examples_that_take_seconds(tmp_path: Path) -> None:
    output = run(tmp_path, PREAMBLE + CALLS_OF_SINGLE_EXECUTORS)
    assert '/one-by-one 4.' in output and '/together 2.' in output


@pytest.mark.timeout(200)
def test_examples_of_a_script(tmp_path: Path) -> None:
    output = run(tmp_path, PREAMBLE + OWN_SERVER + FASTAPI)
    assert "{'result': 'HELLO'} ['FAR'] {'message': 'custom-gateway', 'arg': 'value'}" in output
    said = "{'message': 'custom-fastapi-gateway'} {'result': 'A'} {'results': ['b'], 'errors': []}"
    assert f"{said} {{'results': [], 'errors': ['ValueError']}}" in output
    assert 'stopping at once' not in output  # uvicorn sends itself the signal once more when it has stopped


MODULE = """
import asyncio, os
from docarray import DocList
from docarray.documents import TextDoc
from fastapi import FastAPI
from jina.serve.runtimes.gateway.http.fastapi import FastAPIBaseGateway


class MyGateway(FastAPIBaseGateway):
    def __init__(self, arg: str = '', arg1: str = '', **kwargs):
        super().__init__(**kwargs)
        self.args = arg, arg1

    @property
    def app(self):
        app = FastAPI()

        @app.get('/args')
        async def args():
            return [*self.args, self.port, str(self.protocols[0])]

        @app.get('/call')
        async def call(text: str, on: str = '/'):
            docs = await self.executor['first'].post(on=on, inputs=TextDoc(text=text))
            return docs[0].text

        return app
"""


class Upper(Executor):
    @requests
    async def upper(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = (doc.text or '').upper()
        return docs

    @requests(on='/slow')
    def slow(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        Path(docs[0].text or '').touch()  # tells that the request is here
        time.sleep(1)
        return docs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / 'my_gateway').mkdir()
    (tmp_path / 'my_gateway' / 'my_gateway.py').write_text(MODULE)
    (tmp_path / 'my_gateway' / 'config.yml').write_text(
        '!MyGateway\npy_modules: my_gateway.py\nwith:\n  arg1: world\nprotocol: http\n'
    )
    return tmp_path


def test_flow_yaml(folder: Path) -> None:
    port = free_port()
    (folder / 'flow.yml').write_text(
        '!Flow\n'
        'gateway:\n'
        '  py_modules: my_gateway/my_gateway.py\n'
        '  uses: MyGateway\n'
        '  with:\n    arg: value\n'
        f'  protocol: http\n  port: {port}\n'
    )
    with Flow.load_config(str(folder / 'flow.yml')) as flow:
        assert (flow.port, flow.protocol) == (port, 'HTTP')
        assert get(port, '/args') == ['value', '', port, 'HTTP']
        flow.save_config(folder / 'saved.yml')
    assert 'uses_with:\n    arg: value\n' in (folder / 'saved.yml').read_text()
    (folder / 'flow.yml').write_text(
        '!Flow\ngateway:\n  uses: my_gateway/config.yml\n  uses_with: {arg: more}\nexecutors: []\n'
    )
    with Flow.load_config(str(folder / 'flow.yml')) as flow:
        assert flow.protocol == 'HTTP'  # the gateway's own file says so
        assert get(flow.port, '/args') == ['more', 'world', flow.port, 'HTTP']
        assert flow.is_flow_ready()


def test_an_inline_gateway_and_a_stream(folder: Path) -> None:
    flow = Flow.load_config(
        '!Flow\ngateway: !MyGateway\n  py_modules: my_gateway/my_gateway.py\n  with: {arg: inline}\n',
        extra_search_paths=[str(folder)],
    )
    assert flow.gateway_options.uses == 'MyGateway'
    assert flow.gateway_options.uses_with == {'arg': 'inline'}
    with (folder / 'my_gateway' / 'config.yml').open() as stream:
        with_stream = Flow().config_gateway(uses=stream)
    with with_stream as running:
        assert get(running.port, '/args')[1] == 'world'


def test_mistakes_name_file_and_key(folder: Path) -> None:
    (folder / 'flow.yml').write_text('jtype: Flow\ngateway:\n  uses: MyGateway\n  protcol: http\n')
    with pytest.raises(ConfigError, match=r"flow.yml:4: gateway.protcol: no such option; did you mean 'protocol'\?"):
        Flow.load_config(str(folder / 'flow.yml'))
    with pytest.raises(StartupError, match='gateway of Flow failed to start: ConfigSourceError') as caught:
        Flow().config_gateway(uses='NoSuchGateway').start()
    assert isinstance(caught.value.__cause__, ConfigSourceError)
    (folder / 'my_gateway' / 'config.yml').write_text('jtype: MyGateway\npy_modules: my_gateway.py\nwith: {agr: 1}\n')
    with pytest.raises(
        StartupError, match=r"config.yml:3: with.agr: MyGateway.__init__ takes no argument 'agr'; did you"
    ):
        Flow().config_gateway(uses=str(folder / 'my_gateway' / 'config.yml')).start()


class Pids(FastAPIBaseGateway):
    @property
    def app(self) -> Any:
        from fastapi import FastAPI

        app = FastAPI()

        @app.get('/pid')
        def pid() -> int:
            return os.getpid()

        @app.get('/stop')
        def stop() -> None:
            self.server._server.should_exit = True  # type: ignore[union-attr]

        return app


def test_several_gateways_share_a_port_and_one_may_end(capfd: pytest.CaptureFixture[str]) -> None:
    with Flow().config_gateway(uses=Pids, replicas=2) as flow:
        assert flow.num_pods == 2
        seen = set()
        deadline = time.monotonic() + 30
        while len(seen) < 2:
            assert time.monotonic() < deadline
            seen.add(get(flow.port, '/pid'))
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            get(flow.port, '/stop')
        assert [pod for pod in flow._gateways if pod.wait(0.1)] or any(pod.wait(20) for pod in flow._gateways)
        assert flow.num_pods == 1
        left = get(flow.port, '/pid')
        assert left in seen
    assert 'Pids.run_server returned although nobody stopped it' in capfd.readouterr().out


def test_a_port_that_is_taken() -> None:
    with Flow().config_gateway(uses='HTTPGateway') as flow:
        with pytest.raises(PortInUseError, match=f'port {flow.port} is taken by another process') as caught:
            Flow().config_gateway(uses=HTTPGateway, port=flow.port).start()
        assert caught.value.port == flow.port


class Greeting(HTTPGateway):
    """Extends a built-in gateway in a module that the pod imports."""

    @property
    def app(self) -> Any:
        app = super().app

        @app.get('/greet')
        def greet() -> str:
            return 'hello'

        return app


def test_an_extended_built_in_gateway_is_called_by_a_client() -> None:
    with Flow().config_gateway(uses=Greeting).add(uses=Upper) as flow:
        assert get(flow.port, '/greet') == 'hello'
        assert flow.post('/', TextDoc(text='a'), return_type=DocList[TextDoc]).text == ['A']


@contextlib.contextmanager
def command(folder: Path, port: int, executor: Any) -> Iterator[subprocess.Popen[str]]:
    program = subprocess.Popen(
        [
            str(Path(sys.executable).with_name('jina')),
            'gateway',
            '--uses',
            'config.yml',
            '--port',
            str(port),
            '--graph-description',
            '{"start-gateway": ["first"], "first": ["end-gateway"]}',
            '--deployments-addresses',
            json.dumps({'first': [f'127.0.0.1:{executor.port}']}),
        ],
        cwd=folder / 'my_gateway',
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def test_command(folder: Path) -> None:
    port = free_port()
    with Deployment(uses=Upper) as executor, command(folder, port, executor) as program:
        assert program.stdout is not None
        line = next(line for line in program.stdout if 'is ready and listening' in line)
        assert f'MyGateway is ready and listening on http://0.0.0.0:{port}' in line
        ping = [str(Path(sys.executable).with_name('jina')), 'ping', 'gateway', f'http://localhost:{port}']
        assert subprocess.run(ping, check=False, capture_output=True, timeout=60).returncode == 0
        assert get(port, '/args') == ['', 'world', port, 'HTTP']
        assert get(port, '/call?text=b') == 'B'
        mark = folder / 'mark'
        url = f'http://127.0.0.1:{port}/call?on=/slow&text={mark}'
        code = f'import json, urllib.request as u; print(json.load(u.urlopen({url!r})))'
        slow = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 20
        while not mark.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        program.send_signal(signal.SIGTERM)
        assert program.wait(20) == 0
        output, _ = slow.communicate(timeout=20)
        assert output.strip() == str(mark)  # what was under way is answered
        assert 'Traceback' not in program.stdout.read()


def test_gateways_of_notebooks_travel_by_value() -> None:
    namespace: dict[str, Any] = {'__name__': '__main__', 'FastAPIBaseGateway': FastAPIBaseGateway, 'WORD': 'cell'}
    exec(
        'class Cell(FastAPIBaseGateway):\n'
        '    @property\n'
        '    def app(self):\n'
        '        from fastapi import FastAPI\n'
        '        app = FastAPI()\n'
        "        app.get('/word')(lambda: WORD)\n"
        '        return app\n',
        namespace,
    )
    with Flow().config_gateway(uses=namespace['Cell']) as flow:
        assert get(flow.port, '/word') == 'cell'


def test_a_test_client_calls_the_executors_behind_it() -> None:
    with TestClient(Flow().config_gateway(uses=Pids).add(uses=Upper)) as client:
        assert client.post('/', TextDoc(text='a'), return_type=DocList[TextDoc]).text == ['A']


def test_public_base_classes() -> None:
    assert issubclass(FastAPIBaseGateway, Gateway) and issubclass(HTTPGateway, FastAPIBaseGateway)
