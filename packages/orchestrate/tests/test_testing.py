"""The clients for unit tests."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.typing import NdArray
from jina import AsyncTestClient, Deployment, Executor, Flow, TestClient, requests
from jina.core.errors import (
    ConfigError,
    DeadlineError,
    InputError,
    NotStartedError,
    RemoteError,
    SchemaError,
    StartupError,
    TopologyError,
)
from jina.orchestrate import launcher
from pydantic import BaseModel


class Vector(BaseDoc):
    values: NdArray[3]


class Append(Executor):
    """Appends a text."""

    closed: list[str] = []  # noqa: RUF012 - shared on purpose: it outlives the Executor

    def __init__(self, text: str = 'x', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.text = text
        self.calls = 0

    @requests
    def append(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        self.calls += 1
        for doc in docs:
            doc.text = f'{doc.text}{self.text}'
        return docs

    @requests(on='/stream')
    async def stream(self, doc: TextDoc, parameters: dict[str, Any], **kwargs: Any) -> AsyncIterator[TextDoc]:  # type: ignore[misc]
        for number in range(int(parameters.get('times', 3))):
            yield TextDoc(text=f'{doc.text}{number}')

    @requests(on='/generate')
    def generate(self, doc: TextDoc, **kwargs: Any) -> Iterator[TextDoc]:
        yield TextDoc(text=f'{doc.text}!')
        raise ValueError('half way')

    @requests(on='/fail')
    def fail(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        raise ValueError('not today')

    @requests(on='/env')
    def env(self, **kwargs: Any) -> dict[str, Any]:
        return {'flavour': os.environ.get('FLAVOUR', '')}

    def close(self) -> None:
        self.closed.append(self.text)


class Count(BaseModel):
    count: int = 1


class Streams(Executor):
    """Yields texts: so many, or without an end."""

    def __init__(self, text: Any = '', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.text = text
        self.ended = threading.Event()

    @requests(on='/counted')
    async def counted(self, doc: TextDoc, parameters: Count) -> AsyncIterator[TextDoc]:
        for number in range(parameters.count):
            yield TextDoc(text=f'{doc.text}{number}')

    @requests(on='/endless')
    async def endless(self, doc: TextDoc) -> AsyncIterator[TextDoc]:
        try:
            while True:
                yield doc
                await asyncio.sleep(0)
        finally:
            self.ended.set()

    @requests(on='/text')
    def say(self, doc: TextDoc) -> TextDoc:
        return TextDoc(text=f'{self.text}')


class Sum(Executor):
    """Takes vectors."""

    @requests(on='/sum')
    def sum(self, docs: DocList[Vector], **kwargs: Any) -> DocList[TextDoc]:
        return DocList[TextDoc]([TextDoc(text=str(float(doc.values.sum()))) for doc in docs])


class Broken(Executor):
    """Can't be made."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        raise ValueError('no model here')


def texts(docs: Any) -> list[str]:
    return [doc.text for doc in docs]


def test_an_executor_class_with_its_options() -> None:
    with TestClient(
        Append, uses_with={'text': 'y'}, uses_requests={'/only': 'append'}, uses_metas={'name': 'm'}
    ) as client:
        found = client.post('/only', [TextDoc(text='a'), TextDoc(text='b')], return_type=DocList[TextDoc])
        assert texts(found) == ['ay', 'by']
        assert client.executor.calls == 1
        assert client.executor.metas.name == 'm'
    assert Append.closed[-1] == 'y'


def test_documents_are_really_encoded() -> None:
    sent = TextDoc(text='a')
    with TestClient(Append) as client:
        client.post('/', sent, return_type=TextDoc)
        assert sent.text == 'a'
        with pytest.raises(InputError):
            client.post('/', [object()])
    with TestClient(Sum) as client:
        answer = client.post('/sum', Vector(values=np.ones(3)), return_type=TextDoc)
        assert answer.text == '3.0'
        with pytest.raises(RemoteError, match='values'):
            client.post('/sum', TextDoc(text='no vector'))
        with pytest.raises(SchemaError):
            client.post('/sum', Vector(values=np.ones(3)), return_type=DocList[Vector])


