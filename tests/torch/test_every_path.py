"""Torch tensors survive every path of a request; runs where torch is installed (see tests/integration/test_torch.py)."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip('torch', reason='tests/integration/test_torch.py runs this in an environment with torch')

from docarray import DocList  # noqa: E402
from jina import Client, Deployment, Flow, TestClient  # noqa: E402
from jina.core.errors import RemoteError, SchemaError  # noqa: E402

from tests.torch.executors import DTYPES, Doubler, Features, MyDoc, MyGPUExec, Part  # noqa: E402

FeaturesList = DocList[Features]


def features(name: str = '') -> Features:
    return Features(
        name=name,
        embedding=torch.arange(5, dtype=torch.float32) / 3,
        image=torch.arange(6, dtype=torch.uint8).reshape(2, 3).T,  # not contiguous
        either=torch.tensor([[1.5, -2.5]], dtype=torch.float64),
        part=Part(weights=torch.tensor([1.0, 2.0])),
        parts=DocList[Part]([Part(weights=torch.tensor([3.0, 4.0]))]),
    )


def check(doc: Features, times: int) -> None:
    """The document holds the torch tensors of ``features``, multiplied."""
    wanted = features()
    pairs = [
        (doc.embedding, wanted.embedding),
        (doc.image, wanted.image),
        (doc.either, wanted.either),
        (doc.part.weights, wanted.part.weights),
        (doc.parts[0].weights, wanted.parts[0].weights),
    ]
    for found, original in pairs:
        assert isinstance(found, torch.Tensor)
        assert (found.dtype, found.shape) == (original.dtype, original.shape)
        torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(original) * times, rtol=0, atol=0)


@pytest.fixture(scope='module', params=['deployment', 'flow', 'in process'])
def grpc(request: pytest.FixtureRequest) -> Iterator[tuple[Any, int]]:
    """What answers by gRPC, and by how much it multiplies."""
    kind = request.param
    if kind == 'deployment':
        target: Any = Deployment(uses=Doubler)
    elif kind == 'flow':
        target = Flow().add(uses=Doubler).add(uses=Doubler)
    else:
        target = TestClient(Doubler)
    with target as service:
        yield service, 4 if kind == 'flow' else 2


@pytest.mark.parametrize('endpoint', ['/double', '/async', '/batch'])
@pytest.mark.parametrize('stream', [True, False])
def test_grpc(grpc: tuple[Any, int], endpoint: str, stream: bool) -> None:
    service, times = grpc
    inputs = FeaturesList([features(str(number)) for number in range(6)])
    found = service.post(endpoint, inputs, request_size=2, return_type=FeaturesList, stream=stream)
    assert sorted(doc.name for doc in found) == list('012345')
    for doc in found:
        check(doc, times)


def test_grpc_without_the_fast_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    with Flow().add(uses=Doubler).add(uses=Doubler) as flow:
        (doc,) = flow.post('/double', features(), return_type=FeaturesList)
    check(doc, 4)


@pytest.mark.parametrize('kind', ['deployment', 'in process'])
def test_grpc_streams(kind: str) -> None:
    target: Any = Deployment(uses=Doubler) if kind == 'deployment' else TestClient(Doubler)
    with target as service:
        client = service.client if kind == 'deployment' else service
        found = list(client.stream_doc('/stream', features(), return_type=Features))
    for doc, times in zip(found, (2, 4), strict=True):
        check(doc, times)


@pytest.mark.parametrize('kind', ['deployment', 'flow'])
def test_http(kind: str) -> None:
    target: Any = (
        Deployment(uses=Doubler, protocol='http')
        if kind == 'deployment'
        else Flow(protocol='http').add(uses=Doubler).add(uses=Doubler)
    )
    times = 2 if kind == 'deployment' else 4
    # JSON has no types: the fields' own types bring tensors back, whose numbers are those that JSON carries
    source = Features(embedding=torch.arange(5, dtype=torch.float32) / 3, part=Part(weights=torch.tensor([1.0, 2.0])))
    with target as service:
        client: Any = Client(port=service.port, protocol='http')
        for endpoint in ('/double', '/async', '/batch'):
            (doc,) = client.post(endpoint, source, return_type=FeaturesList)
            assert isinstance(doc.embedding, torch.Tensor)
            torch.testing.assert_close(torch.as_tensor(doc.embedding), torch.arange(5) / 3 * times)
            assert doc.part.weights.tolist() == [times, 2 * times]
        streamed = list(client.stream_doc('/stream', source, return_type=Features)) if kind == 'deployment' else []
        assert [doc.part.weights.tolist() for doc in streamed] == ([[2, 4], [4, 8]] if streamed else [])
        body = json.dumps({'data': [{'embedding': [1, 2, 3, 4, 5], 'image': [[1, 2]]}]}).encode()
        call = urllib.request.Request(
            f'http://127.0.0.1:{service.port}/double', body, headers={'content-type': 'application/json'}
        )
        with urllib.request.urlopen(call, timeout=30) as response:
            (raw,) = json.load(response)['data']
    assert raw['embedding'] == [number * times for number in (1, 2, 3, 4, 5)]
    assert raw['image'] == [[times, 2 * times]]


def test_websocket() -> None:
    with Flow(protocol='websocket').add(uses=Doubler) as flow:
        (doc,) = flow.post('/double', features(), return_type=FeaturesList)
        streamed = list(flow.client.stream_doc('/stream', features(), return_type=Features))
    check(doc, 2)
    for one, times in zip(streamed, (2, 4), strict=True):
        check(one, times)


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('shape', [(), (0, 3), (2, 1, 3)])
def test_dtypes_and_shapes(dtype: Any, shape: tuple[int, ...]) -> None:
    ones = torch.ones(shape, dtype=dtype)
    with TestClient(Doubler) as client:
        (doc,) = client.post('/double', Features(image=ones), return_type=FeaturesList)
    assert tuple(doc.image.shape) == shape
    if ones.numel():  # docarray's format has no type for a tensor without content
        assert doc.image.dtype == dtype
        assert torch.equal(torch.as_tensor(doc.image), ones + ones)


def test_a_tensor_with_a_gradient_arrives_without_it() -> None:
    with TestClient(Doubler) as client:
        source = Features(image=torch.ones(2, requires_grad=True) * 3)
        (doc,) = client.post('/double', source, return_type=FeaturesList)
    assert doc.image.tolist() == [6, 6]
    assert not doc.image.requires_grad


def test_a_type_that_has_no_form_on_the_wire_is_named() -> None:
    with TestClient(Doubler) as client, pytest.raises(SchemaError, match=r'image.*BFloat16'):
        client.post('/double', Features(image=torch.ones(2, dtype=torch.bfloat16)))


@pytest.mark.parametrize('protocol', ['grpc', 'http'])
def test_the_tutorial_on_the_cpu(protocol: str) -> None:
    with Deployment(uses=MyGPUExec, uses_with={'device': 'cpu'}, protocol=protocol) as deployment:
        found = deployment.post('/encode', DocList[MyDoc]([MyDoc()]), return_type=DocList[MyDoc])
    assert found.text == ['Embeddings calculated on CPU']
    assert torch.as_tensor(found[0].embedding).shape == (5,)
    assert torch.stack([torch.as_tensor(doc.embedding) for doc in found]).shape == (1, 5)


def test_a_device_that_is_not_there_fails_the_request_and_says_so() -> None:
    with Deployment(uses=MyGPUExec, uses_with={'device': 'cuda:7'}, env={'CUDA_VISIBLE_DEVICES': '7'}) as deployment:
        (response,) = deployment.post('/devices', return_responses=True)
        (facts,) = response.parameters['__results__'].values()
        assert facts == {'visible': '7', 'device': 'cuda:7'}
        with pytest.raises(RemoteError, match=r'CUDA|cuda'):
            deployment.post('/encode', MyDoc())


def test_a_generator_of_documents_in_requests_of_32() -> None:
    def generate() -> Iterator[MyDoc]:
        for number in range(1000):
            yield MyDoc(text=str(number))

    with Deployment(uses=MyGPUExec) as deployment:
        found = deployment.post('/encode', generate, show_progress=True, request_size=32, return_type=DocList[MyDoc])
    assert len(found) == 1000
    assert all(torch.as_tensor(doc.embedding).shape == (5,) for doc in found)
