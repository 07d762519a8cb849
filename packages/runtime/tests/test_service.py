from __future__ import annotations

import inspect

import pytest
from jina.runtime.gateway import GatewayService
from jina.runtime.head import HeadService
from jina.runtime.service import RequestService
from jina.runtime.worker import WorkerService


@pytest.mark.parametrize('service', [WorkerService, GatewayService, HeadService])
@pytest.mark.parametrize('method', ['process', 'begin_request', 'stream', 'endpoints', 'dry_run', 'close'])
def test_services_have_the_signatures_of_the_protocol(service: type, method: str) -> None:
    expected = inspect.signature(getattr(RequestService, method)).parameters
    actual = inspect.signature(getattr(service, method)).parameters
    assert [(p.name, p.kind, p.default) for p in actual.values()] == [
        (p.name, p.kind, p.default) for p in expected.values()
    ]