def test_many_requests_and_their_order() -> None:
    docs = DocList[TextDoc]([TextDoc(text=str(number)) for number in range(500)])
    with TestClient(Append) as client:
        found = client.post('/', docs, request_size=1, results_in_order=True, return_type=DocList[TextDoc])
        assert texts(found) == [f'{number}x' for number in range(500)]
        assert client.executor.calls == 500


def test_without_the_fast_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    with TestClient(Flow().add(uses=Append)) as client:
        found = client.post('/', [TextDoc(text=str(n)) for n in range(5)], request_size=1, return_type=DocList[TextDoc])
        assert sorted(texts(found)) == ['0x', '1x', '2x', '3x', '4x']


def test_errors_and_callbacks() -> None:
    with TestClient(Append) as client:
        with pytest.raises(RemoteError) as caught:
            client.post('/fail', TextDoc(text='a'))
        assert (caught.value.name, caught.value.executor) == ('ValueError', 'Append')
        seen: list[tuple[str, int]] = []
        main = threading.get_ident()
        client.post(
            '/fail',
            TextDoc(text='a'),
            on_error=lambda response: seen.append((response.status.exception.name, threading.get_ident())),
        )
        client.post('/', TextDoc(text='a'), on_done=lambda response: seen.append(('done', threading.get_ident())))
        assert seen == [('ValueError', main), ('done', main)]


def test_streams() -> None:
    with TestClient(Append) as client:
        stream = client.stream_doc('/stream', TextDoc(text='a'), return_type=TextDoc, parameters={'times': 2})
        assert texts(stream) == ['a0', 'a1']
        broken = client.stream_doc('/generate', TextDoc(text='a'), return_type=TextDoc)
        assert next(broken).text == 'a!'
        with pytest.raises(RemoteError, match='half way'):
            next(broken)


def test_a_flow_with_branches_and_filters() -> None:
    flow = (
        Flow()
        .add(name='first', uses=Append, uses_with={'text': '1'})
        .add(name='left', uses=Append, uses_with={'text': 'L'}, needs='first', when={'text': {'$regex': '^a'}})
        .add(name='right', uses=Append, uses_with={'text': 'R'}, needs='first', when={'text': {'$regex': '^b'}})
        .needs_all(name='join', uses=Append, uses_with={'text': '!'})
    )
    with TestClient(flow) as client:
        found = client.post('/', [TextDoc(text='a'), TextDoc(text='b')], return_type=DocList[TextDoc])
        assert sorted(texts(found)) == ['a1L!', 'b1R!']
        assert set(client.executors) == {'first', 'left', 'right', 'join'}
        response = client.post('/', TextDoc(text='a'), return_responses=True)[0]
        assert [route.executor for route in response.routes] == ['gateway', 'first', 'left', 'right', 'join']
        assert client.is_flow_ready()


def test_executors_that_do_not_fit_together() -> None:
    with pytest.raises(StartupError, match='do not fit') as caught, TestClient(Flow().add(uses=Sum).add(uses=Sum)):
        pass
    assert isinstance(caught.value.__cause__, TopologyError)


def test_replicas_share_the_requests() -> None:
    with TestClient(Append, replicas=2) as client:
        results = [client.post('/env', return_responses=True)[0].parameters['__results__'] for _ in range(2)]
        assert sorted(name for result in results for name in result) == ['executor/rep-0', 'executor/rep-1']


def test_yaml_of_every_kind(tmp_path: Path) -> None:
    executor = tmp_path / 'config.yml'
    executor.write_text('jtype: Append\nwith:\n  text: e\n')
    for source, suffix in (
        (str(executor), 'e'),
        ({'jtype': 'Deployment', 'with': {'uses': str(executor), 'uses_with': {'text': 'd'}}}, 'd'),
        (f'jtype: Flow\nexecutors:\n  - uses: {executor}\n  - uses: {executor}\n', 'ee'),
    ):
        with TestClient(source) as client:
            assert texts(client.post('/', TextDoc(text='a'), return_type=DocList[TextDoc])) == [f'a{suffix}']


