"""Wrong uses: each line with a comment ``refused: CODES`` is an error of a type checker, and no other line is."""

from typing import Any

from docarray import DocList
from docarray.documents import ImageDoc, TextDoc
from jina import Client, Deployment, Executor, Flow, TestClient, requests


class Texts(Executor):
    """Endpoints that are called wrongly below."""

    @requests(on=3)  # refused: call-overload untyped-decorator
    def number(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs

    @requests
    def plain(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return 3  # refused: return-value

    @requests(on='/one')
    def one(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        return doc

    def warm_up(self, model: str) -> None:  # refused: override
        print(model)

    def close(self) -> int:  # refused: override
        return 3


def methods(executor: Texts, text: TextDoc, images: DocList[ImageDoc]) -> None:
    """Decorated methods keep their signatures."""
    executor.plain(images)  # refused: arg-type
    executor.one()  # refused: call-arg
    image: ImageDoc = executor.one(text)  # refused: assignment
    print(image)


def calls(flow: Flow, deployment: Deployment) -> None:
    """Results follow from the arguments."""
    client = Client(port=1)
    image: ImageDoc = client.post('/', return_type=TextDoc)  # refused: assignment
    images: DocList[ImageDoc] = flow.post('/', return_type=DocList[TextDoc])  # refused: arg-type
    text: TextDoc = deployment.post('/', return_responses=True)  # refused: assignment
    client.post('/', TextDoc(), requst_size=3)  # refused: call-overload
    client.post('/', TextDoc(), return_type=int)  # refused: arg-type
    client.post('/', 'text', on_done=3)  # refused: call-overload
    client.stream_doc('/')  # refused: call-overload
    with TestClient(Texts) as tester:
        number: int = tester.post('/', return_type=TextDoc)  # refused: assignment
    print(image, images, text, number)


async def asynchronous() -> None:
    """The asynchronous client has to be awaited."""
    client = Client(asyncio=True)
    docs: DocList[TextDoc] = client.post('/', return_type=DocList[TextDoc])  # refused: assignment
    ready: bool = client.is_flow_ready()  # refused: assignment
    print(docs, ready)
