"""Processes with a gRPC server report how many bytes it took and sent."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests

SIZE = 2000
"""Characters of a document."""


class TrafficReader(Executor):
    @requests
    def read(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = json.dumps([os.environ[f'JINA_GRPC_{way}_BYTES'] for way in ('RECV', 'SEND')]).ljust(SIZE)
        return docs

    @requests(on='/stream')
    async def stream(self, doc: TextDoc, **kwargs: Any) -> Iterator[TextDoc]:  # type: ignore[misc]
        for _ in range(20):
            yield TextDoc(text='x' * SIZE)


def totals(port: int) -> list[str]:
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/status') as answer:
        envs = json.load(answer)['envs']
    return [envs['JINA_GRPC_RECV_BYTES'], envs['JINA_GRPC_SEND_BYTES']]


@pytest.mark.parametrize('lanes', [True, False])
def test_bytes_of_a_flow(lanes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not lanes:
        monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    monkeypatch.setenv('JINA_GRPC_RECV_BYTES', '5')  # is nothing to the processes
    with Flow(protocol=['grpc', 'http']).add(uses=TrafficReader) as flow:
        assert totals(flow.port[1]) == ['0', '0']
        client = Client(port=flow.port[0])
        for number in range(1, 11):
            docs = client.post('/', TextDoc(text='x' * SIZE), return_type=DocList[TextDoc])
            received, sent = map(int, json.loads(docs[0].text or ''))
            assert number * SIZE * 0.98 < received < number * (SIZE + 1000)
            assert (number - 1) * SIZE * 0.98 <= sent < number * (SIZE + 1000)
            assert all(number * SIZE < int(total) < number * (SIZE + 1000) for total in totals(flow.port[1]))


def test_bytes_of_streams_and_of_servers_without_grpc() -> None:
    with Deployment(uses=TrafficReader, protocol=['grpc', 'http']) as deployment:
        client = Client(port=deployment.port[0], asyncio=False)
        assert len(list(client.stream_doc('/stream', TextDoc(text='y'), return_type=TextDoc))) == 20
        received, sent = map(int, totals(deployment.port[1]))
        assert 0 < received < SIZE < 20 * SIZE < sent
    with Deployment(protocol='http') as deployment:
        assert totals(deployment.port) == ['(unset)', '(unset)']