def test_parameters_are_those_of_the_endpoint() -> None:
    with TestClient(Streams) as client:
        for parameters in ({'count': 2}, Count(count=2)):
            stream = client.stream_doc('/counted', TextDoc(text='a'), return_type=TextDoc, parameters=parameters)
            assert [doc.text for doc in stream] == ['a0', 'a1']
        with pytest.raises(RemoteError, match='count'):
            list(client.stream_doc('/counted', TextDoc(text='a'), parameters={'count': 'many'}))


def test_a_closed_stream_ends_the_generator() -> None:
    with TestClient(Streams) as client:
        with closing(client.stream_doc('/endless', TextDoc(), return_type=TextDoc)) as stream:
            next(stream)
        assert client.executor.ended.wait(30)
        client.executor.ended.clear()
        with pytest.raises(DeadlineError):
            deque(client.stream_doc('/endless', TextDoc(), timeout=0.2), maxlen=0)
        assert client.executor.ended.wait(30)


def test_a_replaced_attribute_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    marker: Any = object()
    with TestClient(Streams, uses_with={'text': marker}) as client:
        assert client.executor.text is marker
        monkeypatch.setattr(client.executor, 'text', 'replaced')
        assert client.post('/text', TextDoc(), return_type=TextDoc).text == 'replaced'


def test_a_deployment_and_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('FLAVOUR', raising=False)
    with TestClient(Deployment(uses=Append, name='sweet', env={'FLAVOUR': 'vanilla'})) as client:
        response = client.post('/env', return_responses=True)[0]
        assert response.parameters['__results__'] == {'sweet/rep-0': {'flavour': 'vanilla'}}
    assert 'FLAVOUR' not in os.environ


def test_a_failed_start_closes_what_was_made() -> None:
    Append.closed.clear()
    with (
        pytest.raises(StartupError, match='no model here') as caught,
        TestClient(Flow().add(uses=Append).add(uses=Broken)),
    ):
        pass
    assert isinstance(caught.value.__cause__, ValueError)
    assert Append.closed == ['x']


def test_wrong_use() -> None:
    with pytest.raises(ConfigError, match=r'TestClient.uses_wiht'):
        TestClient(Append, uses_wiht={})
    with pytest.raises(ConfigError, match='replicas'):
        TestClient(Flow(), replicas=2)
    with pytest.raises(NotStartedError):
        TestClient(Append).post('/')
    with pytest.raises(ConfigError, match=r'got the object <Append .*; give the class Append'):
        TestClient(Append())
    for kind in (TestClient, AsyncTestClient):
        with pytest.raises(TypeError, match=f'a {kind.__name__} runs inside of its process'):
            pickle.dumps(kind(Append))


def test_a_second_with_statement_makes_new_executors() -> None:
    client = TestClient(Append)
    with client:
        first = client.executor
    with client:
        assert client.executor is not first
        assert texts(client.post('/', TextDoc(text='a'), return_type=DocList[TextDoc])) == ['ax']


def test_nothing_is_started_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError('a process would be started')

    monkeypatch.setattr(launcher, 'current', refuse)
    with TestClient({'jtype': 'Flow', 'executors': [{'uses': 'Append'}]}) as client:
        assert client.post('/', TextDoc(text='a'), return_type=TextDoc).text == 'ax'


async def test_on_the_loop_of_the_test() -> None:
    async with AsyncTestClient(Append) as client:
        found = [
            text
            async for docs in client.post('/', TextDoc(text='a'), return_type=DocList[TextDoc])
            for text in texts(docs)
        ]
        assert found == ['ax']
        streamed = [doc.text async for doc in client.stream_doc('/stream', TextDoc(text='b'), return_type=TextDoc)]
        assert streamed == ['b0', 'b1', 'b2']
        assert await client.is_deployment_ready()
        assert client.executor.calls == 1
    with pytest.raises(NotStartedError):
        async for _ in client.post('/'):
            pass


async def test_a_second_async_with_statement_makes_new_executors() -> None:
    client = AsyncTestClient(Append)
    for _ in range(2):
        async with client:
            found = [docs async for docs in client.post('/', TextDoc(text='a'), return_type=DocList[TextDoc])]
            assert [texts(docs) for docs in found] == [['ax']]
            assert client.executor.calls == 1
