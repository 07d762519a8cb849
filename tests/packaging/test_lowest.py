"""All distributions with the lowest versions that they declare, on the oldest Python here.

In a file of its own, so that it runs beside the other long tests.
"""

from __future__ import annotations

import pytest

from tests.support.wheel_tests import run_wheel_tests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_lowest_versions() -> None:
    run_wheel_tests('lowest')
