"""The variables with the bytes of the gRPC servers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from jina.runtime import grpc_traffic
from jina.runtime.grpc_traffic import ByteCount


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for count in (grpc_traffic.received, grpc_traffic.sent):
        count.hide()
        monkeypatch.setenv(count.variable, 'of the parent')
    yield
    for count in (grpc_traffic.received, grpc_traffic.sent):
        count.hide()


def test_a_variable_is_at_most_a_hundredth_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('BYTES', '')
    count = ByteCount('BYTES')
    count.add(50)
    assert os.environ['BYTES'] == ''
    count.publish()
    written = []
    for _ in range(99_999):
        count.add(50)
        shown = int(os.environ['BYTES'])
        assert count.total - shown <= shown / 100
        if shown == count.total:
            written.append(shown)
    assert len(written) < 1000
    count.publish()
    assert os.environ['BYTES'] == '5000000'


def test_only_processes_with_a_grpc_server_have_them() -> None:
    grpc_traffic.publish()
    assert os.environ['JINA_GRPC_RECV_BYTES'] == 'of the parent'
    grpc_traffic.begin(served=True)
    assert int(os.environ['JINA_GRPC_RECV_BYTES']) == grpc_traffic.received.total
    grpc_traffic.begin(served=False)
    grpc_traffic.publish()
    assert not {'JINA_GRPC_RECV_BYTES', 'JINA_GRPC_SEND_BYTES'} & set(os.environ)
