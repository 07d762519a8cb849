"""Large messages in memory files: processes of one machine hand them to each other without a copy.

A file is written once and sealed, so that nobody can change it. Who gets it opens it by its number among the files of its
owner, and maps it privately: what is decoded in place may be written to, and nobody else sees that.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

if sys.platform == 'linux':
    import fcntl

__all__ = ['AVAILABLE', 'FileId', 'MappedMessage', 'can_open', 'open_file', 'probe', 'write']

AVAILABLE: Final = sys.platform == 'linux' and hasattr(os, 'memfd_create')
"""Whether the system has memory files."""
_PIECES_AT_ONCE: Final = 1000
_PROBE: Final = b'probe'


class FileId(NamedTuple):
    """Says which file of a process is meant."""

    number: int
    """Its number in that process."""
    inode: int
    """What shows that it is still the same."""


class MappedMessage(mmap.mmap):
    """A message in a memory file. It reads as ``bytes`` do; what is written to its memory stays here.

    Args:
        number: The open file, which is closed with this object.
        size: Its size.
    """

    def __new__(cls, number: int, size: int) -> MappedMessage:
        try:
            return super().__new__(cls, number, size, access=mmap.ACCESS_COPY)
        except BaseException:
            os.close(number)
            raise

    def __init__(self, number: int, size: int) -> None:
        self._number = number

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # the module may be gone at the end
        close(self._number)

    @property
    def file(self) -> FileId:
        """What another process opens."""
        return FileId(self._number, os.fstat(self._number).st_ino)

    def startswith(self, prefix: bytes, start: int = 0) -> bool:
        """The same as ``bytes.startswith``."""
        return self[start : start + len(prefix)] == prefix


def write(parts: Sequence[Any]) -> MappedMessage:
    """Writes a message, given in pieces, to a new file.

    Raises:
        OSError: There is no memory for it, or no free file.
    """
    number = os.memfd_create('jina-message', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        size = 0
        waiting = [piece for piece in (memoryview(part).cast('B') for part in parts if len(part)) if piece]
        for first in range(0, len(waiting), _PIECES_AT_ONCE):
            size += _write_all(number, waiting[first : first + _PIECES_AT_ONCE])
        fcntl.fcntl(number, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(number)
        raise
    return MappedMessage(number, size)


def _write_all(number: int, pieces: list[memoryview]) -> int:
    total = 0
    while pieces:
        written = os.writev(number, pieces)
        total += written
        while pieces and written >= len(pieces[0]):
            written -= len(pieces.pop(0))
        if written:
            pieces[0] = pieces[0][written:]
    return total


def open_file(owner: int, file: FileId, size: int) -> MappedMessage:
    """Opens a file of another process.

    Args:
        owner: The id of the process.
        file: The file.
        size: How long it has to be.

    Raises:
        OSError: It isn't there any more, isn't a sealed memory file of this size, or belongs to somebody else.
    """
    number = os.open(f'/proc/{owner}/fd/{file.number}', os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(number)
        if status.st_ino != file.inode or status.st_size != size:
            raise OSError(f'file {file.number} of process {owner} is another one')
        if fcntl.fcntl(number, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise OSError(f'file {file.number} of process {owner} is not sealed')
    except BaseException:
        os.close(number)
        raise
    return MappedMessage(number, size)


def can_open(owner: int, file: FileId) -> bool:
    """Returns whether this process can open the files of another one, which shows the one of its ``probe``."""
    if not AVAILABLE:
        return False
    try:
        open_file(owner, file, len(_PROBE))
    except OSError:
        return False
    return True


@cache
def probe(_process: int) -> MappedMessage | None:
    """Returns a small file of this process, by which another one finds out whether it can open such files.

    Args:
        _process: The id of this process: one that was forked needs a file of its own.
    """
    try:
        return write([_PROBE]) if AVAILABLE else None
    except OSError:
        return None


_SEALS: Final = (
    fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE if sys.platform == 'linux' else 0
)
