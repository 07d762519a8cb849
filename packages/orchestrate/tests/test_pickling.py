from __future__ import annotations

import importlib.util
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from jina.orchestrate import pickling


class Inner(BaseDoc):
    text: str = ''


class Outer(BaseDoc):
    vector: NdArray[3]
    inner: DocList[Inner] = DocList[Inner]()


@pytest.fixture
def hidden_module(tmp_path: Path) -> Iterator[ModuleType]:
    """A module that no other process can import by its name."""
    path = tmp_path / 'hidden_module.py'
    path.write_text('import helper_of_hidden\nclass Greeter:\n    def greet(self): return helper_of_hidden.WORD\n')
    helper = ModuleType('helper_of_hidden')
    helper.WORD = 'hello'  # type: ignore[attr-defined]
    sys.modules['helper_of_hidden'] = helper
    spec = importlib.util.spec_from_file_location('hidden_module', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules['hidden_module'] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules['hidden_module'], sys.modules['helper_of_hidden']


def load_elsewhere(payload: bytes, expression: str, path: Path) -> object:
    """Unpickle in a fresh interpreter and evaluate there."""
    file = path / 'payload'
    file.write_bytes(payload)
    code = f'import pickle, json; value = pickle.load(open({str(file)!r}, "rb")); print(json.dumps({expression}))'
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=path, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_importable_classes_go_by_reference() -> None:
    assert len(pickling.dumps(DocList)) < 200
    assert pickling.importable_by_name(sys.modules['docarray'])
    assert pickling.importable_by_name(json)


def test_a_module_that_was_replaced_is_not_importable(hidden_module: ModuleType) -> None:
    assert not pickling.importable_by_name(hidden_module)
    assert not pickling.importable_by_name(ModuleType('nowhere'))


def test_hidden_classes_go_by_value(hidden_module: ModuleType, tmp_path: Path) -> None:
    payload = pickling.dumps({'cls': hidden_module.Greeter})
    (tmp_path / 'elsewhere').mkdir()
    assert load_elsewhere(payload, 'value["cls"]().greet()', tmp_path / 'elsewhere') == 'hello'


def test_documents_by_value(tmp_path: Path) -> None:
    scope: dict[str, object] = {'__name__': '__main__'}
    source = (
        'from docarray import BaseDoc, DocList\nfrom docarray.typing import NdArray\nfrom typing import Optional\n'
        'class Inner(BaseDoc):\n    text: str = ""\n'
        'class Outer(BaseDoc):\n    vector: Optional[NdArray[3]] = None\n    inner: DocList[Inner] = DocList[Inner]()\n'
        'class Maker:\n    def make(self, docs: DocList[Outer]) -> DocList[Outer]:\n'
        '        return DocList[Outer]([Outer(vector=[1, 2, 3], inner=[Inner(text="x")])])\n'
    )
    exec(compile(source, 'cell', 'exec', dont_inherit=True), scope)
    payload = pickling.dumps((scope['Maker'], scope['Outer']))
    expression = '[value[0]().make(None)[0].inner.text, value[0]().make(None).vector[0].tolist(), value[1](inner=[{"text": "y"}]).inner.text]'
    assert load_elsewhere(payload, expression, tmp_path) == [['x'], [1, 2, 3], ['y']]


def test_typed_lists_keep_their_identity() -> None:
    for value in (DocList[Inner], NdArray[3]):
        assert pickle.loads(pickling.dumps(value)) == value
    assert pickle.loads(pickling.dumps(DocList[Inner]([Inner(text='a')]))).text == ['a']


def test_local_variables_beside_a_document_class_stay_behind(tmp_path: Path) -> None:
    lock = threading.Lock()  # pydantic notes all local variables of a function that defines a model

    class Item(BaseDoc):
        number: int

    class Bag(BaseDoc):
        items: DocList[Item]
        later: Item

    assert lock is not None
    payload = pickling.dumps(Bag)
    bag = 'value(items=[{"number": 3}], later={"number": 4})'
    expression = f'[str(value.model_fields["items"].annotation), {bag}.later.number]'
    name, number = load_elsewhere(payload, expression, tmp_path)  # type: ignore[misc]
    assert 'Item' in name
    assert number == 4


def test_code_keeps_the_name_of_its_file() -> None:
    source = 'class Local:\n    def method(self):\n        return [lambda: 1]\n'
    namespace: dict[str, object] = {'__name__': '__main__'}
    exec(compile(source, '/scripts/app.py', 'exec'), namespace)
    method = pickle.loads(pickling.dumps(namespace['Local'])).method
    assert (method.__code__.co_filename, method.__code__.co_firstlineno) == ('/scripts/app.py', 2)
    assert method(None)[0].__code__.co_filename == '/scripts/app.py'


def test_the_framework_itself_goes_by_reference() -> None:
    for module in (sys.modules['jina.orchestrate.pickling'], sys.modules['jina.core.errors']):
        assert pickling.importable_by_name(module)
