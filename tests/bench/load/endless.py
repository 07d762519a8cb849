"""Sends documents with the framework's own Client, one in a request, and prints a line after every so many.

A line holds ``done``, the requests answered so far; nothing of them is kept.
"""

import argparse
import json
from collections.abc import Iterator

from docarray.documents import TextDoc
from jina import Client


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--requests', type=int, required=True)
    parser.add_argument('--mark', type=int, required=True, help='requests between two lines')
    options = parser.parse_args()
    done = 0

    def inputs() -> Iterator[TextDoc]:
        for _ in range(options.mark):
            yield TextDoc(text='the quick brown fox')

    def count(_: object) -> None:
        nonlocal done
        done += 1

    client = Client(host='127.0.0.1', port=options.port)
    for _ in range(options.requests // options.mark):
        client.post('/echo', inputs, request_size=1, on_done=count)
        print(json.dumps({'done': done}), flush=True)


if __name__ == '__main__':
    main()
