"""Fixtures of the orchestrate tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jina.orchestrate import launcher


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('JINA_MP_START_METHOD', raising=False)


@pytest.fixture(scope='session', autouse=True)
def _end_zygote() -> Iterator[None]:
    yield
    launcher.close()


class Script:
    """A Python script in a process of its own, as a user would start it."""

    def __init__(self, path: Path, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(path)],
            cwd=path.parent,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []

    def wait_for(self, prefix: str) -> str:
        """Read until a line starts so, and return the rest of it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith(prefix):
                return line[len(prefix) :].strip()
        raise AssertionError(f'the script ended before {prefix!r}:\n{"".join(self.lines)}')

    def finish(self, timeout: float = 30) -> str:
        """Wait for the end and return all that it printed."""
        rest, _ = self.process.communicate(timeout=timeout)
        return ''.join(self.lines) + rest

    def kill(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def run_script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """Start scripts; those still running at the end of the test are killed."""
    started: list[Script] = []

    def start(text: str, name: str = 'app.py', **env: str) -> Script:
        path = tmp_path / name
        path.write_text(text)
        script = Script(path, env)
        started.append(script)
        return script

    yield start
    for script in started:
        script.kill()


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie doesn't)."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def wait_gone() -> Callable[[list[int], float], float]:
    """Wait until processes have ended; returns the seconds that it took, fails after the limit."""

    def wait(pids: list[int], limit: float) -> float:
        begin = time.monotonic()
        while alive := [pid for pid in pids if is_alive(pid)]:
            assert time.monotonic() - begin < limit, f'still running after {limit} s: {alive}'
            time.sleep(0.02)
        return time.monotonic() - begin

    return wait
