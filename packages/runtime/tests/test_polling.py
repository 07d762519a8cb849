from __future__ import annotations

from typing import Any

import pytest
from jina.core.enums import PollingType
from jina.core.wire import DRY_RUN_ENDPOINT
from jina.runtime.polling import PollingPlan

ANY, ALL = PollingType.ANY, PollingType.ALL
ENDPOINTS = ('/', '/index', '/search', '/custom')


@pytest.mark.parametrize(
    ('polling', 'expected'),
    [
        (ANY, (ANY, ANY, ALL, ANY)),
        (ALL, (ALL, ANY, ALL, ALL)),
        (PollingType.ALL_ASYNC, (ALL, ANY, ALL, ALL)),
        ({}, (ANY, ANY, ALL, ANY)),
        ({'*': ALL}, (ALL, ANY, ALL, ALL)),
        ({'/custom': ALL, '/search': ANY, '*': ANY}, (ANY, ANY, ANY, ALL)),
        ({'/index': ALL, '*': ANY}, (ANY, ALL, ALL, ANY)),
        ({'/custom': ALL}, (ANY, ANY, ALL, ALL)),
    ],
)
def test_who_gets_a_request(polling: Any, expected: tuple[PollingType, ...]) -> None:
    plan = PollingPlan(polling)
    assert tuple(ALL if plan.asks_all(endpoint) else ANY for endpoint in ENDPOINTS) == expected
    assert plan.asks_all(DRY_RUN_ENDPOINT)
