"""A real GPU: left out where there is none."""

from __future__ import annotations

import os
from typing import Any

import pytest

torch = pytest.importorskip('torch')
if not torch.cuda.is_available():
    pytest.skip('needs a GPU', allow_module_level=True)

from docarray import BaseDoc, DocList  # noqa: E402
from docarray.typing import TorchTensor  # noqa: E402
from jina import Deployment, Executor, Flow, requests  # noqa: E402


class Vector(BaseDoc):
    values: TorchTensor
    device: str = ''
    visible: str = ''


class OnGpu(Executor):
    """Multiplies on the GPU, and leaves the results there."""

    def __init__(self, device: str = 'cuda', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weights = torch.eye(64, device=device) * 2

    @requests
    def multiply(self, docs: DocList[Vector], **kwargs: Any) -> DocList[Vector]:
        products = torch.stack([doc.values for doc in docs]).to(self.weights.device) @ self.weights
        for doc, product in zip(docs, products, strict=True):
            doc.values = product
            doc.device = str(product.device)
            doc.visible = os.environ.get('CUDA_VISIBLE_DEVICES', '')
        return docs


def vectors(count: int) -> DocList[Vector]:
    return DocList[Vector]([Vector(values=torch.arange(64, dtype=torch.float32) + index) for index in range(count)])


def check(answers: DocList[Vector], count: int) -> None:
    assert len(answers) == count
    for index, doc in enumerate(answers):
        assert doc.device == 'cuda:0'
        assert torch.equal(torch.as_tensor(doc.values), (torch.arange(64, dtype=torch.float32) + index) * 2)


def test_tensors_of_a_gpu_come_back() -> None:
    with Deployment(uses=OnGpu) as deployment:
        check(deployment.post('/', vectors(8), return_type=DocList[Vector]), 8)


def test_replicas_get_gpus_in_turn() -> None:
    with Flow().add(uses=OnGpu, replicas=2, env={'CUDA_VISIBLE_DEVICES': 'RR'}) as flow:
        answers = flow.post('/', vectors(20), request_size=1, return_type=DocList[Vector], results_in_order=True)
        check(answers, 20)
        assert {doc.visible for doc in answers} <= {str(number) for number in range(torch.cuda.device_count())}
