"""When the event loop waits for the calls in a thread instead of running beside them.

Two threads of one interpreter don't run Python at the same time, they pass it to and fro. numpy gives it up for each
operation on more than a few hundred numbers, a socket for each read. A method that takes half a millisecond and does a
hundred such things loses it a hundred times if the event loop has work meanwhile, and each time costs two wake-ups: more
than the loop gets done in between. So the loop hands over as many calls as fit into a moment, waits until they are done, and
does its own work after that. The moment is short enough not to matter to anything else that the loop serves, and calls that
take longer, or mostly wait for something themselves, run beside the loop as before.
"""

from __future__ import annotations

import sys
import time
from typing import Final

TURN_S: Final = 0.002
"""How much work the loop hands over before it waits for it, and how long it waits at most, in seconds."""
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 6.4
_CHECK_EVERY: Final = 16
_BUSY_SHARE: Final = 0.5
_WEIGHT: Final = 0.1

_HAS_INTERPRETER_LOCK: Final[bool] = getattr(sys, '_is_gil_enabled', lambda: True)()


class Turns:
    """Decides how many calls the loop hands over before it waits for them, from how long earlier ones took.

    Args:
        enabled: False for several threads, which the loop can't wait for in turn.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self._paused_until = 0.0 if enabled and _HAS_INTERPRETER_LOCK else float('inf')
        self._pause = _FIRST_PAUSE_S
        self._cost = TURN_S
        self._count = 0
        self._clock: int | None = None
        self._cpu = -1.0

    def begin(self, now: float) -> int:
        """Returns how many calls to hand over, 0 if the loop shouldn't wait for them.

        Args:
            now: Seconds of ``time.perf_counter``.
        """
        if now < self._paused_until:
            return 0
        self._count += 1
        if self._clock is not None and self._count % _CHECK_EVERY == 0:
            self._cpu = time.clock_gettime(self._clock)
        return max(1, int(TURN_S / self._cost))

    @property
    def is_measured(self) -> bool:
        """Whether it is looked at what the thread does in this turn."""
        return self._cpu >= 0

    def end(self, began: float, now: float, done: int, inside: float = 0.0) -> None:
        """Learns from a turn.

        Args:
            began: When the loop began to wait, in seconds of ``time.perf_counter``.
            now: When it stopped.
            done: How many calls were done by then.
            inside: Seconds that these calls took in the thread, if they are measured. The rest of the turn it may have waited for a
                processor, which other processes have.
        """
        took = now - began
        used, self._cpu = self._cpu, -1.0
        if not done and took < TURN_S / 2:
            return  # woken by a call of the turn before
        if not done or (
            used >= 0 and self._clock is not None and self._was_idle(took if took >= TURN_S else inside, used)
        ):
            self._paused_until = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)
            return
        self._pause = _FIRST_PAUSE_S
        self._cost += (took / done - self._cost) * _WEIGHT

    def watch(self, thread: int) -> None:
        """Names the thread whose processor time tells whether calls work or wait; where the system can't say, they work."""
        if hasattr(time, 'pthread_getcpuclockid'):
            self._clock = time.pthread_getcpuclockid(thread)

    def _was_idle(self, took: float, used: float) -> bool:
        """Whether calls that took so long spent most of it waiting, for a disk or a server: the loop could have run meanwhile."""
        return took > TURN_S / 10 and time.clock_gettime(self._clock or 0) - used < _BUSY_SHARE * took
