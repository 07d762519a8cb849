"""``reload=True`` in the YAML file of a Flow or a Deployment: it restarts with what the file describes, at the same port."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Flow
from jina.core.errors import MissingExtraError

pytest.importorskip('watchfiles')

LIMIT_S = 60
FLOW = """
jtype: Flow
with: {reload: true, py_modules: executor.py}
executors:
  - {name: a, uses: Append, uses_with: {text: x}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(Path(__file__).with_name('executors.py'), tmp_path / 'executor.py')
    return tmp_path


@contextmanager
def blocked(orchestrator: Any) -> Iterator[Any]:
    """A started object that another thread blocks on."""
    stop = threading.Event()
    with orchestrator:
        thread = threading.Thread(target=orchestrator.block, args=(stop,))
        thread.start()
        try:
            yield orchestrator
        finally:
            stop.set()
            thread.join(LIMIT_S)
            assert not thread.is_alive()


def ask(port: int) -> str:
    try:
        return str(Client(port=port).post('/', TextDoc(text=''), return_type=DocList[TextDoc])[0].text)
    except ConnectionError:
        return 'restarting'


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, 'nothing changed'
        time.sleep(0.05)


def test_flow(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = folder / 'flow.yml'
    file.write_text(FLOW)
    output: list[str] = []

    def seen() -> str:
        output.append(capfd.readouterr().out)
        return ''.join(output)

    with blocked(Flow.load_config(str(file))) as flow:
        port = flow.port
        assert ask(port) == 'x'
        file.write_text(FLOW + '  - {name: b, uses: Append, uses_with: {text: y}}\n')
        wait_for(lambda: ask(port) == 'xy')
        assert [name for name, _ in flow] == ['a', 'b']
        assert flow.port == port
        assert flow.is_flow_ready()
        assert re.search(r'change in Flow YAML \S*flow.yml observed, restarting Flow', seen())

        # What can't be loaded or doesn't start leaves the one from before.
        file.write_text(FLOW.replace('executors:', 'executrs:'))
        wait_for(lambda: 'the change can not be loaded' in seen())
        assert ask(port) == 'xy'
        file.write_text(FLOW.replace('Append', 'Broken'))
        wait_for(lambda: 'the one from before is started again' in seen())
        wait_for(lambda: ask(port) == 'xy')

        pids = [pod.pid for pod in flow[0].pods]
        file.write_text(f'# a comment\n{FLOW}  - {{name: b, uses: Append, uses_with: {{text: y}}}}\n')
        file.write_text(FLOW.replace('text: x', 'text: z'))
        wait_for(lambda: ask(port) == 'z')
        assert [pod.pid for pod in flow[0].pods] != pids
        assert flow.num_pods == 2


def test_deployment(folder: Path) -> None:
    file = folder / 'deployment.yml'
    text = 'jtype: Deployment\nuses: Append\npy_modules: executor.py\nuses_with:\n  text: foo\nwith:\n  reload: True\n'
    file.write_text(text)
    with blocked(Deployment.load_config(str(file), replicas=2)) as deployment:
        port = deployment.port
        assert ask(port) == 'foo'
        file.write_text(text.replace('foo', 'bar'))
        wait_for(lambda: ask(port) == 'bar')
        assert deployment.replicas == 2
        assert deployment.port == port


def test_close_during_a_restart(folder: Path) -> None:
    file = folder / 'flow.yml'
    file.write_text(FLOW)
    with blocked(Flow.load_config(str(file))) as flow:
        file.write_text(FLOW.replace('Append, uses_with: {text: x}', 'NeverWarm, uses_with: {hang: true}'))
        wait_for(lambda: any(pod.state.name == 'STARTING' for pod in flow[0].pods))
        begin = time.monotonic()
    assert time.monotonic() - begin < 15
    assert flow.num_pods == 0


def test_missing_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jina.orchestrate import following

    def missing() -> None:
        raise MissingExtraError('watchfiles, which reload needs,', install='jina-orchestrate[reload]')

    monkeypatch.setattr(following, '_watcher', missing)
    file = folder / 'flow.yml'
    file.write_text('jtype: Flow\nwith: {reload: true}\n')
    with Flow.load_config(str(file)) as flow, pytest.raises(MissingExtraError, match=r'jina-orchestrate\[reload\]'):
        flow.block()
