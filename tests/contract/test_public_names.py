"""What the distributions export, and that importing them costs nothing that isn't needed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

from tests.support.distributions import module_names

FACADE = [
    'AsyncTestClient',
    'Client',
    'Deployment',
    'Document',
    'DocumentArray',
    'Executor',
    'Flow',
    'Gateway',
    'TestClient',
    '__version__',
    'dynamic_batching',
    'monitor',
    'requests',
    'write',
]
"""The names of ``jina``; a new one needs a reviewer's agreement."""
LIGHT = ('jina', 'jina.core.config', 'jina.core.errors', 'jina.core.topology', 'jina.core.cli')
HEAVY = ('grpc', 'docarray', 'numpy', 'rich', 'fastapi', 'uvicorn', 'aiohttp', 'opentelemetry')
WITHOUT_EXPORTS = {'jina.core', 'jina.runtime'}
"""Packages whose modules are imported by name: a re-export would load all of them."""
MODULES = [name for name in module_names() if not name.endswith('__main__')]


def test_names_of_the_facade() -> None:
    import jina

    assert sorted(jina.__all__) == FACADE
    for name in FACADE:
        assert getattr(jina, name) is not None


@pytest.mark.parametrize('name', MODULES)
def test_all_names_what_exists(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, '__all__', [])
    assert len(exported) == len(set(exported))
    for attribute in exported:
        assert hasattr(module, attribute), f'{name}.__all__ has {attribute!r}, which does not exist'


@pytest.mark.parametrize('name', [name for name in MODULES if name.count('.') == 1 and name not in WITHOUT_EXPORTS])
def test_packages_declare_what_they_export(name: str) -> None:
    exported = importlib.import_module(name).__all__
    assert exported
    assert not [attribute for attribute in exported if attribute.startswith('_')]


@pytest.mark.parametrize('name', LIGHT)
def test_light_modules_import_nothing_heavy(name: str) -> None:
    code = f'import sys, json, {name}; print(json.dumps(sorted(sys.modules)))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, timeout=60)
    loaded = {module.partition('.')[0] for module in json.loads(done.stdout)}
    assert loaded.isdisjoint(HEAVY)


def test_importing_jina_does_no_work() -> None:
    code = (
        'import json, multiprocessing, os, resource, signal, threading\n'
        'def state():\n'
        '    return [str(signal.getsignal(signal.SIGINT)), multiprocessing.get_start_method(allow_none=True),\n'
        '            resource.getrlimit(resource.RLIMIT_NOFILE), threading.active_count(), sorted(os.environ)]\n'
        'before = state()\n'
        'import jina\n'
        'assert state() == before, (before, state())\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
