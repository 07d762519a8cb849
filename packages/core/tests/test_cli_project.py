"""The files that ``jina new`` makes; tests/integration/test_project.py runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from jina.core.cli.main import main
from jina.core.yaml import load_yaml

FILES = ['README.md', 'client.py', 'executor1/config.yml', 'executor1/executor.py', 'executor1/requirements.txt']


@pytest.mark.parametrize(('arguments', 'kind'), [([], 'flow'), (['--type=deployment'], 'deployment')])
def test_files(
    arguments: list[str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['new', 'hello-jina', *arguments]) == 0
    folder = tmp_path / 'hello-jina'
    made = sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())
    assert made == sorted([*FILES, f'{kind}.yml'])
    assert load_yaml(folder / f'{kind}.yml').data['jtype'] == kind.capitalize()
    assert f'jina {kind} --uses {kind}.yml' in capsys.readouterr().out
    assert f'jina {kind} --uses {kind}.yml' in (folder / 'README.md').read_text()
    assert main(['new', 'hello-jina', *arguments]) == 1
    assert capsys.readouterr().err == "error: 'hello-jina' exists already; choose another name, or remove it\n"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()) == made


def test_a_folder_that_can_not_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'file').write_text('')
    assert main(['new', str(tmp_path / 'file' / 'project')]) == 1
    assert 'can not be made' in capsys.readouterr().err
