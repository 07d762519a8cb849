"""Which files belong to an Executor, and reading them again."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from jina.core.config import ExecutorOptions
from jina.core.loader import load_executor
from jina.core.yaml import registered_class
from jina.runtime.sources import Sources, class_afresh, loaded_afresh, sources_of

CODE = 'from jina import Executor\n\nclass {name}(Executor):\n    version = {version}\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path  # type: ignore[misc]
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_files_of_a_module_a_package_and_a_yaml(folder: Path) -> None:
    package = folder / 'libs' / 'sourced' / 'inner'
    package.mkdir(parents=True)
    for part in (package.parent, package):
        (part / '__init__.py').touch()
    (package / 'mine.py').write_text(CODE.format(name='Mine', version=1))
    config = folder / 'config' / 'mine.yml'
    config.parent.mkdir()
    config.write_text('jtype: sourced.inner.mine.Mine\n')
    sys.path.insert(0, str(folder / 'libs'))
    try:
        options = ExecutorOptions(uses=str(config))
        found = sources_of(options, load_executor(options, runtime_name='e'))
    finally:
        sys.path.remove(str(folder / 'libs'))
    assert found == Sources(config, (package.parent,), ())
    assert found.watched == (config.parent, package.parent)
    assert found.concerns(str(config))
    assert found.concerns(str(package / 'new.py'))
    assert not found.concerns(str(package / 'data.txt'))
    assert not found.concerns(str(config.parent / 'other.yml'))
    assert not found.concerns(str(package / '.venv' / 'lib.py'))


def test_a_class_of_a_library_is_its_file_alone(folder: Path) -> None:
    library = folder / 'site-packages'
    library.mkdir()
    (library / 'sourced_library.py').write_text(CODE.format(name='InLibrary', version=1))
    sys.path.insert(0, str(library))
    try:
        options = ExecutorOptions(uses='sourced_library.InLibrary')
        found = sources_of(options, load_executor(options, runtime_name='e'))
    finally:
        sys.path.remove(str(library))
    assert found.files == (library / 'sourced_library.py',)
    assert not found.folders
    assert not found.concerns(str(library / 'numpy.py'))


def test_a_failure_brings_modules_and_classes_back(folder: Path) -> None:
    file = folder / 'sourced_again.py'
    file.write_text(CODE.format(name='Again', version=1))
    old = importlib.import_module('sourced_again')
    sources = Sources(None, (folder,), ())
    file.write_text(CODE.format(name='Again', version=2))  # as long as before, and within the same second
    with pytest.raises(KeyError), loaded_afresh(sources):
        assert registered_class('Again') is None
        assert class_afresh(old.Again).version == 2  # type: ignore[attr-defined]
        raise KeyError
    assert sys.modules['sourced_again'] is old
    assert registered_class('Again') is old.Again
    with loaded_afresh(sources):
        assert class_afresh(old.Again) is not old.Again
    assert registered_class('Again').version == 2  # type: ignore[union-attr]
