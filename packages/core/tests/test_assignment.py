# ruff: noqa: UP007, UP045 - the forms of annotations are what is tested


from __future__ import annotations

from typing import Any, Optional, Union

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.array.doc_vec.column_storage import ColumnStorage, ColumnStorageView
from docarray.documents import ImageDoc, TextDoc
from docarray.typing import AnyEmbedding, AnyTensor, ImageNdArray, ImageTensor, NdArray, NdArrayEmbedding
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from jina.core import codec
from jina.core.assignment import assign
from pydantic import ConfigDict, ValidationError, create_model, field_validator

from .document_samples import CHECKED, outcome, same

ANNOTATIONS = (
    NdArray,
    NdArrayEmbedding,
    ImageNdArray,
    AnyTensor,
    AnyEmbedding,
    ImageTensor,
    NdArray[2],
    NdArray[2, 'x'],
    NdArrayEmbedding[2],
    Optional[NdArray],
    Optional[AnyEmbedding],
    Union[None, NdArray],
    NdArray | None,
    Union[NdArray, str],
)
VALUES = st.one_of(
    npst.arrays(
        st.sampled_from(['<f4', '>f8', '|b1', '<i8']), npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    ),
    st.none(),
    st.sampled_from(['', 'a', '[1, 2]']),
    st.lists(st.integers(0, 9), max_size=3),
    st.floats(allow_nan=False),
)
SHAPES = st.sampled_from(
    (
        lambda value: value,
        lambda value: value.view(NdArray) if isinstance(value, np.ndarray) else value,
        lambda value: value.view(NdArrayEmbedding) if isinstance(value, np.ndarray) else value,
        lambda value: value.T if isinstance(value, np.ndarray) else value,
        lambda value: np.ma.masked_array(value) if isinstance(value, np.ndarray) else value,
    )
)


class Plain(BaseDoc):
    text: str = ''
    embedding: Optional[NdArray] = None


def served(kind: Any, doc: BaseDoc) -> Any:
    """Returns the document as a server reads it; what assigns to the class's fields is made on the way."""
    return codec.decode_docs(codec.encode_docs(DocList[kind]([doc])), DocList[kind])[0]


def assigned(doc: Any, value: Any) -> Any:
    doc.field = value
    return doc


@pytest.mark.parametrize('annotation', ANNOTATIONS, ids=str)
@CHECKED
@given(data=st.data())
def test_same_as_docarray(annotation: Any, data: Any) -> None:
    quick, slow = (create_model('Document', __base__=BaseDoc, field=(annotation, None)) for _ in range(2))
    value = data.draw(SHAPES)(data.draw(VALUES))
    first = np.zeros((2, 1) if 'x' in str(annotation).split('[')[-1] else 2)
    ours = served(quick, quick(id='1', field=first))
    theirs = slow(id='1', field=first)
    assert slow.__setattr__ is not assign
    assert (quick.__setattr__ is assign) is (annotation != Union[NdArray, str])
    ours, theirs = (outcome(lambda doc=doc: assigned(doc, value)) for doc in (ours, theirs))
    if isinstance(theirs, tuple):
        assert ours[0] is theirs[0]
        return
    assert same(ours.field, theirs.field)
    assert list(ours.__dict__) == list(theirs.__dict__)
    assert ours.__pydantic_fields_set__ == theirs.__pydantic_fields_set__
    if isinstance(value, np.ndarray):
        assert np.shares_memory(ours.field, value) is np.shares_memory(theirs.field, value)


def test_assignments_of_arrays_do_without_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    doc = served(Plain, Plain(text='a'))
    assert Plain.__setattr__ is assign
    monkeypatch.setattr('jina.core.assignment._assign_as_docarray', None)
    array = np.ones(3, np.float32)
    doc.embedding = array
    assert type(doc.embedding) is NdArray
    assert np.shares_memory(doc.embedding, array)
    monkeypatch.undo()
    doc.embedding = [1, 2]
    assert doc.embedding.tolist() == [1, 2]
    with pytest.raises(ValidationError, match='embedding'):
        doc.embedding = object()
    assert doc.embedding.tolist() == [1, 2]
    doc.embedding = None
    assert doc.embedding is None


