"""Sends documents with the framework's own Client for a while, streaming, with a given request size.

Every post sends the same 20,000 documents, or fewer in a smoke run. They are made before the clock starts, for all sides
alike: what is measured is the way of documents through a Client and a server, not how fast docarray makes them.
"""

import argparse
import json
import time

from docarray import DocList
from docarray.documents import TextDoc
from jina import Client

DOCS = 20_000
FULL_LENGTH_S = 1.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--callers', type=int, required=True, help='docs per request (request_size)')
    parser.add_argument('--seconds', type=float, required=True)
    options = parser.parse_args()
    client = Client(host='127.0.0.1', port=options.port)
    count = int(DOCS * min(1.0, options.seconds / FULL_LENGTH_S))
    docs = DocList[TextDoc]([TextDoc(text='the quick brown fox') for _ in range(count)])

    def post(inputs: DocList[TextDoc]) -> int:
        return len(client.post('/echo', inputs=inputs, request_size=options.callers, return_type=DocList[TextDoc]))

    post(docs[: max(200, 20 * options.callers)])
    latencies = []
    operations = 0
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + options.seconds:
        operations += post(docs)
        latencies.append(time.perf_counter() - now)
    seconds = time.perf_counter() - began
    latencies.sort()
    result = {
        'operations': operations,
        'seconds': seconds,
        'p50_ms': latencies[len(latencies) // 2] * 1e3,
        'p99_ms': latencies[len(latencies) * 99 // 100] * 1e3,
        'errors': 0,
        'first_error': '',
    }
    print(json.dumps(result), flush=True)


if __name__ == '__main__':
    main()
