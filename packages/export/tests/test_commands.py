from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

FLOW = 'jtype: Flow\nexecutors:\n  - name: encoder\n'


def jina(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-c', 'import sys; from jina.core.cli.main import main; sys.exit(main())', *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_flowchart_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / 'flow.yml').write_text(FLOW)
    done = jina('export', 'flowchart', 'flow.yml', 'out.mmd', '--vertical-layout', cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, 'wrote out.mmd\n', '')
    assert (tmp_path / 'out.mmd').read_text().startswith('flowchart TD\n    subgraph encoder ["encoder"]\n')
    done = jina('export', 'flowchart', 'flow.yml', 'out.svg', cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, 'wrote out.svg\n', '')
    assert '>encoder</text>' in (tmp_path / 'out.svg').read_text()
    done = jina('export', 'flowchart', 'flow.yml', 'out.gif', cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr.startswith("error: a flowchart can not be written as 'out.gif'; choose a name")


def test_a_dockerfile_from_the_command_line(tmp_path: Path) -> None:
    done = jina('export', 'dockerfile', '.', '--base', 'python:3.13-slim', cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, 'wrote Dockerfile\n', '')
    text = (tmp_path / 'Dockerfile').read_text()
    assert 'ARG BASE=python:3.13-slim' in text
    assert text.endswith('ENTRYPOINT ["jina", "executor", "--uses", "config.yml"]\n')
    again = jina('export', 'dockerfile', '.', cwd=tmp_path)
    assert (again.returncode, again.stderr) == (
        1,
        'error: Dockerfile exists already; remove it, or name another file\n',
    )
    gateway = jina('export', 'dockerfile', 'gateway', '--kind', 'gateway', '--config', '', cwd=tmp_path)
    assert gateway.returncode == 0
    assert (tmp_path / 'gateway').read_text().endswith('ENTRYPOINT ["jina", "gateway"]\n')


def test_wrong_kind_and_missing_file_say_so(tmp_path: Path) -> None:
    wrong = jina('export', 'flowchrt', 'flow.yml', 'out.mmd', cwd=tmp_path)
    assert wrong.returncode == 1
    assert 'flowchart' in wrong.stderr
    missing = jina('export', 'flowchart', 'flow.yml', 'out.mmd', cwd=tmp_path)
    assert missing.returncode == 1
    assert 'flow.yml' in missing.stderr
    assert 'Traceback' not in missing.stderr


def test_entry_points_lead_to_exporters() -> None:
    exporters = {entry.name: entry.load() for entry in entry_points(group='jina.exporters')}
    assert set(exporters) >= {'flowchart', 'picture', 'kubernetes', 'docker-compose', 'schema'}
    assert all(callable(exporter) for exporter in exporters.values())
