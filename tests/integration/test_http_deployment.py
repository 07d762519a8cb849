"""A Deployment answers over HTTP in the same shape whatever the number of its replicas."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Deployment, Executor, Flow, requests


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
