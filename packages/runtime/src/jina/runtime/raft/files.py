"""Writing files and folders so that they are whole after a crash of the machine."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ['sync_folder', 'sync_tree', 'write_safely']


def write_safely(path: Path, data: bytes) -> None:
    """Writes a file, or replaces it as a whole.

    Args:
        path: The file.
        data: Its content.

    Raises:
        OSError: It can't be written.
    """
    draft = path.with_name(f'{path.name}.new')
    with draft.open('wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk.

    Args:
        folder: The folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Brings all files in a folder and its folders to the disk.

    Args:
        folder: The folder.
    """
    for root, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(root, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(root))
