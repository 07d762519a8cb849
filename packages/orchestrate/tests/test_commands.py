from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.client import Client

EXECUTOR = """
from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests
class Greeter(Executor):
    @requests
    def greet(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = f'hello {doc.text}'
"""
CALLER = 'import sys\nfrom jina.core.cli.main import main\nsys.exit(main({arguments!r}))\n'


@pytest.fixture
def command(run_script: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    (tmp_path / 'executor.py').write_text(EXECUTOR)
    (tmp_path / 'executor.yml').write_text('jtype: Greeter\npy_modules: executor.py\n')
    (tmp_path / 'deployment.yml').write_text('jtype: Deployment\nwith: {uses: executor.yml, replicas: 2}\n')
    (tmp_path / 'flow.yml').write_text('jtype: Flow\nexecutors:\n  - uses: executor.yml\n  - uses: executor.yml\n')
    return lambda *arguments: run_script(CALLER.format(arguments=list(arguments)))


@pytest.mark.parametrize(
    ('arguments', 'answer'),
    [
        (['deployment', '--uses', 'deployment.yml'], 'hello x'),
        (['deployment', '--uses', 'executor.yml', '--replicas', '1'], 'hello x'),
        (['deployment', '--uses', 'Greeter', '--py-modules', 'executor.py'], 'hello x'),
        (['flow', '--uses', 'flow.yml'], 'hello hello x'),
    ],
)
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_serve_until_a_signal(
    command: Callable[..., Any], arguments: list[str], answer: str, number: signal.Signals
) -> None:
    script = command(*arguments)
    while not (found := re.search(r'Local\s+0\.0\.0\.0:(\d+)', script.wait_for('│'))):
        continue
    client = Client(port=int(found[1]))
    assert client.post('/', TextDoc(text='x'), return_type=DocList[TextDoc]).text == [answer]
    script.process.send_signal(number)
    output = script.finish(6)
    assert script.process.returncode == 0, output
    assert 'Traceback' not in output


def test_flow_needs_uses(command: Callable[..., Any]) -> None:
    script = command('flow')
    assert 'run: jina flow --uses flow.yml' in script.finish()
    assert script.process.returncode == 1


def test_mistakes_are_messages(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / 'wrong.yml').write_text('jtype: Flow\nexecutors:\n  - {uses: executor.yml, replicsa: 2}\n')
    script = command('flow', '--uses', 'wrong.yml')
    output = script.finish()
    assert "wrong.yml:3: executors[0].replicsa: no such option; did you mean 'replicas'?" in output
    assert 'Traceback' not in output
    assert script.process.returncode == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            ['deployment', '--uses', 'flow.yml'],
            'flow.yml:1: jtype: this describes a Flow, not an Executor; run: jina flow',
        ),
        (
            ['flow', '--uses', 'deployment.yml'],
            "jtype: 'Deployment' is not a kind of Flow; call Deployment.load_config",
        ),
        (['flow', '--uses', 'executor.yml'], "jtype: there is no class 'Greeter' that is a Flow; write jtype: Flow"),
        (['deployment', '--uses', 'Nobody'], "there is no Executor class 'Nobody'"),
        (
            ['deployment', '--uses', 'deployment.yml', '--replicas', 'x'],
            "jina deployment: --replicas: 'x' is not valid",
        ),
        (['deployment', '--uses', 'wrong.yml', '--replicas', '2'], 'wrong.yml:2: with.replicsa: no such option'),
    ],
)
def test_wrong_files_and_flags(command: Callable[..., Any], tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / 'wrong.yml').write_text('jtype: Deployment\nwith: {uses: executor.yml, replicsa: 2}\n')
    script = command(*arguments)
    output = script.finish()
    assert message in output
    assert 'Traceback' not in output
    assert script.process.returncode == 1


def test_ports_on_the_command_line_for_protocols_of_the_file(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / 'two.yml').write_text(
        'jtype: Deployment\nwith: {uses: executor.yml, protocol: [grpc, http], ports: [1, 2]}\n'
    )
    script = command('deployment', '--uses', 'two.yml', '--port', '0', '0')
    while not (found := re.search(r'Local\s+0\.0\.0\.0:(\d+)', script.wait_for('│'))):
        continue
    client = Client(port=int(found[1]))
    assert client.post('/', TextDoc(text='x'), return_type=DocList[TextDoc]).text == ['hello x']
    script.process.send_signal(signal.SIGTERM)
    script.finish(10)
    script = command('deployment', '--uses', 'two.yml', '--port', '1', '2', '3')
    assert 'jina deployment: port [1, 2, 3] and protocol GRPC, HTTP differ in number' in script.finish()
