from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.config import ExecutorOptions, build
from jina.core.endpoints import requests
from jina.core.errors import ConfigError, ConfigSourceError, NotSupportedError, SchemaError
from jina.core.executor import BaseExecutor, Executor
from jina.core.loader import load_executor, resolve_executor_class


class Parametrised(Executor):
    def __init__(self, param1: int = 1, param2: int = 2, param3: int = 3, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params = (param1, param2, param3)

    @requests
    def foo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]: ...


def load(**values: Any) -> BaseExecutor:
    return load_executor(build(ExecutorOptions, values, where='test'), runtime_name='exec/rep-0')


def test_a_class_with_overrides() -> None:
    executor = load(
        uses=Parametrised,
        uses_with={'param1': 10, 'param3': 30},
        uses_metas={'name': 'different_name'},
        uses_requests={'/bar': 'foo'},
        workspace='/tmp/some',
        replicas=2,
        replica_id=1,
    )
    assert executor.params == (10, 2, 30)
    assert executor.metas.name == 'different_name'
    assert list(executor.requests) == ['/bar']
    args = executor.runtime_args
    assert (args.name, args.replicas, args.shards, args.shard_id, args.replica_id) == ('exec/rep-0', 2, 1, 0, 1)
    assert (args.workspace, args.py_modules) == ('/tmp/some', None)


def test_the_default_passes_requests_through() -> None:
    executor = load()
    assert type(executor) is BaseExecutor
    assert executor.endpoints.lookup('/index') is None


@pytest.mark.parametrize('uses', ['Parametrised', 'jtype: Parametrised', '!Parametrised', {'jtype': 'Parametrised'}])
def test_a_registered_name_and_yaml(uses: Any) -> None:
    assert type(load(uses=uses)) is Parametrised


def test_files_packages_and_dotted_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        'from jina import Executor, requests\nfrom {helper} import WORD\nclass {name}(Executor):\n    word = WORD\n'
    )
    package = tmp_path / 'packed'
    package.mkdir()
    (package / 'words.py').write_text("WORD = 'packed'\n")
    (package / 'inside.py').write_text(source.format(helper='.words', name='Inside'))
    (package / '__init__.py').write_text('from .inside import Inside\n')
    (package / 'config.yml').write_text('jtype: Inside\npy_modules:\n  - __init__.py\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load(uses=str(package / 'config.yml')).word == 'packed'
    assert load(uses='config.yml', extra_search_paths=[str(package)]).word == 'packed'
    (tmp_path / 'loose_executor.py').write_text(source.format(helper='packed.words', name='Loose'))
    monkeypatch.chdir(tmp_path)
    loaded = load(uses='Loose', py_modules=['loose_executor.py'])
    assert (loaded.word, loaded.runtime_args.py_modules) == ('packed', ['loose_executor.py'])
    assert resolve_executor_class('packed.inside.Inside') is sys.modules['packed.inside'].Inside


@pytest.mark.parametrize(
    ('uses', 'error', 'message'),
    [
        ('docker://image', NotSupportedError, 'is a container image'),
        ('jinaai+docker://jina-ai/X', NotSupportedError, 'is a container image'),
        ('jinaai://jina-ai/X/', NotSupportedError, 'is an Executor of the hub'),
        (int, ConfigError, 'is no Executor; derive the class from jina.Executor'),
        (3, ConfigError, 'uses=3 is no Executor'),
        ('NoSuchExecutorClass', ConfigSourceError, "there is no Executor class 'NoSuchExecutorClass'"),
        ('no_such_file.yml', ConfigSourceError, 'no_such_file.yml'),
        ({'with': {}}, ConfigError, 'jtype is None; name the Executor class'),
    ],
)
def test_what_is_no_executor(uses: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(uses=uses)


def test_constructors_that_can_not_work() -> None:
    class NoKwargs(Executor):
        def __init__(self, foo: int = 1) -> None:
            super().__init__()

    class NoSuper(Executor):
        def __init__(self, **kwargs: Any) -> None:
            pass

    class Needs(Executor):
        def __init__(self, model: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)

    with pytest.raises(ConfigError, match=r'NoKwargs.__init__.* takes no \*\*kwargs'):
        load(uses=NoKwargs)
    with pytest.raises(
        ConfigError, match=r'NoSuper.__init__ does not initialise .* call super\(\).__init__\(\*\*kwargs\)'
    ):
        load(uses=NoSuper)
    with pytest.raises(
        ConfigError, match=r"Needs.__init__ needs the argument 'model'; give it: uses_with={'model': ...}"
    ):
        load(uses=Needs)


def test_an_exception_of_the_constructor_comes_out_as_it_is() -> None:
    class Fails(Executor):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            raise ZeroDivisionError('boom')

    with pytest.raises(ZeroDivisionError, match=r'boom'):
        load(uses=Fails)


def test_endpoints_are_checked_and_the_executor_closed() -> None:
    closed = []

    class Wrong(Executor):
        @requests
        def foo(self, docs: int, **kwargs: Any): ...

        def close(self) -> None:
            closed.append(True)

    with pytest.raises(SchemaError, match=r'docs of Wrong.foo'):
        load(uses=Wrong)
    assert closed == [True]
