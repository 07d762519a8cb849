"""How an Executor is configured and found, and what a start says when something in that is wrong."""

from __future__ import annotations

import functools
import http.server
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import StartupError

from tests.support.processes import free_port, peer, wait_for_port

SOURCE = """
from jina import Executor, requests

class Configured(Executor):
    def __init__(self, one=1, two=2, three=3, **kwargs):
        super().__init__(**kwargs)
        self.values = [one, two, three]

    @requests(on='/facts')
    def facts(self, **kwargs):
        metas = vars(self.metas)
        return {
            'values': self.values,
            'metas': {name: metas.get(name) for name in ('name', 'description', 'url', 'keywords')},
            'requests': {endpoint: method.__name__ for endpoint, method in self.requests.items()},
            'py_modules': self.runtime_args.py_modules,
        }

    @requests(on='/second')
    def second(self, **kwargs):
        return {'second': True}

class NoDocument(Executor):
    @requests(on='/bad')
    def bad(self, docs: int, **kwargs): ...

class Named(Executor):
    def __init__(self, size, metas=None, requests=None, runtime_args=None):
        super().__init__(metas, requests, runtime_args)

class NotAnExecutor: ...
"""
CONFIG = """
jtype: Configured
with:
  one: 10
  two: 20
metas:
  name: Indexer
  description: Indexes all Documents
  url: https://github.com/janedoe/indexer
  keywords: ['indexer', 'executor']
requests:
  /other: second
dynamic_batching:
  /other: {preferred_batch_size: 2, timeout: 5}
py_modules:
  - executor.py
"""


class Known(Executor):
    """Tells what it was given."""

    def __init__(self, mark: str = '', *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mark = mark
        self.seen = [self.metas.name, self.runtime_args.name, list(self.requests)]

    @requests(on='/facts')
    def facts(self, **kwargs: Any) -> dict[str, Any]:
        args = self.runtime_args
        return {
            'name': self.metas.name,
            'seen': self.seen,
            'workspace': self.workspace,
            'runtime': [args.name, args.replicas, args.shards, args.shard_id, args.workspace],
            'flavour': os.environ.get('FLAVOUR'),
            'mark': self.mark,
        }


class Renamed(Known):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, 'metas': {**kwargs['metas'], 'name': 'changed'}})


def facts(running: Any, endpoint: str = '/facts') -> Any:
    (response,) = running.post(endpoint, return_responses=True)
    return response.parameters.get('__results__')


def facts_of(**options: Any) -> Any:
    with Deployment(quiet=True, **options) as running:
        (only,) = facts(running).values()
    return only


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / 'executor.py').write_text(SOURCE)
    (tmp_path / 'config.yml').write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_an_executor_knows_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_DEFAULT_WORKSPACE_BASE', str(tmp_path / 'base'))
    found = facts_of(uses=Known, name='enc', replicas=2)
    assert found['seen'] == ['Known', found['runtime'][0], ['/facts']]
    assert found['runtime'][0] in ('enc/rep-0', 'enc/rep-1')
    assert found['runtime'][1:] == [2, 1, 0, None]
    assert found['workspace'] == str(tmp_path / 'base/Known/0')
    own = facts_of(uses=Known, workspace=str(tmp_path / 'own'), uses_metas={'name': 'other'})
    assert (own['name'], own['workspace'], own['runtime'][4]) == (
        'other',
        str(tmp_path / 'own/other/0'),
        str(tmp_path / 'own'),
    )
    assert Path(own['workspace']).is_dir()


def test_an_executor_may_change_what_it_is_given(tmp_path: Path) -> None:
    found = facts_of(uses=Renamed, workspace=str(tmp_path))
    assert (found['name'], found['workspace']) == ('changed', str(tmp_path / 'changed/0'))


def test_options_of_a_flow_and_of_its_executors(tmp_path: Path) -> None:
    flow = Flow(quiet=True, env={'FLAVOUR': 'flow'}, workspace=str(tmp_path / 'flow')).add(uses=Known, name='one')
    with flow.add(
        uses=Known, name='two', env={'FLAVOUR': 'two'}, workspace=str(tmp_path / 'two'), uses_with={'mark': 'm'}
    ) as running:
        found = facts(running)
    one, two = found['one/rep-0'], found['two/rep-0']
    assert (one['flavour'], one['workspace'], one['mark']) == ('flow', str(tmp_path / 'flow/Known/0'), '')
    assert (two['flavour'], two['workspace'], two['mark']) == ('two', str(tmp_path / 'two/Known/0'), 'm')
    assert 'FLAVOUR' not in os.environ


