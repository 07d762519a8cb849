"""Replicas and shards as users run them: page 31's matrix, all protocols, YAML, the command line, external Executors."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core import wire
from jina.core.request import DataRequest

from tests.support.processes import free_port, peer, wait_for_port

Texts = DocList[TextDoc]


class Query(BaseDoc):
    text: str = ''
    matches: Texts = Texts()


class Shop(Executor):
    """Keeps documents in memory, and notes each of its calls in a file."""

    def __init__(self, log: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.log = log
        self.kept: dict[str, TextDoc] = {}

    def note(self, what: str) -> None:
        args = self.runtime_args
        with open(self.log, 'a') as file:
            file.write(f'{what} {args.name} {args.shards} {args.shard_id} {self.workspace}\n')

    @requests
    def foo(self, docs: Texts, **kwargs: Any) -> None:
        self.note(f'inside:{docs[0].text}')

    @requests(on='/index')
    def index(self, docs: Texts, **kwargs: Any) -> None:
        self.kept.update({doc.id: doc for doc in docs})

    @requests(on='/search')
    def search(self, docs: DocList[Query], **kwargs: Any) -> DocList[Query]:
        for doc in docs:
            doc.matches = Texts([kept for kept in self.kept.values() if doc.text in (kept.text or '')])
        return docs

    @requests(on='/custom')
    def custom(self, docs: Texts, **kwargs: Any) -> None:
        self.note('custom')

    @requests(on='/pid')
    def pid(self, **kwargs: Any) -> dict[str, int]:
        return {'pid': os.getpid()}

    @requests(on='/count')
    def count(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        for number in range(3):
            yield TextDoc(text=f'{number}@{self.runtime_args.shard_id}')


class Rank(Executor):
    @requests(on='/search')
    def rank(self, docs_map: dict[str, DocList[Query]], **kwargs: Any) -> DocList[Query]:
        """Takes the results of the shards one by one."""
        found = [(doc.text or '', name) for name, docs in docs_map.items() for doc in docs[0].matches]
        return DocList[Query]([Query(text=','.join(f'{text}@{name}' for text, name in sorted(found)))])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / 'log'
    path.touch()
    return path


def make(kind: str, **options: Any) -> Any:
    if kind == 'Flow':
        return Flow(quiet=True).add(name='shop', uses=Shop, **options).needs_all()
    return Deployment(name='shop', uses=Shop, quiet=True, **options)


@pytest.mark.parametrize('kind', ['Deployment', 'Flow'])
@pytest.mark.parametrize(
    ('options', 'polling', 'calls'),
    [
        ({'replicas': 2}, 'ALL', 1),
        ({'replicas': 2}, 'ANY', 1),
        ({'shards': 2}, 'ALL', 2),
        ({'shards': 2}, 'ANY', 1),
        ({'shards': 2, 'replicas': 2}, 'ALL', 2),
    ],
    ids=str,
)
def test_matrix_of_replicas_shards_and_polling(
    log: Path, kind: str, options: dict[str, int], polling: str, calls: int
) -> None:
    with make(kind, polling=polling, uses_with={'log': str(log)}, **options) as orchestrator:
        answer = orchestrator.post('/', TextDoc(text='hello'), return_type=Texts)
    assert answer.text == ['hello']
    assert [line.split()[0] for line in log.read_text().splitlines()] == ['inside:hello'] * calls


def test_polling_of_each_endpoint(log: Path, tmp_path: Path) -> None:
    polling = {'/custom': 'ALL', '/search': 'ANY', '*': 'ANY'}
    options = {'uses_with': {'log': str(log)}, 'workspace': str(tmp_path), 'shards': 3, 'polling': polling}
    with make('Deployment', **options) as deployment:
        assert [pod.name for pod in deployment.pods] == ['shop/head', *(f'shop/shard-{n}/rep-0' for n in range(3))]
        assert (deployment.head_port, deployment.ports) == (deployment.port, [deployment.port])
        for endpoint in ('/custom', '/other', '/other'):
            deployment.post(endpoint, TextDoc(text='x'), return_type=Texts)
        results = deployment.post('/pid', return_responses=True)[0].parameters['__results__']
    assert list(results) == ['shop/shard-2/rep-0']
    lines = [line.split() for line in log.read_text().splitlines()]
    asked = Counter(line[0] for line in lines)
    assert asked == {'custom': 3, 'inside:x': 2}
    assert {(*line[1:4], line[4].removeprefix(str(tmp_path))) for line in lines if line[0] == 'custom'} == {
        (f'shop/shard-{n}/rep-0', '3', str(n), f'/Shop/{n}') for n in range(3)
    }


@pytest.fixture(scope='module')
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A sharded Deployment with all protocols, and 20 documents in it."""
    log = tmp_path_factory.mktemp('shop') / 'log'
    with Deployment(
        name='shop',
        uses=Shop,
        uses_with={'log': str(log)},
        shards=2,
        protocol=['grpc', 'http', 'websocket'],
        quiet=True,
    ) as deployment:
        docs = Texts([TextDoc(id=str(number), text=f'item {number}') for number in range(20)])
        Client(port=deployment.port[0]).post('/index', docs, request_size=1)
        yield deployment


