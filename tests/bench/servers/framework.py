"""Serves the benchmark's Executor with whichever ``jina`` this interpreter has: the system or the original."""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.typing import NdArray
from jina import Deployment, Executor, Flow, dynamic_batching, requests

STREAM_ITEMS = 100


class VectorDoc(BaseDoc):
    text: str
    embedding: NdArray


class ArrayDoc(BaseDoc):
    array: NdArray


class Echo(Executor):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if file := os.environ.get('BENCH_PID_FILE'):
            Path(file).write_text(str(os.getpid()))

    @requests(on='/echo')
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs


class Vectors(Executor):
    @requests(on='/vectors')
    def vectors(self, docs: DocList[VectorDoc], **kwargs: Any) -> DocList[VectorDoc]:
        for doc in docs:
            doc.embedding = np.asarray(doc.embedding) * 2
        return docs


class Arrays(Executor):
    @requests(on='/arrays')
    def arrays(self, docs: DocList[ArrayDoc], **kwargs: Any) -> DocList[ArrayDoc]:
        return docs


class Batched(Executor):
    @requests(on='/echo')
    @dynamic_batching(preferred_batch_size=32, timeout=10)
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        time.sleep(0.005 + 0.00005 * len(docs))  # a model on an accelerator: it takes time, not the processor
        return docs


class Stream(Executor):
    @requests(on='/stream')
    async def stream(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        for index in range(STREAM_ITEMS):
            yield TextDoc(text=f'{doc.text} {index}')


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('kind', choices=['deployment', 'flow'])
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--protocol', default='grpc')
    parser.add_argument('--executor', default='Echo', choices=['Arrays', 'Batched', 'Echo', 'Stream', 'Vectors'])
    parser.add_argument('--length', type=int, default=2, help='number of Executors in a Flow')
    parser.add_argument('--metrics', action='store_true', help='serve metrics for Prometheus')
    parser.add_argument('--traces', type=int, metavar='PORT', help='send traces to the collector on this port')
    parser.add_argument('--again', action='store_true', help='start, stop and start again')
    options = parser.parse_args()
    server = build(options)
    began = time.perf_counter()
    with server:
        ready = {'port': options.port, 'start_s': time.perf_counter() - began}
        if not options.again:
            print(json.dumps(ready), flush=True)
            server.block()
            return
    server = build(options)
    began = time.perf_counter()
    with server:
        print(json.dumps({**ready, 'second_s': time.perf_counter() - began}), flush=True)
        server.block()


def build(options: argparse.Namespace) -> Any:
    uses = globals()[options.executor]
    served = {'port': options.port, 'protocol': options.protocol}
    if options.metrics:
        served['monitoring'] = True
    if options.traces:
        served |= {'tracing': True, 'traces_exporter_host': '127.0.0.1', 'traces_exporter_port': options.traces}
    if options.kind == 'deployment':
        return Deployment(uses=uses, **served)
    flow = Flow(**served)
    for index in range(options.length):
        flow = flow.add(uses=uses, name=f'step{index}')
    return flow


if __name__ == '__main__':
    main()
