"""Real processes for tests: each in a session of its own, and nothing that it started left afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any


def free_port() -> int:
    """A port that nothing listens on now; only for programs that can't bind to port 0 and report the real one.

    It lies below the range from which systems take the ports of outgoing connections and of port 0, so nobody gets it by
    chance before the program binds it.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(('127.0.0.1', port))
            return port


def wait_for_port(port: int, *, timeout_s: float = 30.0) -> None:
    """Returns once something listens on ``127.0.0.1:port``.

    Raises:
        TimeoutError: Nothing listened within ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f'nothing listens on port {port} after {timeout_s} s')


@dataclass(frozen=True)
class Member:
    """A living process; the start time tells it from a later one with the same id."""

    pid: int
    start_time: int


def family(root: int) -> set[Member]:
    """All living processes of a session, their descendants, and the sessions that those have opened.

    Args:
        root: Process id of the leader of the session, which may have ended.
    """
    found: dict[int, tuple[int, int, int]] = {}
    for entry in Path('/proc').iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                # the command in parentheses may hold spaces: state, ppid, pgrp and session follow the last one
                fields = (entry / 'stat').read_text().rpartition(')')[2].split()
                if fields[0] not in 'ZX':
                    found[int(entry.name)] = int(fields[1]), int(fields[3]), int(fields[19])
    members = {root}
    while more := {pid for pid, (parent, session, _) in found.items() if {parent, session} & members} - members:
        members |= more
    return {Member(pid, found[pid][2]) for pid in members if pid in found}


class PeerError(AssertionError):
    """A peer process failed; the message carries the end of what it printed."""


class Peer:
    """A program in a session of its own that says by a JSON line on standard output when it is ready.

    Args:
        command: The program and its arguments.
        env: Variables to add to the environment.
        cwd: Working directory; by default a fresh temporary one.
    """

    def __init__(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self._command = [str(item) for item in command]
        self._folder = tempfile.TemporaryDirectory(prefix='peer-', ignore_cleanup_errors=True)
        self._log: IO[bytes] = (Path(self._folder.name) / 'stderr').open('w+b')
        self.process = subprocess.Popen(
            self._command,
            cwd=cwd or self._folder.name,
            env={**os.environ, 'JINA_OPTOUT_TELEMETRY': '1', 'PYTHONUNBUFFERED': '1', **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        self._buffer = b''
        self._seen: set[Member] = set()

    @property
    def pid(self) -> int:
        """Process id, which is also the session's."""
        return self.process.pid

    def read_json(self, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Waits for the next line that holds a JSON object; other lines are skipped.

        Raises:
            PeerError: The program ended or printed no such line in time.
        """
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while True:
            while b'\n' in self._buffer:
                line, _, self._buffer = self._buffer.partition(b'\n')
                if line.startswith(b'{'):
                    result: dict[str, Any] = json.loads(line)
                    return result
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise PeerError(f'{self._command} said nothing for {timeout_s} s\n{self.log()}')
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                raise PeerError(f'{self._command} ended with {self.process.wait(10)}\n{self.log()}')
            self._buffer += chunk

    def log(self, *, last_bytes: int = 6000) -> str:
        """The end of what the program wrote to standard error."""
        return (Path(self._folder.name) / 'stderr').read_bytes()[-last_bytes:].decode(errors='replace')

    def members(self) -> list[int]:
        """Process ids of the program and of all processes it started, directly or not, that live now."""
        living = family(self.pid)
        # what was seen once is remembered: a process whose parents have ended can't be found by them any more
        for member in self._seen - living:
            living |= {again for again in family(member.pid) if again == member}
        self._seen |= living
        return sorted(member.pid for member in living)

    def kill(self) -> None:
        """Ends all of them for sure: those that their parents left behind too."""
        deadline = time.monotonic() + 10
        while (members := self.members()) and time.monotonic() < deadline:
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()
        self._folder.cleanup()


@contextlib.contextmanager
def peer(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Peer]:
    """Runs a :class:`Peer` and ends its whole session afterwards."""
    process = Peer(command, env=env, cwd=cwd)
    try:
        yield process
    finally:
        process.kill()
