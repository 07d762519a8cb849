"""The completion scripts in real shells, with all commands installed."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

JINA = Path(sys.executable).with_name('jina')
TIMEOUT_S = 30


def needs(shell: str) -> pytest.MarkDecorator:
    missing = shutil.which(shell) is None and 'CI' not in os.environ
    return pytest.mark.skipif(missing, reason=f'{shell} is not installed')


class Terminal:
    """An interactive shell on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.output = ''
        master, slave = pty.openpty()
        path = f'{JINA.parent}{os.pathsep}{os.environ["PATH"]}'
        environment = {**os.environ, 'PATH': path, 'TERM': 'dumb', 'PS1': '> ', 'HOME': str(folder), 'COLUMNS': '200'}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self._fd = master

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait_for(self, pattern: str) -> str:
        """Read until a pattern shows behind what was read before; returns what came."""
        start, deadline = len(self.output), time.monotonic() + TIMEOUT_S
        while not re.search(pattern, self.output[start:]):
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f'{pattern!r} did not show:\n{self.output}'
            self.output += os.read(self._fd, 4096).decode(errors='replace')
        return self.output[start:]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


def interactive(shell: str, tmp_path: Path) -> None:
    """Press Tab behind the starts of words, as a user does."""
    (tmp_path / 'my_flow.yml').write_text('jtype: Flow\n')
    command = {'bash': ['bash', '--norc', '--noprofile', '-i'], 'zsh': ['zsh', '-f', '-i']}[shell]
    terminal = Terminal(command, tmp_path)
    try:
        terminal.type(f'eval "$(jina completion {shell})"; echo lo""aded\n')
        terminal.wait_for(r'loaded\r')
        for typed, completed in [
            ('jina exe', 'cutor'),
            ('jina ping ga', 'teway'),
            ('jina executor --timeout-r', 'eady'),
            ('jina executor --protocol WEB', 'SOCKET'),
            ('jina export flo', 'wchart'),
            ('jina-serve flow --uses my_', 'flow.yml'),
        ]:
            terminal.type(f'{typed}\t')
            terminal.wait_for(re.escape(completed))
            terminal.type('\x15\n')  # clears the line
            terminal.wait_for('> ')
        terminal.type('jina \t\t')
        shown = terminal.wait_for('completion')
        assert 'executor' in shown
    finally:
        terminal.close()


@needs('bash')
def test_bash(tmp_path: Path) -> None:
    interactive('bash', tmp_path)


@needs('zsh')
def test_zsh(tmp_path: Path) -> None:
    interactive('zsh', tmp_path)


@needs('fish')
def test_fish(tmp_path: Path) -> None:
    (tmp_path / 'my_flow.yml').write_text('jtype: Flow\n')
    lines = ['jina completion fish | source']
    asked = ['jina exe', 'jina ping ', 'jina executor --timeout-r', 'jina-serve flow --uses my_']
    lines += [f'complete -C {line!r}; echo ---' for line in asked]
    path = f'{JINA.parent}{os.pathsep}{os.environ["PATH"]}'
    done = subprocess.run(
        ['fish', '--no-config', '-c', '\n'.join(lines)],
        cwd=tmp_path,
        env={**os.environ, 'PATH': path, 'HOME': str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S * 2,
    )
    answers = [part.strip().splitlines() for part in done.stdout.split('---')]
    assert answers[0] == ['executor\tServe an Executor'], done.stderr
    assert answers[1] == ['deployment', 'executor', 'flow', 'gateway']
    assert answers[2] == ['--timeout-ready\tMilliseconds to wait until a process is ready; -1 waits forever']
    assert answers[3] == ['my_flow.yml']