@pytest.mark.usefixtures('folder')
def test_yaml_and_what_overrides_it_in_part() -> None:
    metas = {
        'name': 'Indexer',
        'description': 'Indexes all Documents',
        'url': 'https://github.com/janedoe/indexer',
        'keywords': ['indexer', 'executor'],
    }
    expected = {
        'values': [10, 20, 3],
        'metas': metas,
        'requests': {'/facts': 'facts', '/other': 'second'},
        'py_modules': ['executor.py'],
    }
    assert facts_of(uses='config.yml') == expected
    with Flow(quiet=True).add(
        uses='config.yml',
        uses_with={'two': 200},
        uses_metas={'name': 'Renamed'},
        uses_requests={'/more': 'facts'},
        uses_dynamic_batching={'/other': {'timeout': 1}},
    ) as flow:
        (found,) = facts(flow, '/more').values()
        assert not facts(flow), 'it lost the endpoint of its decorator'
        (second,) = facts(flow, '/other').values()
    assert found == {
        **expected,
        'values': [10, 200, 3],
        'metas': {**metas, 'name': 'Renamed'},
        'requests': {'/other': 'second', '/more': 'facts'},
    }
    assert second == {'second': True}


@pytest.fixture(scope='module')
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp('web')
    (root / 'remote.yml').write_text('jtype: Known\nwith: {mark: from the web}\n')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(root))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}/remote.yml'
        server.shutdown()


@pytest.mark.parametrize(
    'options',
    [
        {'uses': 'jtype: Configured\npy_modules: executor.py\nwith: {three: 30}'},
        {'uses': '!Configured\npy_modules: [executor.py]\nwith: {three: 30}'},
        {'uses': {'jtype': 'Configured', 'py_modules': ['executor.py'], 'with': {'three': 30}}},
        {'uses': 'Configured', 'py_modules': ['executor.py'], 'uses_with': {'three': 30}},
        {'uses': 'Configured', 'py_modules': 'executor.py', 'uses_with': {'three': 30}},
        {'uses': 'executor.Configured', 'uses_with': {'three': 30}},
    ],
)
@pytest.mark.usefixtures('folder')
def test_forms_of_uses(options: dict[str, Any]) -> None:
    assert facts_of(**options)['values'] == [1, 2, 30]


def test_uses_from_the_web(web: str) -> None:
    # A class that a URL names has to be there already: what came from the web names no files.
    assert facts_of(uses=f'jtype: {__name__}.Known\nwith: {{mark: inline}}')['mark'] == 'inline'
    with Deployment(quiet=True, uses=web, py_modules=[__file__]) as running:
        (found,) = facts(running).values()
    assert found['mark'] == 'from the web'
    with pytest.raises(StartupError, match=r'can not read the configuration .*nothing.yml.: HTTP Error 404'):
        Deployment(quiet=True, uses=web.replace('remote', 'nothing')).start()


def test_packages_with_relative_imports_at_any_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        'config.yml': 'jtype: Deep\npy_modules:\n  - executor/__init__.py\n',
        'executor/__init__.py': 'from .my_executor import Deep\n',
        'executor/helper.py': "def say(): return 'something'\n",
        'executor/utils/__init__.py': '',
        'executor/utils/data.py': 'from ..helper import say\ndef foo(): return say() + "!"\n',
        'executor/my_executor.py': (
            'from jina import Executor, requests\nfrom .helper import say\nfrom .utils.data import foo\n'
            'class Deep(Executor):\n'
            "    @requests(on='/facts')\n"
            "    def facts(self, **kwargs): return {'said': [say(), foo()]}\n"
        ),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / 'app').mkdir()
    monkeypatch.chdir(tmp_path / 'app')
    assert facts_of(uses='../config.yml') == {'said': ['something', 'something!']}
    with Flow(quiet=True, extra_search_paths=['..']).add(uses='config.yml').add(uses='config.yml') as flow:
        assert sorted(facts(flow)) == ['executor0/rep-0', 'executor1/rep-0']


