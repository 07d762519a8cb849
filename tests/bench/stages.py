"""Where the CPU time of one request goes: ``python -m tests.bench.stages [--quick] [--json FILE]``.

Every stage is the function that really does it, run many times in this process on one small document, as the least
CPU time of several rounds. The whole comes from a server under load with 64 callers; what the stages don't explain is
the transport (gRPC or HTTP, the kernel's sockets) and the event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests
from jina.core import codec
from jina.core.config import ExecutorOptions
from jina.core.frames import FrameReader, FrameWriter
from jina.core.request import DataRequest, Response
from jina.core.schema import EndpointSchema
from jina.core.wire import DataRequestProto
from jina.runtime.http.bodies import EndpointBody
from jina.runtime.http.rendering import to_json
from jina.runtime.threads import CallThreads
from jina.runtime.worker import WorkerService

from tests.bench.payload import Payloads, prepare
from tests.bench.runner import Settings, run_load
from tests.bench.scenarios import LOADS

CALLERS = 64
TEXTS = DocList[TextDoc]
RECORD = 2  # a frame's kind of record; which one doesn't matter for its cost


class Echo(Executor):
    """What the servers of the benchmark run."""

    @requests(on='/echo')
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        """Returns what came in."""
        return docs


@dataclass(frozen=True)
class Stage:
    """One line of the table."""

    request: str
    """Which kind of request."""
    stage: str
    cpu_us: float


def least_cpu_us(action: Callable[[], object], *, rounds: int, number: int) -> float:
    """The least CPU time of a call in microseconds."""
    best = float('inf')
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(number):
            action()
        best = min(best, time.process_time() - began)
    return best / number * 1e6


def through(raw: bytes, endpoint: Callable[..., Any]) -> bytes:
    """A request through its worker without transport and threads: bytes, documents, the method, documents, bytes."""
    request = DataRequest.from_bytes(raw)
    request.document_array_cls = TEXTS
    request.docs = endpoint(docs=request.docs)
    return request.to_bytes()


def protobuf_alone(raw: bytes) -> bytes:
    """The least that any worker has to do: the envelope parsed and serialised, the documents untouched."""
    return bytes(DataRequestProto.FromString(raw).SerializeToString())


def path_ratio(*, rounds: int = 7, number: int = 300) -> float:
    """The CPU time of ``through`` as a multiple of that of ``protobuf_alone``, in turns, the least of each."""
    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        raw = prepare(Path(folder)).text.read_bytes()
    echo = Echo().echo
    ours = bare = float('inf')
    for _ in range(rounds):
        ours = min(ours, least_cpu_us(partial(through, raw, echo), rounds=1, number=number))
        bare = min(bare, least_cpu_us(partial(protobuf_alone, raw), rounds=1, number=number))
    return ours / bare


async def thread_hop_us(*, rounds: int, number: int) -> float:
    """The CPU time of a call in the worker's thread and back, with as many waiting as there are callers."""
    threads = CallThreads(1, 'stages')
    best = float('inf')
    try:
        for _ in range(rounds):
            began = time.process_time()
            for _ in range(max(1, number // CALLERS)):
                await asyncio.gather(*(threads.run(_nothing) for _ in range(CALLERS)))
            best = min(best, time.process_time() - began)
    finally:
        threads.close()
    return best / (max(1, number // CALLERS) * CALLERS) * 1e6


async def worker_us(raw: bytes, *, rounds: int, number: int) -> float:
    """The CPU time of a request in the worker's service, from bytes to bytes."""
    service = WorkerService(ExecutorOptions(uses=Echo, name='stages', log_config='plain'))
    loop = asyncio.get_running_loop()
    best = float('inf')
    try:
        for _ in range(rounds):
            began = time.process_time()
            for _ in range(max(1, number // CALLERS)):
                answers = [loop.create_future() for _ in range(CALLERS)]
                for answer in answers:
                    service.begin(raw, partial(_finish, answer))
                await asyncio.gather(*answers)
            best = min(best, time.process_time() - began)
    finally:
        await service.close()
    return best / (max(1, number // CALLERS) * CALLERS) * 1e6


def _nothing() -> None:
    return None


def _finish(answer: asyncio.Future[bytes], raw: bytes, failed: bool, error: Exception | None = None) -> None:
    if failed:
        answer.set_exception(error or RuntimeError('the worker answered with an error'))
    else:
        answer.set_result(raw)


def grpc_stages(
    raw: bytes, wholes: tuple[float, float], cost: Callable[[Callable[[], object]], float], **size: int
) -> list[Stage]:
    """A gRPC request through the process of one Executor."""
    echo, docs = Echo().echo, _docs(raw)
    content = DataRequest.from_bytes(raw).raw_content
    known = {
        'read the envelope': cost(partial(DataRequest.from_bytes, raw)),
        'decode the document': cost(partial(codec.decode_docs, content, TEXTS)),
        'thread hop': asyncio.run(thread_hop_us(**size)),
        "the endpoint's method": cost(lambda: echo(docs=docs)),
        'encode the answer': cost(partial(_answer, raw, docs)) - cost(partial(DataRequest.from_bytes, raw)),
    }
    worker = asyncio.run(worker_us(raw, **size))
    known["the worker's own work"] = max(0.0, worker - sum(known.values()))
    return _with_rest('gRPC, in the server', known, wholes)


def http_stages(
    body: bytes, wholes: tuple[float, float], cost: Callable[[Callable[[], object]], float], **size: int
) -> list[Stage]:
    """A JSON request through the process of one Executor."""
    parser = EndpointBody(EndpointSchema(TextDoc, TextDoc))
    docs = TEXTS(parser.parse(body).docs)
    echo = Echo().echo
    known = {
        'parse and validate the JSON': cost(partial(parser.parse, body)),
        'thread hop': asyncio.run(thread_hop_us(**size)),
        "the endpoint's method": cost(lambda: echo(docs=docs)),
        'render the JSON': cost(partial(to_json, {'data': docs, 'parameters': {}})),
    }
    return _with_rest('HTTP, in the server', known, wholes)


def client_stages(raw: bytes, cost: Callable[[Callable[[], object]], float]) -> list[Stage]:
    """What our own Client and the fast lane add on both ends, each request in a frame with those of 63 others."""
    docs = _docs(raw)
    known = {
        'encode the documents': cost(partial(codec.encode_docs, docs)),
        'write and read the frame, one way': cost(partial(_framed, raw)) / CALLERS,
        'read the answer': cost(lambda: _read(raw)),
    }
    return [Stage('our Client', name, value) for name, value in known.items()]


def _with_rest(request: str, known: dict[str, float], wholes: tuple[float, float]) -> list[Stage]:
    whole, bare = wholes
    rest = whole - sum(known.values())
    stages = [Stage(request, name, value) for name, value in known.items()]
    return [
        *stages,
        Stage(request, 'transport and event loop (the rest)', rest),
        Stage(request, 'whole', whole),
        Stage(request, 'for comparison: the bare stack, whole', bare),
    ]


def _docs(raw: bytes) -> DocList[TextDoc]:
    return codec.decode_docs(DataRequest.from_bytes(raw).raw_content, TEXTS)


def _answer(raw: bytes, docs: DocList[TextDoc]) -> bytes:
    request = DataRequest.from_bytes(raw)
    request.docs = docs
    return request.to_bytes()


def _read(raw: bytes) -> DocList[TextDoc]:
    response = Response.from_bytes(raw)
    response.document_array_cls = TEXTS
    return response.docs


def _framed(raw: bytes) -> int:
    writer, reader, found = FrameWriter(), FrameReader(), 0
    for number in range(1, CALLERS + 1):
        writer.add(RECORD, number, raw)
    while (frame := writer.take()) is not None:
        found += len(reader.read(frame))
    return found


def server_cpu_us(name: str, payloads: Payloads, settings: Settings) -> tuple[float, float]:
    """CPU time of one request in a server's processes under load: ours and the bare stack's."""
    scenario = next(load for load in LOADS if load.name == name)
    found = run_load(replace(scenario, levels=(CALLERS,)), settings, payloads, lambda _: None)
    cost = {sample.side: min(sample.figures['cpu_ms']) * 1e3 for sample in found if 'cpu_ms' in sample.figures}
    if len(cost) < 2:
        raise RuntimeError(f'{name} has no figures: {found}')
    return cost['jina'], cost['bare']


def measure(*, quick: bool) -> list[Stage]:
    """All lines of the table."""
    size = {'rounds': 2, 'number': 256} if quick else {'rounds': 9, 'number': 2048}
    settings = Settings(rounds=1 if quick else 3, seconds=0.3 if quick else 2.0, sides=frozenset({'jina', 'bare'}))
    cost = partial(least_cpu_us, **size)
    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        payloads = prepare(Path(folder))
        raw = payloads.text.read_bytes()
        return [
            *client_stages(raw, cost),
            *grpc_stages(raw, server_cpu_us('grpc-echo', payloads, settings), cost, **size),
            *http_stages(payloads.http.read_bytes(), server_cpu_us('http-echo', payloads, settings), cost, **size),
        ]


def table(stages: Sequence[Stage]) -> str:
    """The report as a Markdown table."""
    lines = ['| request | stage | CPU |', '| --- | --- | ---: |']
    return '\n'.join([*lines, *(f'| {row.request} | {row.stage} | {row.cpu_us:.1f} µs |' for row in stages)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(prog='python -m tests.bench.stages', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a smoke run: few rounds')
    parser.add_argument('--json', metavar='FILE', help='write all figures here')
    options = parser.parse_args(arguments)
    stages = measure(quick=options.quick)
    print(table(stages))
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(stage) for stage in stages], indent=1))
    return 0


if __name__ == '__main__':
    sys.exit(main())
