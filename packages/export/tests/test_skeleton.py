"""The files that ``jina hub new`` makes; tests/integration/test_project.py serves them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from jina.core.cli.main import main
from jina.core.yaml import load_yaml

FILES = {'executor.py', 'config.yml', 'README.md', 'requirements.txt'}
BOILERPLATE = """\
from jina import Executor, requests
from docarray import DocList, BaseDoc


class MyExecutor(Executor):
    @requests
    def foo(self, docs: DocList[BaseDoc], **kwargs) -> DocList[BaseDoc]:
        pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    monkeypatch.setattr('sys.stdin', io.StringIO(''.join(f'{one}\n' for one in answers)))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize('answers', [('MyExecutor', '', ''), ('MyExecutor',), ('MyExecutor', './MyExecutor', 'n')])
def test_basic_questions(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answers: tuple[str, ...]
) -> None:
    answer(monkeypatch, *answers)
    assert main(['hub', 'new']) == 0
    made = folder / 'MyExecutor'
    assert names(made) == FILES
    assert (made / 'executor.py').read_text() == BOILERPLATE
    assert load_yaml(made / 'config.yml').data == {
        'jtype': 'MyExecutor',
        'py_modules': ['executor.py'],
        'metas': {'name': 'MyExecutor'},
    }
    said = capsys.readouterr().out
    assert 'Name of your Executor: ' in said
    assert 'Folder to save it in [./MyExecutor]: ' in said
    assert said.endswith('cd MyExecutor\njina executor --uses config.yml --port 12345\n')


def test_advanced_questions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, 'SentenceEncoder', 'here/there', 'y', 'Encodes: sentences', 'text, nlp', '', 'y', 'torch-gpu')
    assert main(['hub', 'new']) == 0
    made = folder / 'here/there'
    assert names(made) == FILES | {'Dockerfile'}
    assert load_yaml(made / 'config.yml').data['metas'] == {
        'name': 'SentenceEncoder',
        'description': 'Encodes: sentences',
        'keywords': ['text', 'nlp'],
    }
    assert (made / 'Dockerfile').read_text().endswith('ENTRYPOINT ["jina", "executor", "--uses", "config.yml"]\n')
    assert (made / 'requirements.txt').read_text().splitlines()[-1] == 'torch'
    assert 'docker run --rm --gpus all -p 12345:12345 sentence-encoder' in (made / 'README.md').read_text()


@pytest.mark.parametrize(
    ('template', 'requirement'),
    [('cpu', None), ('tf-gpu', 'tensorflow[and-cuda]'), ('torch-gpu', 'torch'), ('jax-gpu', 'jax[cuda12]')],
)
def test_flags_ask_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], template: str, requirement: str | None
) -> None:
    facts = ['--description', 'Does it', '--keywords', 'a', 'b,c', '--url', 'https://example.com']
    assert main(['hub', 'new', '--name', 'Worker', '--path', 'w', *facts, '--dockerfile', template]) == 0
    assert '?' not in capsys.readouterr().out
    made = folder / 'w'
    assert names(made) == FILES | {'Dockerfile'}
    assert load_yaml(made / 'config.yml').data['metas'] == {
        'name': 'Worker',
        'description': 'Does it',
        'url': 'https://example.com',
        'keywords': ['a', 'b', 'c'],
    }
    wanted = [line for line in (made / 'requirements.txt').read_text().splitlines() if not line.startswith('#')]
    assert wanted == ([requirement] if requirement else [])


def test_a_flag_for_the_advanced_questions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, 'Does it', '', '', 'n')
    assert main(['hub', 'new', '--name', 'Worker', '--advance-configuration']) == 0
    assert names(folder / 'Worker') == FILES
    assert load_yaml(folder / 'Worker/config.yml').data['metas'] == {'name': 'Worker', 'description': 'Does it'}


@pytest.mark.parametrize(
    ('arguments', 'answers', 'error'),
    [
        ([], [], 'the Executor has no name; give one: jina hub new --name MyExecutor'),
        (
            [],
            ['my-executor'],
            "'my-executor' can not be the name of an Executor class; take a name such as 'MyExecutor'",
        ),
        (
            ['--name', 'Executor'],
            [],
            "'Executor' can not be the name of an Executor class; take a name such as 'MyExecutor'",
        ),
        (['--name', '3d'], [], "'3d' can not be the name of an Executor class; take a name such as 'My3d'"),
        ([], ['Fine', '', 'maybe'], "'maybe' is no answer; answer y or n"),
        (
            [],
            ['Fine', '', 'y', '', '', '', 'y', 'tpu'],
            "jina hub new: dockerfile: 'tpu' is not valid; give one of 'cpu'",
        ),
        (['--name', 'There'], [], "'There' exists already; choose another name, or remove it"),
    ],
)
def test_what_can_not_be_made(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    answers: list[str],
    error: str,
) -> None:
    (folder / 'There').mkdir()
    answer(monkeypatch, *answers)
    assert main(['hub', 'new', *arguments]) == 1
    assert capsys.readouterr().err.startswith(f'error: {error}')
    assert names(folder) == {'There'}


@pytest.mark.parametrize('name', ['push', 'pull', 'list', 'status'])
def test_the_rest_of_the_hub_is_refused(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(['hub', name, '.']) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: command 'hub {name}' ")
    assert 'which this framework does not use; ' in said
