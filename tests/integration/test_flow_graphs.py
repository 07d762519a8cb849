"""Graphs of all kinds in real processes: they give what the same Flow gives inside of one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina import Executor, Flow, TestClient, requests
from jina.core.config import GatewayOptions

from tests.support.processes import free_port


class Inner(BaseDoc):
    word: str = ''


class Item(BaseDoc):
    price: float = 0
    inner: Inner = Inner()
    tags: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    seen: list[str] = []  # noqa: RUF012 - pydantic copies it


class Note(Executor):
    """Notes its name in each document, and who came before it where branches are joined."""

    @requests
    def note(self, docs: DocList[Item], docs_map: Any = None, **kwargs: Any) -> DocList[Item]:
        if docs_map is not None:
            docs = DocList[Item](
                [
                    Item(id=f'{name}:{doc.id}', price=doc.price, seen=[*doc.seen, name])
                    for name, part in docs_map.items()
                    for doc in part
                ]
            )
        for doc in docs:
            doc.seen.append(self.runtime_args.name.partition('/')[0])
        return docs

    @requests(on='/sizes')
    def sizes(self, docs: DocList[Item], **kwargs: Any) -> dict[str, int]:
        return {'size': len(docs)}


class Record(Note):
    """Writes what it got to a file, slowly."""

    def __init__(self, path: str = '', pause: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = Path(path)
        self.pause = pause

    @requests
    def note(self, docs: DocList[Item], **kwargs: Any) -> None:
        time.sleep(self.pause)
        with self.path.open('a') as file:
            file.write(f'{self.runtime_args.name.partition("/")[0]}: {" ".join(docs.id)}\n')


DOCS = [
    Item(id='a', price=1, inner=Inner(word='deep'), tags={'key': 5}),
    Item(id='b', price=2, tags={'key': 4, 'list': [1, 2]}),
    Item(id='c', price=3, inner=Inner(word='deeper'), tags={}),
]
FLOW = """
jtype: Flow
with: {protocol: [grpc, http], quiet: true}
executors:
  - {name: first, uses: Note}
  - {name: five, uses: Note, needs: first, when: {tags__key: {$eq: 5}}}
  - {name: deep, uses: Note, needs: first, when: {inner__word: {$regex: '^deep'}, price: {$gt: 1}}}
  - {name: rest, uses: Note, needs: first, replicas: 2,
     when: {$or: [{$not: {tags__key: {$exists: true}}}, {tags__list: {$size: 2}}, {price: {$in: [7, 8]}}]}}
  - {name: join, uses: Note, needs: [five, deep, rest]}
  - {name: pair, uses: Note, needs: [rest, five], no_reduce: true}
  - {name: aside, uses: Record, needs: [gateway], floating: true, uses_with: {path: '${{ CONTEXT.path }}'}}
  - {name: behind, uses: Record, needs: [aside], floating: true, uses_with: {path: '${{ CONTEXT.path }}'}}
  - {name: last, method: needs_all, uses: Note}
  - {name: look, method: inspect, uses: Note, when: {id: {$ne: a}}}
