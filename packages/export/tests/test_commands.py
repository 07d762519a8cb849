from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

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


@pytest.mark.parametrize('kind', ['kubernetes', 'docker-compose'])
def test_other_kinds_are_refused(kind: str, tmp_path: Path) -> None:
    (tmp_path / 'flow.yml').write_text(FLOW)
    done = jina('export', kind, 'flow.yml', 'out', cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: '{kind}' export is not available in this version; until then, ")
    assert not (tmp_path / 'out').exists()


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
