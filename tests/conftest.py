"""The order of the test files: the slow ones begin first, so that no worker ends alone with one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

_SECOND_ENGINE = 'test_gateway_containers.py'
"""It waits for the engine of the other tests of containers: were it next to them, a worker would wait."""
_LONGEST = 'packaging'
"""Its tests run all tests of a distribution in an environment of their own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files in front, then those with tests that are marked as slow, and leaves the order as it is otherwise."""
    slow: set[Path] = {item.path for item in items if item.get_closest_marker('slow') is not None}
    items.sort(
        key=lambda item: (
            item.path.parent.name != _LONGEST,
            item.path not in slow,
            item.path.name == _SECOND_ENGINE,
        )
    )
