"""How often, and after which pause, a process that ended by itself is started again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jina.core.config import PodAddress, RestartPolicy

NO_RESTART = RestartPolicy()
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0
"""A process that was ready for so long has recovered: its next end counts as the first again."""


@dataclass(frozen=True)
class RestartPlan:
    """How a process is started again.

    Attributes:
        policy: When.
        arguments: Gives the arguments of a new start, from the addresses of the process before; they should keep its ports.
        on_return: Called when the process answers after such a start; it mustn't wait for anything.
    """

    policy: RestartPolicy
    arguments: Callable[[list[PodAddress]], tuple[Any, ...]]
    on_return: Callable[[], object] = lambda: None


class Restarts:
    """The restarts of one process.

    Args:
        policy: What the user wants.
    """

    def __init__(self, policy: RestartPolicy) -> None:
        self.policy = policy
        self.total = 0
        """Starts after the first one."""
        self._in_a_row = 0
        self._ready_since: float | None = None

    def note_ready(self) -> None:
        """The process answers."""
        self._ready_since = time.monotonic()

    def pause(self, exit_status: int | None) -> float | None:
        """Count the end of the process and return the seconds until it starts again; None if it doesn't."""
        if self._ready_since is not None and time.monotonic() - self._ready_since >= _STEADY_S:
            self._in_a_row = 0
        self._ready_since = None
        limit = self.policy.limit
        if not self.policy.wants(exit_status) or (limit is not None and self._in_a_row >= limit):
            return None
        pause = min(_FIRST_PAUSE_S * 2.0**self._in_a_row, _LONGEST_PAUSE_S)
        self._in_a_row += 1
        self.total += 1
        return pause

    def describe(self) -> str:
        """Which attempt it is."""
        limit = self.policy.limit
        return f'attempt {self._in_a_row}' if limit is None else f'attempt {self._in_a_row} of {limit}'
