from __future__ import annotations

from typing import Any

import pytest
from jina.core.conditions import MISSING, Condition
from jina.core.config import DeploymentOptions, GatewayOptions, build
from jina.core.errors import ConfigError


class Plain:
    """A document of dicts, lists and plain values."""

    def __init__(self, **values: Any) -> None:
        self._values = values

    def value(self, path: tuple[str, ...]) -> Any:
        value: Any = self._values
        for name in path:
            try:
                value = value[int(name) if isinstance(value, list) else name]
            except (KeyError, IndexError, ValueError, TypeError):
                return MISSING
        return value

    def holds(self, path: tuple[str, ...]) -> bool:
        return self.value(path) not in (MISSING, None, '')


DOC = Plain(text='red car', price=5, size=2.5, sold=False, url=None, tags={'key': 5, 'of': {'deep': 'x'}}, items=[1, 2])

TRUE: list[dict[str, Any]] = [
    {},
    {'price': {'$eq': 5}},
    {'price': 5},
    {'price': {'$ne': 6}},
    {'price': {'$neq': 6}},
    {'price': {'$lt': 6}},
    {'price': {'$lte': 5}},
    {'price': {'$gt': 4.5}},
    {'price': {'$gte': 5}},
    {'price': {'$gt': 1, '$lt': 9}},
    {'price': {'$in': [1, 5]}},
    {'price': {'$nin': [1, 2]}},
    {'text': {'$regex': r'^red\b'}},
    {'text': {'$size': 7}},
    {'items': {'$size': 2}},
    {'items__1': {'$eq': 2}},
    {'tags': {'$size': 2}},
    {'tags__key': {'$eq': 5}},
    {'tags__of__deep': {'$eq': 'x'}},
    {'text': {'$exists': True}},
    {'url': {'$exists': False}},
    {'tags__none': {'$exists': False}},
    {'url': {'$eq': None}},
    {'nothing': {'$eq': None}},
    {'nothing': {'$ne': 1}},
    {'nothing': {'$nin': [1]}},
    {'sold': {'$eq': False}},
    {'$and': [{'price': {'$eq': 5}}, {'text': {'$regex': 'car'}}]},
    {'$and': {'price': {'$eq': 5}, 'text': {'$regex': 'car'}}},
    {'$or': [{'price': {'$eq': 6}}, {'text': {'$regex': 'car'}}]},
    {'$or': {'price': {'$eq': 6}, 'text': {'$regex': 'car'}}},
    {'$not': {'price': {'$eq': 6}}},
    {'price': {'$not': {'$gt': 5}}},
    {'nothing': {'$not': {'$gt': 5}}},
    {'$and': [{'$or': [{'price': 1}, {'price': 5}]}, {'$not': {'sold': True}}]},
    {'price': {'$eq': '{tags__key}'}},
    {'size': {'$lt': '{ price }'}},
]
FALSE: list[dict[str, Any]] = [
    {'price': {'$eq': 6}},
    {'price': {'$lt': 5}},
    {'price': {'$gt': 'a'}},
    {'text': {'$lt': 5}},
    {'url': {'$gt': 1}},
    {'nothing': {'$lte': 1}},
    {'price': {'$in': []}},
    {'price': {'$regex': '5'}},
    {'price': {'$size': 1}},
    {'url': {'$regex': '.'}},
    {'text': {'$exists': False}},
    {'url': {'$exists': True}},
    {'items__7': {'$eq': 1}},
    {'price__x': {'$eq': 1}},
    {'price': {'$gt': 1, '$lt': 5}},
    {'price': {'$eq': 5}, 'text': {'$eq': 'no'}},
    {'$or': [{'price': {'$eq': 5}, 'text': 'no'}, {'sold': True}]},
]


@pytest.mark.parametrize('query', TRUE, ids=str)
def test_matches(query: dict[str, Any]) -> None:
    assert Condition(query).matches(DOC)
    assert not Condition({'$not': query}).matches(DOC)


@pytest.mark.parametrize('query', FALSE, ids=str)
def test_does_not_match(query: dict[str, Any]) -> None:
    assert not Condition(query).matches(DOC)
    assert Condition({'$not': query}).matches(DOC)


@pytest.mark.parametrize(
    ('query', 'message'),
    [
        ({'a': {'$eqq': 1}}, 'a: $eqq is no operator; did you mean $eq?'),
        ({'a': {'$geoWithin': 1}}, 'a: $geoWithin is no operator; there are $eq, $ne, $lt,'),
        ({'a': {'b': 1}}, "a has 'b' instead of an operator; a__b is the field in a"),
        ({'a': {}}, 'a has no operator; write {field: {operator: value}}'),
        ({'$eq': 1}, '$eq stands where the name of a field is expected'),
        ({'$xor': []}, '$xor is no operator; did you mean $or?'),
        ({'$and': []}, '$and has no conditions'),
        ({'$or': 'a'}, "$or is 'a'; give it a list of conditions"),
        ({'$or': [1]}, '1 is no condition'),
        ({'a': {'$exists': 1}}, 'a: $exists is 1; give true or false'),
        ({'a': {'$size': 'x'}}, "a: $size is 'x'; give a whole number"),
        ({'a': {'$size': True}}, 'a: $size is True'),
        ({'a': {'$in': 'abc'}}, "a: $in is 'abc'; give a list of values"),
        ({'a': {'$regex': '('}}, "a: $regex is '(': missing ), unterminated subpattern at position 0"),
        ({'a': {'$regex': 1}}, 'a: $regex is 1: '),
        ({'a____b': 1}, "'a____b' is no name of a field"),
    ],
)
def test_what_makes_no_sense(query: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Condition(query)
    assert message in str(caught.value)


def test_fields_and_equality() -> None:
    query = {'$or': [{'a__b': 1}, {'c': {'$not': {'$eq': '{d__e}'}}}, {'a': 2}]}
    assert Condition(query).fields == ('a', 'c', 'd')
    assert Condition(query) == Condition(dict(query))
    assert Condition(query) != Condition({'a': 1})
    assert repr(Condition({'a': 1})) == "Condition({'a': 1})"


def test_options_are_checked_where_they_are_given() -> None:
    assert build(DeploymentOptions, {'when': '{"a": {"$gt": 1}}'}).when == {'a': {'$gt': 1}}
    with pytest.raises(ConfigError, match=r'^flow.yml: executors\[1\].when: a: \$gr is no operator; did you mean \$gt'):
        build(DeploymentOptions, {'when': {'a': {'$gr': 1}}}, where='flow.yml: executors[1]')
    with pytest.raises(ConfigError, match=r'graph_conditions: a: \$gr is no operator'):
        build(GatewayOptions, {'graph_conditions': {'x': {'a': {'$gr': 1}}}}, where='Gateway')
