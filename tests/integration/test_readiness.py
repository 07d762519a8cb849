"""What says whether a Flow or a Deployment can take requests: dry runs on every protocol, clients and ``jina ping``."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from typing import Any

import grpc
import pytest
import websockets.sync.client
from docarray import BaseDoc, DocList
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.cli.main import main
from jina.core.errors import TransportError
from jina.core.status import StatusMessage

DRY_RUN = '/jina.JinaGatewayDryRunRPC/dry_run'
HEALTHY = {'code': 0, 'description': '', 'exception': None}
PROTOCOLS = ('grpc', 'http', 'websocket')


class Echo(Executor):
    @requests
    def echo(self, docs: DocList[BaseDoc], **kwargs: Any) -> DocList[BaseDoc]:
        return docs


def dry_runs(ports: dict[str, int]) -> dict[str, dict[str, Any]]:
    """What all doors answer."""
    found: dict[str, dict[str, Any]] = {}
    with grpc.insecure_channel(f'127.0.0.1:{ports["grpc"]}') as channel:
        found['grpc'] = StatusMessage.from_bytes(channel.unary_unary(DRY_RUN)(b'', timeout=60)).to_dict()
    for name in ('http', 'websocket'):
        with urllib.request.urlopen(f'http://127.0.0.1:{ports[name]}/dry_run', timeout=60) as response:
            found[f'GET {name}'] = json.load(response)
    for kind in ('bytes', 'json'):
        where = f'ws://127.0.0.1:{ports["websocket"]}/dry_run'
        with websockets.sync.client.connect(where, subprotocols=[websockets.Subprotocol(kind)]) as connection:
            answer = connection.recv(60)
            found[kind] = (
                StatusMessage.from_bytes(answer).to_dict()
                if isinstance(answer, bytes)
                else {**HEALTHY, **json.loads(answer)}
            )
    return found


def ready(ports: dict[str, int]) -> list[bool]:
    clients = [Client(protocol=protocol, port=port) for protocol, port in ports.items()]
    return [answer for client in clients for answer in (client.is_flow_ready(60), client.is_deployment_ready(60))]


def ping(target: str, address: str) -> int:
    return main(['ping', target, address, '--timeout', '60000'])


def test_a_flow_before_and_after_the_end_of_an_executor(capfd: pytest.CaptureFixture[str]) -> None:
    flow = Flow(protocol=list(PROTOCOLS), noblock_on_start=True, quiet=True).add(uses=Echo).add(uses=Echo, name='last')
    assert not flow.is_flow_ready()
    with flow:
        flow.wait_start_success()
        assert flow.is_flow_ready(60)
        ports = dict(zip(PROTOCOLS, flow.port, strict=True))
        assert dry_runs(ports) == dict.fromkeys(('grpc', 'GET http', 'GET websocket', 'bytes', 'json'), HEALTHY)
        assert ready(ports) == [True] * 6
        (own,) = flow['last'].ports
        assert ping('flow', f'grpc://localhost:{ports["grpc"]}') == 0
        assert ping('gateway', f'http://localhost:{ports["http"]}') == 0
        assert ping('executor', f'localhost:{own}') == 0
        assert ''.join(capfd.readouterr()).count('readiness check succeeded 1 times!!!') == 3

        (pod,) = flow['last'].pods
        os.kill(pod.pid or 0, signal.SIGKILL)
        assert pod.wait(60)
        address = f'0.0.0.0:{own}'
        words = (
            rf'failed to connect to all addresses; .*{address}.* \|Gateway: Communication error with deployment last '
            rf"at address\(es\) {{'{address}'}}\. Head or worker\(s\) may be down\."
        )
        for name, status in dry_runs(ports).items():
            assert status['code'] == 1, name
            assert re.fullmatch(words, status['description']), name
            assert status['exception']['name'] == 'InternalNetworkError', name
            assert status['exception']['args'] == [status['description']], name
            assert status['description'] in status['exception']['stacks'][-1], name
            assert status['exception']['executor'] == '', name
        assert not flow.is_flow_ready(60)
        assert ready(ports) == [False, True] * 3  # the gateway itself is there
        for protocol, port in ports.items():
            assert ping('flow', f'{protocol}://localhost:{port}') == 1
        assert ping('executor', f'localhost:{own}') == 1
        assert ping('gateway', f'grpc://localhost:{ports["grpc"]}') == 0
        said = ''.join(capfd.readouterr())
        assert said.count('not responding (1/1)') == said.count('message lost 100% (1/1)') == 4
        check_failures(ports, words)
    assert not flow.is_flow_ready()
    assert ready(ports) == [False] * 6


def check_failures(ports: dict[str, int], words: str) -> None:
    """Each protocol reports an Executor that is gone in its own way, in the same words."""
    with pytest.raises(TransportError, match=words) as caught:
        Client(port=ports['grpc']).post('/', BaseDoc())
    assert caught.value.code == 'UNAVAILABLE'
    request = urllib.request.Request(
        f'http://127.0.0.1:{ports["http"]}/default', b'{"data": []}', {'content-type': 'application/json'}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    with refused.value as answer:
        assert answer.code == 503
        assert re.fullmatch(words, json.load(answer)['header']['status']['description'])
    with pytest.raises(TransportError, match=r'1011.*deployment last at address'):
        Client(protocol='websocket', port=ports['websocket']).post('/', BaseDoc())


def test_a_deployment_answers_dry_runs_too() -> None:
    deployment = Deployment(uses=Echo, protocol=list(PROTOCOLS), quiet=True)
    assert not deployment.is_deployment_ready()
    with deployment:
        ports = dict(zip(PROTOCOLS, deployment.port, strict=True))
        assert dry_runs(ports) == dict.fromkeys(('grpc', 'GET http', 'GET websocket', 'bytes', 'json'), HEALTHY)
        assert ready(ports) == [True] * 6
        assert deployment.is_deployment_ready(60)
        assert ping('deployment', f'grpc://localhost:{ports["grpc"]}') == 0
        (pod,) = deployment.pods
        os.kill(pod.pid or 0, signal.SIGKILL)
        assert pod.wait(60)
        assert not deployment.is_deployment_ready(60)
        assert ping('deployment', f'http://localhost:{ports["http"]}') == 1
    assert not deployment.is_deployment_ready()


def test_bytes_of_messages_are_counted_however_they_come() -> None:
    flow = Flow(protocol=['grpc', 'http'], quiet=True).add(uses=Echo)
    with flow:
        ports = dict(zip(('grpc', 'http'), flow.port, strict=True))

        def counted() -> tuple[int, int]:
            with urllib.request.urlopen(f'http://127.0.0.1:{ports["http"]}/status', timeout=60) as answer:
                envs = json.load(answer)['envs']
            found = [envs[f'JINA_GRPC_{way}_BYTES'] for way in ('RECV', 'SEND')]
            return tuple(0 if text == '(unset)' else int(text) for text in found)  # type: ignore[return-value]

        client = Client(port=ports['grpc'])
        before = counted()
        for stream in (True, False):
            client.post('/', DocList[BaseDoc]([BaseDoc(), BaseDoc()]), request_size=1, stream=stream)
            after = counted()
            assert after[0] >= before[0] + 100
            assert after[1] >= before[1] + 100
            before = after
