"""A Deployment answers over HTTP in the same shape whatever the number of its replicas."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from fastapi import Depends, Header, HTTPException
from jina import Deployment, Executor, Flow, requests
from jina.core.errors import StartupError

from tests.support.processes import free_port, peer, wait_for_port


class Upper(Executor):
    @requests(on='/upper')
    def upper(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = (doc.text or '').upper()
        return docs


def call(port: int) -> dict[str, Any]:
    body = json.dumps({'data': [{'text': 'ab'}]}).encode()
    request = urllib.request.Request(
        f'http://127.0.0.1:{port}/upper', body, headers={'content-type': 'application/json'}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


@pytest.mark.parametrize('replicas', [1, 2])
def test_the_answer_of_a_deployment_has_no_header(replicas: int) -> None:
    with Deployment(uses=Upper, protocol='http', replicas=replicas) as deployment:
        answer = call(deployment.port)
    assert answer['data'][0]['text'] == 'AB'
    assert set(answer) == {'data', 'parameters'}


def test_the_answer_of_a_flow_has_a_header() -> None:
    with Flow(protocol='http').add(uses=Upper) as flow:
        answer = call(flow.port)
    assert answer['data'][0]['text'] == 'AB'
    assert set(answer) == {'data', 'parameters', 'header'}


def fetch(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f'http://127.0.0.1:{port}{path}', data, headers={'content-type': 'application/json'}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def secret(x_token: str = Header('')) -> None:
    """A dependency that travels to the server's process with the options."""
    if x_token != 'secret':
        raise HTTPException(401, 'wrong token')


@pytest.mark.parametrize('options', [{'replicas': 1}, {'replicas': 2}, {'replicas': 2, 'include_gateway': False}])
def test_exposed_endpoints_of_a_deployment(options: dict[str, Any]) -> None:
    deployment = Deployment(uses=Upper, protocol='http', no_debug_endpoints=True, **options)
    deployment.expose_endpoint('/upper', http_path='/v1/upper', methods=['PUT'], dependencies=[Depends(secret)])
    with deployment:
        body = {'data': [{'text': 'ab'}]}
        assert fetch(deployment.port, 'PUT', '/v1/upper', body) == (401, {'detail': 'wrong token'})
        assert fetch(deployment.port, 'POST', '/upper', body)[0] == 404
        assert fetch(deployment.port, 'POST', '/post', body)[0] == 404
        assert fetch(deployment.port, 'GET', '/status')[0] == 404
        assert fetch(deployment.port, 'GET', '/')[0] == 200


@pytest.mark.parametrize('kind', ['deployment', 'executor'])
def test_the_command_line_takes_json(kind: str, tmp_path: Path) -> None:
    (tmp_path / 'upper.py').write_text(
        'from docarray import DocList\nfrom docarray.documents import TextDoc\nfrom jina import Executor, requests\n\n\n'
        'class Up(Executor):\n    @requests(on="/up")\n    def up(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:\n'
        '        return docs\n'
    )
    port = free_port()
    command = [Path(sys.executable).parent / 'jina', kind, '--uses', 'Up', '--py-modules', 'upper.py']
    command += ['--protocol', 'http', '--port', str(port), '--no-crud-endpoints', '--title', 'Mine']
    command += ['--expose-endpoints', '{"/up": {"methods": ["PUT"], "tags": ["mine"], "http_path": "/higher"}}']
    command += ['--uvicorn-kwargs', '{"headers": [["x-mine", "yes"]], "loop": "asyncio"}']
    with peer(command, cwd=tmp_path):
        wait_for_port(port, timeout_s=60)
        assert fetch(port, 'PUT', '/higher', {'data': [{'text': 'a'}]})[0] == 200
        document = fetch(port, 'GET', '/openapi.json')[1]
        assert document['info']['title'] == 'Mine'
        assert document['paths']['/higher']['put']['tags'] == ['mine']
        with urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=30) as response:
            assert response.headers['x-mine'] == 'yes'


def test_options_without_their_protocol_are_refused() -> None:
    with pytest.raises(StartupError) as refused:
        Flow().expose_endpoint('/upper').add(uses=Upper).start()
    assert "expose_endpoints is for HTTP, and the protocol is GRPC; add protocol='http'" in str(refused.value)