@pytest.mark.parametrize('options', [['--uses', 'Configured', '--py-modules', 'executor.py'], ['--uses', 'config.yml']])
def test_the_command_line(folder: Path, options: list[str]) -> None:
    port = free_port()
    program = 'import sys; from jina.core.cli.main import main; sys.exit(main())'
    settings = ['--uses-with', 'three:30', '--uses-metas', 'name: given', '--workspace', 'ws']
    with peer([sys.executable, '-c', program, 'executor', '--port', str(port), *options, *settings], cwd=folder):
        wait_for_port(port, timeout_s=90)
        (found,) = facts(Client(port=port)).values()
    assert (found['values'][2], found['metas']['name']) == (30, 'given')


WRONG = {
    'no such class': (
        'jtype: Configurd\npy_modules: executor.py',
        "wrong.yml:1: jtype: there is no Executor class 'Configurd'; did you mean 'Configured'?",
    ),
    'no Executor': (
        'jtype: NotAnExecutor\npy_modules: executor.py',
        "wrong.yml:1: jtype: 'NotAnExecutor' is no Executor",
    ),
    'no file': ('jtype: Configured\npy_modules:\n  - exec.py', "wrong.yml:2: py_modules: can not find 'exec.py'"),
    'a file that fails': ('jtype: X\npy_modules: broken.py', 'wrong.yml:2: py_modules: the import of '),
    'no such key': ('jtype: Configured\npy_module: executor.py', "wrong.yml:2: py_module: 'py_module' is no key"),
    'no such argument': (
        'jtype: Configured\npy_modules: executor.py\nwith:\n  on: 1\n',
        "wrong.yml:4: with.on: Configured.__init__ takes no argument 'on'; did you mean 'one'?",
    ),
    'no such argument of few': (
        'jtype: Named\npy_modules: executor.py\nwith: {size: 1, length: 3}\n',
        "wrong.yml:3: with.length: Named.__init__ takes no argument 'length'; it takes size",
    ),
    'an argument is missing': (
        'jtype: Named\npy_modules: executor.py\n',
        "wrong.yml:1: with: Named.__init__ needs the argument 'size'",
    ),
    'no such method': (
        'jtype: Configured\npy_modules: executor.py\nrequests:\n  /a: facts\n  /b: fact\n',
        "wrong.yml:5: requests./b: requests binds '/b' to 'fact', which is no method of Configured",
    ),
    'no endpoint to batch': (
        'jtype: Configured\npy_modules: executor.py\nuses_dynamic_batching:\n  /fact: {timeout: 1}\n',
        "wrong.yml:4: uses_dynamic_batching./fact: dynamic batching of '/fact', which is no endpoint of Configured",
    ),
    'no document': (
        'jtype: NoDocument\npy_modules: executor.py\n',
        "executor.py:24: docs of NoDocument.bad is <class 'int'>, which is no document type",
    ),
}


@pytest.mark.parametrize('case', WRONG)
def test_the_start_names_file_and_key_of_what_is_wrong(folder: Path, case: str) -> None:
    text, message = WRONG[case]
    (folder / 'broken.py').write_text('1 / 0\n')
    (folder / 'wrong.yml').write_text(text)
    with pytest.raises(StartupError) as caught:
        Deployment(quiet=True, uses='wrong.yml').start()
    assert message in str(caught.value)
    assert ('Traceback' in str(caught.value)) == (case == 'a file that fails')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'uses_with': {'marc': 1}},
            "uses_with['marc']: Known.__init__ takes no argument 'marc'; did you mean 'mark'?",
        ),
        ({'uses_requests': {'/a': 'fact'}}, "uses_requests['/a']: requests binds '/a' to 'fact', which is no method"),
        ({'uses_dynamic_batching': {'/a': {}}}, "uses_dynamic_batching['/a']: dynamic batching of '/a', which is no"),
    ],
)
def test_the_start_names_the_option_that_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(StartupError) as caught:
        Flow(quiet=True).add(uses=Known, **options).start()
    assert message in str(caught.value)
