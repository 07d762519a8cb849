# ruff: noqa: UP007, UP045 - the older spellings are what is tested
from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Optional, TypeVar, Union

import pytest
from docarray import BaseDoc, DocList, DocVec
from docarray.documents import TextDoc
from jina.core.annotations import (
    Documents,
    ParametersType,
    annotations_of,
    branch_documents,
    documents,
    names_in_callers,
    parameters_type,
    resolve,
)
from jina.core.errors import SchemaError
from pydantic import BaseModel


class Limits(BaseModel):
    top_k: int = 1


Bound = TypeVar('Bound', bound=TextDoc)
Unresolved = TypeVar('Unresolved', bound='BaseDoc')


@pytest.mark.parametrize(
    ('annotation', 'element', 'is_list'),
    [
        (None, None, False),
        (Any, None, False),
        (dict, None, False),
        (TextDoc, TextDoc, False),
        (DocList[TextDoc], TextDoc, True),
        (DocList, None, True),
        (DocList[Bound], TextDoc, True),
        (Unresolved, BaseDoc, False),
        (Optional[TextDoc], TextDoc, False),
        (Union[dict, DocList[TextDoc], None], TextDoc, True),
        (Union[dict, None], None, False),
        (Annotated[TextDoc, 'note'], TextDoc, False),
        (AsyncIterator[TextDoc], TextDoc, False),
        (list[TextDoc], TextDoc, True),
    ],
)
def test_document_annotations(annotation: Any, element: Any, is_list: bool) -> None:
    assert documents(annotation, 'here') == Documents(element, is_list)


@pytest.mark.parametrize(
    ('annotations', 'element'),
    [
        ([], None),
        ([None, Any], None),
        ([list[DocList[TextDoc]]], TextDoc),
        ([None, Optional[dict[str, DocList[TextDoc]]]], TextDoc),
        ([Optional[list[DocList]], dict[str, DocList[Bound]]], TextDoc),
        ([dict[str, Any], list], None),
    ],
)
def test_annotations_of_branches(annotations: list[Any], element: Any) -> None:
    assert branch_documents(annotations, 'here') == Documents(element, is_list=True)


@pytest.mark.parametrize('annotation', [int, 'text', list, DocVec[TextDoc], tuple[TextDoc], Limits])
def test_what_is_no_document(annotation: Any) -> None:
    with pytest.raises(SchemaError, match=r'^here is .*, which is no document type; use a subclass'):
        documents(annotation, 'here')


@pytest.mark.parametrize(
    ('annotation', 'expected'),
    [
        (None, ParametersType()),
        (dict, ParametersType()),
        (dict[str, int], ParametersType()),
        (Limits, ParametersType(Limits, allows_dict=False)),
        (Optional[Limits], ParametersType(Limits, allows_dict=False, allows_none=True)),
        (Union[dict, Limits], ParametersType(Limits)),
        (Union[dict, BaseModel], ParametersType()),
        (Annotated[Limits, 'note'], ParametersType(Limits, allows_dict=False)),
        (TypeVar('T', bound=BaseModel), ParametersType()),
    ],
)
def test_parameters_annotations(annotation: Any, expected: ParametersType) -> None:
    assert parameters_type(annotation, 'here') == expected


@pytest.mark.parametrize('annotation', [int, Union[Limits, int], list[str]])
def test_what_are_no_parameters(annotation: Any) -> None:
    with pytest.raises(SchemaError, match='neither a dict nor one pydantic model'):
        parameters_type(annotation, 'here')


def resolved(function: Callable[..., Any], name: str, **scope: Any) -> Any:
    return resolve(annotations_of(function)[name], function, scope, 'here')


def test_strings_are_evaluated_at_any_depth() -> None:
    def function(docs, parameters): ...

    function.__annotations__ = {
        'docs': DocList['TextDoc'],
        'parameters': Optional['Limits'],
        'return': 'Optional[DocList["Local"]]',
    }
    assert documents(resolved(function, 'docs'), 'here') == Documents(TextDoc, is_list=True)
    assert parameters_type(resolved(function, 'parameters'), 'here').model is Limits
    assert documents(resolved(function, 'return', Local=TextDoc), 'here') == Documents(TextDoc, is_list=True)


def test_only_enclosing_scopes_are_searched_for_names() -> None:
    InCaller = TextDoc

    class Body:
        InBody = TextDoc

        def method(self, a: InBody, b: InCaller, c: Absent) -> None: ...  # noqa: F821

        found = names_in_callers(method, 1)

    assert Body.found == {'InBody': TextDoc, 'InCaller': TextDoc}

    def elsewhere() -> dict[str, Any]:
        return names_in_callers(Body.method, 1)

    assert elsewhere() == {}
