"""Each wheel alone in an empty environment, with its own tests."""

from __future__ import annotations

import pytest

from tests.support.requirements import bootstrap
from tests.support.wheel_tests import run_wheel_tests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.mark.parametrize('name', bootstrap.DISTRIBUTIONS)
def test_wheel_alone(name: str) -> None:
    run_wheel_tests('test', name)
