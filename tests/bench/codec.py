"""The codec alone, beside docarray's own conversion: ``python -m tests.bench.codec [--quick] [--json FILE]``.

Both sides run in turns in this process, each measured as the fastest of several rounds. Small documents are given in
microseconds per document of a list of a hundred, one large tensor in gigabytes per second with the memory that its
conversion takes at most as a multiple of the tensor. (Protobuf's own arena is not in docarray's: Python can't see it.)
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import timeit
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.proto import DocListProto
from jina.core import codec

from tests.bench.payload import TEXT, VectorDoc

DOCS = 100
LARGE = 64 << 20


class Chunk(BaseDoc):
    """A part of a page."""

    text: str
    offset: int
    score: float | None = None


class Page(BaseDoc):
    """A document with others in it."""

    title: str
    tags: dict[str, str]
    chunks: DocList[Chunk]
    best: Chunk | None = None


@dataclass(frozen=True)
class Row:
    """One direction of one sort of documents."""

    name: str
    direction: str
    ours: float
    docarray: float
    unit: str
    ratio: float
    """How many times as fast ours is."""
    ours_memory: float | None = None
    """Peak of allocations while it runs, in sizes of the tensor."""
    docarray_memory: float | None = None


def samples() -> dict[str, Any]:
    """The lists of small documents by name."""
    rows = np.random.default_rng(7).standard_normal((DOCS, 768)).astype(np.float32)
    return {
        'text': DocList[TextDoc]([TextDoc(text=f'{TEXT} {i}') for i in range(DOCS)]),
        'text + 768': DocList[VectorDoc]([VectorDoc(text=f'{TEXT} {i}', embedding=row) for i, row in enumerate(rows)]),
        'nested': DocList[Page]([_page(i) for i in range(DOCS)]),
    }


def _page(number: int) -> Page:
    chunks = [Chunk(text=f'{TEXT} {i}', offset=i * 100, score=i / 3) for i in range(5)]
    return Page(
        title=f'page {number}', tags={'a': '1', 'b': '2'}, chunks=DocList[Chunk](chunks), best=Chunk(text='x', offset=1)
    )


def conversions(docs: Any) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Ours and docarray's way to encode and to decode documents."""
    list_type: Any = DocList[docs.doc_type]
    content = codec.encode_docs(docs)
    raw = docs.to_protobuf().SerializeToString()
    return {
        'encode': (lambda: codec.encode_docs(docs), lambda: docs.to_protobuf().SerializeToString()),
        'decode': (
            lambda: codec.decode_docs(content, list_type),
            lambda: list_type.from_protobuf(DocListProto.FromString(raw)),
        ),
    }


def fastest(actions: Sequence[Callable[[], Any]], rounds: int, number: int) -> list[float]:
    """The shortest time in seconds of each action, measured in turns."""
    best = [float('inf')] * len(actions)
    for _ in range(rounds):
        for index, action in enumerate(actions):
            best[index] = min(best[index], timeit.timeit(action, number=number) / number)
    return best


def peak(action: Callable[[], Any]) -> int:
    """The most bytes that an action has allocated at a time, its result included."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def measure(*, rounds: int, large: int) -> list[Row]:
    """All rows of the report."""
    rows = []
    for name, docs in samples().items():
        for direction, actions in conversions(docs).items():
            ours, theirs = (seconds / DOCS * 1e6 for seconds in fastest(actions, rounds, number=2))
            rows.append(Row(name, direction, ours, theirs, 'µs/doc', theirs / ours))
    docs = DocList[VectorDoc]([VectorDoc(text='large', embedding=np.ones(large // 4, np.float32))])
    for direction, actions in conversions(docs).items():
        ours, theirs = (large / seconds / 1e9 for seconds in fastest(actions, max(rounds // 4, 2), number=1))
        memory = [peak(action) / large for action in actions]
        rows.append(Row(f'{large >> 20} MB tensor', direction, ours, theirs, 'GB/s', ours / theirs, *memory))
    return rows


def table(rows: Sequence[Row]) -> str:
    """The report as a Markdown table."""
    lines = [
        '| documents | | ours | docarray | ratio | memory, ours | memory, docarray |',
        '| --- | --- | ---: | ---: | ---: | ---: | ---: |',
    ]
    for row in rows:
        memory = ['' if share is None else f'{share:.2f} ×' for share in (row.ours_memory, row.docarray_memory)]
        lines.append(
            f'| {row.name} | {row.direction} | {row.ours:.2f} {row.unit} | {row.docarray:.2f} {row.unit} '
            f'| {row.ratio:.1f} | {memory[0]} | {memory[1]} |'
        )
    return '\n'.join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(prog='python -m tests.bench.codec', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a smoke run: few rounds, a small tensor')
    parser.add_argument('--json', metavar='FILE', help='write all figures here')
    options = parser.parse_args(arguments)
    rows = measure(rounds=3 if options.quick else 40, large=LARGE >> 4 if options.quick else LARGE)
    print(table(rows))
    print(f'largest resident size: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB')
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(row) for row in rows], indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
