"""What completion scripts get; tests/integration/test_completion.py runs them in real shells."""

from __future__ import annotations

import subprocess
import sys

import pytest
from jina.core.cli import CommandGroup, completion, discovery
from jina.core.cli.command import Command
from jina.core.config import (
    ExecutorOptions,
    ExportFlowchartOptions,
    ExportSchemaOptions,
    Options,
    PingOptions,
)


def _run(_: Options) -> int:
    return 0


COMMANDS = {
    'executor': Command('executor', 'Serve one', ExecutorOptions, _run),
    'ping': Command('ping', 'Check one', PingOptions, _run),
    'hidden': Command('hidden', 'Not shown', PingOptions, _run, hidden=True),
    'export': CommandGroup(
        'export',
        'Write files',
        (
            Command('flowchart', 'Draw', ExportFlowchartOptions, _run),
            Command('schema', 'Schema', ExportSchemaOptions, _run),
        ),
    ),
}


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, 'installed', lambda: dict(COMMANDS))
    monkeypatch.setattr(discovery, 'load', lambda entry: entry)
    monkeypatch.setattr(discovery, 'summary', lambda _, entry: (entry.help, entry.hidden))
    monkeypatch.delenv('JINA_FULL_CLI', raising=False)


@pytest.mark.parametrize(
    ('words', 'answer'),
    [
        ([], ['executor', 'ping', 'export']),
        ([''], ['executor', 'ping', 'export']),
        (['ex'], ['executor', 'export']),
        (['--v'], ['--version', '--version-full']),
        (['nothing', ''], []),
        (['ping', ''], ['flow', 'deployment', 'executor', 'gateway']),
        (['ping', 'flow', ''], []),
        (['ping', '--a'], ['--attempts']),
        (['pod', '--protocol', ''], ['GRPC', 'HTTP', 'WEBSOCKET']),
        (['executor', '--protocol', '=', 'H'], ['HTTP']),
        (['executor', '--force_network_mode', 'B'], ['BRIDGE']),
        (['executor', '--uses', ''], []),
        (['executor', '--native', ''], []),
        (['executor', '--uses-w'], ['--uses-with']),
        (['executor', '--shard'], ['--shards']),
        (['export', ''], ['flowchart', 'schema']),
        (['export', '-'], ['--help']),
        (['export', 'schema', '--'], ['--yaml-path', '--json-path', '--schema-path', '--help']),
        (['export', 'wrong', ''], []),
        (['--described', 'pi'], ['ping\tCheck one']),
    ],
)
def test_answers(words: list[str], answer: list[str]) -> None:
    assert completion.answer(words) == answer


def test_everything_with_full_cli(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_FULL_CLI', '1')
    assert completion.answer(['h']) == ['hidden']
    assert '--shard-id' in completion.answer(['executor', '--shard'])


def test_descriptions_are_one_sentence() -> None:
    described = dict(line.split('\t') for line in completion.answer(['--described', 'executor', '--re']))
    assert described['--replicas'] == 'Number of processes that share the requests, of each shard if there are several'
    assert set(described) == {'--replicas', '--retries', '--reload'}


def test_a_broken_distribution_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ImportError('no such module')

    monkeypatch.setattr(discovery, 'load', broken)
    assert completion.answer(['executor', '--']) == []


def test_names_of_commands_need_no_pydantic() -> None:
    code = (
        'import sys\nfrom jina.core.cli.main import main\n'
        "main(['commands'])\nmain(['completions', 'he'])\n"
        "print(sorted({'pydantic', 'grpc', 'docarray', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    *_, last_word, loaded = done.stdout.splitlines()
    assert (last_word, loaded) == ('help', '[]')


def test_scripts_are_for_both_programs(capsys: pytest.CaptureFixture[str]) -> None:
    from jina.core.cli.own import COMPLETION
    from jina.core.config import CompletionOptions

    for shell in ('bash', 'zsh', 'fish'):
        assert COMPLETION.run(CompletionOptions(shell=shell)) == 0  # type: ignore[arg-type]
        script = capsys.readouterr().out
        assert 'jina-serve' in script
        assert 'completions' in script
