"""Log configurations, JINA_* variables and failures, in all processes of a Flow."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docarray.documents import TextDoc
from jina import Deployment, Flow
from jina.core.errors import RemoteError, StartupError

from .executors import Append, Broken

EXECUTOR = """
from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests

class Talker(Executor):
    @requests
    def talk(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        self.logger.info('talking')

    @requests(on='/bad')
    def bad(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        raise ValueError('boom')
"""
FLOW = """
jtype: Flow
with: {{py_modules: executor.py, {options}}}
executors:
  - {{name: one, uses: Talker, replicas: 2}}
  - {{name: two, uses: Talker{own}}}
"""
TO_FILES = """
handlers: [FileHandler]
level: INFO
configs:
  FileHandler: {format: '{name}[%(levelname).1s]:%(message)s', formatter: PlainFormatter, output: 'logs/{name}.log'}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Runs a Flow and returns the lines that its processes printed, without the box of addresses."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'flow').mkdir()
    (tmp_path / 'flow' / 'executor.py').write_text(EXECUTOR)
    (tmp_path / 'flow' / 'files.yml').write_text(TO_FILES)

    def start(options: str = '', own: str = '', **env: str) -> list[str]:
        (tmp_path / 'flow' / 'flow.yml').write_text(FLOW.format(options=options, own=own))
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with Flow.load_config('flow/flow.yml') as flow:
            flow.post('/', TextDoc())
            with pytest.raises(RemoteError):
                flow.post('/bad', TextDoc())
        output = capfd.readouterr().out
        return [line for line in output.splitlines() if not re.match('[─╭│╰]', line)]

    return start


def test_json_in_all_processes(run: Callable[..., list[str]]) -> None:
    records = [json.loads(line) for line in run('log_config: json')]
    names = {record['name'] for record in records}
    assert names == {'one/rep-0', 'one/rep-1', 'two/rep-0', 'gateway/rep-0'}
    assert any('ValueError: boom' in record.get('exc_info', '') for record in records)
    assert [record['name'] for record in records if record['msg'] == 'talking'].count('two/rep-0') == 1


def test_a_file_beside_the_yaml(run: Callable[..., list[str]], tmp_path: Path) -> None:
    lines = run('log_config: plain', ', log_config: files.yml')
    starts = {line.strip().partition('@')[0] for line in lines}
    assert {'one/rep-0', 'one/rep-1', 'gateway/rep-0'} <= starts
    assert 'two/rep-0' not in starts
    written = (tmp_path / 'logs' / 'two' / 'rep-0.log').read_text()
    assert 'two/rep-0[I]:talking\n' in written


def test_quiet_and_quiet_error(run: Callable[..., list[str]]) -> None:
    assert run('quiet: true') == []
    shown = '\n'.join(run('quiet_error: true'))
    assert 'talking' in shown
    assert 'boom' in shown
    assert 'Traceback' not in shown


def test_variables_override_what_is_configured(run: Callable[..., list[str]]) -> None:
    assert run('log_config: plain', JINA_LOG_CONFIG='QUIET') == []
    lines = run('log_config: plain', ', env: {JINA_LOG_LEVEL: ERROR}', JINA_LOG_CONFIG='json', JINA_LOG_LEVEL='DEBUG')
    records = [json.loads(line) for line in lines]
    levels = {name: {r['levelname'] for r in records if r['name'] == name} for name in ('one/rep-0', 'two/rep-0')}
    assert 'DEBUG' in levels['one/rep-0']
    assert levels['two/rep-0'] <= {'ERROR', 'CRITICAL'}


def test_debugging_tells_who_listens_where_and_who_calls_whom(run: Callable[..., list[str]]) -> None:
    lines = [line.strip() for line in run('log_config: plain', JINA_LOG_LEVEL='DEBUG')]

    def found(pattern: str) -> int:
        return sum(re.fullmatch(pattern, line) is not None for line in lines)

    assert found(r'one/rep-[01]@\d+\[D\]:start listening on 0\.0\.0\.0:\d+') == 2
    assert found(r'gateway/rep-0@\d+\[D\]:start server bound to 0\.0\.0\.0:\d+') == 1
    assert found(r'gateway/rep-0@\d+\[D\]:adding connection for deployment one to grpc://0\.0\.0\.0:\d+') == 2
    assert found(r'two/rep-0@\d+\[S\]:Executor Talker is ready and listening on .*') == 1
    assert found(r'Flow@\d+\[D\]:3 Deployments \(i\.e\. 4 Pods\) are running in this Flow') == 1


def test_default_host_and_port_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_DEFAULT_HOST', '127.0.0.1')
    monkeypatch.setenv('JINA_RANDOM_PORT_MIN', '27000')
    monkeypatch.setenv('JINA_RANDOM_PORT_MAX', '27400')
    with Flow(protocol=['grpc', 'http', 'websocket']).add(uses=Append) as flow:
        addresses = [*flow.public_addresses, *flow[0].replica_addresses]
        assert len(addresses) == 4
        assert {address.host for address in addresses} == {'127.0.0.1'}
        assert all(27000 <= address.port <= 27400 for address in addresses)


def test_early_stop(run_script: Callable[..., Any]) -> None:
    script = run_script(
        'from jina import Flow\n'
        'with Flow().add().add() as flow:\n'
        "    print('pid', flow[0].pods[0].pid, flow[1].pods[0].pid, flush=True)\n"
        '    flow.block()\n',
        JINA_EARLY_STOP='1',
    )
    first, _ = (int(word) for word in script.wait_for('pid ').split())
    os.kill(first, signal.SIGKILL)
    output = script.finish(30)
    assert script.process.returncode == 1, output
    assert 'was killed by SIGKILL' in output


@pytest.mark.parametrize('noblock', [False, True])
def test_one_failure_of_many_closes_all(noblock: bool) -> None:
    flow = Flow(noblock_on_start=noblock)
    for number in range(4):
        flow = flow.add(uses=Broken if number == 2 else Append, replicas=2)
    failure = pytest.raises(StartupError, match="Deployment 'executor2' failed to start: ValueError: no model here")
    with failure, flow:
        flow.wait_start_success()
    assert flow.num_pods == 0
    assert not flow.is_flow_ready()


async def test_start_success_is_awaited() -> None:
    deployment = Deployment(uses=Append, noblock_on_start=True, timeout_ready=30_000)
    with deployment:
        await deployment.async_wait_start_success()
        assert deployment.is_deployment_ready()
    with pytest.raises(StartupError), Deployment(uses=Broken, noblock_on_start=True) as broken:
        await broken.async_wait_start_success()
