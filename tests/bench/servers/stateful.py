"""Serves three replicas of a dict, with or without the agreement on writes, by whichever ``jina`` this interpreter has."""

import argparse
import contextlib
import json
import random
import socket
import tempfile
from typing import Any

from docarray import DocList
from docarray.documents import TextDoc
from jina import Deployment, Executor, requests
from jina.serve.executors.decorators import write


class Kept(Executor):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.docs: dict[str, TextDoc] = {}

    @requests(on=['/index'])
    @write
    def index(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            self.docs[doc.id] = doc
        return docs

    @requests(on=['/count'])
    def count(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = str(len(self.docs))
        return docs


def free_ports(count: int) -> list[int]:
    """Ports below those that systems give to outgoing connections."""
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(('127.0.0.1', port))
            found.add(port)
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--stateful', action='store_true')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as workspace:
        agreed: dict[str, Any] = {'stateful': True, 'peer_ports': free_ports(3), 'workspace': workspace}
        with Deployment(
            name='kept', uses=Kept, port=options.port, replicas=3, **(agreed if options.stateful else {})
        ) as deployment:
            print(json.dumps({'port': options.port}), flush=True)
            deployment.block()


if __name__ == '__main__':
    main()
