"""Health checks, as `grpcurl` and `curl` ask for them, of what has no Executor class of its own."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

import grpc
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment

from tests.support.processes import free_port, peer, wait_for_port

CHECK = '/grpc.health.v1.Health/Check'
REFLECT = '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo'
SERVING = b'\x08\x01'
WHAT_IS_HEALTH = b'\x22\x15grpc.health.v1.Health'
"""A question for the description of a symbol, which `grpcurl` needs when it has no file."""


def test_the_command_without_uses_passes_documents_on_and_tells_its_health(tmp_path: Path) -> None:
    port = free_port()
    program = 'import sys; from jina.core.cli.main import main; sys.exit(main())'
    with peer([sys.executable, '-c', program, 'executor', '--port', str(port)], cwd=tmp_path):
        wait_for_port(port, timeout_s=90)
        with grpc.insecure_channel(f'127.0.0.1:{port}') as channel:
            assert channel.unary_unary(CHECK)(b'', timeout=60) == SERVING
            (description,) = channel.stream_stream(REFLECT)(iter([WHAT_IS_HEALTH]), timeout=60)
        assert b'health.proto' in description
        assert b'HealthCheckRequest' in description
        assert Client(port=port).post('/any', TextDoc(text='a'), return_type=DocList[TextDoc]).text == ['a']


def test_http_answers_an_empty_object() -> None:
    with (
        Deployment(protocol='http') as deployment,
        urllib.request.urlopen(f'http://localhost:{deployment.port}', timeout=60) as response,
    ):
        assert (response.status, json.load(response)) == (200, {})
