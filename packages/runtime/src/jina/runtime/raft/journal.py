"""The log of a replica on disk, with its term and its vote.

The log is a chain of files, ``log-<first index>``. Each begins with a head and goes on with records; both carry a checksum. What is added
is written at once and is safe when ``fsync`` has returned, which one call does for all that was written before it.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jina.core.errors import ConsensusError
from jina.runtime.raft.files import sync_folder, write_safely
from jina.runtime.raft.messages import Entry, EntryKind

__all__ = ['Journal', 'Sync']

_MAGIC: Final = b'JLOG'
_VERSION: Final = 1
_HEAD: Final = struct.Struct('<4sBQQ')
_RECORD: Final = struct.Struct('<IQB')
_CHECKSUM: Final = struct.Struct('<I')
_VOTE: Final = struct.Struct('<Qq')
_FILE_BYTES: Final = 64 << 20
"""A new file begins when one has so many bytes."""
_KEPT_BYTES: Final = 32 << 20
"""So much of the latest entries is kept in memory."""
_SECTOR: Final = 512
_VOTE_FILE: Final = 'vote'


@dataclass
class _Part:
    """One file of the log."""

    path: Path
    descriptor: int
    first: int
    before_term: int
    size: int


class Sync:
    """What has to be on disk: it is made in the thread of the log, and carried out in another one.

    Args:
        descriptors: The open files, which are closed afterwards.
        last: Index of the last entry that was written.
        cuts: How often entries had been removed until then.
    """

    def __init__(self, descriptors: Sequence[int], last: int, cuts: int) -> None:
        self._descriptors = descriptors
        self.last = last
        self.cuts = cuts

    def run(self) -> None:
        """Returns when everything is on disk.

        Raises:
            OSError: It can't be written.
        """
        try:
            for descriptor in self._descriptors:
                os.fsync(descriptor)
        finally:
            for descriptor in self._descriptors:
                os.close(descriptor)


class Journal:
    """Implements ``jina.runtime.raft.node.Log``. Its methods are called in one thread.

    Args:
        folder: Where the files are; it exists.
        snapshot_index: Index of the last entry that is part of the latest snapshot; 0 without one.
        snapshot_term: Term of that entry.
        file_bytes: Size from which on a new file begins.

    Raises:
        ConsensusError: A file is damaged.
    """

    def __init__(
        self, folder: Path, *, snapshot_index: int = 0, snapshot_term: int = 0, file_bytes: int = _FILE_BYTES
    ) -> None:
        self._folder = folder
        self._file_bytes = file_bytes
        self.term, self.voted_for = _read_vote(folder / _VOTE_FILE)
        self.snapshot_index = snapshot_index
        self.snapshot_term = snapshot_term
        self.first = 1
        self._before_term = 0
        self._terms = array('Q')
        self._places = array('Q')
        self._sizes = array('Q')
        self._parts: list[_Part] = []
        self._kept: dict[int, Entry] = {}
        self._kept_bytes = 0
        self._unsynced: set[Path] = set()
        self._cuts = 0
        self.synced = 0
        self._recover()

    @property
    def last(self) -> int:
        """Index of the last entry; of the one in front of ``first``, if there is none."""
        return self.first + len(self._terms) - 1

    @property
    def is_synced(self) -> bool:
        """Whether everything is on disk."""
        return self.synced >= self.last

    def term_of(self, index: int) -> int | None:
        """Term of an entry, see ``Log``."""
        if self.first <= index <= self.last:
            return self._terms[index - self.first]
        if index == self.first - 1:
            return self._before_term
        return self.snapshot_term if index == self.snapshot_index else None

    def read(self, start: int, count: int, size: int) -> list[Entry]:
        """Entries from an index on, see ``Log``.

        Raises:
            ConsensusError: One is damaged.
        """
        found: list[Entry] = []
        for index in range(start, min(start + count - 1, self.last) + 1):
            size -= self._sizes[index - self.first]
            if found and size < 0:
                break
            found.append(self._kept.get(index) or self._read_from_disk(index))
        return found

    def append(self, entries: Sequence[Entry]) -> None:
        """Adds entries; they are on disk after a ``Sync``.

        Raises:
            OSError: They can't be written.
        """
        if self._parts[-1].size >= self._file_bytes:
            self._begin_part()
        part = self._parts[-1]
        place, index, pieces = part.size, self.last, []
        for entry in entries:
            index += 1
            record = _record(index, entry)
            pieces.append(record)
            self._terms.append(entry.term)
            self._places.append(place)
            self._sizes.append(len(entry.data))
            place += len(record)
            self._keep(index, entry)
        _write(part.descriptor, b''.join(pieces))
        part.size = place
        self._unsynced.add(part.path)

    def cut(self, start: int) -> None:
        """Removes all entries from an index on.

        Raises:
            OSError: It can't be written.
        """
        self._cuts += 1
        for index in range(start, self.last + 1):
            self._forget(index)
        end = self.last
        while len(self._parts) > 1 and self._parts[-1].first >= start:
            end = self._parts[-1].first - 1
            self._remove(self._parts.pop())
            sync_folder(self._folder)  # or it would be there again after a crash
        part = self._parts[-1]
        kept = start - self.first
        if start <= end:
            part.size = self._places[kept]
            os.ftruncate(part.descriptor, part.size)
            os.lseek(part.descriptor, 0, os.SEEK_END)
            self._unsynced.add(part.path)
        del self._terms[kept:], self._places[kept:], self._sizes[kept:]
        self.synced = min(self.synced, start - 1)

    def vote(self, term: int, voted_for: int | None) -> None:
        """Notes term and vote; they are on disk when it returns.

        Raises:
            OSError: They can't be written.
        """
        packed = _VOTE.pack(term, -1 if voted_for is None else voted_for)
        write_safely(self._folder / _VOTE_FILE, packed + _CHECKSUM.pack(zlib.crc32(packed)))
        self.term, self.voted_for = term, voted_for

    def begin_sync(self) -> Sync:
        """Returns what brings everything that was written until now to the disk."""
        descriptors = [os.dup(part.descriptor) for part in self._parts if part.path in self._unsynced]
        self._unsynced.clear()
        return Sync(descriptors, self.last, self._cuts)

    def end_sync(self, sync: Sync) -> None:
        """Takes note that it was carried out."""
        if sync.cuts == self._cuts:
            self.synced = max(self.synced, sync.last)

    def compact(self, index: int, term: int, trailing: int) -> None:
        """Takes note of a snapshot, and removes the files whose entries it makes needless.

        Args:
            index: Index of the last entry that is part of the snapshot.
            term: Term of that entry.
            trailing: So many entries behind it are kept, for replicas that lack only a few.
        """
        self.snapshot_index, self.snapshot_term = index, term
        if self.last >= self._parts[-1].first:
            self._begin_part()
        while len(self._parts) > 1 and self._parts[1].first - 1 <= index - trailing:
            gone = self._parts.pop(0)
            count = self._parts[0].first - gone.first
            for number in range(gone.first, self._parts[0].first):
                self._forget(number)
            del self._terms[:count], self._places[:count], self._sizes[:count]
            self.first, self._before_term = self._parts[0].first, self._parts[0].before_term
            self._remove(gone)

    def restart(self, index: int, term: int) -> None:
        """Takes note of a snapshot that was received: entries that it has replaced, or that contradict it, are removed.

        Args:
            index: Index of the last entry that is part of the snapshot.
            term: Term of that entry.
        """
        self.snapshot_index, self.snapshot_term = index, term
        if self.term_of(index) == term and self.first <= index <= self.last:
            return
        self._cuts += 1
        for part in self._parts:
            self._remove(part)
        self._parts.clear()
        self._kept.clear()
        self._kept_bytes = 0
        del self._terms[:], self._places[:], self._sizes[:]
        self.first, self._before_term = index + 1, term
        self._begin_part()
        self.synced = index

    def close(self) -> None:
        """Closes the files."""
        for part in self._parts:
            os.close(part.descriptor)
        self._parts.clear()

    def _recover(self) -> None:
        paths = sorted(self._folder.glob('log-*'))
        for path in paths:
            self._open_part(path, is_last=path is paths[-1])
        if not self._parts:
            self.first, self._before_term = self.snapshot_index + 1, self.snapshot_term
            self._begin_part()
        self.synced = self.last
        if self.snapshot_index > self.last or self.term_of(self.snapshot_index) != self.snapshot_term:
            self.restart(self.snapshot_index, self.snapshot_term)
        elif self.first > self.snapshot_index + 1:
            raise ConsensusError(
                f'the entries {self.snapshot_index + 1} to {self.first - 1} of the log in {self._folder} are missing',
                hint='remove the folder, so that the other replicas send what they have',
            )

    def _open_part(self, path: Path, *, is_last: bool) -> None:
        descriptor = os.open(path, os.O_RDWR)
        data = path.read_bytes()
        head = _read_head(data)
        if head is None or (self._parts and head[0] != self.last + 1):
            os.close(descriptor)
            if is_last and head is None and len(data) <= _HEAD.size + _CHECKSUM.size:
                path.unlink()  # it was just being made
                return
            raise _damaged(path)
        if not self._parts:
            self.first, self._before_term = head
        part = _Part(path, descriptor, *head, _HEAD.size + _CHECKSUM.size)
        self._parts.append(part)
        while part.size < len(data):
            entry = _read_record(data, part.size, self.last + 1)
            if entry is None or (self._terms and entry.term < self._terms[-1]):
                self._give_up_tail(part, data, is_last=is_last)
                break
            self._terms.append(entry.term)
            self._places.append(part.size)
            self._sizes.append(len(entry.data))
            part.size += _CHECKSUM.size + _RECORD.size + len(entry.data)
        os.lseek(descriptor, 0, os.SEEK_END)

    def _give_up_tail(self, part: _Part, data: bytes, *, is_last: bool) -> None:
        """Removes what was being written when the process or the machine ended; nobody was told that it is there."""
        if not is_last or (_goes_on(data, part.size, self.last + 2) and not _has_hole(data, part.size)):
            raise _damaged(part.path)
        os.ftruncate(part.descriptor, part.size)
        os.fsync(part.descriptor)

    def _begin_part(self) -> None:
        first, before = self.last + 1, self.term_of(self.last) or 0
        path = self._folder / f'log-{first:020}'
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        head = _HEAD.pack(_MAGIC, _VERSION, first, before)
        _write(descriptor, head + _CHECKSUM.pack(zlib.crc32(head)))
        os.fsync(descriptor)
        sync_folder(self._folder)
        self._parts.append(_Part(path, descriptor, first, before, _HEAD.size + _CHECKSUM.size))

    def _remove(self, part: _Part) -> None:
        os.close(part.descriptor)
        self._unsynced.discard(part.path)
        part.path.unlink()

    def _read_from_disk(self, index: int) -> Entry:
        at = index - self.first
        part = self._parts[bisect_right([one.first for one in self._parts], index) - 1]
        raw = os.pread(part.descriptor, _CHECKSUM.size + _RECORD.size + self._sizes[at], self._places[at])
        entry = _read_record(raw, 0, index)
        if entry is None:
            raise _damaged(part.path)
        return entry

    def _keep(self, index: int, entry: Entry) -> None:
        self._kept[index] = entry
        self._kept_bytes += len(entry.data)
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            self._forget(next(iter(self._kept)))

    def _forget(self, index: int) -> None:
        entry = self._kept.pop(index, None)
        if entry is not None:
            self._kept_bytes -= len(entry.data)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _record(index: int, entry: Entry) -> bytes:
    body = _RECORD.pack(len(entry.data), entry.term, entry.kind)
    checksum = zlib.crc32(entry.data, zlib.crc32(body, index & 0xFFFFFFFF))
    return b''.join((_CHECKSUM.pack(checksum), body, entry.data))


def _read_record(data: bytes, at: int, index: int) -> Entry | None:
    """The record at a place; None if it isn't whole, or not the one with this index."""
    start = at + _CHECKSUM.size + _RECORD.size
    if start > len(data):
        return None
    (checksum,) = _CHECKSUM.unpack_from(data, at)
    body = data[at + _CHECKSUM.size : start]
    size, term, kind = _RECORD.unpack(body)
    content = data[start : start + size]
    if len(content) != size or zlib.crc32(content, zlib.crc32(body, index & 0xFFFFFFFF)) != checksum:
        return None
    return Entry(term, EntryKind(kind), content)


