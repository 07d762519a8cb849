"""What only HTTP has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.client import Client
from jina.core.errors import (
    ClientError,
    ConnectError,
    DeadlineError,
    InputError,
    NotSupportedError,
    RemoteError,
    ServerError,
    TransportError,
)

Texts = Callable[..., Any]


@pytest.fixture
def client(http_server: Any) -> Iterator[Any]:
    with Client(host=f'http://localhost:{http_server.port}') as client:
        yield client


@pytest.mark.parametrize(
    ('paths', 'endpoint', 'expected'),
    [
        ({'/foo', '/default'}, '/foo', '/foo'),
        ({'/foo', '/default'}, 'foo', '/foo'),
        ({'/foo', '/default'}, '/bar', '/default'),
        ({'/foo', '/post'}, '/bar', '/post'),
    ],
)
def test_which_path_serves_an_endpoint(
    client: Any, http_server: Any, paths: set[str], endpoint: str, expected: str
) -> None:
    http_server.paths = paths
    client.post(endpoint)
    client.post(endpoint)
    assert http_server.hits == ['GET /openapi.json', f'POST {expected}', f'POST {expected}']


def test_a_server_with_other_endpoints_is_noticed(client: Any, http_server: Any) -> None:
    client.post('/echo')
    http_server.paths = {'/default'}
    assert len(client.post('/echo')) == 0
    assert http_server.hits[-1] == 'POST /default'


@pytest.mark.parametrize(
    ('status', 'error'),
    [(404, ClientError), (422, InputError), (503, TransportError), (504, DeadlineError), (502, ServerError)],
)
def test_statuses_are_errors(client: Any, http_server: Any, status: int, error: type[Exception]) -> None:
    http_server.status['/echo'] = status
    with pytest.raises(error, match=rf'localhost:{http_server.port} answered {status} to POST /echo: refused'):
        client.post('/echo')


def test_a_500_with_a_detail_is_the_executor_s(client: Any, http_server: Any) -> None:
    http_server.status['/echo'] = 500
    (response,) = client.post(
        '/echo', TextDoc(text='a'), on_error=lambda _: None, return_responses=True, return_type=TextDoc
    )
    assert response.is_error
    assert response.status.description == 'refused'
    assert response.docs.text == ['a']


def test_nothing_listens() -> None:
    with pytest.raises(ConnectError, match='no HTTP server answers at http://localhost:1'):
        Client(host='http://localhost:1').post('/echo')


def test_a_deadline(client: Any) -> None:
    with pytest.raises(DeadlineError, match='no answer from'):
        client.post('/slow', timeout=0.2, parameters={'delay_s': 5})


def test_long_events(client: Any) -> None:
    docs = client.stream_doc('/large', TextDoc(text='x'), return_type=TextDoc)
    assert [len(doc.text) for doc in docs] == [900_000] * 3


def test_a_server_whose_streams_take_no_parameters(client: Any) -> None:
    with pytest.raises(NotSupportedError, match='takes no parameters'):
        list(client.stream_doc('/generate', TextDoc(text='x'), parameters={'a': 1}))


def test_a_stream_that_breaks_off(client: Any) -> None:
    docs = client.stream_doc('/cut', TextDoc(text='x'), return_type=TextDoc)
    assert [next(docs).text for _ in range(3)] == ['x 0', 'x 1', 'x 2']
    with pytest.raises(TransportError, match="broke off the stream of '/cut'"):
        next(docs)


def test_a_stream_that_fails(client: Any) -> None:
    docs = client.stream_doc('/broken', TextDoc(text='x'), return_type=TextDoc)
    assert [next(docs).text for _ in range(3)] == ['x 0', 'x 1', 'x 2']
    with pytest.raises(RemoteError, match='no more') as caught:
        next(docs)
    assert caught.value.name == 'ValueError'


def test_a_streaming_endpoint_takes_no_post(client: Any) -> None:
    with pytest.raises(NotSupportedError, match=r"'/generate' streams documents.*stream_doc"):
        client.post('/generate', TextDoc(text='x'))


def test_no_streaming_endpoint(client: Any) -> None:
    with pytest.raises(NotSupportedError, match="endpoint '/echo' does not stream; call it with post"):
        list(client.stream_doc('/echo', TextDoc(text='x')))
    with pytest.raises(ClientError, match=r"has no endpoint '/generat'; did you mean '/generate'\?"):
        list(client.stream_doc('/generat', TextDoc(text='x')))


def test_an_endpoint_that_is_not_there(client: Any, http_server: Any) -> None:
    with pytest.raises(
        ClientError, match=rf"localhost:{http_server.port} has no endpoint '/ecko'; did you mean '/echo'"
    ):
        client.post('/ecko')
    with pytest.raises(ClientError, match="has no endpoint 'x'; there are /echo, /fail, /results, /shuffle, /slow"):
        client.post('x')


def test_tensors_travel(client: Any, http_server: Any) -> None:
    import numpy as np

    docs = client.post('/echo', TextDoc(text='a', embedding=np.arange(3.0)), return_type=DocList[TextDoc])
    assert list(docs[0].embedding) == [0.0, 1.0, 2.0]


def test_without_aiohttp_the_extra_is_named() -> None:
    script = (
        'import sys; sys.modules["aiohttp"] = None\nfrom jina.client import Client\nClient(protocol="http").post("/")'
    )
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, timeout=60, check=False)
    assert 'pip install "jina-client[http]"' in done.stderr
