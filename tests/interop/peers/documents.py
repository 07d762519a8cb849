"""The document schemas and the Executor that both implementations serve and call, unchanged.

Runs in the original's environment too, so it uses nothing but the documented API.
"""

import json
from typing import Any, Dict, Optional

import numpy as np
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.typing import NdArray
from jina import Executor, requests

DIMENSIONS = 768


class Vector(BaseDoc):
    text: str = ''
    embedding: Optional[NdArray] = None


class Part(BaseDoc):
    label: str = ''
    weight: float = 0.0


class Page(BaseDoc):
    title: str = ''
    cover: Part = Part()
    parts: DocList[Part] = DocList[Part]()
    tags: Dict[str, Any] = {}
    count: int = 0
    seen: bool = False


class Peer(Executor):
    @requests(on='/echo')
    def echo(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = f'{doc.text}!'
        return docs

    @requests(on='/vector')
    def vector(self, docs: DocList[Vector], **kwargs) -> DocList[Vector]:
        for doc in docs:
            doc.embedding = np.asarray(doc.embedding) * 2
        return docs

    @requests(on='/nested')
    def nested(self, docs: DocList[Page], **kwargs) -> DocList[Page]:
        for doc in docs:
            doc.cover.weight += 1.0
            doc.parts.append(Part(label='added', weight=0.5))
            doc.tags['seen'] = True
            doc.count += 1
            doc.seen = True
        return docs

    @requests(on='/parameters')
    def parameters(self, docs: DocList[TextDoc], parameters: Dict, **kwargs) -> DocList[TextDoc]:
        known = {key: value for key, value in parameters.items() if not key.startswith('__')}
        for doc in docs:
            doc.text = json.dumps(known, sort_keys=True)
        return docs

    @requests(on='/result')
    def result(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        return {'count': len(docs), 'name': 'peer'}

    @requests(on='/fail')
    def fail(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        raise ValueError('boom', 7)

    @requests(on='/stream')
    async def stream(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        for number in range(50):
            yield TextDoc(id=str(number), text=f'{doc.text} {number}')
            if doc.text == 'break' and number == 1:
                raise ValueError('no more')
