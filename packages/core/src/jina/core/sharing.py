"""What the two sides of a fast lane on one machine agree on about memory files, see ``jina.core.memory_file``.

Each shows the other a small file. Who can open it says so, and from then on gets large payloads as files. Who has opened one
says that, too: its owner need not keep it any more.
"""

from __future__ import annotations

import os
from typing import Any

from jina.core import memory_file
from jina.core.frames import SHARES, TAKEN, FrameReader, FrameWriter, Hello
from jina.core.local_stream import LocalStream
from jina.core.memory_file import FileId

__all__ = ['Sharing']


class Sharing:
    """One side's part in it.

    Args:
        stream: A stream of any kind; only one of the same machine can share.
        reader: Reads its frames.
        writer: Writes its frames.
    """

    def __init__(self, stream: Any, reader: FrameReader, writer: FrameWriter) -> None:
        self._process = stream.process if isinstance(stream, LocalStream) else None
        self._reader = reader
        self._writer = writer

    @property
    def probe(self) -> FileId | None:
        """What this side shows."""
        found = None if self._process is None else memory_file.probe(os.getpid())
        return None if found is None else found.file

    def greet(self, hello: Hello) -> None:
        """Looks at what the other side shows."""
        if self._process is not None and hello.probe is not None and memory_file.can_open(self._process, hello.probe):
            self._reader.owner = self._process
            self._writer.add(SHARES, 0)

    def take(self, kind: int, number: int) -> bool:
        """Returns True if a record was about memory files."""
        if kind == SHARES and self._process is not None:
            self._writer.shares = True
        elif kind == TAKEN:
            self._writer.taken(number)
        else:
            return False
        return True

    def acknowledge(self) -> bool:
        """Says which files were opened; returns True if there were any."""
        opened = self._reader.opened
        for number in opened:
            self._writer.add(TAKEN, number)
        any_opened = bool(opened)
        opened.clear()
        return any_opened
