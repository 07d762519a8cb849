from __future__ import annotations

import pytest
from jina.client.loop import run_async
from jina.client.retry import RetryPolicy, wait_or_raise_err
from jina.core.errors import ConfigError


def test_pauses_grow_up_to_the_limit() -> None:
    policy = RetryPolicy(max_attempts=5, initial_backoff_s=0.5, max_backoff_s=2, multiplier=2)
    assert [policy.limit_s(attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [((0,), 'max_attempts is 0'), ((1, 0), 'initial_backoff is 0'), ((1, 1, -1), 'max_backoff is -1')],
)
def test_wrong_values_are_refused(arguments: tuple[float, ...], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        RetryPolicy(*arguments)  # type: ignore[arg-type]


def test_documented_helper_raises_after_the_last_attempt() -> None:
    error = ConnectionError('gone')
    limits = {'max_attempts': 2, 'backoff_multiplier': 1.5, 'initial_backoff': 0.01, 'max_backoff': 0.02}
    run_async(wait_or_raise_err, attempt=1, err=error, **limits)
    with pytest.raises(ConnectionError, match='gone'):
        run_async(wait_or_raise_err, attempt=2, err=error, **limits)
