from __future__ import annotations

import asyncio
import subprocess
import sys
import typing
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jina.client
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.client import AsyncGRPCClient, AsyncHTTPClient, BaseClient, Client, GRPCClient, HTTPClient
from jina.client.options import ClientKeywords
from jina.core.config import ClientOptions
from jina.core.errors import ConfigError, RemoteError
from jina.core.request import Response

Texts = Callable[..., Any]


@pytest.mark.parametrize(
    ('options', 'kind'),
    [
        ({}, GRPCClient),
        ({'asyncio': True}, AsyncGRPCClient),
        ({'protocol': 'http'}, HTTPClient),
        ({'protocol': 'HTTP', 'asyncio': True}, AsyncHTTPClient),
        ({'host': 'grpcs://example.org'}, GRPCClient),
        ({'host': 'https://example.org'}, HTTPClient),
    ],
)
def test_client_makes_the_class_of_protocol_and_colour(options: dict[str, Any], kind: type[BaseClient]) -> None:
    assert type(Client(**options)) is kind


def test_classes_can_be_used_directly(wire_server: Any) -> None:
    assert (
        GRPCClient(host=f'grpc://localhost:{wire_server.port}')
        .post('/echo', TextDoc(text='a'), return_type=TextDoc)
        .text
        == 'a'
    )
    with pytest.raises(ConfigError, match='HTTPClient can not talk to grpc://a:1'):
        HTTPClient(host='grpc://a:1')


