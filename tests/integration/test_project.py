"""What ``jina new`` and ``jina hub new`` make runs as it is, and ``jina check`` finds it right."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from docarray import BaseDoc, DocList
from jina import Deployment

from tests.support.processes import free_port

JINA = Path(sys.executable).with_name('jina')
EXTENSION = """
    @requests(on='/shout')
    def shout(self, docs: DocList[LegacyDocument], **kwargs) -> DocList[LegacyDocument]:
        for doc in docs:
            doc.text = doc.text.upper()
"""


@pytest.mark.parametrize('kind', ['deployment', 'flow'])
def test_new_project_runs(kind: str, tmp_path: Path) -> None:
    subprocess.run([JINA, 'new', 'hello', f'--type={kind}'], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    folder = tmp_path / 'hello'
    ports = {'54321': free_port(), '54322': free_port(), '54323': free_port()}
    for name in (f'{kind}.yml', 'client.py'):
        text = (folder / name).read_text()
        for written, port in ports.items():
            text = text.replace(written, str(port))
        (folder / name).write_text(text)
    with (folder / 'executor1' / 'executor.py').open('a') as file:
        file.write(EXTENSION)
    checked = subprocess.run([JINA, 'check', f'{kind}.yml'], cwd=folder, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    assert '/shout  LegacyDocument → LegacyDocument' in checked.stdout

    command = [JINA, kind, '--uses', f'{kind}.yml']
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert server.stdout is not None
        banner = next(line for line in server.stdout if 'ready to serve' in line)
        assert f'{kind.capitalize()} is ready to serve!' in banner
        done = subprocess.run([sys.executable, 'client.py'], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.stdout == "['hello, world!', 'goodbye, world!']\n", done.stderr
        with urllib.request.urlopen(f'http://localhost:{ports["54322"]}/docs', timeout=30) as page:
            assert page.status == 200
    finally:
        server.terminate()
        rest, _ = server.communicate(timeout=30)
    assert server.returncode == 0, rest


def test_new_executor_is_served(tmp_path: Path) -> None:
    answers = 'Painter\n\ny\nPaints\n\n\ny\ncpu\n'
    done = subprocess.run([JINA, 'hub', 'new'], input=answers, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / 'Painter'
    assert (folder / 'Dockerfile').exists()
    with Deployment(uses=str(folder / 'config.yml')) as deployment:
        assert len(deployment.post('/', BaseDoc(), return_type=DocList[BaseDoc])) == 1


def test_check_names_every_problem(tmp_path: Path) -> None:
    subprocess.run([JINA, 'new', 'hello'], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    (tmp_path / 'hello' / 'numbers.py').write_text(
        'from docarray import BaseDoc, DocList\nfrom jina import Executor, requests\n\n\n'
        'class Number(BaseDoc):\n    value: int\n\n\n'
        'class Numbers(Executor):\n    def __init__(self, **kwargs):\n        raise RuntimeError("not to be made")\n\n'
        '    @requests(on="/count")\n    def count(self, docs: DocList[Number], **kwargs) -> DocList[Number]:\n        return docs\n'
    )
    document = (
        'jtype: Flow\nwith: {{env: {{TOKEN: "${{{{ CONTEXT.token }}}}"}}}}\njcloud: {{name: x}}\nexecutors:\n'
        '  - {{name: words, uses: hello/executor1/config.yml{extra}, jcloud: {{expose: true}}}}\n'
        '  - {{name: numbers, uses: Numbers, py_modules: hello/numbers.py{more}}}\n'
        '  - {{name: image, uses: docker://some-image, floating: true}}\n'
    )
    right = tmp_path / 'right.yml'
    right.write_text(document.format(extra='', more=', needs: gateway'))
    with_context = ['--context', 'token=s3cret']

    def check(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run([JINA, 'check', *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    status, output, errors = check('right.yml', *with_context)
    assert (status, errors) == (0, '')
    assert 'right.yml: Flow of 3 Executors, valid' in output
    assert '/count  Number → Number' in output
    assert 'nobody takes the results of words' in output
    assert 'env TOKEN' in output
    assert 's3cret' not in output

    status, output, errors = check('right.yml')
    assert (status, errors) == (1, "error: right.yml:2: with.env.TOKEN: the context has no 'token'\n")

    wrong = tmp_path / 'wrong.yml'
    wrong.write_text(document.format(extra=', uses_with: {volume: 3}', more=', uses_requests: {/x: cuont}'))
    status, output, errors = check('wrong.yml', 'right.yml', 'missing.yml', *with_context)
    assert status == 1
    expected = [
        "error: wrong.yml: Executor 'words': uses_with['volume']: MyExecutor.__init__ takes no argument 'volume'",
        "error: wrong.yml: Executor 'numbers': uses_requests['/x']: requests binds '/x' to 'cuont'",
        "error: can not find the file 'missing.yml'",
    ]
    for line, start in zip(errors.splitlines(), expected, strict=True):
        assert line.startswith(start)
    assert 'wrong.yml: Flow of 3 Executors, 2 problems' in output
    assert 'right.yml: Flow of 3 Executors, valid' in output

    (tmp_path / 'hello' / 'words.py').write_text(
        (tmp_path / 'hello' / 'numbers.py').read_text().replace('Number', 'Word').replace('value: int', 'text: str')
    )
    chained = tmp_path / 'chained.yml'
    chained.write_text(
        'jtype: Flow\nexecutors:\n  - {name: first, uses: Words, py_modules: hello/words.py}\n'
        '  - {name: second, uses: Numbers, py_modules: hello/numbers.py}\n'
    )
    status, output, errors = check('chained.yml')
    assert status == 1
    assert "Executor 'first' gives Word" in errors
    assert "Executor 'second' takes Number" in errors
    assert check('chained.yml', '--no-import')[0] == 0
