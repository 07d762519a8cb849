"""One engine with its images for all tests of containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jina.export import export_dockerfile

from tests.support.containers import Engine, base_image, engine, gather_wheels

EXECUTORS = """\
import os
import socket

from docarray import BaseDoc, DocList
from jina import Executor, requests


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


class Indexer(Executor):
    @requests
    def index(self, docs: DocList[Visit], **kwargs) -> DocList[Visit]:
        for doc in docs:
            doc.shards = [str(self.runtime_args.shard_id)]
        return docs


class Broken(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        raise FileNotFoundError('the model is missing')
"""


@pytest.fixture(scope='package')
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with the images ``encoder``, which holds what a gateway needs, ``indexer``, ``visitor`` and ``broken``."""
    with engine() as running:
        base_image(running)
        folder = tmp_path_factory.mktemp('image')
        gather_wheels(folder / 'wheels')
        export_dockerfile(folder, kind='gateway')
        (folder / 'executors.py').write_text(EXECUTORS)
        (folder / 'config.yml').write_text('jtype: Encoder\npy_modules: [executors.py]\n')
        running.build(folder, 'encoder')
        for name, kind in (('indexer', 'Indexer'), ('visitor', 'Encoder'), ('broken', 'Broken')):
            further = tmp_path_factory.mktemp(name)
            (further / 'config.yml').write_text(f'jtype: {kind}\npy_modules: [executors.py]\n')
            (further / 'Dockerfile').write_text(
                'FROM encoder\nCOPY config.yml /workdir/config.yml\n'
                'ENTRYPOINT ["jina", "executor", "--uses", "config.yml"]\n'
            )
            running.build(further, name)
        print(running.run('docker', 'images'))
        yield running