@pytest.mark.parametrize(
    ('options', 'error', 'text'),
    [
        ({'prot': 1}, ConfigError, "Client.prot: no such option; did you mean 'port'"),
        ({'host': 'grpc://a:1', 'port': 2}, ConfigError, 'two definitions of port'),
        ({'metrics': True}, ConfigError, "'metrics'.*a client records traces only"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        Client(**options)


def test_keywords_are_the_options() -> None:
    assert set(typing.get_type_hints(ClientKeywords)) == set(ClientOptions.model_fields)


def test_exported_names() -> None:
    assert all(hasattr(jina.client, name) for name in jina.client.__all__)
    assert sorted(jina.client.__all__) == jina.client.__all__


def test_importing_the_client_loads_no_protocol() -> None:
    script = (
        'import sys, jina.client, jina.client.commands;'
        'print([name for name in ("grpc", "aiohttp", "docarray", "numpy", "rich") if name in sys.modules])'
    )
    assert subprocess.check_output([sys.executable, '-c', script], text=True).strip() == '[]'


def test_repr_names_the_address() -> None:
    assert repr(Client(host='grpc://a:1')) == '<GRPCClient of grpc://a:1>'


def test_readiness(server: Any, options: dict[str, Any]) -> None:
    client = Client(**options)
    assert client.is_flow_ready() is True
    assert client.is_deployment_ready() is True
    server.ready = False
    assert client.is_flow_ready() is False


@pytest.mark.parametrize('protocol', ['grpc', 'http'])
def test_readiness_of_nothing(protocol: str) -> None:
    client = Client(host='localhost', port=1, protocol=protocol)
    assert client.is_flow_ready() is False
    assert client.is_deployment_ready(timeout=1) is False


def test_a_closed_client_connects_again(options: dict[str, Any]) -> None:
    client = Client(**options)
    client.post('/echo')
    client.close()
    client.close()
    assert len(client.post('/echo')) == 0


def test_streamed_documents(options: dict[str, Any], server: Any) -> None:
    client = Client(**options)
    if hasattr(server, 'paths'):
        server.paths.add('/generate')
    docs = client.stream_doc('/generate', TextDoc(text='hi'), return_type=TextDoc)
    assert [doc.text for doc in docs] == ['hi 0', 'hi 1', 'hi 2']


def test_a_stream_may_be_left(options: dict[str, Any]) -> None:
    client = Client(**options)
    docs = client.stream_doc('/generate', TextDoc(text='hi'), return_type=TextDoc)
    assert next(docs).text == 'hi 0'
    docs.close()
    assert len(client.post('/echo')) == 0


async def inputs() -> AsyncIterator[TextDoc]:
    for number in range(4):
        yield TextDoc(text=str(number))
        await asyncio.sleep(0)


class TestAsync:
    @pytest.fixture
    def client(self, options: dict[str, Any]) -> Any:
        return Client(**options, asyncio=True)

    async def test_results_come_per_request(self, client: Any) -> None:
        async with client:
            results = [
                docs async for docs in client.post('/echo', inputs, request_size=2, return_type=DocList[TextDoc])
            ]
        assert sorted(docs.text for docs in results) == [['0', '1'], ['2', '3']]

    async def test_single_documents_and_responses(self, client: Any) -> None:
        assert {doc.text async for doc in client.post('/echo', inputs(), request_size=1, return_type=TextDoc)} == set(
            '0123'
        )
        assert [type(r) async for r in client.post('/echo', return_responses=True)] == [Response]

    async def test_results_come_while_inputs_are_read(self, client: Any, server: Any) -> None:
        first = asyncio.Event()

        async def wait_for_the_first() -> AsyncIterator[TextDoc]:
            yield TextDoc(text='0')
            await first.wait()
            yield TextDoc(text='1')

        seen = []
        async for doc in client.post('/echo', wait_for_the_first, request_size=1, return_type=TextDoc):
            seen.append(doc.text)
            first.set()
        assert seen == ['0', '1']

    async def test_callbacks_run_and_results_come(self, client: Any, texts: Texts) -> None:
        done: list[Response] = []

        async def keep(response: Response) -> None:
            done.append(response)

        results = [docs async for docs in client.post('/echo', texts('a', 'b'), request_size=1, on_done=keep)]
        assert len(results) == len(done) == 2

    async def test_errors(self, client: Any, texts: Texts) -> None:
        with pytest.raises(RemoteError, match='boom'):
            async for _ in client.post('/fail', texts('bad')):
                pass

    async def test_many_calls_side_by_side(self, client: Any, texts: Texts) -> None:
        async def one(number: int) -> str:
            (text,) = [doc.text async for doc in client.post('/echo', texts(number), return_type=TextDoc)]
            return text

        assert await asyncio.gather(*(one(number) for number in range(8))) == [str(number) for number in range(8)]

    async def test_cancelling_a_call_ends_it(self, client: Any, server: Any, texts: Texts) -> None:
        async def call() -> None:
            async for _ in client.post('/slow', texts('a', 'b'), request_size=1, parameters={'delay_s': 30}):
                pass

        task = asyncio.create_task(call())
        await asyncio.to_thread(server.wait_for_in_flight, 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_for_in_flight, 0)

    async def test_readiness_and_streams(self, client: Any) -> None:
        assert await client.is_flow_ready() is True
        assert await client.is_deployment_ready() is True
        docs = client.stream_doc('/generate', TextDoc(text='hi'), return_type=TextDoc)
        assert [doc.text async for doc in docs] == ['hi 0', 'hi 1', 'hi 2']

    async def test_a_session_may_be_reused(self, options: dict[str, Any]) -> None:
        client = Client(**options, asyncio=True, reuse_session=True)
        for _ in range(2):
            assert [len(docs) async for docs in client.post('/echo')] == [0]
        await client.close()


def test_the_implicit_client_of_an_orchestrator(wire_server: Any) -> None:
    class Orchestrator(jina.client.PostMixin, jina.client.HealthCheckMixin):
        @property
        def client(self) -> BaseClient:
            return GRPCClient(host='localhost', port=wire_server.port)

    assert Orchestrator().post('/echo', TextDoc(text='a'), return_type=TextDoc).text == 'a'
    assert Orchestrator().is_flow_ready()


def test_sources_are_typed() -> None:
    assert (Path(jina.client.__file__).parent / 'py.typed').exists()
