"""Documents with lists of documents and with tensors of any kind, on every Python version and in every order of imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

NESTED = """
from typing import Optional, get_type_hints
import numpy as np
from docarray.typing import AnyEmbedding, AnyTensor

class Leaf(BaseDoc):
    x: int = 0

class Tree(BaseDoc):
    leaves: DocList[Leaf]
    more: Optional[DocList[Leaf]] = None

def method(docs: 'DocList[Tree]') -> 'DocList[Leaf]': ...

class Embedded(BaseDoc):
    tensor: Optional[AnyTensor[3]] = None
    embedding: Optional[AnyEmbedding[3]] = None

embedded = DocList[Embedded]([Embedded(tensor=np.arange(3)), Embedded(tensor=[4, 5, 6])])
embedded.embedding = np.ones((2, 3))
assert [doc.embedding.tolist() for doc in embedded] == [[1, 1, 1]] * 2
assert embedded[1].tensor.tolist() == [4, 5, 6]
assert issubclass(AnyTensor[3], AnyTensor) and not issubclass(AnyTensor[3], AnyTensor[4])
try:
    Embedded(tensor=np.zeros((2, 2)))
except ValueError:
    print('wrong shape')

hints = get_type_hints(method)
assert hints['docs'] == DocList[Tree], hints
trees = DocList[Tree]([Tree(leaves=[Leaf(x=3)])])
assert DocList[Tree].from_protobuf(trees.to_protobuf())[0].leaves[0].x == 3
assert DocList[Leaf] is DocList[Leaf]
try:
    DocList[Leaf].__origin__[Tree]
except TypeError:
    print('refused')
"""


@pytest.mark.parametrize(
    'imports',
    [
        'import jina\nfrom docarray import BaseDoc, DocList',
        'from docarray import BaseDoc, DocList\nimport jina',
        'import jina\nimport docarray.documents\nfrom docarray import BaseDoc, DocList',
    ],
)
def test_documents_with_lists_can_be_defined(imports: str) -> None:
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', imports + NESTED], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ('wrong shape\nrefused\n', 0), done.stderr


def test_importing_jina_does_not_import_docarray() -> None:
    code = 'import jina, sys; print([name for name in sys.modules if name.startswith("docarray")])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.stdout == '[]\n', done.stderr
