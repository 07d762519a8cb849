"""Correct uses: a type checker in strict mode has nothing to say."""

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing
from typing import Any

from docarray import DocList
from docarray.documents import ImageDoc, TextDoc
from jina import AsyncTestClient, Client, Deployment, Executor, Flow, TestClient, monitor, requests
from jina.core.request import Response
from typing_extensions import assert_type


class Texts(Executor):
    """All kinds of endpoints."""

    def __init__(self, size: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    @requests
    def plain(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs

    @requests(on=['/a', '/b'])
    async def coroutine(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return self.plain(docs)

    @requests(on='/stream')
    def stream(self, doc: TextDoc, **kwargs: Any) -> Iterator[TextDoc]:
        yield doc

    @requests(on='/astream')
    async def astream(self, doc: TextDoc, **kwargs: Any) -> AsyncIterator[TextDoc]:
        yield doc

    @monitor(name='seconds')
    @requests(on='/measured')
    def measured(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        return doc

    def warm_up(self) -> None:
        self.size += 1


class Async(Executor):
    """An asynchronous warm-up and end."""

    async def warm_up(self) -> None:
        return None

    async def close(self) -> None:
        return None


def methods(executor: Texts, docs: DocList[TextDoc], doc: TextDoc) -> None:
    """Decorated methods keep their signatures."""
    assert_type(executor.plain(docs), DocList[TextDoc])
    assert_type(executor.stream(doc), Iterator[TextDoc])
    assert_type(executor.astream(doc), AsyncIterator[TextDoc])
    assert_type(executor.measured(doc), TextDoc)


def synchronous(flow: Flow, deployment: Deployment) -> None:
    """Results follow from the arguments."""
    client = Client(port=1)
    docs = DocList[TextDoc]([TextDoc()])
    for source in (client, flow, deployment):
        assert_type(source.post('/', docs, return_type=DocList[ImageDoc]), DocList[ImageDoc])
        assert_type(source.post('/', docs, return_type=ImageDoc), ImageDoc)
        assert_type(source.post('/', docs, return_responses=True), list[Response])
        assert_type(source.post('/', docs, request_size=2, parameters={'a': 1}), DocList[Any])
        source.post('/', docs, on_done=print)
        with closing(source.stream_doc('/', docs[0], return_type=TextDoc, parameters={'a': 1})) as stream:
            assert_type(stream, Generator[TextDoc, None, None])
            assert_type(next(stream), TextDoc)
    assert_type(client.is_flow_ready(), bool)
    with TestClient(Texts, uses_with={'size': 2}) as tester:
        assert_type(tester.post('/', docs, return_type=TextDoc), TextDoc)


async def asynchronous() -> None:
    """The same, asynchronously."""
    client = Client(asyncio=True)
    async for docs in client.post('/', TextDoc(), return_type=DocList[TextDoc]):
        assert_type(docs, DocList[TextDoc])
    async for response in client.post('/', return_responses=True):
        assert_type(response, Response)
    async for doc in client.stream_doc('/', TextDoc(), return_type=TextDoc):
        assert_type(doc, TextDoc)
    assert_type(await client.is_flow_ready(), bool)
    async with AsyncTestClient(Texts) as tester:
        async for single in tester.post('/', TextDoc(), return_type=TextDoc):
            assert_type(single, TextDoc)
