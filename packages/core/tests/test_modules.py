"""Import of ``py_modules``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jina.core.errors import ConfigError, ConfigSourceError
from jina.core.modules import import_py_modules


@pytest.fixture(autouse=True)
def unchanged_modules() -> Iterator[None]:
    before = dict(sys.modules)
    path = list(sys.path)
    yield
    assert sys.path == path
    for name in set(sys.modules) - set(before):
        del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_file_is_a_module_of_its_name(tmp_path: Path) -> None:
    write(tmp_path / 'my_executor_a.py', 'value = 1\n')
    (module,) = import_py_modules(['my_executor_a.py'], [tmp_path])
    assert (module.__name__, module.value) == ('my_executor_a', 1)
    assert sys.modules['my_executor_a'] is module
    import my_executor_a  # type: ignore[import-not-found]

    assert my_executor_a is module


def test_one_path_may_be_a_text(tmp_path: Path) -> None:
    path = write(tmp_path / 'single_text.py', '')
    assert import_py_modules(str(path))[0].__file__ == str(path)


def test_package_with_relative_imports_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path / 'exec_pkg' / '__init__.py', 'from .my_executor import MyExecutor\n')
    write(
        tmp_path / 'exec_pkg' / 'my_executor.py',
        'from .helper import name\nfrom .utils.data import foo\nclass MyExecutor:\n    found = name + foo\n',
    )
    write(tmp_path / 'exec_pkg' / 'helper.py', "name = 'helper '\n")
    write(tmp_path / 'exec_pkg' / 'utils' / '__init__.py', '')
    write(tmp_path / 'exec_pkg' / 'utils' / 'data.py', 'from ..helper import name\nfoo = name + "data"\n')
    (module,) = import_py_modules('exec_pkg/__init__.py', [tmp_path])
    assert module.MyExecutor.found == 'helper helper data'
    assert module.MyExecutor.__module__ == 'exec_pkg.my_executor'
    assert import_py_modules('exec_pkg', [tmp_path]) == [module]


def test_second_import_runs_nothing(tmp_path: Path) -> None:
    write(tmp_path / 'counted.py', "import os\nos.environ['COUNTED'] = os.environ.get('COUNTED', '') + 'x'\n")
    try:
        first = import_py_modules(['counted.py', str(tmp_path / 'counted.py')], [tmp_path])
        second = import_py_modules('./counted.py', [tmp_path])
        assert first == [second[0], second[0]]
        import os

        assert os.environ['COUNTED'] == 'x'
    finally:
        import os

        os.environ.pop('COUNTED', None)


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    write(tmp_path / 'a' / 'executor_twin.py', 'value = "a"\n')
    write(tmp_path / 'b' / 'executor_twin.py', 'value = "b"\n')
    (first,) = import_py_modules('executor_twin.py', [tmp_path / 'a'])
    (second,) = import_py_modules('executor_twin.py', [tmp_path / 'b'])
    assert (first.value, second.value) == ('a', 'b')
    assert first.__name__ == 'executor_twin'
    assert re.fullmatch(r'executor_twin_[0-9a-f]{8}', second.__name__)
    assert import_py_modules('executor_twin.py', [tmp_path / 'b']) == [second]


def test_a_file_does_not_shadow_an_installed_module(tmp_path: Path) -> None:
    write(tmp_path / 'imaplib.py', 'value = 1\n')
    (module,) = import_py_modules('imaplib.py', [tmp_path])
    assert module.__name__.startswith('imaplib_')
    import imaplib

    assert hasattr(imaplib, 'IMAP4')


def test_listed_files_may_import_each_other_in_order(tmp_path: Path) -> None:
    write(tmp_path / 'listed_helper.py', 'value = 3\n')
    write(tmp_path / 'listed_executor.py', 'from listed_helper import value\n')
    modules = import_py_modules(['listed_helper.py', 'listed_executor.py'], [tmp_path])
    assert modules[1].value == 3


def test_importable_modules_by_name() -> None:
    import json.decoder

    assert import_py_modules(['json.decoder']) == [json.decoder]


def test_working_directory_is_searched_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / 'cwd' / 'where_am_i.py', 'value = "cwd"\n')
    write(tmp_path / 'cwd' / 'only_cwd.py', 'value = "cwd"\n')
    write(tmp_path / 'yaml' / 'where_am_i.py', 'value = "yaml"\n')
    monkeypatch.chdir(tmp_path / 'cwd')
    modules = import_py_modules(['where_am_i.py', 'only_cwd.py'], [tmp_path / 'yaml'])
    assert [module.value for module in modules] == ['yaml', 'cwd']


@pytest.mark.parametrize('path', ['missing_file.py', 'missing_module', 'folder/missing', 'json.missing_part'])
def test_missing_file_names_the_folders(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigSourceError) as caught:
        import_py_modules(path, ['/nowhere'])
    assert str(caught.value) == f'can not find {path!r}; searched in /nowhere, {tmp_path}'


def test_failing_file_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write(tmp_path / 'broken_exec.py', 'import not_there_at_all\n')
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            import_py_modules(str(path))
        assert str(caught.value) == (
            f"the import of {str(path)!r} failed: ModuleNotFoundError: No module named 'not_there_at_all'"
        )
        assert isinstance(caught.value.__cause__, ModuleNotFoundError)
        assert 'broken_exec' not in sys.modules
    path.write_text('value = 1\n')
    assert import_py_modules(str(path))[0].value == 1


def test_failing_package_can_be_imported_after_its_repair(tmp_path: Path) -> None:
    write(tmp_path / 'broken_pkg' / '__init__.py', 'from .part import value\n')
    part = write(tmp_path / 'broken_pkg' / 'part.py', 'value = 1 / 0\n')
    with pytest.raises(ConfigError, match='ZeroDivisionError'):
        import_py_modules('broken_pkg', [tmp_path])
    assert not [name for name in sys.modules if name.startswith('broken_pkg')]
    part.write_text('value = 1  # repaired\n')
    assert import_py_modules('broken_pkg', [tmp_path])[0].value == 1


def test_file_that_is_no_python(tmp_path: Path) -> None:
    path = write(tmp_path / 'data.txt', 'x')
    with pytest.raises(ConfigError, match='is not a Python file; name'):
        import_py_modules(str(path))


def test_unlisted_file_beside_the_imported_one_is_hinted_at(tmp_path: Path) -> None:
    write(tmp_path / 'unlisted_helper.py', '')
    path = write(tmp_path / 'needs_helper.py', 'import unlisted_helper\n')
    with pytest.raises(ConfigError) as caught:
        import_py_modules(str(path))
    assert str(caught.value) == (
        f"the import of {str(path)!r} failed: ModuleNotFoundError: No module named 'unlisted_helper'; "
        "list 'unlisted_helper.py' before it in py_modules, or make the folder a package with relative imports"
    )
