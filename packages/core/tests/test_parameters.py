from __future__ import annotations

import pytest
from jina.core.annotations import ParametersType
from jina.core.parameters import bind_parameters, parameters_for
from pydantic import BaseModel, ValidationError


class Limits(BaseModel):
    top_k: int


def test_parameters_go_to_the_executor_that_they_name() -> None:
    parameters = {'exec1__a': 1.0, 'exec2__a': 2.0, 'b': 3.0, '__results__': {'exec0/rep-0': {}}}
    assert parameters_for('exec1', parameters) == {'a': 1.0, 'b': 3.0}
    assert parameters_for('exec2/rep-1', parameters) == {'a': 2.0, 'b': 3.0}
    assert parameters_for('exec3', parameters) == {'b': 3.0}


def test_an_own_parameter_wins_over_a_shared_one() -> None:
    assert parameters_for('x', {'x__a': 1, 'a': 2}) == {'a': 1}
    assert parameters_for('x', {'a': 2, 'x__a': 1}) == {'a': 1}


@pytest.mark.parametrize('key', ['__a', 'x__', '__', '_a', 'a_b'])
def test_keys_that_only_look_like_it_are_shared(key: str) -> None:
    assert parameters_for('x', {key: 1}) == {key: 1}


def test_binding() -> None:
    assert bind_parameters(ParametersType(), {'a': 1}) == {'a': 1}
    assert bind_parameters(ParametersType(Limits, allows_dict=False), {'top_k': 2.0}) == Limits(top_k=2)
    assert bind_parameters(ParametersType(Limits, allows_dict=True), {'x': 1}) == {'x': 1}
    assert bind_parameters(ParametersType(Limits, allows_dict=False, allows_none=True), {}) is None
    with pytest.raises(ValidationError):
        bind_parameters(ParametersType(Limits, allows_dict=False), {'top_k': 2.5})
