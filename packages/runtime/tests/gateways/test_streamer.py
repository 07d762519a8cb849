"""How gateways call Executors: through the graph, one alone, from other processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from jina.core.config import GatewayOptions
from jina.core.endpoints import requests
from jina.core.environment import STREAMER_ARGS, environment_facts
from jina.core.errors import (
    ConfigError,
    ConnectError,
    InputError,
    LifecycleError,
    NotStartedError,
    RemoteError,
    SchemaError,
)
from jina.core.executor import Executor
from jina.core.request import DataRequest
from jina.runtime.gateway import GatewayService
from jina.runtime.streamer import GatewayStreamer
from pydantic import BaseModel


class Scored(BaseDoc):
    text: str = ''
    score: float = 0.0


class Shout(Executor):
    """The first one: counts how many calls are under way."""

    under_way = 0
    most = 0

    @requests
    def shout(self, docs: DocList[TextDoc], parameters: dict[str, Any], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = (doc.text or '').upper() + parameters.get('mark', '')
        return docs

    @requests(on='/fail')
    def fail(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        if any(doc.text == 'bad' for doc in docs):
            raise ValueError('no bad words')
        return docs

    @requests(on='/wait')
    async def wait(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        Shout.under_way += 1
        Shout.most = max(Shout.most, Shout.under_way)
        await asyncio.sleep(0.05 if docs[0].text == '0' else 0.001)
        Shout.under_way -= 1
        return docs


class Rate(Executor):
    @requests
    def rate(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[Scored]:
        return DocList[Scored]([Scored(text=doc.text or '', score=len(doc.text or '')) for doc in docs])

    @requests(on='/spell')
    async def spell(self, doc: TextDoc, **kwargs: Any) -> AsyncGenerator[TextDoc, None]:
        for letter in doc.text or '':
            if letter == '!':
                raise ValueError('too loud')
            yield TextDoc(text=letter)

    @requests(on='/wait')
    async def wait(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs

    @requests(on='/fail')
    async def fine(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs


def texts(*words: str) -> DocList[TextDoc]:
    return DocList[TextDoc]([TextDoc(text=word) for word in words])


@pytest.fixture
async def options(cluster: Any) -> GatewayOptions:
    first = await cluster.worker(Shout, 'first')
    second = await cluster.worker(Rate, 'second')
    return GatewayOptions(
        graph_description={'start-gateway': ['first'], 'first': ['second'], 'second': ['end-gateway']},
        deployments_addresses={'first': [first.address], 'second': [second.address]},
        log_config='plain',
    )


@pytest.fixture
async def streamer(options: GatewayOptions) -> AsyncIterator[GatewayStreamer]:
    service = GatewayService(options)
    await service.start()
    yield GatewayStreamer(options, service)
    await service.close()


async def collect(results: AsyncGenerator[Any, None]) -> list[Any]:
    return [result async for result in results]


async def test_documents_go_through_the_graph(streamer: GatewayStreamer) -> None:
    (docs,) = await collect(streamer.stream_docs(docs=texts('a', 'bc'), exec_endpoint='/', return_type=DocList[Scored]))
    assert docs.doc_type is Scored
    assert (docs.text, docs.score) == (['A', 'BC'], [1.0, 2.0])


async def test_type_follows_from_the_schemas(streamer: GatewayStreamer) -> None:
    (docs,) = await collect(streamer.stream_docs(docs=texts('abc'), exec_endpoint='/'))
    assert docs.doc_type.__name__ == 'Scored' and docs.doc_type is not Scored
    assert (docs[0].text, docs[0].score) == ('ABC', 3.0)
    (docs,) = await collect(streamer.stream_docs(docs=texts('abc'), target_executor='first'))
    assert docs.doc_type.__name__ == 'TextDoc' and docs.text == ['ABC']
    (docs,) = await collect(streamer.stream_docs(docs=texts('abc'), target_executor='nobody'))
    assert docs.doc_type is TextDoc and docs.text == ['abc']


async def test_arguments_of_stream(streamer: GatewayStreamer) -> None:
    class Marks(BaseModel):
        mark: str = '?'

    many = texts(*map(str, range(5)))
    for parameters in ({'mark': '!'}, Marks(mark='!')):
        parts = await collect(
            streamer.stream_docs(
                docs=many,
                request_size=2,
                exec_endpoint='/',
                parameters=parameters,
                results_in_order=True,
                return_type=DocList[Scored],
            )
        )
        assert [part.text for part in parts] == [['0!', '1!'], ['2!', '3!'], ['4!']]
    ((response, error),) = await collect(streamer.stream(many, return_results=True))
    assert error is None
    assert [route.executor for route in response.routes] == ['gateway', 'first', 'second']
    assert response.docs.score == [1.0] * 5


async def test_results_come_in_the_order_that_is_asked_for(streamer: GatewayStreamer) -> None:
    many = texts(*map(str, range(6)))
    how: dict[str, Any] = {'request_size': 1, 'exec_endpoint': '/wait', 'return_type': DocList[TextDoc]}
    as_they_come = [part[0].text async for part in streamer.stream_docs(many, **how)]
    assert sorted(as_they_come) == sorted(many.text) and as_they_come[-1] == '0'
    in_order = [part[0].text async for part in streamer.stream_docs(many, **how, results_in_order=True)]
    assert in_order == many.text


@pytest.mark.parametrize(('prefetch', 'most'), [(1, 1), (3, 3), (0, 20)])
async def test_no_more_requests_than_prefetch_are_under_way(
    streamer: GatewayStreamer, prefetch: int, most: int
) -> None:
    Shout.most = 0
    read: list[int] = []

    def source() -> Iterator[TextDoc]:
        for number in range(20):
            read.append(number)
            yield TextDoc(text='0')

    how: dict[str, Any] = {'request_size': 1, 'exec_endpoint': '/wait', 'prefetch': prefetch}
    results = streamer.stream_docs(source(), **how)
    await anext(results)
    assert len(read) <= max(2, prefetch) if prefetch else len(read) == 20
    assert len(await collect(results)) == 19
    assert Shout.most == most


async def test_stream_gives_errors_beside_results(streamer: GatewayStreamer) -> None:
    results = await collect(
        streamer.stream(
            docs=texts('good', 'bad'),
            exec_endpoint='/fail',
            request_size=1,
            results_in_order=True,
            return_type=DocList[TextDoc],
        )
    )
    (good, none), (bad, error) = results
    assert (good.text, none) == (['good'], None)
    assert bad.text == ['bad']
    assert isinstance(error, RemoteError)
    assert (error.name, error.executor, error.description) == ('ValueError', 'Shout', "ValueError('no bad words')")
    with pytest.raises(RemoteError, match='no bad words'):
        await collect(streamer.stream_docs(docs=texts('bad'), exec_endpoint='/fail'))
    with pytest.raises(RemoteError, match='no regular expression'):
        await collect(streamer.stream_docs(docs=texts('a'), target_executor='('))


async def test_one_executor_alone(streamer: GatewayStreamer) -> None:
    docs = await streamer.executor['first'].post(
        on='/', inputs=texts('a'), parameters={'mark': '!'}, return_type=DocList[TextDoc]
    )
    assert docs.text == ['A!']
    assert (await streamer.executor['second'].post(on='/', inputs=texts('ab'))).score == [2.0]
    one = await streamer.executor['second'].post(inputs=TextDoc(text='abc'), return_type=Scored)
    assert one.score == 3.0
    many = await streamer.executor['second'].post(inputs=texts(*'abcde'), request_size=2, return_type=DocList[Scored])
    assert many.text == list('abcde')
    with pytest.raises(RemoteError) as caught:
        await streamer.executor['first'].post(on='/fail', inputs=texts('bad'))
    assert caught.value.name == 'ValueError'


async def test_the_executors_are_a_mapping(streamer: GatewayStreamer) -> None:
    assert list(streamer.executor) == ['first', 'second'] and len(streamer.executor) == 2
    with pytest.raises(KeyError, match="there is no Executor 'frist'; did you mean 'first'"):
        streamer.executor['frist']
    with pytest.raises(KeyError, match='there are first, second'):
        streamer.executor['x']


async def test_streams_of_one_document(streamer: GatewayStreamer) -> None:
    items = await collect(streamer.stream_doc(TextDoc(text='ab!c'), exec_endpoint='/spell', return_type=TextDoc))
    assert [doc.text for doc, error in items if error is None] == ['A', 'B']
    assert items[-1][0] is None and items[-1][1].name == 'ValueError'
    alone = streamer.executor['second'].stream_doc(on='/spell', inputs=TextDoc(text='xy'))
    assert [doc.text async for doc in alone] == ['x', 'y']
    with pytest.raises(RemoteError, match='too loud'):
        await collect(streamer.executor['second'].stream_doc(on='/spell', inputs=TextDoc(text='!')))


async def test_whole_requests(streamer: GatewayStreamer) -> None:
    request = DataRequest()
    request.exec_endpoint = '/'
    request.docs = texts('a')
    response = await streamer.process_single_data(request, None)
    assert response.docs[0].text == 'A' and len(response.routes) == 3


@pytest.mark.parametrize(
    ('docs', 'message'),
    [
        ('text', "docs are of type str: 'text'; give a DocList"),
        (7, 'docs are of type int: 7'),
        ([TextDoc(), 'x'], "docs hold something of type str: 'x'"),
    ],
)
async def test_inputs_that_are_no_documents(streamer: GatewayStreamer, docs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        await collect(streamer.stream_docs(docs))


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        ({'prefetch': -1}, ConfigError, 'prefetch is -1; give a whole number; 0 for no limit'),
        ({'prefetch': 'a'}, ConfigError, "prefetch is 'a'; give a whole number"),
        ({'request_size': '1'}, ConfigError, "request_size is '1'; give a whole number"),
        ({'request_size': 1.5}, ConfigError, 'request_size is 1.5; give a whole number'),
        ({'exec_endpoint': None}, InputError, 'the endpoint is of type NoneType: None; give'),
        ({'target_executor': 5}, InputError, 'target_executor is of type int: 5; give a regular expression'),
    ],
    ids=str,
)
async def test_wrong_arguments(
    streamer: GatewayStreamer, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    docs = DocList[TextDoc]([TextDoc(text='a'), TextDoc(text='b')])
    for method in (streamer.stream_docs, streamer.stream):
        with pytest.raises(error, match=message):
            await anext(method(docs, **{'request_size': 1, **arguments}))
    name = next(iter(streamer.executor))
    if 'target_executor' not in arguments:
        own = {'on' if key == 'exec_endpoint' else key: value for key, value in arguments.items()}
        with pytest.raises(error, match=message):
            await streamer.executor[name].post(docs, **own)


async def test_return_types(streamer: GatewayStreamer) -> None:
    class Number(BaseDoc):
        text: int

    with pytest.raises(SchemaError, match="return_type is <class 'int'>; give a document type"):
        await collect(streamer.stream_docs(texts('a'), return_type=int))  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match=r"from '/' does not fit return_type=DocList\[Number\]"):
        await collect(streamer.stream_docs(texts('a'), return_type=DocList[Number]))
    with pytest.raises(SchemaError, match="from '/spell' does not fit return_type=Number"):
        await collect(streamer.stream_doc(TextDoc(text='a'), '/spell', return_type=Number))


async def test_another_event_loop_is_refused(streamer: GatewayStreamer) -> None:
    def elsewhere() -> None:
        asyncio.run(streamer.executor['first'].post(inputs=texts('a')))  # type: ignore[arg-type]

    with pytest.raises(LifecycleError, match='in another event loop than that of its gateway'):
        await asyncio.to_thread(elsewhere)


async def test_an_executor_that_is_not_there() -> None:
    options = GatewayOptions(deployments_addresses={'a': ['127.0.0.1:1']}, retries=0, log_config='quiet')
    streamer = GatewayStreamer(
        options.model_copy(update={'graph_description': {'start-gateway': ['a'], 'a': ['end-gateway']}})
    )
    try:
        with pytest.raises(ConnectError, match='Communication error with deployment a'):
            await collect(streamer.stream_docs(texts('a')))
        with pytest.raises(ConnectError):
            await streamer.executor['a'].post(inputs=texts('a'))
    finally:
        await streamer.close()


async def test_code_without_the_gateway_finds_the_streamer(
    streamer: GatewayStreamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotStartedError, match='no gateway runs in this process'):
        GatewayStreamer.get_streamer()
    streamer.publish()
    try:
        assert GatewayStreamer.get_streamer() is streamer
        assert environment_facts()[STREAMER_ARGS] == '(set)'  # addresses and metadata are for nobody else
        code = (
            'import asyncio\n'
            'from docarray import DocList\n'
            'from docarray.documents import TextDoc\n'
            'from jina.serve.streamer import GatewayStreamer\n'
            'streamer = GatewayStreamer.get_streamer()\n'
            'async def main():\n'
            '    async for docs in streamer.stream_docs(DocList[TextDoc]([TextDoc(text="far")])):\n'
            '        print(docs.text, docs.score)\n'
            '    await streamer.close()\n'
            'asyncio.run(main())\n'
        )
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout.strip() == "['FAR'] [3.0]", done.stderr
    finally:
        streamer.withdraw()
    with pytest.raises(NotStartedError):
        GatewayStreamer.get_streamer()
    monkeypatch.setenv(STREAMER_ARGS, '{')
    with pytest.raises(ConfigError, match='JINA_STREAMER_ARGS holds no JSON'):
        GatewayStreamer.get_streamer()
