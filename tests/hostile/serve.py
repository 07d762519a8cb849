"""Serves a Flow of two Executors and a Deployment, each over all protocols, until it is killed."""

from __future__ import annotations

import json
import os
import threading
from enum import Enum
from typing import Any, Literal, Optional

from docarray import BaseDoc, DocList
from docarray.typing import AnyTensor, AnyUrl, NdArray
from jina import Deployment, Executor, Flow, requests
from pydantic import BaseModel, Field

PROTOCOLS = ['grpc', 'http', 'websocket']


class Colour(str, Enum):
    RED = 'red'
    BLUE = 'blue'


class Part(BaseDoc):
    name: str
    weight: float = 1.0
    tensor: Optional[NdArray[2]] = None  # noqa: UP045


class Thing(BaseDoc):
    text: str = ''
    count: int = 0
    small: int = Field(default=1, ge=0, le=10)
    ratio: Optional[float] = None  # noqa: UP045
    ok: bool = True
    colour: Colour = Colour.RED
    kind: Literal['a', 'b'] = 'a'
    tensor: Optional[NdArray[3]] = None  # noqa: UP045
    any_tensor: Optional[AnyTensor] = None  # noqa: UP045
    part: Optional[Part] = None  # noqa: UP045
    parts: DocList[Part] = DocList[Part]()
    words: list[str] = Field(default_factory=list)
    numbers: list[float] = Field(default_factory=list)
    tags: dict[str, Any] = Field(default_factory=dict)
    link: Optional[AnyUrl] = None  # noqa: UP045
    raw: Optional[bytes] = None  # noqa: UP045
    either: int | str | None = None


class Options(BaseModel):
    times: int = Field(default=1, ge=0, le=3)
    suffix: str = ''
    nested: dict[str, list[int]] = Field(default_factory=dict)


class First(Executor):
    @requests(on='/things')
    def things(self, docs: DocList[Thing], parameters: Options, **kwargs: Any) -> DocList[Thing]:
        for doc in docs:
            doc.text = doc.text[:100] + parameters.suffix * parameters.times
        return docs

    @requests(on='/one')
    async def one(self, doc: Thing, **kwargs: Any) -> Thing:
        return doc

    @requests(on='/parts')
    def parts(self, docs: DocList[Part], parameters: dict[str, Any], **kwargs: Any) -> DocList[Part]:
        return docs

    @requests(on='/stream')
    async def stream(self, doc: Part, **kwargs: Any) -> Part:
        for _ in range(2):
            yield doc


class Second(Executor):
    @requests(on='/things')
    def things(self, docs: DocList[Thing], **kwargs: Any) -> DocList[Thing]:
        return docs

    @requests
    def other(self, docs: Any, **kwargs: Any) -> None:
        return None


if __name__ == '__main__':
    # The ports go to standard output, all else to standard error: nobody reads on once the ports are known, and who writes
    # to a full pipe waits.
    ports = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    options: dict[str, Any] = {'protocol': PROTOCOLS, 'expose_graphql_endpoint': True, 'quiet_error': True}
    flow = Flow(**options).add(uses=First, name='first').add(uses=Second, name='second')
    deployment = Deployment(uses=First, name='alone', **options)
    with flow, deployment:
        print(json.dumps({'flow': flow.port, 'deployment': deployment.port}), file=ports, flush=True)
        threading.Event().wait()
