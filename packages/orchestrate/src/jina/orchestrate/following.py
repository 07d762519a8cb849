"""Following the YAML file of a Deployment or a Flow: ``reload=True`` restarts it when the file changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from jina.core.errors import MissingExtraError

_QUIET_MS: Final = 100
"""Saves that follow each other faster than this are one change."""
_LOOK_MS: Final = 1000
"""How often the file is looked at without a sign of a change: one may have come before the watch began."""
_STOP_S: Final = 2.0


class Following:
    """Calls a function, in a thread of its own, whenever a file has changed. Use it in a ``with`` statement.

    Args:
        path: The file.
        on_change: Called at the beginning, for the file may have changed since it was loaded, and after each change; what it raises
            is logged.
        logger: Where that is logged.

    Raises:
        MissingExtraError: The package watchfiles isn't installed.
    """

    def __init__(self, path: Path, on_change: Callable[[], object], logger: logging.Logger) -> None:
        self._watch = _watcher()
        self._path = path
        self._on_change = on_change
        self._logger = logger
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name='jina-reload', daemon=True)

    def __enter__(self) -> Following:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_STOP_S)  # a restart in progress ends when its processes are stopped

    def _run(self) -> None:
        # The folder, because editors replace files.
        looks = self._watch(
            self._path.parent,
            watch_filter=lambda _, changed: Path(changed) == self._path,
            stop_event=self._stop,
            step=_QUIET_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
        )
        try:
            seen = self._look(None)
            for _ in looks:
                seen = self._look(seen)
        except Exception as error:
            self._logger.error('%s is not followed any more: %s', self._path, error, exc_info=error)

    def _look(self, seen: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Tells of the file if it isn't the one that was seen before; returns what tells it from others."""
        try:
            found = self._path.stat()
        except FileNotFoundError:  # it is being replaced, or will come back
            return seen
        now = (found.st_mtime_ns, found.st_size, found.st_ino)
        if now != seen:
            self._on_change()
        return now


def _watcher() -> Any:
    try:
        import watchfiles  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError('watchfiles, which reload needs,', install='jina-orchestrate[reload]') from error
    return watchfiles.watch
