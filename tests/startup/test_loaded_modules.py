"""Which heavy packages each way to use the framework loads, in each of its processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.startup.spy import CLI, SERVE, running
from tests.support.processes import free_port, wait_for_port

SERVER_ONLY = {
    'docker',
    'fastapi',
    'graphql',
    'opentelemetry.sdk',
    'prometheus_client',
    'starlette',
    'strawberry',
    'uvicorn',
    'websockets',
}
"""What no path loads that doesn't use it."""
DATA = {'docarray', 'google.protobuf', 'grpc', 'numpy', 'opentelemetry', 'pydantic', 'rich', 'yaml'}
"""What the definition of an Executor doesn't need either."""


def loaded_by(code: str) -> set[str]:
    """The modules of a fresh interpreter after some code."""
    done = subprocess.run(
        [sys.executable, '-c', f'{code}\nimport sys; sys.stderr.write("\\n".join(sys.modules))'],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stderr.split())


def is_part_of(module: str, package: str) -> bool:
    """Whether a module is a package or lies in it."""
    return f'{module}.'.startswith(f'{package}.')


def test_import_of_the_package() -> None:
    assert not (SERVER_ONLY | DATA) & loaded_by('import jina')


def test_import_for_the_definition_of_an_executor() -> None:
    modules = loaded_by('from jina import Executor, requests')
    assert 'jina.core.executor' in modules
    assert not (SERVER_ONLY | DATA | {'asyncio', 'jina.orchestrate', 'jina.client', 'jina.runtime'}) & modules


def test_definition_of_an_executor() -> None:
    modules = loaded_by(
        'from jina import Executor, requests\n'
        'class Mine(Executor):\n'
        '    @requests(on="/a")\n'
        '    def a(self, docs, parameters: dict, **kwargs): ...\n'
        'Mine()'
    )
    assert not (SERVER_ONLY | DATA) & modules


@pytest.mark.parametrize('name', ['Client', 'Deployment', 'Flow', 'Gateway'])
def test_import_of_client_and_orchestration(name: str) -> None:
    assert not (SERVER_ONLY | {'docarray', 'numpy', 'rich', 'yaml'}) & loaded_by(f'from jina import {name}')


def test_help() -> None:
    code = 'import sys; from jina.core.cli.main import main; sys.argv[1:] = ["--help"]; main()'
    assert not (SERVER_ONLY | DATA | {'asyncio'}) & loaded_by(code)


@pytest.mark.parametrize(('kind', 'processes'), [('deployment', 3), ('flow', 5)])
def test_grpc_servers_and_client(tmp_path: Path, kind: str, processes: int) -> None:
    with running(tmp_path, SERVE, kind) as (program, spy):
        port = program.read_json()['port']
        (tmp_path / 'client').mkdir()
        with running(tmp_path / 'client', SERVE, 'client', str(port)) as (client, client_spy):
            assert client.read_json() == {'text': 'a'}
            (found,) = client_spy.ask(client)
            assert 'jina.client.client' in found[1]
            assert not (SERVER_ONLY | {'aiohttp', 'jina.orchestrate', 'jina.runtime', 'rich.progress'}) & found[1]
        answers = spy.ask(program)
    assert len(answers) == processes
    for name, modules in answers:
        assert not SERVER_ONLY & modules, name
    for name, modules in answers[1:]:  # the zygote and the pods
        assert 'jina.runtime.process' in modules, name
        assert not {'aiohttp', 'jina.client', 'jina.orchestrate.flow', 'numpy.random', 'yaml'} & modules, name


def test_pods_find_everything_imported(tmp_path: Path) -> None:
    with running(tmp_path, SERVE, 'flow') as (program, spy):
        program.read_json()
        _, zygote, *pods = spy.ask(program)
    assert len(pods) == 3
    for name, modules in pods:
        imported = {module for module in modules - zygote[1] if not module.startswith(('jina.', '_', 'encodings.'))}
        if name.startswith('gateway'):
            imported = {module for module in imported if not is_part_of(module, 'grpc')}
        # what comes here is imported by each pod again: it belongs into jina.runtime.preload
        assert imported == set(), name


def test_only_a_flow_with_http_loads_its_server(tmp_path: Path) -> None:
    with running(tmp_path, SERVE, 'http-flow') as (program, spy):
        program.read_json()
        (_, own), *_, (name, gateway) = spy.ask(program)
    assert name.startswith('gateway')
    assert {'fastapi', 'uvicorn'} <= gateway
    assert not {'docker', 'graphql', 'opentelemetry.sdk', 'strawberry'} & gateway
    assert not SERVER_ONLY & own


def test_a_flow_with_websocket_loads_no_http_server(tmp_path: Path) -> None:
    with running(tmp_path, SERVE, 'websocket-flow') as (program, spy):
        program.read_json()
        (_, own), *_, (name, gateway) = spy.ask(program)
    assert name.startswith('gateway')
    assert SERVER_ONLY & gateway == {'websockets'}
    assert not SERVER_ONLY & own


def test_jina_executor(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, '-c', CLI, 'executor', '--port', str(port)) as (program, spy):
        wait_for_port(port, timeout_s=60)
        ((_, modules),) = spy.ask(program)
    assert 'jina.runtime.worker' in modules
    assert not (SERVER_ONLY | {'aiohttp', 'jina.client', 'jina.orchestrate', 'numpy.random', 'yaml'}) & modules
