from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from jina.core.cli.lookup import Entry, look_up

JINA = Path(sys.executable).with_name('jina')
KNOWN = [
    Entry('jina flow', ('flow',), 'Start a Flow'),
    Entry('--replicas INT', ('replicas',), 'Number of processes', ['deployment']),
    Entry('--port INT', ('port', 'ports'), 'Ports to listen on', ['deployment']),
    Entry('--port-monitoring INT', ('port_monitoring',), 'Ports of the metrics', ['deployment']),
    Entry('--when KEY: VALUE', ('when',), 'Filter of documents', ['deployment']),
]


@pytest.mark.parametrize(
    ('query', 'titles', 'exact'),
    [
        ('flow', ['jina flow'], True),
        ('--PORTS', ['--port INT'], True),
        ('port-monitoring', ['--port-monitoring INT'], True),
        ('filter', ['--when KEY: VALUE'], True),
        ('port metrics', ['--port-monitoring INT'], True),
        ('replics', ['--replicas INT'], False),
        ('metrics of everything', ['--port-monitoring INT'], False),
        ('xyzzy', [], False),
    ],
)
def test_look_up(query: str, titles: list[str], exact: bool) -> None:
    found, known = look_up(query, KNOWN)
    assert [entry.title for entry in found] == titles
    assert known is exact or not found


def test_help_of_an_own_command() -> None:
    done = subprocess.run([JINA, 'help', 'new'], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith('jina new\n    Make the files of a new project.\n')  # others have such commands too
    done = subprocess.run([JINA, 'help', 'xyzzy', 'foo'], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == "nothing is called 'xyzzy foo' or described so; `jina --help` lists the commands\n"
