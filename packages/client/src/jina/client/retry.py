"""How often, and after which pause, a call is tried again when the network fails."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Final

from jina.client.arguments import real_number, whole_number
from jina.core.errors import ConfigError

__all__ = ['RetryPolicy', 'wait_or_raise_err']

_NAMES: Final = {
    'initial_backoff_s': 'initial_backoff',
    'max_backoff_s': 'max_backoff',
    'multiplier': 'backoff_multiplier',
}
"""What the fields are called where they are given."""


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with full jitter. The n-th pause is random between 0 and the limit that ``limit_s`` gives."""

    max_attempts: int = 1
    """How often a request is sent at most, the first time included."""
    initial_backoff_s: float = 0.5
    """Longest pause before the first repetition, in seconds."""
    max_backoff_s: float = 2.0
    """Longest pause of all, in seconds."""
    multiplier: float = 1.5
    """Growth of the longest pause per repetition."""

    def __post_init__(self) -> None:
        if whole_number('max_attempts', self.max_attempts) < 1:
            raise ConfigError(
                f'max_attempts is {self.max_attempts}', hint='it counts the first attempt, so it is 1 or more'
            )
        for name, argument in _NAMES.items():
            real_number(argument, getattr(self, name), 'give a positive number')

    def limit_s(self, attempt: int) -> float:
        """Returns the longest pause after the failed attempt number ``attempt`` (the first is 1)."""
        return min(self.initial_backoff_s * self.multiplier ** (attempt - 1), self.max_backoff_s)

    async def pause(self, attempt: int) -> None:
        """Waits before the next attempt."""
        await asyncio.sleep(random.uniform(0, self.limit_s(attempt)))


async def wait_or_raise_err(
    attempt: int,
    err: BaseException,
    max_attempts: int,
    backoff_multiplier: float,
    initial_backoff: float,
    max_backoff: float,
) -> None:
    """Waits before the next attempt of a loop that the caller writes, or raises ``err`` after the last one.

    Args:
        attempt: Number of the attempt that failed; the first is 1.
        err: What it raised.
        max_attempts: How many attempts the loop makes.
        backoff_multiplier: Growth of the longest pause per repetition.
        initial_backoff: Longest pause before the first repetition, in seconds.
        max_backoff: Longest pause of all, in seconds.
    """
    policy = RetryPolicy(max_attempts, initial_backoff, max_backoff, backoff_multiplier)
    if attempt >= max_attempts:
        raise err
    await policy.pause(attempt)
