"""The progress bar of a call."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ['ProgressBar']


class ProgressBar:
    """Shows how many requests are answered, how many there are if that is known, and the time.

    Args:
        title: Text beside the bar.
        total: Number of requests, None if it isn't known.
        shown: False makes this do nothing.
    """

    def __init__(self, title: str, total: int | None, *, shown: bool) -> None:
        self._progress: Progress | None = None
        self._task: Any = None
        if shown:
            from rich import progress  # noqa: PLC0415 - only calls that show progress need it

            self._progress = progress.Progress(
                progress.TextColumn('[bold]{task.description}'),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn('requests'),
                progress.TimeElapsedColumn(),
                progress.TimeRemainingColumn(),
            )
            self._task = self._progress.add_task(title, total=total)

    def __enter__(self) -> ProgressBar:
        if self._progress is not None:
            self._progress.start()
        return self

    def advance(self) -> None:
        """Counts one more answered request."""
        if self._progress is not None:
            self._progress.advance(self._task)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
