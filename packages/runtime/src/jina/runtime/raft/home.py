"""The folder of a replica: whose it is, and that one process alone uses it."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jina.core.errors import ConsensusError
from jina.runtime.raft.files import write_safely

__all__ = ['Home']

_FORMAT: Final = 1


@dataclass(frozen=True)
class Home:
    """The folder of a replica, locked.

    Attributes:
        log: Where the log is.
        snapshots: Where snapshots are.
    """

    log: Path
    snapshots: Path
    _lock: int

    @classmethod
    def open(cls, folder: Path, number: int, size: int) -> Home:
        """Opens the folder, or makes it.

        Args:
            folder: The folder.
            number: Number of the replica.
            size: How many replicas the cluster has.

        Raises:
            ConsensusError: It belongs to another replica, to a cluster of another size, or another process uses it.
        """
        home = folder.absolute()
        for path in (home / 'log', home / 'snapshots'):
            path.mkdir(parents=True, exist_ok=True)
        lock = os.open(home / 'lock', os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _check_owner(home / 'replica.json', number, size)
        except BlockingIOError as error:
            os.close(lock)
            raise ConsensusError(
                f'another process uses {home}', hint='end it, or give this Deployment another workspace or name'
            ) from error
        except BaseException:
            os.close(lock)
            raise
        return cls(home / 'log', home / 'snapshots', lock)

    def close(self) -> None:
        """Lets others use it."""
        os.close(self._lock)


def _check_owner(path: Path, number: int, size: int) -> None:
    own = {'format': _FORMAT, 'replica': number, 'replicas': size}
    if not path.exists():
        write_safely(path, json.dumps(own).encode())
        return
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if found == own:
        return
    if isinstance(found, dict) and found.get('format') == _FORMAT and found.get('replica') == number:
        raise ConsensusError(
            f'{path.parent} was written by one of {found.get("replicas")} replicas, and now there are {size}',
            hint='start as many as before; a cluster of another size needs another workspace, filled anew',
        )
    raise ConsensusError(f'{path.parent} belongs to another replica: {found}', hint='give it its own folder')
