from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.config import ExecutorOptions
from jina.core.endpoints import requests
from jina.core.errors import ConfigError, ConfigSourceError, SchemaError
from jina.core.executor import BaseExecutor, Executor
from jina.core.loader import load_executor


class Greeter(Executor):
    def __init__(self, greeting: str = 'hello', punctuation: str = '', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.greeting = greeting + punctuation

    @requests(on='/greet')
    def greet(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = self.greeting


def test_an_executor_is_a_plain_object() -> None:
    docs = DocList[TextDoc]([TextDoc(text='')])
    Greeter('good day').greet(docs)
    assert docs[0].text == 'good day'
    assert Greeter().metas.name == 'Greeter'
    assert vars(Greeter().runtime_args) == {}
    assert repr(Greeter(metas={'name': 'g'})) == "<Greeter name='g'>"


def test_close_is_called_at_the_end_of_with() -> None:
    class Closes(Executor):
        closed = False

        def close(self) -> None:
            self.closed = True

    with Closes() as executor:
        assert not executor.closed
    assert executor.closed


class ClosesLater(Executor):
    closed = 0

    async def close(self) -> None:
        await asyncio.sleep(0)
        type(self).closed += 1


async def test_an_asynchronous_close_runs_to_its_end() -> None:
    def use() -> None:
        with ClosesLater():
            pass

    await asyncio.to_thread(use)
    assert ClosesLater.closed == 1
    use()  # inside of an event loop too
    assert ClosesLater.closed == 2


def test_an_asynchronous_close_runs_when_an_endpoint_is_wrong() -> None:
    class Wrong(ClosesLater):
        closed = 0

        @requests
        def wrong(self, docs: int) -> None: ...

    with pytest.raises(SchemaError):
        load_executor(ExecutorOptions(uses=Wrong), runtime_name='wrong')
    assert Wrong.closed == 1


def test_a_workspace_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    executor = Greeter(workspace=tmp_path / 'file')
    with pytest.raises(ConfigError, match=r'the workspace of Greeter can not be made: .*file.*; give a folder'):
        _ = executor.workspace


def test_metas_and_runtime_args_are_attributes() -> None:
    executor = Greeter(metas={'name': 'n', 'url': 'u'}, runtime_args={'name': 'n/rep-0', 'shards': 1})
    assert (executor.metas.name, executor.metas.url, executor.metas.description) == ('n', 'u', '')
    assert (executor.runtime_args.name, executor.runtime_args.shards) == ('n/rep-0', 1)
    assert executor.logger.name == 'n/rep-0'
    assert executor.tracer is None
    assert executor.meter is None


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        ({'runtime_args': {'workspace': '{tmp}/a', 'shard_id': 1}, 'metas': {'name': 'n'}}, '{tmp}/a/n/1'),
        ({'workspace': '{tmp}/b'}, '{tmp}/b/Greeter'),
        ({'metas': {'workspace': '{tmp}/c'}}, '{tmp}/c/Greeter'),
        ({}, '{tmp}/default/Greeter'),
    ],
)
def test_workspace(arguments: dict[str, Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_DEFAULT_WORKSPACE_BASE', str(tmp_path / 'default'))

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        return value.format(tmp=tmp_path) if isinstance(value, str) else value

    workspace = Greeter(**fill(arguments)).workspace
    assert workspace == fill(expected)
    assert Path(workspace).is_dir()


def test_the_default_workspace_is_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('JINA_DEFAULT_WORKSPACE_BASE', raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert Greeter().workspace == str(tmp_path / '.cache/jina/Greeter')


def test_unused_arguments_are_named_in_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    Greeter(greting='x')
    out, err = capfd.readouterr()
    assert "Greeter does not use the arguments 'greting'" in (out + err).replace('\n', ' ')


def test_load_config_from_text_and_dict_with_overrides() -> None:
    text = 'jtype: Greeter\nwith:\n  greeting: hi\n  punctuation: "!"\nmetas:\n  name: g\n  keywords: [a]\n'
    executor = Executor.load_config(text)
    assert isinstance(executor, Greeter)
    assert (executor.greeting, executor.metas.name, executor.metas.keywords) == ('hi!', 'g', ['a'])
    executor = BaseExecutor.load_config(
        {'jtype': 'Greeter'},
        uses_with={'greeting': 'yo'},
        uses_metas={'name': 'other'},
        uses_requests={'/other': 'greet'},
        runtime_args={'shard_id': 2},
    )
    assert (executor.greeting, executor.metas.name, list(executor.requests)) == ('yo', 'other', ['/other'])
    assert executor.runtime_args.shard_id == 2


def test_load_config_from_a_file_with_py_modules(tmp_path: Path) -> None:
    (tmp_path / 'my_executor.py').write_text(
        'from jina import Executor, requests\n'
        'class FromFile(Executor):\n'
        '    @requests\n'
        '    def foo(self, **kwargs):\n'
        "        return {'a': 1}\n"
    )
    (tmp_path / 'config.yml').write_text('!FromFile\npy_modules: my_executor.py\nrequests:\n  /foo: foo\n')
    executor = Executor.load_config(str(tmp_path / 'config.yml'))
    assert type(executor).__name__ == 'FromFile'
    assert list(executor.requests) == ['/foo']
    assert executor.config_path == tmp_path / 'config.yml'


def test_save_config_can_be_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / 'saved.yml'
    Greeter('hi', metas={'name': 'g'}, requests={'/x': 'greet'}).save_config(path)
    executor = Executor.load_config(str(path))
    assert isinstance(executor, Greeter)
    assert (executor.greeting, executor.metas.name, list(executor.requests)) == ('hi', 'g', ['/x'])


@pytest.mark.parametrize('place', ['py_modules: [source/]', 'metas: {py_modules: source/__init__.py}'])
def test_a_saved_config_names_the_files_of_the_class(place: str, tmp_path: Path) -> None:
    (tmp_path / 'source').mkdir()
    (tmp_path / 'source' / '__init__.py').write_text('from jina import Executor\n\n\nclass Kept(Executor): ...\n')
    (tmp_path / 'config.yml').write_text(f'jtype: Kept\n{place}\n')
    (tmp_path / 'elsewhere').mkdir()
    programs = (
        "Executor.load_config('../config.yml').save_config('saved.yml')",
        "print(Executor.load_config('saved.yml'))",
    )
    for program in programs:
        done = subprocess.run(
            [sys.executable, '-c', f'from jina import Executor; {program}'],
            cwd=tmp_path / 'elsewhere',
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == "<Kept name='Kept'>\n"


@pytest.mark.parametrize(
    ('document', 'error', 'message'),
    [
        (
            'jtype: Greeter\nwiht: {}\n',
            ConfigError,
            "<string>:2: wiht: 'wiht' is no key of an Executor; did you mean 'with'",
        ),
        ('jtype: Greter\n', ConfigSourceError, "there is no Executor class 'Greter'; did you mean 'Greeter'?"),
        ('jtype: Greeter\nwith: 3\n', ConfigError, 'with is 3; write with as a mapping'),
        ('jtype: json.JSONDecoder\n', ConfigError, "'json.JSONDecoder' is no Executor"),
        ('jtype: json.Nothing\n', ConfigSourceError, "module 'json' has no 'Nothing'"),
        ('jtype: no_such_module.Nothing\n', ConfigSourceError, "there is no module 'no_such_module'"),
        (
            'jtype: Greeter\ndynamic_batching: {/a: {time_out: 1}}\n',
            ConfigError,
            r"<string>:2: dynamic_batching\['/a'\].time_out: no such option; did you mean 'timeout'?",
        ),
        (
            'jtype: Greeter\ndynamic_batching: [/a]\n',
            ConfigError,
            r"<string>:2: dynamic_batching: dynamic_batching is \['/a'\]; write dynamic_batching as a mapping",
        ),
        (
            'jtype: Greeter\nuses_dynamic_batching: {/a: 3}\n',
            ConfigError,
            r"uses_dynamic_batching\['/a'\] is 3; write a mapping of options such as preferred_batch_size",
        ),
        ('jtype: Greeter\nwith:\n  runtime_args: {}\n', ConfigError, 'runtime_args can not be an argument of Greeter'),
        ('jtype: Greeter\npy_modules: [3]\n', ConfigError, r'is \[3\]; give a path or a list of paths'),
    ],
)
def test_wrong_documents(document: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Executor.load_config(document)


def test_batching_of_the_document_is_overridden_value_by_value(tmp_path: Path) -> None:
    document = """
    jtype: Greeter
    dynamic_batching: {/x: {preferred_batch_size: 2, timeout: 5}}
    uses_dynamic_batching: {/y: {timeout: 6}}
    """
    executor = Executor.load_config(
        document, uses_dynamic_batching={'/x': {'timeout': 7}, 'greet': {'flush_all': True}}
    )
    expected = {'/x': {'preferred_batch_size': 2, 'timeout': 7}, '/y': {'timeout': 6}, 'greet': {'flush_all': True}}
    assert executor.dynamic_batching == expected
    executor.save_config(tmp_path / 'saved.yml')
    assert Executor.load_config(str(tmp_path / 'saved.yml')).dynamic_batching == expected


def test_an_init_that_names_its_arguments_needs_batching_only_when_it_is_configured() -> None:
    class Named(Executor):
        def __init__(self, metas=None, requests=None, runtime_args=None) -> None:
            super().__init__(metas, requests, runtime_args)

    assert Executor.load_config('jtype: Named').dynamic_batching == {}
    with pytest.raises(ConfigError, match=r'takes no \*\*kwargs'):
        Executor.load_config('jtype: Named\ndynamic_batching: {/a: {timeout: 1}}')


def test_a_document_of_another_class_is_refused() -> None:
    class Other(Executor):
        pass

    with pytest.raises(ConfigError, match="'Greeter' is not a kind of Other"):
        Other.load_config('jtype: Greeter')
