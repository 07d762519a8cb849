"""Scripts as users write them: no ``__main__`` guard, classes in the script, interrupts at the worst moment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

CLASSES = """
from jina import Deployment, Executor, Flow, requests
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc

class Note(BaseDoc):
    text: str = ''
    tags: DocList[TextDoc] = DocList[TextDoc]()

class Params(BaseDoc):
    word: str = 'none'

def shout(text):
    return text.upper()

class Shouter(Executor):
    @requests(on='/shout')
    def run(self, docs: DocList[Note], parameters: dict, **kwargs) -> DocList[Note]:
        print('inside')
        for doc in docs:
            doc.text = shout(doc.text)
            doc.tags.append(TextDoc(text=parameters['word']))

class Broken(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        raise ValueError('no model here')
"""
FACTS = """
import os
from jina.orchestrate import launcher
print('pids:', launcher.current().pid, *(pod.pid for pod in running._running_pods()), flush=True)
"""


def pids_of(script: Any) -> list[int]:
    return [int(pid) for pid in script.wait_for('pids:').split()]


@pytest.mark.parametrize('header', ['', 'from __future__ import annotations\n'])
@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_class_in_the_script_without_a_guard(run_script: Callable[..., Any], header: str, method: str) -> None:
    text = (
        header
        + CLASSES
        + """
with Flow().add(uses=Shouter).add(uses=Shouter, replicas=2) as flow:
    print(flow.post('/shout', Note(text='hi'), parameters={'word': 'w'}, return_type=DocList[Note])[0])
print('after')
"""
    )
    script = run_script(text, JINA_MP_START_METHOD=method)
    output = script.finish()
    assert script.process.returncode == 0, output
    assert "text='HI'" in output
    assert output.count('inside') == 2
    assert output.index('ready to serve') < output.index('inside') < output.index('after')


@pytest.mark.parametrize('protocol', ['grpc', 'http', 'websocket', ['grpc', 'http', 'websocket']])
@pytest.mark.parametrize('kind', ['Deployment(uses=Shouter, protocol={0})', 'Flow(protocol={0}).add(uses=Shouter)'])
def test_every_script_ends_by_itself(run_script: Callable[..., Any], kind: str, protocol: Any) -> None:
    source = kind.format(repr(protocol))
    text = (
        CLASSES
        + f"\nwith {source} as running:\n    print(running.post('/shout', Note(text='hi'), parameters={{'word': 'w'}}, return_type=DocList[Note]).text)\n"
    )
    script = run_script(text)
    output = script.finish(20)
    assert script.process.returncode == 0, output
    assert "['HI']" in output


@pytest.mark.parametrize('kind', ["Deployment(uses=Shouter, protocol='http')", 'Flow().add(uses=Shouter)'])
def test_what_is_never_closed_ends_with_the_script(
    run_script: Callable[..., Any], wait_gone: Callable[[list[int], float], float], kind: str
) -> None:
    script = run_script(CLASSES + f'running = {kind}\nrunning.start()\n{FACTS}')
    pids = pids_of(script)
    output = script.finish(10)
    assert script.process.returncode == 0, output
    wait_gone(pids, 1)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize('ending', ['running.block()', 'import time; time.sleep(600)'])
@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_signals_leave_no_orphan(
    run_script: Callable[..., Any],
    wait_gone: Callable[[list[int], float], float],
    number: signal.Signals,
    ending: str,
    method: str,
) -> None:
    text = CLASSES + f'with Flow().add(uses=Shouter, replicas=2) as running:\n    exec({FACTS!r})\n    {ending}\n'
    script = run_script(text, JINA_MP_START_METHOD=method)
    pids = pids_of(script)
    assert len(pids) == 4
    time.sleep(0.05)
    script.process.send_signal(number)
    wait_gone([script.process.pid, *pids], 5)
    output = script.finish()
    if ending == 'running.block()' and number == signal.SIGINT:
        assert script.process.returncode == 0, output
    if number != signal.SIGKILL:
        assert 'Traceback' not in output.replace(
            'Traceback (most recent call last):\n  File "', '', output.count('KeyboardInterrupt')
        )


def test_deaf_executor_ends_within_five_seconds(
    run_script: Callable[..., Any], wait_gone: Callable[[list[int], float], float]
) -> None:
    text = (
        CLASSES
        + f"""
import threading, time
class Deaf(Executor):
    @requests
    async def run(self, **kwargs):
        print('busy', flush=True)
        time.sleep(600)
with Deployment(uses=Deaf) as running:
    exec({FACTS!r})
    threading.Thread(target=running.post, args=('/',), daemon=True).start()
    running.block()
"""
    )
    script = run_script(text)
    pids = pids_of(script)
    script.wait_for('busy')
    script.process.send_signal(signal.SIGINT)
    wait_gone([script.process.pid, *pids], 5.5)


def test_failing_init_is_reported_at_once(
    run_script: Callable[..., Any], wait_gone: Callable[[list[int], float], float]
) -> None:
    text = (
        CLASSES
        + """
import time
from jina.excepts import RuntimeFailToStart
running = Flow().add(uses=Shouter).add(uses=Broken, name='broken')
begin = time.monotonic()
try:
    running.start()
except RuntimeFailToStart as error:
    print(error)
    print('seconds:', time.monotonic() - begin)
    print('pods:', running.num_pods)
"""
    )
    output = run_script(text).finish()
    assert "Deployment 'broken' failed to start: ValueError: no model here" in output
    assert "raise ValueError('no model here')" in output
    assert float(output.split('seconds:')[1].split()[0]) < 20  # and not after timeout_ready, ten minutes
    assert output.split('pods:')[1].split()[0] == '0'


def test_notebook_cells(run_script: Callable[..., Any]) -> None:
    cells = [
        CLASSES,
        'flow = Flow().add(uses=Shouter)\nflow.start()',
        "print(flow.post('/shout', Note(text='a'), parameters={'word': 'w'}, return_type=DocList[Note]).text)",
        'flow.close()',
    ]
    text = f'import builtins\nscope = {{"__name__": "__main__", "__builtins__": builtins}}\nfor cell in {cells!r}:\n    exec(compile(cell, "<cell>", "exec"), scope)\n'
    script = run_script(text)
    output = script.finish()
    assert script.process.returncode == 0, output
    assert "['A']" in output


def test_class_of_a_neighbouring_module(run_script: Callable[..., Any], tmp_path: Any) -> None:
    (tmp_path / 'neighbour.py').write_text(CLASSES + "\nprint('imported in', __name__)\n")
    script = run_script(
        "from neighbour import *\nwith Deployment(uses=Shouter) as d:\n    print(d.post('/shout', Note(text='b'), parameters={'word': ''}, return_type=DocList[Note]).text)\n"
    )
    output = script.finish()
    assert script.process.returncode == 0, output
    assert "['B']" in output
    assert output.count('imported in neighbour') == 2


def test_fork_of_a_program_with_a_running_flow(run_script: Callable[..., Any]) -> None:
    text = (
        CLASSES
        + """
import os, sys
with Deployment(uses=Shouter) as outer:
    child = os.fork()
    if child == 0:
        with Deployment(uses=Shouter) as inner:
            print('child', inner.post('/shout', Note(text='c'), parameters={'word': ''}, return_type=DocList[Note]).text, flush=True)
        outer.close()
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
    print('parent', outer.post('/shout', Note(text='d'), parameters={'word': ''}, return_type=DocList[Note]).text)
"""
    )
    script = run_script(text)
    output = script.finish()
    assert script.process.returncode == 0, output
    assert "child ['C']" in output
    assert "parent ['D']" in output


def test_class_that_only_a_yaml_names(run_script: Callable[..., Any], tmp_path: Any) -> None:
    (tmp_path / 'flow.yml').write_text('jtype: Flow\nexecutors:\n  - uses: Shouter\n  - uses: {jtype: Shouter}\n')
    script = run_script(
        CLASSES
        + "\nwith Flow.load_config('flow.yml') as f:\n    print(f.post('/shout', Note(text='e'), parameters={'word': 'w'}, return_type=DocList[Note])[0].tags.text)\n"
    )
    output = script.finish()
    assert script.process.returncode == 0, output
    assert "['w', 'w']" in output


def test_import_starts_nothing(run_script: Callable[..., Any]) -> None:
    script = run_script(
        'import os, threading\nfrom jina import Deployment, Executor, Flow\nfrom jina.orchestrate import launcher\n'
        'print("threads:", threading.active_count(), launcher._current)\n'
    )
    assert 'threads: 1 None' in script.finish()


def test_own_session(run_script: Callable[..., Any]) -> None:
    script = run_script(
        CLASSES + f'with Deployment(uses=Shouter) as running:\n    exec({FACTS!r})\n    running.block()\n'
    )
    pids = pids_of(script)
    assert all(os.getsid(pid) != script.process.pid for pid in pids)
    script.process.send_signal(signal.SIGINT)
    script.finish()
