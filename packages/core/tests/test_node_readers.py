from __future__ import annotations

from typing import Any

import pytest
from docarray import BaseDoc, DocList
from hypothesis import HealthCheck, given, settings
from pydantic import create_model

from .document_samples import (
    FIELDS,
    check_both_ways,
)


@pytest.mark.parametrize('annotation', [field[0] for field in FIELDS], ids=str)
def test_every_type_is_converted_without_docarray(annotation: Any) -> None:
    model = create_model('Made', __base__=BaseDoc, value=(annotation, ...))
    strategy = next(field[1] for field in FIELDS if field[0] is annotation)

    @settings(deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def check(value: Any) -> None:
        check_both_ways(DocList[model]([model(value=value)]))  # type: ignore[valid-type]

    check()
