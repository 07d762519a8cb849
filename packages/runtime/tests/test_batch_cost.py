from __future__ import annotations

import pytest
from jina.runtime.batch_cost import BatchCost


def test_nothing_is_expected_before_the_first_batch() -> None:
    cost = BatchCost()
    assert cost.expected_s(8) == 0
    assert cost.fitting(0.01, 32) == 32


def test_a_line_is_learned() -> None:
    cost = BatchCost()
    for size in (4, 8, 16, 32):
        cost.measured(size, 0.005 + 0.001 * size)
    assert cost.expected_s(10) == pytest.approx(0.015)
    assert cost.fitting(0.013, 32) == pytest.approx(8)
    assert cost.fitting(1, 32) == 32


def test_batches_of_one_size_say_nothing_about_others() -> None:
    cost = BatchCost()
    for _ in range(3):
        cost.measured(8, 0.02)
    assert cost.expected_s(1) == cost.expected_s(32) == pytest.approx(0.02)
    assert cost.fitting(0.01, 32) == 32


def test_a_fixed_part_above_the_goal_leaves_the_size_alone() -> None:
    cost = BatchCost()
    for size in (4, 8):
        cost.measured(size, 0.5 + 0.001 * size)
    assert cost.fitting(0.1, 32) == 32


def test_a_cost_per_document_above_the_goal_leaves_one() -> None:
    cost = BatchCost()
    for size in (4, 8):
        cost.measured(size, 0.2 * size)
    assert cost.fitting(0.1, 32) == 1


def test_the_last_batches_decide() -> None:
    cost = BatchCost()
    for _ in range(50):
        cost.measured(4, 0.1)
        cost.measured(8, 0.1)
    for _ in range(60):
        cost.measured(4, 0.01)
        cost.measured(8, 0.01)
    assert cost.expected_s(6) < 0.011
