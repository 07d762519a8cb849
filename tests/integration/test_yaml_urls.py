"""Flows and Deployments whose YAML comes from a URL: paths in it are relative to that URL, and no code is loaded from there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Deployment, Executor, Flow, requests
from jina.core.errors import ConfigError, ConfigSourceError

Texts = DocList[TextDoc]


class UrlGreeter(Executor):
    def __init__(self, word: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.word = word

    @requests
    def greet(self, docs: Texts, **kwargs: Any) -> Texts:
        for doc in docs:
            doc.text = f'{self.word} {doc.text}'
        return docs


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Address of a folder with configurations, which is not the working directory."""
    with ThreadingHTTPServer(('127.0.0.1', 0), partial(_Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{server.server_address[1]}'
        server.shutdown()
        thread.join()


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / name.replace('__', '/').replace('_yml', '.yml')
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def test_paths_are_relative_to_the_url(url: str, tmp_path: Path) -> None:
    write(
        tmp_path,
        flows__flow_yml='jtype: Flow\n'
        'with: {quiet: true}\n'
        'executors:\n'
        '- uses: parts/first.yml\n'
        '- ../second.yml\n'
        f'- uses: {url}/third.yml\n',
        second_yml='jtype: Deployment\nwith: {name: second, uses: flows/more.yml}\n',
        third_yml='jtype: UrlGreeter\nwith: {word: third}\n',
        flows__more_yml='jtype: UrlGreeter\nwith: {word: second}\n',
    )
    (tmp_path / 'flows' / 'parts').mkdir()
    (tmp_path / 'flows' / 'parts' / 'first.yml').write_text('jtype: UrlGreeter\nwith: {word: first}\n')
    with Flow.load_config(f'{url}/flows/flow.yml') as flow:
        assert flow.post('/', TextDoc(text='x'), return_type=Texts)[0].text == 'third second first x'
    write(
        tmp_path,
        deployment_yml='jtype: Deployment\nwith: {uses: third.yml, uses_before: flows/more.yml, quiet: true}\n',
    )
    with Deployment.load_config(f'{url}/deployment.yml') as deployment:
        assert deployment.post('/', TextDoc(text='x'), return_type=Texts)[0].text == 'third second x'


def test_a_missing_file_is_named_by_its_url(url: str, tmp_path: Path) -> None:
    write(tmp_path, flow_yml='jtype: Flow\nexecutors: [deployment.yml]\n')
    with pytest.raises(ConfigSourceError, match=f'can not read the configuration .{url}/deployment.yml.: .*404'):
        Flow.load_config(f'{url}/flow.yml')


@pytest.mark.parametrize(
    ('text', 'place'),
    [
        ('jtype: Flow\npy_modules: [code.py]\n', 'flow.yml:2: py_modules'),
        ('jtype: Flow\nwith: {py_modules: code.py}\n', 'flow.yml:2: with.py_modules'),
        ('jtype: Flow\nexecutors:\n- {uses: X, py_modules: a/code.py}\n', r'flow.yml:3: executors\[0\].py_modules'),
        (
            'jtype: Flow\nexecutors:\n- uses: {jtype: X, py_modules: [code.py]}\n',
            r'flow.yml:3: executors\[0\].uses.py_modules',
        ),
        ('jtype: Flow\ngateway: {uses: X, py_modules: code.py}\n', 'flow.yml:2: gateway.py_modules'),
        ('jtype: Flow\nexecutors: [executor.yml]\n', 'executor.yml:2: with.py_modules'),
    ],
)
def test_code_beside_the_document_is_refused(
    url: str, tmp_path: Path, text: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, flow_yml=text, executor_yml='jtype: Deployment\nwith: {uses: X, py_modules: code.py}\n')
    (tmp_path / 'code.py').write_text('raise ValueError("it ran")\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match=f'{url}/{place}: .*code.py. lies beside the document, and code is not loaded'
    ):
        Flow.load_config(f'{url}/flow.yml')


def test_code_of_an_executor_at_a_url_has_to_be_on_this_machine(url: str, tmp_path: Path) -> None:
    code = tmp_path / 'here'
    write(
        tmp_path,
        executor_yml='jtype: HereExecutor\npy_modules: code.py\n',
        deployment_yml='jtype: Deployment\nwith: {uses: executor.yml, quiet: true}\n',
    )
    with pytest.raises(ConfigError, match=f"{url}/executor.yml:2: py_modules: 'code.py' lies beside the document"):
        Executor.load_config(f'{url}/executor.yml')
    code.mkdir()
    (code / 'code.py').write_text(
        'from jina import Executor, requests\n'
        'class HereExecutor(Executor):\n'
        '    @requests\n'
        '    def here(self, **kwargs):\n'
        "        return {'from': 'here'}\n"
    )
    folders = [str(code)]
    assert type(Executor.load_config(f'{url}/executor.yml', extra_search_paths=folders)).__name__ == 'HereExecutor'
    with Deployment.load_config(f'{url}/deployment.yml', extra_search_paths=folders) as deployment:
        results = deployment.post('/', TextDoc(), return_responses=True)[0].parameters['__results__']
        assert list(results.values()) == [{'from': 'here'}]
