"""How much is sent: a share of all requests for each attack."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

REQUESTS = int(os.environ.get('HOSTILE_REQUESTS', '1200'))
"""All requests together; set by ``python -m tests.hostile``."""
BATCH = 20
"""Payloads that are sent at the same time, each to both servers."""


def configured(share: float, *, batch: int = 2 * BATCH) -> settings:
    """Settings for a test that has a share of all requests.

    The examples are the same in each short run, and others in each long one.
    """
    is_long = 'HOSTILE_REQUESTS' in os.environ
    return settings(
        max_examples=max(1, int(REQUESTS * share / batch)),
        deadline=None,
        database=None,
        derandomize=not is_long,
        phases=(Phase.explicit, Phase.generate),  # a fault names its payload, and shrinking would send many requests
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


def attack(share: float, payloads: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """Calls a test with batches of payloads, until it has had its share of all requests."""

    def decorate(test: Callable[..., None]) -> Any:
        return configured(share)(given(payloads=st.lists(payloads, min_size=BATCH, max_size=BATCH))(test))

    return decorate
