"""Reads the code blocks of a documentation page and runs them in order, as a reader would.

- A block with a ``title="name"`` is written to that file.
- A line ``--8<-- "path"`` in a block stands for a file of ``docs/``, as in the built pages.
- A ``python`` block without a title runs as a script of its own and must exit with status 0.
- A ``bash`` block runs with ``bash -euo pipefail``; after ``<!-- run: server -->`` it stays in the background until the page's end.
- A ``text`` block right after a block that ran lists lines that its output must contain.
- ``<!-- run: skip, because ... -->`` leaves the next block out; the reason must be given.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(
    r'(?:<!-- run: (?P<mode>.+?) -->\s*\n)?^(?P<indent> *)```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$',
    re.MULTILINE | re.DOTALL,
)
SNIPPET = re.compile(r'^--8<-- "(?P<path>[^"]+)"$', re.MULTILINE)
DOCS = Path(__file__).parents[2] / 'docs'
READY = {False: 'ready to serve', True: 'ready and listening'}
"""What a server prints when it is ready: a whole Deployment or Flow, and a single process of one."""


@dataclass
class Block:
    """One fenced block of a page."""

    language: str
    body: str
    title: str = ''
    mode: str = ''
    line: int = 0

    @property
    def runs(self) -> bool:
        """Whether the block is a command or a script to run."""
        return self.language in ('python', 'bash') and not self.title and not self.mode.startswith('skip')


@dataclass
class Page:
    """A page's blocks, and a folder to run them in."""

    path: Path
    folder: Path
    output: str | None = None
    servers: ExitStack = field(default_factory=ExitStack)

    def blocks(self) -> Iterator[Block]:
        text = self.path.read_text()
        for match in FENCE.finditer(text):
            indent = match['indent']
            body = '\n'.join(line.removeprefix(indent) for line in match['body'].split('\n'))
            body = SNIPPET.sub(lambda line: (DOCS / line['path']).read_text().rstrip(), body)
            title = re.search(r'title="([^"]+)"', match['info'])
            line = text.count('\n', 0, match.start()) + 1
            yield Block(match['language'], body, title[1] if title else '', match['mode'] or '', line)

    def run(self) -> int:
        """Run all blocks; returns how many ran."""
        ran = 0
        with self.servers:
            for block in self.blocks():
                ran += self.handle(block)
        return ran

    def handle(self, block: Block) -> bool:
        where = f'{self.path.name}:{block.line}'
        if block.mode.startswith('skip'):
            assert 'because' in block.mode, f'{where}: say why the block is skipped'
            return False
        if block.title:
            target = self.folder / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.body)
            return False
        if block.language == 'text':
            if self.output is None:
                return False
            missing = [line for line in block.body.strip().splitlines() if line.strip() not in self.output]
            assert not missing, f'{where}: not in the output: {missing}\n--- output:\n{self.output}'
            return False
        if not block.runs:
            self.output = None
            return False
        command = ['bash', '-euo', 'pipefail', '-c', block.body]
        if block.language == 'python':
            script = self.folder / f'block_{block.line}.py'
            script.write_text(block.body)
            command = [sys.executable, script.name]
        if block.mode == 'server':
            self.servers.enter_context(self.server(command, where))
        else:
            self.output = self.finish(command, where)
        return True

    def environment(self) -> dict[str, str]:
        path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
        return os.environ | {'PATH': path, 'COLUMNS': '120', 'PYTHONUNBUFFERED': '1'}

    def finish(self, command: list[str], where: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, f'{where}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}'
        return done.stdout

    @contextmanager
    def server(self, command: list[str], where: str) -> Iterator[None]:
        log = self.folder / f'server_{len(list(self.folder.glob("server_*")))}.log'
        with log.open('w') as out:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.wait_ready(process, log, where)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise

    @staticmethod
    def wait_ready(process: subprocess.Popen[bytes], log: Path, where: str) -> None:
        deadline = time.monotonic() + 60
        single = re.search('jina (executor|gateway)', str(process.args)) is not None
        while READY[single] not in log.read_text():
            assert process.poll() is None, f'{where}: the server ended\n{log.read_text()}'
            assert time.monotonic() < deadline, f'{where}: the server is not ready after 60 s\n{log.read_text()}'
            time.sleep(0.05)