@pytest.mark.parametrize('protocol', ['grpc', 'http', 'websocket'])
def test_all_protocols_find_what_all_shards_have(shop: Deployment, protocol: str) -> None:
    port = shop.port[['grpc', 'http', 'websocket'].index(protocol)]
    with Client(port=port, protocol=protocol) as client:
        found = client.post('/search', Query(text='item'), return_type=DocList[Query])[0]
        assert sorted(int(doc.id) for doc in found.matches) == list(range(20))
        assert [
            doc.id for doc in client.post('/search', Query(text='item 7'), return_type=DocList[Query])[0].matches
        ] == ['7']


async def test_streams_and_readiness(shop: Deployment) -> None:
    assert shop.is_ready
    streams = []
    for _ in range(2):
        client = Client(port=shop.port[1], protocol='http', asyncio=True)
        streams.append([doc.text async for doc in client.stream_doc('/count', TextDoc(), return_type=TextDoc)])
    assert sorted(streams) == [['0@0', '1@0', '2@0'], ['0@1', '1@1', '2@1']]


FLOW = """
jtype: Flow
with: {quiet: true}
executors:
- name: shop
  uses: Shop
  uses_with: {log: LOG}
  shards: 2
  replicas: 2
  polling: {'/search': ALL, '*': ANY}
  uses_after: Rank
"""


def test_yaml_and_round_trip(log: Path, tmp_path: Path) -> None:
    (tmp_path / 'flow.yml').write_text(FLOW.replace('LOG', str(log)))
    Flow.load_config(str(tmp_path / 'flow.yml')).save_config(str(tmp_path / 'again.yml'))
    with Flow.load_config(str(tmp_path / 'again.yml')) as flow:
        names = [pod.name for pod in flow['shop'].pods]
        assert names == ['shop/head', 'shop/uses_after-0', *(f'shop/shard-{s}/rep-{r}' for s in (0, 1) for r in (0, 1))]
        pids = [
            int(next(iter(response.parameters['__results__'].values()))['pid'])
            for response in flow.post(
                '/pid', Texts([TextDoc() for _ in range(8)]), request_size=1, return_responses=True
            )
        ]
        assert len(set(pids)) == 4, 'replicas of all shards get their share'
        for _ in range(8):  # every replica has memory of its own
            flow.post('/index', TextDoc(text='a'))
        found = flow.post('/search', Query(text='a'), return_type=DocList[Query]).text[0]
        assert set(found.split(',')) == {'a@shop/shard-0', 'a@shop/shard-1'}


FOLLOWED = """
jtype: Flow
executors:
  - {name: shop, external: true, host: 'dns://localhost:PORT'}
"""


