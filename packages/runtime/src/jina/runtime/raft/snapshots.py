"""Snapshots of a replica on disk, and how their files are sent."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from jina.core.errors import ConsensusError, RequestTypeError
from jina.runtime.raft.files import sync_folder, sync_tree

__all__ = ['Receiver', 'Snapshot', 'Snapshots', 'pieces_of']

_PIECE_BYTES: Final = 1 << 20
_NAME: Final = struct.Struct('<H')


@dataclass(frozen=True)
class Snapshot:
    """The state after an entry.

    Attributes:
        index: Index of the entry; 0 if there is no snapshot.
        term: Its term.
        folder: The files.
    """

    index: int
    term: int
    folder: Path


class Snapshots:
    """All snapshots of a replica; there is one, and for a moment the next.

    Args:
        folder: Where they are; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: set[Path] = set()
        for draft in folder.glob('new-*'):
            shutil.rmtree(draft)
        self.latest = max((_named(path) for path in folder.glob('at-*')), key=lambda one: one.index, default=self._none)
        self._clean()

    @property
    def _none(self) -> Snapshot:
        return Snapshot(0, 0, self._folder)

    def draft(self, kind: str) -> Path:
        """An empty folder for a new one.

        Args:
            kind: What makes it; there is one draft of each kind.
        """
        path = self._folder / f'new-{kind}'
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def keep(self, draft: Path, index: int, term: int) -> Snapshot:
        """Makes a draft the latest one, safely on disk.

        Args:
            draft: The draft.
            index: Index of the last entry that is part of it.
            term: Term of that entry.

        Raises:
            OSError: It can't be written.
        """
        sync_tree(draft)
        path = self._folder / f'at-{index:020}-{term}'
        self._read.add(path)  # this runs in a thread, and the loop may clean up at any moment
        try:
            if path.exists():
                shutil.rmtree(path)
            draft.rename(path)
            sync_folder(self._folder)
            self.latest = Snapshot(index, term, path)
        finally:
            self._read.discard(path)
        return self.latest

    def clean(self) -> None:
        """Removes those before the latest, unless they are being sent."""
        self._clean()

    def reading(self, snapshot: Snapshot) -> None:
        """Keeps a snapshot until ``read`` is called."""
        self._read.add(snapshot.folder)

    def read(self, snapshot: Snapshot) -> None:
        """A snapshot isn't sent any more."""
        self._read.discard(snapshot.folder)
        self._clean()

    def _clean(self) -> None:
        for path in self._folder.glob('at-*'):
            if path != self.latest.folder and path not in self._read:
                shutil.rmtree(path)


def pieces_of(folder: Path) -> Iterator[bytes]:
    """The files of a folder in pieces, each with the name of its file in front.

    Args:
        folder: The folder. Empty folders in it are left out.
    """
    for path in sorted(path for path in folder.rglob('*') if path.is_file()):
        name = path.relative_to(folder).as_posix().encode()
        head = _NAME.pack(len(name)) + name
        with path.open('rb') as file:
            piece = file.read(_PIECE_BYTES)
            yield head + piece
            while piece := file.read(_PIECE_BYTES):
                yield head + piece


class Receiver:
    """Writes the pieces of a folder.

    Args:
        folder: Where to; it is empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._name = b''
        self._file: BinaryIO | None = None

    def take(self, piece: bytes) -> None:
        """Writes a piece.

        Args:
            piece: See ``pieces_of``.

        Raises:
            RequestTypeError: It is none.
            OSError: It can't be written.
        """
        try:
            (size,) = _NAME.unpack_from(piece)
        except struct.error as error:
            raise RequestTypeError('a piece of a snapshot can not be read') from error
        name, data = piece[_NAME.size : _NAME.size + size], piece[_NAME.size + size :]
        if self._file is None or name != self._name:
            self.close()
            path = Path(os.path.normpath(self._folder / os.fsdecode(name)))
            if not path.is_relative_to(self._folder) or path == self._folder:
                raise RequestTypeError(f'{name!r} in a snapshot is outside of it')
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file, self._name = path.open('xb'), name
        self._file.write(data)

    def close(self) -> None:
        """Ends the last file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _named(path: Path) -> Snapshot:
    try:
        _, index, term = path.name.split('-')
        return Snapshot(int(index), int(term), path)
    except ValueError as error:
        raise ConsensusError(f'{path} is no snapshot', hint='remove it') from error
