"""The last output of a pod, readable after the pod has died.

The pod writes straight to the parent's stdout and stderr, and a copy of the newest bytes into a small anonymous file that the
parent holds too. It survives ``kill -9``, a segmentation fault and ``os._exit``.
"""

from __future__ import annotations

import io
import mmap
import os
import struct
import sys
import tempfile
import threading

_HEADER = struct.Struct('!Q')
_SIZE = 16384


def create() -> int:
    """Make an empty journal; the caller owns the descriptor that is returned."""
    if hasattr(os, 'memfd_create'):
        fd = os.memfd_create('jina-journal')
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, _HEADER.size + _SIZE)
    return fd


def last_lines(fd: int, count: int = 20) -> list[str]:
    """The newest complete or partial lines that the pod wrote.

    Args:
        fd: Descriptor from :func:`create`.
        count: At most so many lines.
    """
    raw = os.pread(fd, _HEADER.size + _SIZE, 0)
    (total,) = _HEADER.unpack_from(raw)
    ring = raw[_HEADER.size :]
    position = total % _SIZE
    data = ring[position:] + ring[:position] if total > _SIZE else ring[:total]
    lines = data.decode(errors='replace').splitlines()
    if total > _SIZE:
        lines = lines[1:]  # its beginning was overwritten
    return [line.rstrip() for line in lines if line.strip()][-count:]


class Journal:
    """Writer side, in the pod."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, _HEADER.size + _SIZE)
        self._lock = threading.Lock()
        self._total = 0

    def append(self, data: bytes) -> None:
        """Add bytes; only the newest 16 KiB are kept."""
        with self._lock:
            if len(data) > _SIZE:
                self._total += len(data) - _SIZE
                data = data[-_SIZE:]
            position = self._total % _SIZE
            head = data[: _SIZE - position]
            self._map[_HEADER.size + position : _HEADER.size + position + len(head)] = head
            tail = data[len(head) :]
            self._map[_HEADER.size : _HEADER.size + len(tail)] = tail
            self._total += len(data)
            _HEADER.pack_into(self._map, 0, self._total)


class _Tee(io.FileIO):
    def __init__(self, fd: int, journal: Journal) -> None:
        super().__init__(fd, 'wb', closefd=False)
        self._journal = journal

    def write(self, data: object) -> int:
        raw = bytes(memoryview(data))  # type: ignore[arg-type]
        self._journal.append(raw)
        left = memoryview(raw)
        while left:
            written = super().write(left)
            left = left[written or 0 :]
        return len(raw)


def redirect_output(fd: int) -> None:
    """Make ``sys.stdout`` and ``sys.stderr`` unbuffered, and copy what they write into the journal."""
    journal = Journal(fd)
    encoding = sys.stdout.encoding if sys.stdout is not None else 'utf-8'
    sys.stdout = io.TextIOWrapper(_Tee(1, journal), encoding, errors='backslashreplace', write_through=True)
    sys.stderr = io.TextIOWrapper(_Tee(2, journal), encoding, errors='backslashreplace', write_through=True)
