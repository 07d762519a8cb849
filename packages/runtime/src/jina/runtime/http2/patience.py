"""How long a server bears with a client that makes work for nothing."""

from __future__ import annotations

from typing import Final

from jina.runtime.http2 import frame
from jina.runtime.http2.frame import ConnectionFault

_SPAN_S: Final = 1.0
_LOST_CALLS: Final = 500
"""So many calls may be begun and reset in a span, or half of all that were begun in it if that is more."""
_SETTINGS: Final = 100
"""So many frames of settings may come in a span; each goes through all calls."""


class Patience:
    """Counts for one connection, in spans of a second, what clients seldom do for a reason.

    To begin calls and reset them at once costs a client nothing, and no limit of calls under way applies to it (CVE-2023-44487).

    Args:
        now: Time of the event loop.
    """

    __slots__ = ('_before', '_began', '_lost', '_settings')

    def __init__(self, now: float) -> None:
        self._start(now, 0)

    def lose_call(self, now: float, number: int, last: int) -> None:
        """Counts a call that the client reset long before it is due.

        Args:
            now: Time of the event loop.
            number: The number of the call.
            last: The number of the last call that was begun.

        Raises:
            ConnectionFault: Too many calls are begun and reset.
        """
        if now - self._began > _SPAN_S:
            self._start(now, last)
        if number <= self._before:
            return  # it was not begun in this span
        self._lost += 1
        begun = (last - self._before + 1) >> 1
        if self._lost > _LOST_CALLS and self._lost * 2 > begun:
            message = f'{self._lost} of {begun} calls were reset as soon as they had begun'
            raise ConnectionFault(frame.ENHANCE_YOUR_CALM, message)

    def take_settings(self, now: float, last: int) -> None:
        """Counts a frame of settings.

        Args:
            now: Time of the event loop.
            last: The number of the last call that was begun.

        Raises:
            ConnectionFault: There are too many of them.
        """
        if now - self._began > _SPAN_S:
            self._start(now, last)
        self._settings += 1
        if self._settings > _SETTINGS:
            raise ConnectionFault(frame.ENHANCE_YOUR_CALM, 'settings change all the time')

    def _start(self, now: float, last: int) -> None:
        self._began = now
        self._before = last
        self._lost = 0
        self._settings = 0