@pytest.mark.parametrize('way', ['flow', 'deployment', 'yaml'])
def test_an_external_executor_is_found_by_a_name_that_is_followed(log: Path, way: str) -> None:
    with Deployment(name='one', uses=Shop, uses_with={'log': str(log)}) as shop:
        orchestrator: Flow | Deployment
        if way == 'flow':
            orchestrator = Flow().add(name='shop', external=True, host='dns://localhost', port=shop.port)
        elif way == 'deployment':
            orchestrator = Deployment(name='shop', external=True, host=f'dns://localhost:{shop.port}')
        else:
            orchestrator = Flow.load_config(FOLLOWED.replace('PORT', str(shop.port)))
        with orchestrator:
            orchestrator.post('/index', TextDoc(text='a'))
            found = orchestrator.post('/search', Query(text='a'), return_type=DocList[Query])
            assert found[0].matches.text == ['a']


def test_a_dead_shard_is_named_and_a_dead_replica_is_not_noticed(log: Path) -> None:
    options = {'uses_with': {'log': str(log)}, 'polling': 'ALL', 'shards': 2, 'replicas': 2}
    with make('Flow', **options) as flow:
        first, second = flow['shop']._shards[1]
        os.kill(first.pid, signal.SIGKILL)
        answers = flow.post('/', Texts([TextDoc(text='x') for _ in range(20)]), request_size=1, return_type=Texts)
        assert len(answers) == 20
        assert flow.is_flow_ready()
        os.kill(second.pid, signal.SIGKILL)
        assert second.wait(30)
        with pytest.raises(ConnectionError, match=r'\|Head: Communication error with deployment shop/shard-1'):
            flow.post('/', TextDoc(text='x'))
        assert not flow.is_flow_ready()


EXECUTOR = """
from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests

class Tell(Executor):
    @requests(on=['/any', '/all'])
    def tell(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        return DocList[TextDoc]([TextDoc(id=self.runtime_args.name, text=self.runtime_args.name)])
"""


def test_command_line(tmp_path: Path) -> None:
    (tmp_path / 'tell.py').write_text(EXECUTOR)
    tell = ['--uses', 'Tell', '--py-modules', 'tell.py', '--name', 'tell', '--host', '127.0.0.1', '--quiet']
    ports = [free_port() for _ in range(4)]
    jina = [str(Path(sys.executable).parent / 'jina')]
    commands = [
        [*jina, 'executor', *tell, '--shards', '2', '--shard-id', str(shard), '--port', str(port)]
        for shard, port in enumerate(ports[:2])
    ]
    connections = f'{{"0": ["127.0.0.1:{ports[0]}"], "1": ["127.0.0.1:{ports[1]}"]}}'
    polling = '{"/all": "ALL"}'
    head = ['--pod-role', 'HEAD', '--connection-list', connections, '--polling', polling, '--port', str(ports[2])]
    commands.append([*jina, 'executor', '--name', 'tell', '--host', '127.0.0.1', *head])
    commands.append([*jina, 'deployment', *tell, '--shards', '2', '--polling', polling, '--port', str(ports[3])])
    with (
        peer(commands[0], cwd=tmp_path),
        peer(commands[1], cwd=tmp_path),
        peer(commands[2], cwd=tmp_path),
        peer(commands[3], cwd=tmp_path),
    ):
        for port in ports:
            wait_for_port(port, timeout_s=60)
        for target in (
            Client(port=ports[2]),
            Client(port=ports[3]),
        ):
            assert target.post('/all', TextDoc(), return_type=Texts).text == [
                'tell/shard-0/rep-0',
                'tell/shard-1/rep-0',
            ]
            assert len(target.post('/any', TextDoc(), return_type=Texts)) == 1
        with Flow(quiet=True).add(name='far', external=True, host=f'127.0.0.1:{ports[2]},127.0.0.1:{ports[3]}') as flow:
            responses = flow.post('/all', Texts([TextDoc()] * 8), request_size=1, return_responses=True)
            assert [route.executor for route in responses[0].routes] == ['gateway', 'far']
            assert flow.is_flow_ready()


