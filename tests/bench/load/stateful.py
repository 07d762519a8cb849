"""Writes to and reads from ``servers/stateful.py`` by the Client of whichever ``jina`` this interpreter has; prints the rates."""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from docarray import DocList
from docarray.documents import TextDoc
from jina import Client


def docs_of(count: int) -> DocList[TextDoc]:
    return DocList[TextDoc]([TextDoc(text=f'document {number}') for number in range(count)])


def rate(count: int, call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--docs', type=int, required=True)
    options = parser.parse_args()
    client = Client(port=options.port)
    client.post('/index', docs_of(1))  # there is a leader now
    many, few, asked = docs_of(options.docs), docs_of(options.docs // 20), docs_of(options.docs // 10)
    found = {
        'writes of 100 documents': rate(len(many), lambda: client.post('/index', many, request_size=100)),
        'writes of one document': rate(len(few), lambda: client.post('/index', few, request_size=1)),
        'reads of one document': rate(len(asked), lambda: client.post('/count', asked, request_size=1)),
    }
    print(json.dumps(found), flush=True)


if __name__ == '__main__':
    main()
