from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.errors import ConfigError, YamlVersionError
from jina.core.yaml import load_yaml
from jina.orchestrate import Flow

from .executors import Append


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(Path(__file__).with_name('executors.py'), tmp_path / 'executor.py')
    return tmp_path


def write(folder: Path, text: str, name: str = 'flow.yml') -> str:
    (folder / name).write_text(text)
    return str(folder / name)


FORMS = {
    'top': 'jtype: Flow\nexecutors:\n  - {name: a, uses: Append, py_modules: executor.py, uses_with: {text: z}}\n',
    'legacy': '!Flow\nversion: "1"\ndeployments:\n  - name: a\n    uses: Append\n    py_modules: [executor.py]\n    uses_with: {text: z}\n',
    'with': 'jtype: Flow\nwith: {timeout_ready: 30000, py_modules: executor.py}\nexecutors:\n  - {name: a, uses: Append, uses_with: {text: z}}\n',
    'modules': 'jtype: Flow\npy_modules: executor.py\nexecutors:\n  - {name: a, uses: Append, uses_with: {text: z}}\n',
    'inline': 'jtype: Flow\nexecutors:\n  - name: a\n    uses:\n      jtype: Append\n      py_modules: [executor.py]\n      with: {text: z}\n',
    'file': 'jtype: Flow\nexecutors:\n  - {name: a, uses: append.yml}\n',
    'deployment': 'jtype: Flow\nexecutors:\n  - jtype: Deployment\n    with: {name: a, uses: Append, py_modules: executor.py, uses_with: {text: z}}\n',
    'path': 'jtype: Flow\nexecutors:\n  - deployment.yml\n',
    'gateway': 'jtype: Flow\ngateway: {protocol: grpc, log_config: plain}\nexecutors:\n  - {name: gateway}\n  - {name: a, uses: append.yml}\n',
    'variables': 'jtype: Flow\nwith: {env: {WORD: z}}\nexecutors:\n  - {name: a, uses: "${{ ENV.KIND }}", py_modules: executor.py, uses_with: {text: "${{ CONTEXT.text }}"}}\n',
}


@pytest.mark.parametrize('form', FORMS)
def test_forms_of_a_flow(form: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('KIND', 'Append')
    write(folder, 'jtype: Append\npy_modules: executor.py\nwith: {text: z}\n', 'append.yml')
    write(
        folder,
        'jtype: Deployment\nname: a\nuses: Append\npy_modules: executor.py\nuses_with: {text: z}\n',
        'deployment.yml',
    )
    with Flow.load_config(write(folder, FORMS[form]), context={'text': 'z'}) as flow:
        assert [name for name, _ in flow] == ['a']
        assert flow.post('/', TextDoc(text='x'), return_type=DocList[TextDoc]).text == ['xz']


def test_methods_and_needs(folder: Path) -> None:
    text = 'jtype: Flow\nexecutors:\n  - name: a\n  - {name: b, needs: gateway}\n  - {name: c, needs: [a, b]}\n  - {name: d, needs: gateway}\n  - {name: e, method: needs_all}\n'
    flow = Flow.load_config(write(folder, text))
    assert {name: deployment.needs for name, deployment in flow} == {
        'a': ['gateway'],
        'b': ['gateway'],
        'c': ['a', 'b'],
        'd': ['gateway'],
        'e': ['c', 'd'],
    }


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'jtype: Flow\nexecutors:\n  - name: a\n  - replicsa: 3\n',
            r"flow.yml:4: executors\[1\].replicsa: no such option; did you mean 'replicas'\?",
        ),
        ('jtype: Flow\nexecutrs: []\n', r"executrs: no such option; did you mean 'executors'\?"),
        (
            'jtype: Flow\nexecutors:\n  - {method: fork}\n',
            r"executors\[0\].method: 'fork' is not how an Executor is added; use one of add, needs, needs_all, inspect",
        ),
        ('jtype: Flow\nexecutors: {}\nwith: 3\n', 'with is 3; give a mapping of options'),
        ('jtype: Flow\nexecutors: 3\n', 'executors is 3; give a list'),
        ('jtype: Flow\nexecutors: [3]\n', r'executors\[0\] is 3; give a mapping'),
        ('jtype: Flow\nwith: {prot: 3}\n', r"flow.yml:2: with.prot: no such option; did you mean 'port'"),
        ('jtype: Flow\nexecutors: []\ndeployments: []\n', 'executors and deployments are the same'),
    ],
)
def test_mistakes_name_their_place(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Flow.load_config(write(folder, text))


def test_unknown_version(folder: Path) -> None:
    with pytest.raises(YamlVersionError):
        Flow.load_config(write(folder, 'jtype: Flow\nversion: "2"\n'))


def test_save_writes_what_differs(folder: Path) -> None:
    flow = (
        Flow(port=12345, protocol='http', timeout_ready=5)
        .add(name='e1', uses='MyExec', py_modules=['a.py'], replicas=2, uses_with={'a': 1})
        .add(needs='gateway')
        .add(needs=['e1', 'executor1'], timeout_ready=6)
    )
    flow.save_config(folder / 'saved.yml')
    assert load_yaml(str(folder / 'saved.yml')).data == {
        'jtype': 'Flow',
        'version': '1',
        'with': {'port': 12345, 'protocol': 'http', 'timeout_ready': 5},
        'executors': [
            {'name': 'e1', 'uses': 'MyExec', 'py_modules': ['a.py'], 'replicas': 2, 'uses_with': {'a': 1}},
            {'name': 'executor1', 'needs': ['gateway']},
            {'name': 'executor2', 'needs': ['e1', 'executor1'], 'timeout_ready': 6},
        ],
    }


def test_round_trip(folder: Path) -> None:
    flow = (
        Flow(name='shop', port=1)
        .add(uses=Append, when={'a': {'$eq': 1}})
        .add(floating=True, env={'A': 'b'})
        .config_gateway(port=2, prefetch=3)
    )
    flow.save_config(folder / 'saved.yml')
    loaded = Flow.load_config(str(folder / 'saved.yml'))
    paths = {'extra_search_paths'}
    assert loaded.gateway_options.model_dump(exclude=paths) == flow.gateway_options.model_dump(exclude=paths)
    assert loaded.name == 'shop'
    for (_, before), (_, after) in zip(flow, loaded, strict=True):
        assert after.options.model_dump(exclude={'uses', 'extra_search_paths'}) == before.options.model_dump(
            exclude={'uses', 'extra_search_paths'}
        )
    assert loaded[0].uses.endswith('executors.Append')
