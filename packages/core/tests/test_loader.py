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


def test_of_two_classes_of_one_name_that_of_the_documents_own_files_is_taken(tmp_path: Path) -> None:
    for folder in ('first', 'second'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'namesake.py').write_text(
            f'from jina import Executor\nclass Namesake(Executor):\n    folder = "{folder}"\n'
        )
        (tmp_path / folder / 'config.yml').write_text('jtype: Namesake\npy_modules: namesake.py\n')
    for folder in ('first', 'second', 'first'):  # at the third time both files are imported already
        found: Any = load(uses=str(tmp_path / folder / 'config.yml'))
        assert found.folder == folder


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


def keyword_readers() -> list[type[Executor]]:
    """Constructors that may mean arguments that they don't name."""

    class Gets(Executor):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.size = kwargs.get('size')

    class Keeps(Executor):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.size = dict(settings)['size']

    class Closes(Executor):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.size = (lambda: kwargs['size'])()

    class HandsOn(Executor):
        def __init__(self, metas: Any = None, requests: Any = None, runtime_args: Any = None, **model: Any) -> None:
            super().__init__(metas, requests, runtime_args)
            self.size = dict(**model)['size']

    class Inherits(Gets):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)

    return [Gets, Keeps, Closes, HandsOn, Inherits]


@pytest.mark.parametrize('executor_class', keyword_readers(), ids=lambda kind: kind.__name__)
def test_a_constructor_may_read_its_keywords(executor_class: type[Executor]) -> None:
    assert load(uses=executor_class, uses_with={'size': 3}).size == 3


def test_an_argument_that_nobody_takes_fails_the_start() -> None:
    class Forwards(Parametrised):
        def __init__(self, *args: Any, width: int = 0, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    expected = r"^uses_with\['paramm1'\]: Forwards.__init__ takes no argument 'paramm1'; did you mean 'param1'\?$"
    with pytest.raises(ConfigError, match=expected):
        load(uses=Forwards, uses_with={'width': 1, 'param2': 2, 'paramm1': 3})
    with pytest.raises(ConfigError, match=r"takes no argument 'x'; it takes width, param1, param2, param3, workspace$"):
        load(uses=Forwards, uses_with={'x': 3})
    assert load(uses=Forwards, uses_with={'width': 1, 'param2': 3}).params == (1, 3, 3)
    assert Forwards(x=3).params == (1, 2, 3), 'used as plain Python it is a warning'


def test_an_executor_inside_of_another_is_plain_python() -> None:
    class Inner(Executor):
        pass

    class Outer(Executor):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.inner = Inner(size=3)

    assert isinstance(load(uses=Outer).inner, Inner)


def test_dotted_paths_are_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'path', [path for path in sys.path if path])
    (tmp_path / 'only_here.py').write_text('from jina import Executor\nclass Here(Executor): ...\n')
    with pytest.raises(ConfigSourceError, match=r'uses=.only_here.Here.: there is no module'):
        load(uses='only_here.Here')
    monkeypatch.chdir(tmp_path)
    assert type(load(uses='only_here.Here')).__name__ == 'Here'
    (tmp_path / 'broken_here.py').write_text('import not_there_at_all\n')
    with pytest.raises(ModuleNotFoundError, match='not_there_at_all'):
        load(uses='broken_here.Here')


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