def test_shallow_copies_keep_their_values() -> None:
    doc = served(Plain, Plain(text='a'))
    copy = Plain._shallow_copy(doc)
    copy.embedding = np.ones(2)
    assert doc.embedding is None
    assert copy.embedding.tolist() == [1, 1]


def test_columns_and_fixed_shapes() -> None:
    class Vector(BaseDoc):
        field: NdArray

    class Fixed(BaseDoc):
        field: NdArray[2]

    docs = DocList[Vector]([served(Vector, Vector(field=np.zeros(2))) for _ in range(3)])
    docs.field = np.arange(6.0).reshape(3, 2)
    assert [doc.field.tolist() for doc in docs] == [[0, 1], [2, 3], [4, 5]]
    doc = served(Fixed, Fixed(field=np.zeros(2)))
    doc.field = np.ones(2)
    with pytest.raises(ValidationError, match='reshape'), pytest.warns(UserWarning, match='Reshaping'):
        doc.field = np.zeros(5)
    with pytest.warns(UserWarning, match='Reshaping'):
        doc.field = np.zeros((2, 1))
    assert doc.field.shape == (2,)


def test_rows_of_columns() -> None:
    served(Plain, Plain())
    columns = {'id': ['1'], 'text': ['a'], 'embedding': [None]}
    row = Plain.from_view(ColumnStorageView(0, ColumnStorage({}, {}, {}, columns)))
    row.embedding = np.ones(2)
    assert row.is_view()
    assert columns['embedding'][0].tolist() == [1, 1]


def test_derived_classes_have_rules_of_their_own() -> None:
    served(Plain, Plain())

    class Derived(Plain):
        embedding: NdArray[3] = np.zeros(3)

    doc = Derived()
    with pytest.raises(ValidationError, match='reshape'), pytest.warns(UserWarning, match='Reshaping'):
        doc.embedding = np.zeros(5)
    doc = served(Derived, doc)
    doc.embedding = np.ones(3)
    assert doc.embedding.tolist() == [1, 1, 1]
    with pytest.raises(ValidationError, match='reshape'), pytest.warns(UserWarning, match='Reshaping'):
        doc.embedding = np.zeros(5)


@pytest.mark.parametrize('kind', [TextDoc, ImageDoc])
def test_documents_of_docarray(kind: Any) -> None:
    doc = served(kind, kind())
    doc.embedding = np.ones(2)
    assert type(doc.embedding) is NdArrayEmbedding
    assert doc.embedding.tolist() == [1, 1]


def test_classes_with_rules_of_their_own() -> None:
    class Checked(BaseDoc):
        field: NdArray

        @field_validator('field')
        @classmethod
        def positive(cls, value: Any) -> Any:
            return abs(value)

    class Frozen(BaseDoc):
        model_config = ConfigDict(frozen=True)
        field: NdArray

    class Unchecked(BaseDoc):
        model_config = ConfigDict(validate_assignment=False)
        field: NdArray

    doc = served(Checked, Checked(field=np.zeros(1)))
    doc.field = -np.ones(2)
    assert doc.field.tolist() == [1, 1]
    with pytest.raises(ValidationError, match='frozen'):
        served(Frozen, Frozen(field=np.zeros(1))).field = np.zeros(2)
    doc = served(Unchecked, Unchecked(field=np.zeros(1)))
    doc.field = 'anything'
    assert doc.field == 'anything'


def test_a_class_travels_by_value() -> None:
    cloudpickle = pytest.importorskip('cloudpickle')

    class Local(BaseDoc):
        field: Optional[NdArray] = None

    served(Local, Local())
    again = cloudpickle.loads(cloudpickle.dumps(Local))
    doc = served(again, again())
    doc.field = np.ones(2)
    assert type(doc.field) is NdArray