"""


@pytest.fixture(scope='module')
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('floating') / 'record.txt'


@pytest.fixture(scope='module')
def flow(path: Path) -> Iterator[Flow]:
    made = Flow.load_config(FLOW, context={'path': str(path)})
    with made:
        yield made


def found(client: Any, on: str = '/', **options: Any) -> list[tuple[str, list[str]]]:
    docs = client.post(on, DocList[Item](DOCS), return_type=DocList[Item], **options)
    return [(doc.id, doc.seen) for doc in docs]


def test_the_whole_graph(flow: Flow, path: Path) -> None:
    begin = time.perf_counter()
    results = found(flow)
    elapsed = time.perf_counter() - begin
    assert results == [
        ('a', ['first', 'five', 'join', 'last']),
        ('c', ['first', 'deep', 'join', 'last']),
        ('b', ['first', 'rest', 'join', 'last']),
        ('rest:b', ['first', 'rest', 'rest', 'pair', 'last']),
        ('rest:c', ['first', 'rest', 'rest', 'pair', 'last']),
        ('five:a', ['first', 'five', 'five', 'pair', 'last']),
    ]
    if not path.exists():
        assert elapsed < 60  # nothing was waited for
    port = flow.port[1]
    body = json.dumps({'data': [json.loads(doc.model_dump_json()) for doc in DOCS]}).encode()
    call = urllib.request.Request(f'http://127.0.0.1:{port}/default', body, {'content-type': 'application/json'})
    with urllib.request.urlopen(call, timeout=60) as response:
        assert [(doc['id'], doc['seen']) for doc in json.load(response)['data']] == results


@pytest.mark.parametrize('target', [None, 'first', 'five|last', 'pair', 'look', 'nobody'])
def test_it_is_the_same_in_one_process(flow: Flow, tmp_path: Path, target: str | None) -> None:
    twin = Flow.load_config(FLOW, context={'path': str(tmp_path / 'record.txt')})
    with TestClient(twin) as client:
        assert found(client, target_executor=target) == found(flow, target_executor=target)


def test_results_of_all_branches_are_gathered(flow: Flow) -> None:
    (response,) = flow.post('/sizes', DocList[Item](DOCS), return_responses=True)
    sizes = {name.partition('/')[0]: value['size'] for name, value in response.parameters['__results__'].items()}
    assert sizes == {'first': 3, 'five': 1, 'deep': 1, 'rest': 2, 'join': 3, 'pair': 3, 'last': 3, 'look': 2}
    assert [route.executor for route in response.routes][:2] == ['gateway', 'first']


def test_a_close_waits_for_floating_executors(tmp_path: Path) -> None:
    path = tmp_path / 'record.txt'
    # Longer than what processes otherwise have to finish their requests.
    record = {'uses': Record, 'uses_with': {'path': str(path), 'pause': GatewayOptions().graceful_shutdown_s / 2 + 0.2}}
    flow = Flow(quiet=True).add(uses=Note).add(name='aside', **record, floating=True)
    with flow.add(name='behind', **record, needs='aside', floating=True) as flow:
        assert found(flow) == [(doc.id, ['executor0']) for doc in DOCS]
        assert not path.exists()
    assert path.read_text() == 'aside: a b c\nbehind: a b c\n'


def test_a_field_that_no_document_has_is_told_at_the_start(capfd: pytest.CaptureFixture[str]) -> None:
    with Flow(log_config='plain').add(uses=Note, name='enc', when={'prize': {'$gt': 1}, 'id': {'$ne': ''}}) as flow:
        assert found(flow) == []
    said = ''.join(capfd.readouterr())
    assert (
        "when of Executor 'enc' looks at 'prize', which Item (endpoint '/default') doesn't have; did you mean 'price'?"
        in said
    )


def test_commands_refuse_a_bad_graph(tmp_path: Path) -> None:
    (tmp_path / 'flow.yml').write_text('jtype: Flow\nexecutors:\n- {name: a, needs: b}\n- {name: b}\n')
    program = 'import sys; from jina.core.cli.main import main; sys.exit(main())'
    expected = (
        'the Deployments need each other in a circle: a → b → a; remove one of these needs:\n    a ─→ b\n    b ─→ a\n'
    )
    for arguments in (['flow', '--uses', 'flow.yml'], ['export', 'flowchart', 'flow.yml', 'out.svg']):
        done = subprocess.run(
            [sys.executable, '-c', program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 1
        assert expected in done.stderr
    graph = json.dumps({'start-gateway': ['a'], 'a': ['end-gateway'], 'b': ['a']})
    arguments = [
        '--graph-description',
        graph,
        '--deployments-addresses',
        '{"a": ["localhost:1"], "b": ["localhost:1"]}',
    ]
    done = subprocess.run(
        [sys.executable, '-c', program, 'gateway', '--port', str(free_port()), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "nothing leads to 'b'; let the gateway or a Deployment send results there" in done.stderr
