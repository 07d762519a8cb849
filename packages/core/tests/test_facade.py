"""The package ``jina`` itself: what importing it costs and which names it gives."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jina
import pytest
from docarray import DocList
from jina.core.aliases import PUBLIC, Later

CORE_SOURCE = Path(jina.core.aliases.__file__).parents[1]


def run_python(
    code: str, *, path: list[Path] | None = None, isolated: bool = False
) -> subprocess.CompletedProcess[str]:
    env = dict(os.environ)
    if path is not None:
        env['PYTHONPATH'] = os.pathsep.join(map(str, path))
    arguments = [sys.executable, *(['-S'] if isolated else []), '-c', code]
    return subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_import_loads_no_third_party_package_and_changes_nothing() -> None:
    code = """
import sys, os, signal, threading, warnings
before = (signal.getsignal(signal.SIGINT), threading.active_count(), dict(os.environ), list(warnings.filters))
modules = set(sys.modules)
import jina
after = (signal.getsignal(signal.SIGINT), threading.active_count(), dict(os.environ), list(warnings.filters))
assert before == after
new = {name.partition('.')[0] for name in set(sys.modules) - modules}
print(*sorted(name for name in new if name not in sys.stdlib_module_names))
print('multiprocessing' in sys.modules, 'asyncio' in sys.modules, 'logging' in sys.modules)
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ['jina', 'False False False']


def test_import_takes_at_most_30_ms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of compiled modules, as users have them, whatever the environment says.
    monkeypatch.delenv('PYTHONDONTWRITEBYTECODE', raising=False)
    monkeypatch.setenv('PYTHONPYCACHEPREFIX', str(tmp_path))
    code = 'import time; start = time.process_time(); import jina; print((time.process_time() - start) * 1000)'
    fastest = min(float(run_python(code).stdout) for _ in range(6))
    assert fastest <= 30


def test_documents_are_those_of_docarray() -> None:
    assert jina.DocumentArray is DocList
    try:
        from docarray.documents.legacy import LegacyDocument
    except TypeError as error:
        pytest.skip(f'docarray itself can not define LegacyDocument on this Python: {error}')
    assert jina.Document is LegacyDocument


def test_public_names_of_core_are_their_homes() -> None:
    from jina.core.endpoints import dynamic_batching, monitor, requests, write
    from jina.core.executor import Executor
    from jina.core.version import __version__

    assert (jina.Executor, jina.requests, jina.write) == (Executor, requests, write)
    assert (jina.monitor, jina.dynamic_batching, jina.__version__) == (monitor, dynamic_batching, __version__)


def test_every_name_in_all_is_in_the_table_and_available_in_this_version() -> None:
    assert all(not isinstance(PUBLIC[name], Later) for name in jina.__all__)


def test_dir_lists_the_public_names() -> None:
    assert {*jina.__all__} <= {*dir(jina)}


def test_unknown_name_is_an_attribute_error_with_the_nearest_name() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = jina.Exekutor  # type: ignore[attr-defined]
    assert str(caught.value) == "module 'jina' has no attribute 'Exekutor'; did you mean 'Executor'?"
    assert not hasattr(jina, '__wrapped__')


def test_name_of_a_later_version_says_so() -> None:
    with pytest.raises(ImportError) as caught:
        from jina import AsyncFlow  # noqa: F401
    assert str(caught.value) == 'jina.AsyncFlow is not available in this version (it comes with asyncio orchestration)'


@pytest.mark.parametrize(('name', 'distribution'), [('Flow', 'orchestrate'), ('Client', 'client')])
def test_missing_distribution_is_named_with_its_install_line(tmp_path: Path, name: str, distribution: str) -> None:
    ignored = shutil.ignore_patterns('__pycache__', 'orchestrate', 'client')
    shutil.copytree(CORE_SOURCE, tmp_path / 'jina', ignore=ignored)
    code = f"""
import sys
sys.path[:] = [{str(tmp_path)!r}] + [p for p in sys.path if 'packages' not in p or 'site-packages' in p]
sys.path_importer_cache.clear()
import jina
jina.__path__ = [{str(tmp_path / 'jina')!r}]
try:
    from jina import {name}
except ImportError as error:
    print(type(error).__name__, error, sep='|')
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        f'MissingExtraError|jina.{name} (of the distribution jina-{distribution}) is not installed; '
        f'run: pip install "jina-{distribution}"\n'
    )


def test_distributions_side_by_side_share_the_package(tmp_path: Path) -> None:
    first, second = tmp_path / 'core' / 'src', tmp_path / 'other' / 'src'
    shutil.copytree(CORE_SOURCE, first / 'jina', ignore=shutil.ignore_patterns('__pycache__'))
    (second / 'jina' / 'other').mkdir(parents=True)
    (second / 'jina' / 'other' / '__init__.py').write_text('here = True\n')
    for order in ([first, second], [second, first]):
        result = run_python('import jina.other, jina; print(jina.other.here, jina.__version__)', path=order)
        assert result.stdout.startswith('True '), result.stderr


def test_one_plain_installation_needs_no_search_path_tricks(tmp_path: Path) -> None:
    shutil.copytree(CORE_SOURCE, tmp_path / 'jina', ignore=shutil.ignore_patterns('__pycache__'))
    code = 'import jina; print(jina.__version__, len(jina.__path__))'
    result = run_python(code, path=[tmp_path], isolated=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[1] == '1'


@pytest.mark.skipif(importlib.util.find_spec('mypy') is None, reason='mypy is not installed')
def test_type_checkers_know_the_public_names(tmp_path: Path) -> None:
    (tmp_path / 'user.py').write_text(
        'from jina import Executor, requests, __version__\n'
        'from docarray import BaseDoc, DocList\n'
        'class Mine(Executor):\n'
        '    def hello(self) -> int:\n'
        '        return __version__\n'
    )
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'mypy',
            '--no-incremental',
            '--cache-dir',
            os.devnull,
            '--follow-imports=silent',
            'user.py',
        ],
        cwd=tmp_path,
        env={**os.environ, 'MYPYPATH': '' if 'site-packages' in CORE_SOURCE.parts else str(CORE_SOURCE.parent)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    errors = [line for line in result.stdout.splitlines() if 'error:' in line]
    assert len(errors) == 1, result.stdout + result.stderr
    assert errors[0].startswith('user.py:5: error: Incompatible return value type (got "str", expected "int")')
