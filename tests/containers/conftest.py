"""One engine with its images for all tests of containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jina.export import export_dockerfile

from tests.support.containers import Engine, base_image, engine, gather_wheels

EXECUTORS = """\
import os
import socket

from docarray import BaseDoc, DocList
from jina import Executor, requests, write


class Visit(BaseDoc):
    text: str = ''
    encoders: list[str] | None = None
    shards: list[str] | None = None


class Encoder(Executor):
    @requests
    def encode(self, docs: DocList[Visit], **kwargs) -> DocList[Visit]:
        for doc in docs:
            doc.encoders = [socket.gethostname()]
        return docs

    @requests(on='/look')
    def look(self, docs: DocList[Visit], **kwargs) -> DocList[Visit]:
        for doc in docs:
            print('looking at', doc.text, flush=True)
            with open(f'{self.workspace}/seen', 'a') as file:
                file.write(doc.text)
            with open('/data/word') as file:
                doc.text = os.environ['GREETING'] + ' ' + file.read()
        return docs

    @requests(on='/eat')
    def eat(self, docs: DocList[Visit], **kwargs) -> DocList[Visit]:
        self.eaten = [b'x' * 2**20 for _ in range(2048)]
        return docs


class Indexer(Executor):
    @requests
    def index(self, docs: DocList[Visit], **kwargs) -> DocList[Visit]:
        for doc in docs:
            doc.shards = [str(self.runtime_args.shard_id)]
        return docs


class Notebook(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lines = []

    @write
    @requests(on='/note')
    def note(self, docs: DocList[Visit], **kwargs) -> DocList[Visit]:
        self.lines += [doc.text for doc in docs]
        return docs

    @requests(on='/read')
    def read(self, docs: DocList[Visit], **kwargs) -> DocList[Visit]:
        return DocList[Visit]([Visit(text=' '.join(self.lines), encoders=[socket.gethostname()])])


class Broken(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        raise FileNotFoundError('the model is missing')
"""

GATEWAYS = """\
import os
import socket

from docarray import DocList
from executors import Visit
from fastapi import FastAPI
from jina.serve.runtimes.gateway.http.fastapi import FastAPIBaseGateway


class Reception(FastAPIBaseGateway):
    def __init__(self, greeting='hello', **kwargs):
        super().__init__(**kwargs)
        self.greeting = greeting

    @property
    def app(self):
        app = FastAPI()

        @app.get('/receive')
        async def receive(text: str):
            print('receiving', text, flush=True)
            with open('/data/word') as file:
                word = file.read()
            inputs = DocList[Visit]([Visit(text=text)])
            async for docs in self.streamer.stream_docs(docs=inputs, exec_endpoint='/', return_type=DocList[Visit]):
                said = ' '.join([self.greeting, os.environ['WHO'], word, docs[0].text])
                return {'said': said, 'by': socket.gethostname(), 'encoders': docs[0].encoders, 'shards': docs[0].shards}

        return app
"""


@pytest.fixture(scope='package')
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with the images ``encoder``, which holds what a gateway needs, ``indexer``, ``visitor``, ``notebook``, ``broken``, and the gateways
    ``reception``, which is a class of its own, and ``door``, which speaks all protocols.
    """
    with engine() as running:
        base_image(running)
        folder = tmp_path_factory.mktemp('image')
        gather_wheels(folder / 'wheels')
        export_dockerfile(folder, kind='gateway')
        (folder / 'executors.py').write_text(EXECUTORS)
        (folder / 'config.yml').write_text('jtype: Encoder\npy_modules: [executors.py]\n')
        running.build(folder, 'encoder')
        for name, kind in (
            ('indexer', 'Indexer'),
            ('visitor', 'Encoder'),
            ('notebook', 'Notebook'),
            ('broken', 'Broken'),
        ):
            further(running, tmp_path_factory.mktemp(name), f'jtype: {kind}\npy_modules: [executors.py]\n', 'executor')
        own = tmp_path_factory.mktemp('reception')
        (own / 'gateways.py').write_text(GATEWAYS)
        further(running, own, 'jtype: Reception\npy_modules: [executors.py, gateways.py]\n', 'gateway')
        further(running, tmp_path_factory.mktemp('door'), 'jtype: CompositeGateway\n', 'gateway')
        print(running.run('docker', 'images'))
        yield running


def further(running: Engine, folder: Path, config: str, command: str) -> None:
    """Builds an image on that of the Executors, with the name of its folder."""
    (folder / 'config.yml').write_text(config)
    (folder / 'Dockerfile').write_text(
        f'FROM encoder\nCOPY . /workdir/\nENTRYPOINT ["jina", "{command}", "--uses", "config.yml"]\n'
    )
    running.build(folder, folder.name.rstrip('0123456789'))


@pytest.fixture
def local(docker: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine as that of this machine; no container may be left after the test."""
    monkeypatch.setenv('DOCKER_HOST', docker.variables['DOCKER_HOST'])
    yield docker
    assert not docker.run('docker', 'ps', '--all', '--quiet').strip()