def _goes_on(data: bytes, at: int, index: int) -> bool:
    """Whether a whole record follows the one at a place, so that this one was not the end but is damaged."""
    if at + _CHECKSUM.size + _RECORD.size > len(data):
        return False
    size = _RECORD.unpack_from(data, at + _CHECKSUM.size)[0]
    return _read_record(data, at + _CHECKSUM.size + _RECORD.size + size, index) is not None


def _has_hole(data: bytes, at: int) -> bool:
    """Whether a sector of the record at a place was never written: what is written last may be on disk first."""
    end = at + _CHECKSUM.size + _RECORD.size + _RECORD.unpack_from(data, at + _CHECKSUM.size)[0]
    starts = [at, *range((at // _SECTOR + 1) * _SECTOR, end, _SECTOR)]
    return any(not any(data[start:stop]) for start, stop in zip(starts, [*starts[1:], end], strict=True))


def _read_head(data: bytes) -> tuple[int, int] | None:
    """First index, and term of the entry in front of it."""
    if len(data) < _HEAD.size + _CHECKSUM.size:
        return None
    magic, version, first, before = _HEAD.unpack_from(data)
    (checksum,) = _CHECKSUM.unpack_from(data, _HEAD.size)
    if magic != _MAGIC or version != _VERSION or zlib.crc32(data[: _HEAD.size]) != checksum:
        return None
    return first, before


def _read_vote(path: Path) -> tuple[int, int | None]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return 0, None
    if len(raw) != _VOTE.size + _CHECKSUM.size or _CHECKSUM.unpack_from(raw, _VOTE.size)[0] != zlib.crc32(
        raw[: _VOTE.size]
    ):
        raise _damaged(path)
    term, voted_for = _VOTE.unpack_from(raw)
    return term, None if voted_for < 0 else voted_for


def _damaged(path: Path) -> ConsensusError:
    return ConsensusError(
        f'{path} is damaged',
        hint='remove the folder that it is in, so that the other replicas send what they have; one replica at a time',
    )
