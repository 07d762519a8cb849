"""The handler that writes to the console: columns and colours on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, TextIO

from jina.core import environment

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {
    'DEBUG': 'green',
    'INFO': 'blue',
    'SUCCESS': 'bold green',
    'WARNING': 'yellow',
    'ERROR': 'bold red',
    'CRITICAL': 'bold white on red',
}


class ConsoleHandler(logging.Handler):
    """Writes records to the standard output that is current when they are emitted.

    Rich is imported with the first record that goes to a terminal; a process whose output is a file or a pipe never
    needs it, and its lines are never wrapped.

    Args:
        show_level: Whether to show the level's name.
        show_time: Whether to show the time.
        time_format: Format of the time, as `time.strftime` has it.
        markup: Whether messages hold rich's markup.
    """

    def __init__(
        self,
        show_level: bool = True,
        show_time: bool = True,
        time_format: str = '%Y-%m-%d %H:%M:%S',
        markup: bool = False,
    ) -> None:
        super().__init__()
        self.show_level = show_level
        self.show_time = show_time
        self.time_format = time_format
        self.markup = markup
        self._console: Console | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record.

        Args:
            record: The record.
        """
        stream = sys.stdout
        if stream is None:  # a process without a console
            return
        try:
            text = self.format(record)
            moment = time.strftime(self.time_format, time.localtime(record.created)) if self.show_time else ''
            if _is_colorful(stream):
                self._print(stream, record, text, moment)
            else:
                level = f'{record.levelname:<8}' if self.show_level else ''
                stream.write(' '.join(part for part in (moment, level, text) if part) + '\n')
                stream.flush()
        except Exception:  # noqa: BLE001 (a handler must not raise into the code that logs)
            self.handleError(record)

    def _print(self, stream: TextIO, record: logging.LogRecord, text: str, moment: str) -> None:
        from rich.console import Console  # noqa: PLC0415 (only terminals need rich)
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        if self._console is None or self._console.file is not stream:
            self._console = Console(file=stream, highlight=False)
        row = [Text.from_markup(text) if self.markup else Text(text)]
        row[0].stylize('bold', 0, _prefix_length(record, text))
        table = Table.grid(padding=(0, 1), expand=True)
        if self.show_level:
            table.add_column(width=8)
            row.insert(0, Text(record.levelname, style=_STYLES.get(record.levelname, '')))
        table.add_column(ratio=1, overflow='fold')
        if moment:
            table.add_column(justify='right', no_wrap=True)
            row.append(Text(moment, style='dim'))
        table.add_row(*row)
        self._console.print(table)


def _is_colorful(stream: TextIO) -> bool:
    if environment.log_without_color() or os.environ.get('NO_COLOR') or os.environ.get('TERM') == 'dumb':
        return False
    return stream.isatty()


def _prefix_length(record: logging.LogRecord, text: str) -> int:
    prefix = f'{record.name}@{record.process}'
    return len(prefix) if text.startswith(prefix) else 0
