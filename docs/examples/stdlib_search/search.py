"""Semantic search over the documentation of Python's standard library, as a Flow of two Executors.

Indexes every public docstring that the running interpreter has, answers questions over gRPC and over HTTP, and measures
how often a mutilated docstring finds its function. ``python search.py --serve`` stays up afterwards.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from pathlib import Path

from corpus import Entry, collect
from docarray import DocList
from executors import Answer, Passage, Query, words_of
from jina import Client, Flow
from jina.client import SyncClient
from rich.console import Console
from rich.table import Table

FLOW = Path(__file__).with_name('flow.yml')
QUESTIONS = (
    'copy a whole directory tree',
    'wait until one of several coroutines is done',
    'average of a list of numbers',
    'split a string like a shell does',
    'largest items of a sequence',
)


def index(client: SyncClient, entries: list[Entry], console: Console) -> float:
    """Fit the encoder on all texts, then index them in requests of 200; returns the seconds that both took."""
    passages = DocList[Passage](Passage(name=e.name, first_line=e.first_line, text=e.text) for e in entries)
    console.print(f'Indexing {len(passages)} docstrings ...')
    start = time.perf_counter()
    client.post('/fit', passages, request_size=-1, on_always=lambda response: None)
    client.post('/index', passages, request_size=200, show_progress=True, on_always=lambda response: None)
    return time.perf_counter() - start


def ask(client: SyncClient, questions: list[str], top_k: int = 10) -> list[Answer]:
    """The answers to some questions, in their order."""
    queries = DocList[Query](Query(text=question) for question in questions)
    return list(
        client.post('/search', queries, parameters={'top_k': top_k}, return_type=DocList[Answer], results_in_order=True)
    )


def show(answer: Answer, protocol: str, seconds: float, console: Console) -> None:
    """Print one answer as a table."""
    table = Table(
        title=f'{answer.text!r} over {protocol} in {seconds * 1000:.1f} ms', title_justify='left', expand=True
    )
    table.add_column('score', justify='right', no_wrap=True)
    table.add_column('name', style='bold', overflow='fold')
    table.add_column('first line', ratio=1)
    for hit in answer.hits:
        table.add_row(f'{hit.score:.3f}', hit.name, hit.first_line)
    console.print(table)


def mutilated(entry: Entry, generator: random.Random) -> str:
    """The first sentence of a docstring without the words of the object's name and without a random half of the rest."""
    sentence = re.split(r'(?<=[.!?])\s', ' '.join(entry.first_line.split()))[0]
    name = set(words_of(entry.name))
    words = [word for word in sentence.split() if not name & set(words_of(word))]
    kept = sorted(generator.sample(range(len(words)), (len(words) + 1) // 2))
    return ' '.join(words[position] for position in kept)


def evaluate(client: SyncClient, entries: list[Entry], seed: int = 20, size: int = 50) -> tuple[float, float]:
    """Recall@1 and recall@10 of ``size`` random functions, each searched by its mutilated first sentence."""
    generator = random.Random(seed)
    functions = [e for e in entries if e.kind == 'function' and len(e.first_line.split()) >= 6]
    sample = generator.sample(functions, size)
    answers = ask(client, [mutilated(entry, generator) for entry in sample])
    names = [[hit.name for hit in answer.hits] for answer in answers]
    first = sum(found[:1] == [entry.name] for found, entry in zip(names, sample, strict=True))
    among = sum(entry.name in found for found, entry in zip(names, sample, strict=True))
    return first / size, among / size


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument('question', nargs='*', help='questions to ask; without any, some built-in ones')
    parser.add_argument('--serve', action='store_true', help='stay up after the questions until Ctrl-C')
    parser.add_argument('--top-k', type=int, default=5, help='answers to show for each question')
    return parser.parse_args()


def main() -> None:
    args = arguments()
    console = Console()
    entries = collect()
    with Flow.load_config(str(FLOW)) as flow:
        grpc_port, http_port = flow.port
        clients = {
            'gRPC': Client(host='127.0.0.1', port=grpc_port),
            'HTTP': Client(host='127.0.0.1', port=http_port, protocol='http'),
        }
        seconds = index(clients['gRPC'], entries, console)
        console.print(f'Indexed in {seconds:.1f} s ({len(entries) / seconds:.0f} docstrings/s, fitting included).')
        for position, question in enumerate(args.question or QUESTIONS):
            protocol = ('gRPC', 'HTTP')[position % 2] if len(args.question) != 1 else 'gRPC'
            start = time.perf_counter()
            (answer,) = ask(clients[protocol], [question], args.top_k)
            show(answer, protocol, time.perf_counter() - start, console)
        first, among = evaluate(clients['gRPC'], entries)
        console.print(
            'Evaluation: 50 random functions, searched by the first sentence of their docstring without the words of '
            f'their name and without half of the rest: recall@1 = {first:.2f}, recall@10 = {among:.2f}'
        )
        if args.serve:
            console.print(
                f'Serving gRPC on port {grpc_port} and HTTP on http://127.0.0.1:{http_port}/docs; Ctrl-C ends it.'
            )
            flow.block()


if __name__ == '__main__':
    main()
