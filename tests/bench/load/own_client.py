"""Sends documents with the framework's own Client for a while, streaming, with a given request size."""

import argparse
import json
import time

from docarray import DocList
from docarray.documents import TextDoc
from jina import Client


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--callers', type=int, required=True, help='docs per request (request_size)')
    parser.add_argument('--seconds', type=float, required=True)
    options = parser.parse_args()
    client = Client(host='127.0.0.1', port=options.port)
    batch = 200 if options.callers == 1 else 20 * options.callers

    def post() -> int:
        docs = DocList[TextDoc]([TextDoc(text='the quick brown fox') for _ in range(batch)])
        return len(client.post('/echo', inputs=docs, request_size=options.callers, return_type=DocList[TextDoc]))

    post()
    latencies = []
    operations = 0
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + options.seconds:
        operations += post()
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
