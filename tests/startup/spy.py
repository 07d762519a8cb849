"""Asks the processes of a program which modules they have."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import Peer, peer

FOLDER = Path(__file__).parent
SERVE = FOLDER / 'serve.py'
CLI = 'import sys; from jina.core.cli.main import main; sys.exit(main())'
"""What the program ``jina`` does."""


class Spy:
    """Asks the processes of a program for their modules.

    Args:
        listener: Where they send them.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def ask(self, program: Peer) -> list[tuple[str, set[str]]]:
        """Name and modules of each process of a program, itself first."""
        answers = {}
        for pid in program.members():
            os.kill(pid, signal.SIGUSR1)
            connection, _ = self._listener.accept()
            with connection:
                number, name, *modules = connection.recv(1 << 20).decode().split('\n')
            answers[int(number)] = name, set(modules)
        return [answers[pid] for pid in sorted(answers, key=lambda pid: pid != program.pid)]


@contextmanager
def running(tmp_path: Path, *arguments: str | Path) -> Iterator[tuple[Peer, Spy]]:
    """Runs Python with the spy in all of its processes."""
    address = str(tmp_path / 'spy')
    path = os.pathsep.join(filter(None, (str(FOLDER), os.environ.get('PYTHONPATH'))))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        listener.settimeout(60)
        with peer([sys.executable, *arguments], env={'PYTHONPATH': path, 'LOADED_MODULES_SOCKET': address}) as program:
            yield program, Spy(listener)
