"""What is shown while a Deployment or a Flow starts: which Executors are ready, and which it waits for."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from jina.core import environment

if TYPE_CHECKING:
    from jina.orchestrate.pod import Pod
    from rich.console import Console

_FIRST_S: Final = 0.4
"""A start that is quicker shows nothing."""
_FRAME_S: Final = 0.1
_LINES_S: Final = (10, 30, 60)
"""When lines are written where there is no terminal; after the last one, again after as long each time."""
_FRAMES: Final = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'
_CLEAR: Final = '\r\x1b[2K'


class StartProgress:
    """Shows the progress of a start from a thread of its own. Use it in a ``with`` statement.

    On a terminal one line at the bottom is kept up to date and disappears at the end; what processes print goes over it. Elsewhere
    a start that takes long gets a line in the log now and then.

    Args:
        title: What starts.
        pods: Gives its processes at each moment.
        logger: Logger of what starts; one that is silent shows nothing.
    """

    def __init__(self, title: str, pods: Callable[[], Sequence[Pod]], logger: logging.Logger) -> None:
        self._title = title
        self._pods = pods
        self._logger = logger
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._begin = time.monotonic()

    def __enter__(self) -> StartProgress:
        if self._logger.isEnabledFor(logging.INFO):
            show = self._draw if _is_terminal() else self._report
            self._thread = threading.Thread(target=show, name='jina-progress', daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _report(self) -> None:
        for moment in _moments():
            if self._done.wait(max(0.0, moment - self._elapsed())):
                return
            waiting = ', '.join(name for name, ready, count in self._parts() if ready < count)
            if waiting:
                self._logger.info('%s: waiting for %s (%.0f s)', self._title, waiting, self._elapsed())

    def _draw(self) -> None:
        if self._done.wait(_FIRST_S):
            return
        from rich.console import Console  # noqa: PLC0415 - costs 40 ms that a quick start needn't pay

        console = Console(highlight=False)
        frame = 0
        while not self._done.wait(_FRAME_S):
            self._print(console, _FRAMES[frame % len(_FRAMES)])
            frame += 1
        sys.stdout.write(_CLEAR)
        sys.stdout.flush()

    def _print(self, console: Console, spinner: str) -> None:
        from rich.text import Text  # noqa: PLC0415

        line = Text.assemble((f'{spinner} ', 'cyan'), (self._title, 'bold'))
        for name, ready, count in self._parts():
            of_all = f' {ready}/{count}' if count > 1 else ''
            mark = ('✔', 'green') if ready == count else ('…', 'yellow')
            line.append('  ').append(f'{name}{of_all} ').append(*mark)
        line.append(f'  {self._elapsed():.0f} s', 'dim')
        line.truncate(console.width - 1, overflow='ellipsis')
        # The cursor stays at the beginning, so that what a process prints next replaces the line.
        sys.stdout.write(_CLEAR)
        console.print(line, end='\r', soft_wrap=True)
        sys.stdout.flush()

    def _parts(self) -> list[tuple[str, int, int]]:
        """Each Deployment, how many of its processes are ready, and how many there are."""
        parts: dict[str, list[bool]] = {}
        for pod in list(self._pods()):
            parts.setdefault(pod.name.split('/')[0], []).append(pod.is_ready)
        return [(name, sum(ready), len(ready)) for name, ready in parts.items()]

    def _elapsed(self) -> float:
        return time.monotonic() - self._begin


def _moments() -> Iterator[float]:
    yield from _LINES_S
    yield from itertools.count(2 * _LINES_S[-1], _LINES_S[-1])


def _is_terminal() -> bool:
    if environment.log_without_color() or os.environ.get('NO_COLOR') or os.environ.get('TERM') in ('dumb', None):
        return False
    return sys.stdout is not None and sys.stdout.isatty()
