"""The wheels as users get them: what they hold, how they install, how large they are, whether they work alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import grpc
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.request import DataRequest
from jina.core.version import __version__
from jina.core.wire import PROCESS_SINGLE_DATA

from tests.support.distributions import distributions
from tests.support.footprint import Footprint, footprint
from tests.support.processes import Peer, free_port, wait_for_port
from tests.support.requirements import bootstrap, require_original, wheels

pytestmark = pytest.mark.timeout(900)

PACKAGE_LIMIT = 20
"""Third-party packages that jina-core and jina-runtime may pull."""
SIZE_LIMIT_MB = 100.0
"""Installed size that the environment of an Executor image may have."""
CONFIG = 'jtype: Shout\npy_modules: [executor.py]\nwith:\n  mark: "!"\n'
EXECUTOR = """
from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests


class Shout(Executor):
    def __init__(self, mark, **kwargs):
        super().__init__(**kwargs)
        self.mark = mark

    @requests(on='/shout')
    def shout(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = doc.text.upper() + self.mark
        return docs
"""


@pytest.fixture(scope='module')
def built() -> Path:
    return wheels.build()


@pytest.fixture(scope='module')
def slice_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with jina-core and jina-runtime, installed by uv."""
    folder = tmp_path_factory.mktemp('slice') / 'env'
    wheels.install(folder, ['jina-core', 'jina-runtime'], python=sys.executable)
    return folder


@pytest.fixture(scope='module')
def full_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the whole framework, installed by uv."""
    folder = tmp_path_factory.mktemp('full') / 'env'
    wheels.install(folder, ['jina'], python=sys.executable)
    return folder


def test_seven_wheels_and_sdists_of_one_version(built: Path) -> None:
    names = {distribution.name.replace('-', '_') for distribution in distributions()}
    assert {file.name for file in built.glob('*.whl')} == {f'{name}-{__version__}-py3-none-any.whl' for name in names}
    assert {file.name for file in built.glob('*.tar.gz')} == {f'{name}-{__version__}.tar.gz' for name in names}


def test_each_wheel_holds_its_own_package_only(built: Path) -> None:
    owners: dict[str, str] = {}
    for wheel in built.glob('*.whl'):
        for name in zipfile.ZipFile(wheel).namelist():
            if '.dist-info/' not in name:
                assert name.startswith('jina/'), f'{wheel.name} installs {name}'
                assert name not in owners, f'{name} is in {wheel.name} and in {owners[name]}'
                owners[name] = wheel.name
    core = f'jina_core-{__version__}-py3-none-any.whl'
    assert {name for name, owner in owners.items() if name.count('/') == 1} == {
        'jina/__init__.py',
        'jina/py.typed',
    }
    assert owners['jina/__init__.py'] == owners['jina/core/_proto/public.binpb'] == core
    packages = {name.split('/')[1] for name in owners if name.count('/') > 1}
    assert packages == {'core', 'runtime', 'client', 'telemetry', 'export', 'orchestrate'}
    for package in packages:
        assert f'jina/{package}/py.typed' in owners


def test_sdists_hold_sources_and_tests(built: Path) -> None:
    for file in built.glob('*.tar.gz'):
        with tarfile.open(file) as archive:
            names = archive.getnames()
        assert any(name.endswith('/pyproject.toml') for name in names)
        assert any('/tests/test_' in name for name in names), file.name


def test_a_wheel_from_the_sdist_is_the_same(built: Path, tmp_path: Path) -> None:
    bootstrap.uv('build', '--quiet', '--wheel', '--out-dir', tmp_path, built / f'jina_core-{__version__}.tar.gz')
    (again,) = tmp_path.glob('*.whl')
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(built / again.name).namelist())


@pytest.mark.parametrize('installer', ['pip', 'uv'])
def test_install_is_timed(installer: str, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    took = {}
    for title, requirements in {'core + runtime': ['jina-core', 'jina-runtime'], 'everything': ['jina']}.items():
        folder = tmp_path / title.replace(' ', '')
        began = time.monotonic()
        if installer == 'uv':
            wheels.install(folder, requirements, python=sys.executable)
        else:
            subprocess.run([sys.executable, '-m', 'venv', str(folder)], check=True)
            # pip knows no constraint by location for a requirement with extras, so all wheels are named
            files = [
                wheel_of(built, name) for name in (wheels.EVERYTHING if requirements == ['jina'] else requirements)
            ]
            subprocess.run([str(folder / 'bin' / 'python'), '-m', 'pip', 'install', '-qq', *files], check=True)
        took[title] = time.monotonic() - began
        check = [str(folder / 'bin' / 'jina'), '--version']
        assert subprocess.run(check, capture_output=True, text=True, check=True).stdout.strip() == __version__
    with capsys.disabled():
        print(f'\ninstall by {installer}: ' + ', '.join(f'{title} {seconds:.1f} s' for title, seconds in took.items()))


def wheel_of(built: Path, name: str) -> str:
    """A requirement that names the file of a wheel, with the extras of ``name``."""
    base, bracket, extras = name.partition('[')
    (file,) = built.glob(f'{base.replace("-", "_")}-{__version__}-*.whl')
    return f'{file}{bracket}{extras}'


def test_slice_pulls_few_packages(slice_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packages = footprint(slice_environment).third_party
    with capsys.disabled():
        print(f'\njina-core + jina-runtime pull {len(packages)} packages: {", ".join(packages)}')
    assert len(packages) <= PACKAGE_LIMIT


def test_sizes_side_by_side(
    slice_environment: Path, full_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: dict[str, Footprint] = {
        'jina-core + jina-runtime': footprint(slice_environment),
        'jina (everything)': footprint(full_environment),
        'the original': footprint(require_original().parent.parent),
    }
    with capsys.disabled():
        print()
        for title, size in measured.items():
            print(f'{title:<26} {size.size_mb:6.1f} MB  {len(size.distributions):3} distributions')
    assert measured['jina-core + jina-runtime'].size_mb <= SIZE_LIMIT_MB
    assert measured['jina (everything)'].size_mb < measured['the original'].size_mb


def test_slice_serves_an_executor(slice_environment: Path, tmp_path: Path) -> None:
    (tmp_path / 'config.yml').write_text(CONFIG)
    (tmp_path / 'executor.py').write_text(EXECUTOR)
    port = free_port()
    command = [slice_environment / 'bin' / 'jina', 'executor', '--uses', 'config.yml', '--port', str(port)]
    server = Peer(command, cwd=tmp_path, env={'PATH': os.defpath})
    try:
        try:
            wait_for_port(port)
        except TimeoutError as error:
            raise AssertionError(server.log()) from error
        request = DataRequest()
        request.exec_endpoint = '/shout'
        request.docs = DocList[TextDoc]([TextDoc(text='hello')])
        answer = DataRequest.from_bytes(asyncio.run(call(port, request.to_bytes())))
        answer.document_array_cls = DocList[TextDoc]
        assert not answer.is_error, answer.status
        assert [doc.text for doc in answer.docs] == ['HELLO!']
        server.process.terminate()
        assert server.process.wait(10) == 0, server.log()
    finally:
        server.kill()


async def call(port: int, request: bytes) -> bytes:
    async with grpc.aio.insecure_channel(f'127.0.0.1:{port}') as channel:
        answer: bytes = await channel.unary_unary(PROCESS_SINGLE_DATA)(request, timeout=20)
    return answer
