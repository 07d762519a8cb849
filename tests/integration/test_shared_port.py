"""Several processes answer on one port: gateways of a Flow, and replicas of a Deployment without a gateway."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import PortInUseError
from jina.core.wire import STATUS, JinaInfoProto

MOST_CALLS = 2000
"""The system chooses by chance; so many calls miss one of three processes once in 10 ** 350 runs."""


class Upper(Executor):
    @requests(on='/upper')
    def upper(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = (doc.text or '').upper()
        return docs


def over_http(port: int) -> str:
    """Returns the name of the process that answers on a new connection."""
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/status', timeout=30) as response:
        name: str = json.load(response)['envs']['JINA_DEPLOYMENT_NAME']
    return name


def over_grpc(port: int) -> str:
    """The same for gRPC."""
    with grpc.insecure_channel(f'127.0.0.1:{port}', options=[('grpc.use_local_subchannel_pool', 1)]) as channel:
        raw: bytes = channel.unary_unary(STATUS)(b'', timeout=30, wait_for_ready=True)
    return str(JinaInfoProto.FromString(raw).envs['JINA_DEPLOYMENT_NAME'])


def who_answers(ask: Callable[[int], str], port: int, number: int) -> set[str]:
    """Asks until so many processes have answered."""
    names: set[str] = set()
    for _ in range(MOST_CALLS):
        names.add(ask(port))
        if len(names) == number:
            break
    return names


def assert_nobody_listens(port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(('127.0.0.1', port), 10)


@pytest.mark.parametrize(('protocol', 'ask'), [('http', over_http), ('grpc', over_grpc)])
def test_gateways_share_their_port(protocol: str, ask: Callable[[int], str]) -> None:
    flow = Flow(protocol=protocol).config_gateway(replicas=3).add(uses=Upper)
    with flow:
        port = flow.port
        assert who_answers(ask, port, 3) == {'gateway/rep-0', 'gateway/rep-1', 'gateway/rep-2'}
        [killed] = [pod for pod in flow._running_pods() if pod.name == 'gateway/rep-1']
        assert killed.pid is not None
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.wait(30)
        assert {ask(port) for _ in range(50)} == {'gateway/rep-0', 'gateway/rep-2'}
        client = Client(port=port, protocol=protocol)
        assert client.post('/upper', TextDoc(text='ab'), return_type=DocList[TextDoc])[0].text == 'AB'
        pods = flow._running_pods()
    assert not any(pod.is_alive for pod in pods)
    assert_nobody_listens(port)


@pytest.mark.parametrize(('protocol', 'ask'), [('http', over_http), ('grpc', over_grpc)])
def test_replicas_without_a_gateway_share_their_port(protocol: str, ask: Callable[[int], str]) -> None:
    with Deployment(uses=Upper, protocol=protocol, replicas=2, include_gateway=False) as deployment:
        port = deployment.port
        assert deployment.num_pods == 2
        assert who_answers(ask, port, 2) == {'executor/rep-0', 'executor/rep-1'}
        assert deployment.post('/upper', TextDoc(text='ab'), return_type=DocList[TextDoc])[0].text == 'AB'
    assert_nobody_listens(port)


def test_a_port_for_each_protocol_is_shared() -> None:
    with Flow(protocol=['grpc', 'http']).config_gateway(replicas=2).add(uses=Upper) as flow:
        grpc_port, http_port = flow.port
        names = {'gateway/rep-0', 'gateway/rep-1'}
        assert (who_answers(over_grpc, grpc_port, 2), who_answers(over_http, http_port, 2)) == (names, names)


@pytest.mark.parametrize('protocol', ['http', 'grpc'])
def test_another_flow_does_not_join(protocol: str) -> None:
    with Flow(protocol=protocol).config_gateway(replicas=2).add(uses=Upper) as flow:
        stranger = Flow(protocol=protocol, port=flow.port).config_gateway(replicas=2).add(uses=Upper)
        with pytest.raises(PortInUseError, match=f'port {flow.port} is taken'):
            stranger.start()
