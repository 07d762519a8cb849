"""Sizes of images: of ours, and of one with the original package that is built in the same way on the same base.

    hatch run images:sizes

The base is that of the tests: this machine's Python and the libraries that it needs. Each image is started once. The sizes are those
of the files in the layers, before compression.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from jina.export import dockerfile

from tests.support.containers import BASE, download_wheels, gather_wheels
from tests.support.podman import Podman, podman
from tests.support.requirements import original_env

_EXECUTOR = """\
from jina import Executor, requests


class Sized(Executor):
    @requests
    def pass_on(self, docs, **kwargs):
        pass
"""
_MARK = ('pip install --no-cache-dir ${PIP_ARGS} "', ' \\\n')


def ours(folder: Path) -> str:
    """An Executor in the image that ``jina export dockerfile`` describes."""
    gather_wheels(folder / 'wheels')
    return dockerfile('executor')


def our_gateway(folder: Path) -> str:
    """The gateway, with gRPC, HTTP and WebSocket."""
    gather_wheels(folder / 'wheels')
    return dockerfile('gateway', config=None)


def original(folder: Path) -> str:
    """An Executor of the original package; the Dockerfile differs in what is installed, and keeps what it imports."""
    wanted = (f'jina=={original_env.ORIGINAL_VERSION}', *original_env.CONSTRAINTS)
    download_wheels(folder / 'wheels', wanted, name='original-wheels')
    before, found, rest = dockerfile('executor').partition(_MARK[0])
    _, ending, after = rest.partition(_MARK[1])
    assert found, 'the Dockerfile installs in another way now'
    quoted = ' '.join(f"'{one}'" for one in wanted)
    text = f'{before}pip install --no-cache-dir ${{PIP_ARGS}} {quoted}{ending}{after}'
    return text.replace('uninstall -q -y pip setuptools', 'uninstall -q -y pip')


IMAGES: dict[str, Callable[[Path], str]] = {'executor': ours, 'gateway': our_gateway, 'original': original}


def size(running: Podman, tag: str) -> int:
    """Bytes of all layers."""
    return int(json.loads(running.run('image', 'inspect', tag))[0]['Size'])


def build(running: Podman, name: str, write: Callable[[Path], str]) -> None:
    """Builds an image, and imports the package in it."""
    with tempfile.TemporaryDirectory(prefix='image-') as place:
        folder = Path(place)
        (folder / 'Dockerfile').write_text(write(folder))
        (folder / 'executors.py').write_text(_EXECUTOR)
        (folder / 'config.yml').write_text('jtype: Sized\nmetas: {py_modules: [executors.py]}\n')
        running.build(folder, name)
    code = 'from executors import Sized; import jina; print(jina.__version__)'
    # the original makes a folder in the home of its user when it is imported, who has none here
    variables = ('--env', 'HOME=/tmp', '--env', 'JINA_OPTOUT_TELEMETRY=1')
    said = running.run('run', '--rm', '--network', 'none', *variables, '--entrypoint', 'python', name, '-c', code)
    print(f'{name} holds jina {said.split()[-1]}', flush=True)


def main() -> int:
    """Builds all images and prints a table; returns the exit code."""
    with podman() as running:
        running.load_base()
        base = size(running, BASE)
        for name, write in IMAGES.items():
            build(running, name, write)
        print(f'\n| image | above the base, MB | with the base ({base / 1e6:.0f} MB), MB |\n| --- | ---: | ---: |')
        for name in IMAGES:
            total = size(running, name)
            print(f'| {name} | {(total - base) / 1e6:.0f} | {total / 1e6:.0f} |')
    return 0


if __name__ == '__main__':
    sys.exit(main())
