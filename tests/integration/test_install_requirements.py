"""``install_requirements``: what an Executor needs is installed before it is loaded, by a real pip into a real environment."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

NAME = 'jina_test_requirement'
EXECUTOR = f"""
from jina import Executor, requests
import {NAME}

class Needy(Executor):
    @requests
    def tell(self, **kwargs):
        return {{'value': {NAME}.VALUE}}
"""
SCRIPT = """
from jina import Deployment, Flow

def tell(running):
    print('result', running.post('/', return_responses=True)[0].parameters['__results__'])

with Flow(quiet=True).add(uses='exec/config.yml', install_requirements=True, replicas=2) as flow:
    tell(flow)
with Deployment(uses='Needy', py_modules=['exec/needy.py'], install_requirements=True, quiet=True) as deployment:
    tell(deployment)
"""
REFUSED = """
from jina import Deployment
from jina.core.errors import StartupError
try:
    Deployment(uses='exec/config.yml', install_requirements=True, quiet=True).start()
except StartupError as error:
    print(error)
"""


def write_wheel(folder: Path) -> Path:
    """Writes a distribution with one module."""
    wheel = folder / f'{NAME}-1.0-py3-none-any.whl'
    info = f'{NAME}-1.0.dist-info'
    with zipfile.ZipFile(wheel, 'w') as archive:
        archive.writestr(f'{NAME}.py', "VALUE = 'installed'\n")
        archive.writestr(f'{info}/METADATA', f'Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n')
        archive.writestr(
            f'{info}/WHEEL', 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n'
        )
        archive.writestr(f'{info}/RECORD', f'{NAME}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n')
    return wheel


@pytest.fixture(scope='module')
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that sees the packages of this one."""
    root = tmp_path_factory.mktemp('environment')
    venv.create(root, with_pip=True)
    packages = sysconfig.get_path('purelib', vars={'base': str(root), 'platbase': str(root)})
    Path(packages, 'these.pth').write_text(f'import site; site.addsitedir({sysconfig.get_path("purelib")!r})\n')
    return root / 'bin/python'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    beside = tmp_path / 'exec'
    beside.mkdir()
    (beside / 'needy.py').write_text(EXECUTOR)
    (beside / 'config.yml').write_text('jtype: Needy\npy_modules: needy.py\n')
    return tmp_path


def run(python: Path, folder: Path, script: str) -> str:
    (folder / 'script.py').write_text(script)
    done = subprocess.run(
        [str(python), 'script.py'], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_failed_installation_says_what_the_installer_said(python: Path, folder: Path) -> None:
    (folder / 'exec/requirements.txt').write_text('--no-index\nno-such-package-anywhere\n')
    said = run(python, folder, REFUSED)
    assert 'requirements.txt: the installation failed with status 1:' in said
    assert 'No matching distribution found for no-such-package-anywhere' in said
    assert f'try it by hand: {python} -m pip install' in said


def test_what_lies_beside_the_executor_is_installed(python: Path, folder: Path) -> None:
    wheel = write_wheel(folder / 'exec')
    (folder / 'exec/requirements.txt').write_text(f'--no-index\n./{wheel.name}\n')
    assert f"No module named '{NAME}'" in run(python, folder, REFUSED.replace('install_requirements=True, ', ''))
    said = run(python, folder, SCRIPT)
    assert said.count("{'value': 'installed'}") == 2, said
    assert sys.executable != str(python)
