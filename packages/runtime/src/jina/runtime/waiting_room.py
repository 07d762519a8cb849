"""Where requests wait until an Executor that has refused them takes them on, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


class Gate(Protocol):
    """Something that can be so crowded that no more should be read from those who wait at it."""

    @property
    def is_crowded(self) -> bool:
        """Whether no more should be read."""
        ...

    def when_room(self, call: Callable[[], object]) -> None:
        """Calls back once, as soon as it isn't crowded."""
        ...


class WaitingRoom:
    """The requests that wait for the replicas of one Deployment.

    The answer to any request means that a place is free, so that one of those who wait is tried again. The load may come from elsewhere
    too: therefore the first one is tried after a while in any case.
    """

    def __init__(self) -> None:
        self._turns: dict[Turn, None] = {}
        self._watchers: list[Callable[[], object]] = []

    @property
    def is_crowded(self) -> bool:
        """Whether somebody waits."""
        return bool(self._turns)

    def when_room(self, call: Callable[[], object]) -> None:
        """Calls back once, as soon as nobody waits."""
        self._watchers.append(call)

    def wake(self) -> None:
        """Has the first one who waits tried again."""
        for turn in self._turns:
            if turn.wake():
                return

    def is_first(self, turn: Turn) -> bool:
        """Whether nobody has waited for longer."""
        return next(iter(self._turns)) is turn

    def enter(self, turn: Turn) -> None:
        """Takes somebody in, who keeps his place until he leaves."""
        self._turns.setdefault(turn)

    def leave(self, turn: Turn) -> None:
        """Lets somebody go, who needn't be there."""
        if turn not in self._turns:
            return
        del self._turns[turn]
        if self._turns:
            self.wake()
            return
        watchers, self._watchers = self._watchers, []
        for call in watchers:
            call()


class Turn:
    """One request that may have to wait.

    Args:
        room: Where it waits.
    """

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room
        self._pause_s = _FIRST_PAUSE_S
        self._sleep: asyncio.Future[None] | None = None

    async def wait(self, limit_s: float | None) -> None:
        """Returns when the request should be tried again.

        Args:
            limit_s: Seconds that its caller still waits; None for no limit.
        """
        self._room.enter(self)
        pause_s = None
        if self._room.is_first(self):
            pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _LONGEST_PAUSE_S)
        limits = [limit for limit in (pause_s, limit_s) if limit is not None]
        self._sleep = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((self._sleep,), timeout=min(limits) if limits else None)
        finally:
            self._sleep = None

    def wake(self) -> bool:
        """Ends its sleep; returns False if it doesn't sleep."""
        if self._sleep is None or self._sleep.done():
            return False
        self._sleep.set_result(None)
        return True

    def leave(self) -> None:
        """The request is over, or somebody has taken it on."""
        self._room.leave(self)
