"""A collector for the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .otlp_receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()
