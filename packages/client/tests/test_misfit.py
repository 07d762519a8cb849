from __future__ import annotations

from typing import Any, Optional

import pytest
from docarray import BaseDoc, DocList
from jina.client.misfit import describe_misfit
from jina.client.results import misfit
from jina.core.errors import SchemaError


class Part(BaseDoc):
    size: int


class Whole(BaseDoc):
    number: int
    label: Optional[str] = None  # noqa: UP045 - as many documents are written
    part: Optional[Part] = None  # noqa: UP045
    parts: DocList[Part] = DocList[Part]()


@pytest.mark.parametrize(
    ('values', 'text'),
    [
        ({'text': 'a'}, "the document has no field 'number' of type int (it has text)"),
        ({}, "the document has no field 'number' of type int"),
        ({'number': 'x'}, "field 'number' of type int got 'x' of type str: Input should be a valid integer"),
        (
            {'number': 1, 'label': 2},
            "field 'label' of type Optional[str] got 2 of type int: Input should be a valid string",
        ),
        ({'number': 1, 'part': {'a': 1}}, "the document has no field 'part.size' (it has a)"),
        ({'number': 'y' * 100}, "got '" + 'y' * 59 + '... of type str'),
    ],
)
def test_fields_and_types_are_named(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Whole(**values)
    assert text in describe_misfit(caught.value, Whole, values)


def test_other_errors_say_what_they_say() -> None:
    error = misfit('/a', Whole, KeyError('x'), [])
    assert str(error) == (
        "what came back from '/a' does not fit return_type=Whole: 'x'; pass the type that the endpoint returns as return_type"
    )
    assert 'DocList[Whole]: no cause' in str(misfit('', Whole, SchemaError('no cause'), [], many=True))
