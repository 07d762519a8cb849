"""Stand-alone Executors on fixed ports that tests kill; each comes back at once, forked by a process that has its imports."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.processes import free_port

PROGRAM = Path(__file__).with_name('replica.py')


class ReplicaError(AssertionError):
    """A replica could not be started."""


class Nursery:
    """Starts replicas that share an environment.

    Args:
        env: Variables to add to the environment.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def start(self, port: int) -> int:
        """Returns the id of a new replica's process when it answers on the port."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f'{port}\n')
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            words = line.split()
            if words[:1] == [str(port)]:
                if not words[1].isdigit():
                    raise ReplicaError(f'no replica on port {line.strip()}')
                return int(words[1])
        raise ReplicaError(f'no replica for port {port}')

    def close(self) -> None:
        """Ends all replicas."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class ReplicaSet:
    """Replicas on ports of their own.

    Args:
        count: How many replicas.
        first_env: Variables to add to the environment of the first one.
    """

    def __init__(self, count: int, *, first_env: Mapping[str, str] | None = None) -> None:
        self.ports = [free_port() for _ in range(count)]
        self.killed = 0
        others = Nursery({})
        self._nurseries = [others] * count
        if first_env is not None:
            self._nurseries[0] = Nursery(first_env)
        self._pids = [nursery.start(port) for nursery, port in zip(self._nurseries, self.ports, strict=True)]

    def kill_next(self) -> None:
        """Kills the replicas in turn with SIGKILL; the one that takes its place answers when this returns."""
        index = self.killed % len(self.ports)
        self.kill(index)
        self.start(index)

    def kill(self, index: int) -> None:
        """Kills a replica with SIGKILL; its port is free when this returns."""
        process = os.pidfd_open(self._pids[index])
        try:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [])  # a process that is killed may live on for a moment
        finally:
            os.close(process)
        self.killed += 1

    def start(self, index: int) -> None:
        """Starts another one in its place, and returns when it answers."""
        self._pids[index] = self._nurseries[index].start(self.ports[index])

    @contextlib.contextmanager
    def killing(self, every_s: float) -> Iterator[None]:
        """Kills a replica every so many seconds, as long as the context lasts."""
        stop = threading.Event()
        failures: list[Exception] = []

        def work() -> None:
            try:
                due = time.monotonic() + every_s
                while not stop.wait(max(0.0, due - time.monotonic())):
                    due += every_s
                    self.kill_next()
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Ends all of them."""
        for nursery in dict.fromkeys(self._nurseries):
            nursery.close()
