"""GraphQL through real processes, from Python, YAML and the command line, to the clients."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from docarray.documents.legacy import LegacyDocument
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import ClientError, ConnectError, InputError, NotSupportedError, StartupError, TransportError

from tests.support.processes import free_port, peer, wait_for_port

QUERY = 'mutation { docs(data: {text: "abcd"}, execEndpoint: "/upper") { text } }'
EXPECTED = {'data': {'docs': [{'text': 'ABCD'}]}}


class Upper(Executor):
    @requests(on='/upper')
    def upper(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = (doc.text or '').upper()
        return docs

    @requests(on='/fail')
    def fail(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        raise ValueError('no luck')


class Match(Executor):
    @requests(on='/search')
    def search(self, docs: DocList[LegacyDocument], **kwargs: Any) -> DocList[LegacyDocument]:
        for doc in docs:
            doc.matches = DocList[LegacyDocument]([LegacyDocument(embedding=[1.0, 2.0])])
        return docs


UPPER = """
from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests


class Upper(Executor):
    @requests(on='/upper')
    def upper(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = doc.text.upper()
        return docs
"""


def test_a_flow_and_its_clients() -> None:
    with Flow(protocol=['http', 'grpc'], expose_graphql_endpoint=True).add(uses=Upper, quiet_error=True) as flow:
        http, grpc = flow.port
        assert flow.mutate(QUERY) == EXPECTED
        # the documented call names no protocol
        assert Client(port=http).mutate(mutation=QUERY) == EXPECTED
        with Client(port=http, protocol='http') as client:
            query = 'query q($data: [TextDocInput!]) { upper(data: $data) { text } }'
            variables = {'data': [{'text': 'a'}, {'text': 'b'}]}
            answer = client.mutate(query, variables=variables, timeout=30, headers={'x-a': 'b'})
            assert answer == {'data': {'upper': [{'text': 'A'}, {'text': 'B'}]}}
            answer = client.mutate('{ fail(data: {text: "a"}) { id } }')
            assert answer['errors'][0]['message'] == "ValueError('no luck')"
            assert answer['errors'][0]['extensions']['executor'] == 'Upper'
            assert client.mutate('{ nothing')['errors'][0]['message'].startswith('Syntax Error')
            with pytest.raises(InputError, match='the variables can not be sent as JSON'):
                client.mutate(query, variables={'data': object()})
            with pytest.raises(InputError, match='mutation is of type int: 3; give GraphQL as text'):
                client.mutate(3)  # type: ignore[arg-type]

        async def call() -> Any:
            async with Client(port=http, protocol='http', asyncio=True) as client:
                return await asyncio.gather(*(client.mutate(QUERY) for _ in range(20)))

        assert asyncio.run(call()) == [EXPECTED] * 20
        for options in ({'protocol': 'grpc', 'port': grpc}, {'host': f'grpc://localhost:{grpc}'}):
            with pytest.raises(NotSupportedError, match=r'GraphQL goes over HTTP.*use Client'):
                Client(**options).mutate(QUERY)
        with pytest.raises(NotSupportedError, match='GraphQL goes over HTTP'):
            Client(protocol='websocket', port=http).mutate(QUERY)
        with pytest.raises(TransportError, match='did not answer in HTTP'):
            Client(port=grpc, protocol='http').mutate(QUERY)
    with pytest.raises(ConnectError, match='no HTTP server answers'):
        Client(port=http, protocol='http').mutate(QUERY)


def test_the_documented_example_with_untyped_documents() -> None:
    with Flow(protocol='http', expose_graphql_endpoint=True).add(uses=Match) as flow:
        answer = Client(port=flow.port).mutate('mutation { docs(data: {text: "abcd"}) { text matches { embedding } } }')
    assert answer == {'data': {'docs': [{'text': 'abcd', 'matches': [{'embedding': [1.0, 2.0]}]}]}}


def test_a_deployment_of_replicas() -> None:
    with Deployment(uses=Upper, protocol='http', replicas=2, expose_graphql_endpoint=True) as deployment:
        assert deployment.mutate(QUERY) == EXPECTED


def test_a_server_without_graphql() -> None:
    with Deployment(uses=Upper, protocol='http') as deployment:
        message = 'has no GraphQL: it answered 404; start it with expose_graphql_endpoint=True'
        with pytest.raises(ClientError, match=message):
            deployment.mutate(QUERY)
    with pytest.raises(StartupError, match='expose_graphql_endpoint is for HTTP, and the protocol is GRPC'):
        Flow(expose_graphql_endpoint=True).start()


@pytest.mark.parametrize('place', ['with', 'gateway'])
def test_yaml(place: str, tmp_path: Path) -> None:
    file = tmp_path / 'flow.yml'
    executors = [{'uses': f'{Path(__file__).stem}.Upper', 'py_modules': str(Path(__file__))}]
    options = {'protocol': 'http', 'expose_graphql_endpoint': True}
    file.write_text(json.dumps({'jtype': 'Flow', place: options, 'executors': executors}))
    with Flow.load_config(str(file)) as flow:
        assert flow.mutate(QUERY) == EXPECTED


def test_command_line(tmp_path: Path) -> None:
    (tmp_path / 'upper.py').write_text(UPPER)
    ports = free_port(), free_port(), free_port()
    jina = [sys.executable, '-c', 'import sys; from jina.core.cli.main import main; sys.exit(main())']
    uses = ['--uses', 'Upper', '--py-modules', str(tmp_path / 'upper.py')]
    gateway = ['--protocol', 'http', '--expose-graphql-endpoint', '--port']
    graph = json.dumps({'start-gateway': ['a'], 'a': ['end-gateway']})
    addresses = json.dumps({'a': [f'localhost:{ports[0]}']})
    with (
        peer([*jina, 'executor', *uses, '--port', str(ports[0])]),
        peer([*jina, 'deployment', *uses, *gateway, str(ports[1])]),
    ):
        wait_for_port(ports[0], timeout_s=60)
        described = ['--graph-description', graph, '--deployments-addresses', addresses]
        with peer([*jina, 'gateway', *gateway, str(ports[2]), *described]):
            for port in ports[1:]:
                wait_for_port(port, timeout_s=60)
                assert Client(port=port).mutate(QUERY) == EXPECTED
