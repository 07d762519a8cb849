"""Executors and documents with torch tensors, as a user would write them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from docarray import BaseDoc, DocList
from docarray.typing import AnyTensor, TorchTensor
from jina import Executor, dynamic_batching, requests

DTYPES = (
    torch.float16,
    torch.float32,
    torch.float64,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.bool,
)


class Part(BaseDoc):
    weights: TorchTensor[2]


class Features(BaseDoc):
    name: str = ''
    embedding: TorchTensor[5] | None = None
    image: TorchTensor | None = None
    either: AnyTensor | None = None
    part: Part | None = None
    parts: DocList[Part] | None = None


class Doubler(Executor):
    """Doubles every tensor, and checks that it is given torch tensors."""

    @requests(on='/double')
    def double(self, docs: DocList[Features], **kwargs: Any) -> DocList[Features]:
        for doc in docs:
            double(doc)
        return docs

    @requests(on='/async')
    async def double_async(self, doc: Features, **kwargs: Any) -> Features:
        double(doc)
        return doc

    @dynamic_batching(preferred_batch_size=4, timeout=50)
    @requests(on='/batch')
    def batch(self, docs: DocList[Features], **kwargs: Any) -> None:
        self.double(docs)

    @requests(on='/stream')
    def stream(self, doc: Features, **kwargs: Any) -> Features:
        yield from self._stream(doc)

    def _stream(self, doc: Features) -> Iterator[Features]:
        for _ in range(2):
            double(doc)
            yield doc


def double(doc: Features) -> None:
    for holder, field in _tensors(doc):
        tensor = getattr(holder, field)
        assert isinstance(tensor, torch.Tensor), f'{field} is a {type(tensor)}'
        setattr(holder, field, tensor + tensor)


def _tensors(doc: Features) -> Iterator[tuple[BaseDoc, str]]:
    for field in ('embedding', 'image', 'either'):
        if getattr(doc, field) is not None:
            yield doc, field
    for part in (doc.part, *(doc.parts or ())):
        if part is not None:
            yield part, 'weights'


class MyDoc(BaseDoc):
    text: str = ''
    embedding: AnyTensor[5] | None = None


class MyGPUExec(Executor):
    """The Executor of the GPU tutorial: the device is an argument, and whole columns are assigned."""

    def __init__(self, device: str = 'cpu', *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.device = device

    @requests
    def encode(self, docs: DocList[MyDoc], **kwargs: Any) -> DocList[MyDoc]:
        with torch.inference_mode():
            embeddings = torch.rand((len(docs), 5), device=self.device)
        docs.embedding = embeddings
        embedding_device = 'GPU' if embeddings.is_cuda else 'CPU'
        docs.text = [f'Embeddings calculated on {embedding_device}'] * len(docs)

    @requests(on='/devices')
    def devices(self, **kwargs: Any) -> dict[str, Any]:
        return {'visible': os.environ.get('CUDA_VISIBLE_DEVICES'), 'device': self.device}
