"""Documents with fields that docarray fails on, on every Python version and in every order of imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

NESTED = """
from typing import Optional, get_type_hints

class Leaf(BaseDoc):
    x: int = 0

class Tree(BaseDoc):
    leaves: DocList[Leaf]
    more: Optional[DocList[Leaf]] = None

def method(docs: 'DocList[Tree]') -> 'DocList[Leaf]': ...

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
    assert (done.stdout, done.returncode) == ('refused\n', 0), done.stderr


def test_importing_jina_does_not_import_docarray() -> None:
    code = 'import jina, sys; print([name for name in sys.modules if name.startswith("docarray")])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.stdout == '[]\n', done.stderr


SHAPED = """
import warnings
import numpy as np
from typing import Optional
from docarray.typing import AnyEmbedding, AnyTensor, ImageTensor, NdArray

class Shaped(BaseDoc):
    vector: Optional[AnyTensor[5]] = None
    rows: Optional[AnyTensor['n', 2]] = None
    image: Optional[ImageTensor[2, 2, 3]] = None
    embedding: Optional[AnyEmbedding[4]] = None

doc = Shaped(vector=[1, 2, 3, 4, 5], rows=np.ones((3, 2)), image=np.zeros((2, 2, 3)), embedding=np.zeros(4))
assert isinstance(doc.vector, NdArray) and doc.vector.tolist() == [1, 2, 3, 4, 5]
again = Shaped.from_protobuf(doc.to_protobuf())
assert again.vector.tolist() == [1, 2, 3, 4, 5] and again.image.shape == (2, 2, 3)
docs = DocList[Shaped]([Shaped(), Shaped()])
docs.vector = np.arange(10.0).reshape(2, 5)
assert docs[1].vector.tolist() == [5, 6, 7, 8, 9]
assert AnyTensor[5] == AnyTensor[5] != AnyTensor[4] and issubclass(AnyTensor[5], AnyTensor)
for wrong in ({'vector': np.ones(4)}, {'rows': np.ones((3, 3))}):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            Shaped(**wrong)
    except ValueError as error:
        print(type(error).__name__)
"""


@pytest.mark.parametrize(
    'imports',
    ['import jina\nfrom docarray import BaseDoc, DocList', 'from docarray import BaseDoc, DocList\nimport jina'],
)
def test_tensors_of_any_framework_can_have_a_shape(imports: str) -> None:
    done = subprocess.run([sys.executable, '-c', imports + SHAPED], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ('ValidationError\nValidationError\n', 0), done.stderr
