"""Streaming endpoints through processes of their own: all clients, protocols and kinds of generators."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import InputError, NotSupportedError, RemoteError, TransportError
from pydantic import BaseModel, Field


class Text(BaseDoc):
    text: str = ''


class Rich(BaseDoc):
    text: str = ''
    number: float = 0.5
    vector: NdArray = np.zeros(3, dtype=np.float32)
    logits: Optional[NdArray[2, 2]] = None  # noqa: UP045 - docarray on 3.10 reads no other form
    inner: Optional[Text] = None  # noqa: UP045
    parts: DocList[Text] = DocList[Text]()
    tags: dict[str, Any] = Field(default_factory=dict)
    words: list[str] = Field(default_factory=list)


class Settings(BaseModel):
    times: int = 3
    mark: str = ''


class Prefix(Executor):
    @requests(on=['/async', '/sync', '/typed'])
    def prefix(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text = f'>{doc.text}'
        return docs


class Streams(Executor):
    @requests(on='/async')
    async def numbers(self, doc: Text, parameters: dict[str, Any], **kwargs: Any) -> AsyncIterator[Text]:
        for number in range(int(parameters.get('times', 3))):
            await asyncio.sleep(0)
            yield Text(text=f'{doc.text} {number}')

    @requests(on='/sync')
    def numbers_sync(self, doc: Text, parameters: dict[str, Any], **kwargs: Any) -> Iterator[Text]:
        for number in range(int(parameters.get('times', 3))):
            yield Text(text=f'{doc.text} {number}')

    @requests(on='/typed')
    async def typed(self, doc: Text, parameters: Settings, **kwargs: Any) -> Text:
        for number in range(parameters.times):
            yield Text(text=f'{doc.text} {number}{parameters.mark}')

    @requests(on='/rich')
    def rich(self, doc: Rich, **kwargs: Any) -> Rich:
        for number in range(2):
            doc.vector = doc.vector + 1
            doc.number = number
            yield doc

    @requests(on='/breaks')
    async def breaks(self, doc: Text, **kwargs: Any) -> AsyncIterator[Text]:
        yield Text(text='fine')
        raise ValueError('no more')

    @requests(on='/wrong')
    def wrong(self, doc: Text, **kwargs: Any) -> Iterator[Text]:
        yield Text(text='fine')
        yield Rich()  # type: ignore[misc]

    @requests(on='/endless')
    async def endless(self, doc: Text, **kwargs: Any) -> AsyncIterator[Text]:
        try:
            while True:
                await asyncio.sleep(0.01)
                yield Text(text='x')
        finally:
            Path(doc.text).touch()  # noqa: ASYNC240 - for a test

    @requests(on='/endless-sync')
    def endless_sync(self, doc: Text, **kwargs: Any) -> Iterator[Text]:
        try:
            while True:
                time.sleep(0.01)
                yield Text(text='x')
        finally:
            Path(doc.text).touch()

    @requests(on='/plain')
    def plain(self, docs: DocList[Text], **kwargs: Any) -> None: ...


@pytest.fixture(scope='module')
def deployment() -> Iterator[Deployment]:
    with Deployment(uses=Streams, protocol=['grpc', 'http']) as running:
        yield running


@pytest.fixture(scope='module')
def flow() -> Iterator[Flow]:
    with Flow(protocol=['grpc', 'http']).add(uses=Prefix).add(uses=Streams) as running:
        yield running


@pytest.fixture(params=['grpc', 'http'])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def port(deployment: Deployment, protocol: str) -> int:
    return int(dict(zip(('grpc', 'http'), deployment.port, strict=True))[protocol])


def stream(port: int, protocol: str, endpoint: str, text: str = 'a', **options: Any) -> Iterator[Text]:
    return Client(port=port, protocol=protocol).stream_doc(endpoint, Text(text=text), return_type=Text, **options)


async def stream_async(port: int, protocol: str, endpoint: str, **options: Any) -> list[str]:
    client = Client(port=port, protocol=protocol, asyncio=True)
    documents = client.stream_doc(endpoint, Text(text='a'), return_type=Text, **options)
    return [doc.text async for doc in documents]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize('endpoint', ['/async', '/sync', '/typed'])
def test_documents_come_typed_and_in_order(port: int, protocol: str, endpoint: str) -> None:
    documents = list(stream(port, protocol, endpoint))
    assert [(type(doc), doc.text) for doc in documents] == [(Text, 'a 0'), (Text, 'a 1'), (Text, 'a 2')]
    assert asyncio.run(stream_async(port, protocol, endpoint)) == ['a 0', 'a 1', 'a 2']


@pytest.mark.parametrize('endpoint', ['/async', '/sync', '/typed'])
def test_parameters(port: int, protocol: str, endpoint: str) -> None:
    assert [doc.text for doc in stream(port, protocol, endpoint, parameters={'times': 1})] == ['a 0']
    assert asyncio.run(stream_async(port, protocol, endpoint, parameters=Settings(times=2))) == ['a 0', 'a 1']


def test_parameters_that_do_not_fit(port: int, protocol: str) -> None:
    with pytest.raises((RemoteError, InputError), match='times'):
        list(stream(port, protocol, '/typed', parameters={'times': 'many'}))


def test_all_kinds_of_fields_travel(port: int, protocol: str) -> None:
    sent = Rich(
        text='ü',
        vector=np.arange(3, dtype=np.float32),
        logits=np.eye(2),
        inner=Text(text='inner'),
        parts=DocList[Text]([Text(text='p')]),
        tags={'a': {'b': [1.0, 'c']}},
        words=['x', 'y'],
    )
    client = Client(port=port, protocol=protocol)
    first, second = client.stream_doc('/rich', sent, return_type=Rich)
    assert (first.text, first.number, second.number) == ('ü', 0.0, 1.0)
    assert np.asarray(first.vector).tolist() == [1.0, 2.0, 3.0]
    assert np.asarray(second.vector).tolist() == [2.0, 3.0, 4.0]
    assert np.asarray(first.logits).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert first.inner is not None
    assert (first.inner.text, first.parts.text, first.tags, first.words) == ('inner', ['p'], sent.tags, ['x', 'y'])


def test_a_failure_comes_after_the_documents_before_it(port: int, protocol: str) -> None:
    documents = stream(port, protocol, '/breaks')
    assert next(documents).text == 'fine'
    with pytest.raises(RemoteError, match='no more') as caught:
        next(documents)
    assert caught.value.name == 'ValueError'
    documents = stream(port, protocol, '/wrong')
    assert next(documents).text == 'fine'
    with pytest.raises(RemoteError, match=r"'/wrong' yielded .*Rich.* and declares Text"):
        next(documents)


def test_what_streams_and_what_does_not(port: int, protocol: str) -> None:
    client = Client(port=port, protocol=protocol)
    with pytest.raises((RemoteError, NotSupportedError), match='stream_doc'):
        client.post('/async', Text(text='a'))
    with pytest.raises((RemoteError, NotSupportedError), match=r'must be generator|does not stream'):
        list(client.stream_doc('/plain', Text(text='a'), return_type=Text))


@pytest.mark.parametrize('endpoint', ['/async', '/sync'])
def test_several_streams_at_once(port: int, protocol: str, endpoint: str) -> None:
    expected = [f'a {number}' for number in range(200)]

    async def all_at_once() -> list[list[str]]:
        calls = (stream_async(port, protocol, endpoint, parameters={'times': 200}) for _ in range(8))
        return list(await asyncio.gather(*calls))

    assert asyncio.run(all_at_once()) == [expected] * 8
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: list(stream(port, protocol, endpoint, parameters={'times': 200})), range(4))
        assert [[doc.text for doc in documents] for documents in found] == [expected] * 4


@pytest.mark.parametrize('endpoint', ['/endless', '/endless-sync'])
def test_leaving_a_stream_ends_the_generator(port: int, protocol: str, endpoint: str, tmp_path: Path) -> None:
    mark = tmp_path / 'closed'
    documents = stream(port, protocol, endpoint, text=str(mark))
    assert len(list(islice(documents, 3))) == 3
    assert not mark.exists()
    documents.close()  # type: ignore[attr-defined]
    wait_for(mark.exists)


@pytest.mark.parametrize('endpoint', ['/endless', '/endless-sync'])
def test_a_deadline_ends_the_generator(port: int, protocol: str, endpoint: str, tmp_path: Path) -> None:
    mark = tmp_path / 'closed'
    with pytest.raises(TransportError):
        list(stream(port, protocol, endpoint, text=str(mark), timeout=1))
    wait_for(mark.exists)


@pytest.mark.parametrize('endpoint', ['/async', '/sync', '/typed'])
def test_through_a_flow(flow: Flow, protocol: str, endpoint: str) -> None:
    port = dict(zip(('grpc', 'http'), flow.port, strict=True))[protocol]
    assert [doc.text for doc in stream(port, protocol, endpoint)] == ['>a 0', '>a 1', '>a 2']
    assert asyncio.run(stream_async(port, protocol, endpoint, parameters={'times': 1})) == ['>a 0']
    assert [doc.text for doc in stream(port, protocol, endpoint, target_executor='executor1')] == ['a 0', 'a 1', 'a 2']


@pytest.mark.parametrize('endpoint', ['/endless', '/endless-sync'])
def test_leaving_a_stream_through_a_flow_ends_the_generator(
    flow: Flow, protocol: str, endpoint: str, tmp_path: Path
) -> None:
    port = dict(zip(('grpc', 'http'), flow.port, strict=True))[protocol]
    mark = tmp_path / 'closed'
    documents = stream(port, protocol, endpoint, text=str(mark))
    assert len(list(islice(documents, 3))) == 3
    assert not mark.exists()
    documents.close()  # type: ignore[attr-defined]
    wait_for(mark.exists)


def test_deployment_and_flow_stream_themselves(flow: Flow) -> None:
    with Flow().add(uses=Streams) as alone:
        documents = alone.stream_doc('/sync', Text(text='a'), return_type=Text, parameters={'times': 1})
        assert [doc.text for doc in documents] == ['a 0']
    with Deployment(uses=Streams, replicas=2) as replicas:
        for _ in range(4):
            documents = replicas.stream_doc('/async', Text(text='a'), return_type=Text, parameters={'times': 1})
            assert [doc.text for doc in documents] == ['a 0']
