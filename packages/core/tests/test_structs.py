from __future__ import annotations

import enum
import math
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.core.errors import InputError
from jina.core.structs import MAX_DEPTH, dict_to_struct, struct_to_dict
from jina.core.wire import DataRequestListProto
from pydantic import BaseModel

KEYS = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
STRUCTS = st.dictionaries(KEYS, VALUES, max_size=4)


def with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def same(first: Any, second: Any) -> bool:
    return repr_sorted(first) == repr_sorted(second)


def repr_sorted(value: Any) -> str:
    if isinstance(value, dict):
        return repr(sorted((key, repr_sorted(item)) for key, item in value.items()))
    if isinstance(value, list):
        return repr([repr_sorted(item) for item in value])
    return repr(value)


@settings(deadline=None, max_examples=150)
@given(STRUCTS)
def test_round_trip_keeps_values_and_makes_numbers_floats(values: dict[str, Any]) -> None:
    struct = Struct.FromString(dict_to_struct(values).SerializeToString())
    assert same(struct_to_dict(struct), with_floats(values))


@settings(deadline=None, max_examples=100)
@given(STRUCTS)
def test_conversion_agrees_with_protobuf(values: dict[str, Any]) -> None:
    expected = Struct()
    expected.update(values)
    assert dict_to_struct(values) == expected
    if all(math.isfinite(number) for number in numbers(values)):
        assert struct_to_dict(expected) == MessageToDict(expected)


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, float) else []


class Colour(enum.Enum):
    RED = 'red'


class Level(enum.IntEnum):
    HIGH = 3


class Nested(BaseModel):
    name: str = 'n'
    sizes: tuple[int, ...] = (1, 2)


def test_everyday_python_values_have_a_form() -> None:
    struct = dict_to_struct(
        {
            'tuple': (1, 'a'),
            'enum': Colour.RED,
            'int enum': Level.HIGH,
            'model': Nested(),
            'scalar': np.float32(0.5),
            'int scalar': np.int64(4),
            'bool scalar': np.bool_(True),
            'array': np.arange(3),
            'in list': [Colour.RED, np.arange(2), Nested()],
            'empty': {},
            'empty list': [],
        }
    )
    assert struct_to_dict(struct) == {
        'tuple': [1.0, 'a'],
        'enum': 'red',
        'int enum': 3.0,
        'model': {'name': 'n', 'sizes': [1.0, 2.0]},
        'scalar': 0.5,
        'int scalar': 4.0,
        'bool scalar': True,
        'array': [0.0, 1.0, 2.0],
        'in list': ['red', [0.0, 1.0], {'name': 'n', 'sizes': [1.0, 2.0]}],
        'empty': {},
        'empty list': [],
    }
    assert struct_to_dict(struct)['bool scalar'] is True


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (
            {'a': {'b': [1, object]}},
            "parameters['a']['b'][1] has a value of type type: <class 'object'>; "
            'only strings, numbers, bools, None, lists, dicts and pydantic models can be sent',
        ),
        (
            {'raw': b'x'},
            "parameters['raw'] has a value of type bytes: b'x'; "
            'only strings, numbers, bools, None, lists, dicts and pydantic models can be sent',
        ),
        ({'a': {1: 2}}, "parameters['a'] has the key 1 of type int; keys must be strings"),
        ({'big': 10**400}, "parameters['big'] can not be sent: int too large to convert to float"),
    ],
)
def test_values_without_a_form_are_reported_with_their_place(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        dict_to_struct(values)
    assert str(caught.value) == message


@pytest.mark.parametrize('values', [{'bad': '\ud800'}, {'\ud800': 1}])
def test_text_that_is_no_unicode_is_reported(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match='surrogates not allowed'):
        dict_to_struct(values)


def nested(depth: int, wrap: str) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth - 1):
        value = {'a': value} if wrap == 'dict' else [value]
    return {'a': value}


@pytest.mark.parametrize('wrap', ['dict', 'list'])
def test_deepest_values_pass_the_parser_and_deeper_ones_are_reported(wrap: str) -> None:
    requests = DataRequestListProto()
    requests.requests.add().parameters.CopyFrom(dict_to_struct(nested(MAX_DEPTH, wrap)))
    parsed = DataRequestListProto.FromString(requests.SerializeToString())
    assert struct_to_dict(parsed.requests[0].parameters) == nested(MAX_DEPTH, wrap)
    with pytest.raises(InputError, match=r'is nested deeper than 30 levels; send flat values or a JSON string$'):
        dict_to_struct(nested(MAX_DEPTH + 1, wrap))


def test_values_that_contain_themselves_are_reported() -> None:
    endless: dict[str, Any] = {}
    endless['again'] = endless
    with pytest.raises(InputError, match='nested deeper'):
        dict_to_struct(endless)
