"""What is shown while something starts: on a terminal, and where there is none."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from jina import Flow
from jina.orchestrate import progress

SCRIPT = """
import time
from jina import Executor, Flow

class Slow(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        time.sleep(1)

with Flow({options}).add(name='quick').add(name='model', uses=Slow, replicas=2):
    pass
"""


def on_a_terminal(tmp_path: Path, options: str = '', **env: str) -> str:
    (tmp_path / 'app.py').write_text(SCRIPT.format(options=options))
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, 'app.py'],
        cwd=tmp_path,
        env={**os.environ, 'TERM': 'xterm', 'COLUMNS': '120', **env},
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    output = b''
    try:
        while chunk := os.read(master, 65536):
            output += chunk
    except OSError:  # how Linux says that nobody has the other end open
        pass
    os.close(master)
    assert process.wait(30) == 0, output.decode()
    return output.decode()


def test_terminal(tmp_path: Path) -> None:
    output = on_a_terminal(tmp_path)
    assert 'model 0/2' in output
    assert any(frame in output for frame in progress._FRAMES)
    assert 'quick \x1b[32m✔' in output
    before, banner = output.rsplit('ready to serve', 1)
    assert before.rindex(progress._CLEAR) > before.rindex('model')  # the line is gone when the start is over
    assert not any(frame in banner for frame in progress._FRAMES)


def test_a_quiet_start_shows_nothing(tmp_path: Path) -> None:
    assert on_a_terminal(tmp_path, 'quiet=True') == ''


def test_lines_elsewhere(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    from .executors import WarmUp

    monkeypatch.setattr(progress, '_LINES_S', (0.05, 0.1))
    with Flow().add(name='warm', uses=WarmUp):
        pass
    lines = [line for line in capfd.readouterr().out.splitlines() if 'waiting for' in line]
    assert lines
    assert 'Flow: waiting for warm (' in lines[0]