class Paced(Executor):
    def __init__(self, pause: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pause = pause

    @requests
    def work(self, docs: Texts, **kwargs: Any) -> Texts:
        time.sleep(self.pause)
        for doc in docs:
            doc.text = str(self.pause)
        return docs


def test_a_slow_replica_gets_less() -> None:
    with (
        Deployment(uses=Paced, uses_with={'pause': 0.001}, quiet=True) as quick,
        Deployment(uses=Paced, uses_with={'pause': 0.2}, quiet=True) as slow,
    ):
        hosts = {'host': ['127.0.0.1', '127.0.0.1'], 'port': [str(quick.port), str(slow.port)]}
        for outside in (Flow(quiet=True).add(external=True, **hosts), Deployment(external=True, quiet=True, **hosts)):
            with outside:
                docs = outside.post(
                    '/', Texts([TextDoc() for _ in range(300)]), request_size=1, prefetch=8, return_type=Texts
                )
            assert Counter(docs.text)['0.2'] < 60, 'in turn it would be 150'


class Fragile(Executor):
    """Its second shard fails at a document that says so."""

    @requests(on=['/all', '/any'])
    def work(self, docs: Texts, **kwargs: Any) -> None:
        if docs[0].text == 'fail' and self.runtime_args.shard_id == 1:
            raise ValueError('as asked for')


async def test_a_head_tells_how_many_shards_worked_and_failed() -> None:
    polling = {'/all': 'ALL', '/any': 'ANY'}
    with Deployment(name='shop', uses=Fragile, quiet=True, shards=3, polling=polling) as deployment:

        async def told(endpoint: str, text: str) -> dict[str, str]:
            request = DataRequest()
            request.exec_endpoint, request.docs = endpoint, Texts([TextDoc(text=text)])
            call = channel.unary_unary(wire.PROCESS_SINGLE_DATA)(request.to_bytes(), timeout=30)
            try:
                await call
            except grpc.aio.AioRpcError as error:
                return {str(key): str(value) for key, value in error.trailing_metadata()}
            return {str(key): str(value) for key, value in await call.trailing_metadata()}

        async with grpc.aio.insecure_channel(f'127.0.0.1:{deployment.port}') as channel:
            assert await told('/all', 'work') == {'total_shards': '3', 'failed_shards': '0'}
            assert await told('/any', 'work') == {'total_shards': '1', 'failed_shards': '0'}
            assert await told('/all', 'fail') == {'total_shards': '3', 'failed_shards': '1', 'is-error': 'true'}
            answers = [await told('/any', 'fail') for _ in range(3)]  # each shard in its turn
            assert sorted(answer['failed_shards'] for answer in answers) == ['0', '0', '1']
            [dead] = [pod for pod in deployment.pods if '/shard-0/' in pod.name]
            os.kill(dead.pid or 0, signal.SIGKILL)
            assert dead.wait(30)
            found = await told('/all', 'work')
            assert (found['total_shards'], found['failed_shards']) == ('3', '1')


@pytest.mark.parametrize('method', [wire.PROCESS_SINGLE_DATA, wire.PROCESS_DATA])
def test_a_head_refuses_what_is_no_request_as_workers_do(method: str) -> None:
    refusals = []
    for options in ({'shards': 2}, {}):
        with (
            Deployment(name='shop', uses=Fragile, quiet=True, **options) as deployment,
            grpc.insecure_channel(f'127.0.0.1:{deployment.port}') as channel,
        ):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(method)(b'\xff\xff no request', timeout=30)
            assert not caught.value.trailing_metadata()
            refusals.append((caught.value.code(), caught.value.details()))
    assert refusals[0] == refusals[1]
    assert refusals[0][0] is grpc.StatusCode.INVALID_ARGUMENT
    assert '13 bytes are no' in refusals[0][1]
