"""The command ``jina client``."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jina.client.json_call import documents_of
from jina.core.cli.main import main
from jina.core.errors import InputError

Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture(params=[False, True], ids=['sync', 'async'])
def run(options: dict[str, Any], request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command and returns what it prints."""

    def run(*arguments: str, error: str = '') -> list[dict[str, Any]]:
        colour = ['--asyncio'] if request.param else []
        address = ['--host', 'localhost', '--port', str(options['port']), '--protocol', options['protocol']]
        assert main(['client', *address, *colour, *arguments]) == (1 if error else 0)
        printed = capsys.readouterr()
        assert error in printed.err
        return [json.loads(line) for line in printed.out.splitlines()]

    return run


def test_documents_come_back_as_json(run: Run, server: Any) -> None:
    (doc,) = run('--on', '/echo', '--data', '{"id": "x", "text": "a", "embedding": [1, 2.5]}')
    assert (doc['id'], doc['text'], doc['embedding']) == ('x', 'a', [1, 2.5])
    docs = run('--on', '/echo', '--data', '[{"text": "a"}, {"text": "b"}]', '--request-size', '1')
    assert [doc['text'] for doc in docs] == ['a', 'b']
    assert run('--on', '/echo', '--parameters', 'size=3', '--target-executor', 'enc') == []
    assert server.requests[-1].parameters == {'size': 3.0}
    assert server.requests[-1].target_executor == 'enc'


def test_files_and_standard_input(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'docs.json').write_text('[\n{"text": "a"},\n{"text": "b"}\n]\n')
    assert [doc['text'] for doc in run('--on', '/echo', '--data', f'@{tmp_path}/docs.json')] == ['a', 'b']
    monkeypatch.setattr(sys, 'stdin', io.StringIO('{"text": "c"}\n\n{"text": "d"}\n'))
    assert [doc['text'] for doc in run('--on', '/echo', '--data', '-')] == ['c', 'd']


def test_streams(run: Run) -> None:
    docs = run('--on', '/generate', '--data', '[{"text": "a"}, {"text": "b"}]', '--stream-doc')
    assert [doc['text'] for doc in docs] == ['a 0', 'a 1', 'a 2', 'b 0', 'b 1', 'b 2']


def test_failures_have_a_message_and_a_status(run: Run) -> None:
    for arguments, message in (
        (['--on', '/fail', '--data', '{"text": "bad"}'], "ValueError('boom')"),
        (['--on', '/echo', '--data', '{"text"'], 'data is no JSON'),
        (['--on', '/echo', '--data', '[1]'], 'data holds 1, which is no document'),
        (['--on', '/echo', '--data', '@/no/such/file'], "data names '/no/such/file', which can not be read"),
    ):
        assert run(*arguments, error=message) == []


def test_lines_are_read_as_they_come() -> None:
    read: list[int] = []

    def lines() -> Any:
        for number in range(100):
            read.append(number)
            yield json.dumps({'number': number}) + '\n'

    docs = documents_of(lines())
    assert [next(docs).number for _ in range(3)] == [0, 1, 2]  # type: ignore[attr-defined]
    assert read == [0, 1, 2]
    with pytest.raises(InputError, match=r"no JSON: .*: 'nonsense\\n'"):
        list(documents_of(['{}\n', 'nonsense\n']))
