from __future__ import annotations

import time

import pytest
from jina.core.errors import InputError
from jina.runtime.target import target_pattern

NAME = 'executor0' * 7


@pytest.mark.parametrize(
    ('text', 'matches'),
    [
        ('executor0', True),
        ('exec', True),
        ('bar*', False),
        ('e.*?0', True),
        ('[ex|*+?]+', True),
        (r'a\|\*\+|executor\d{1,2}', True),
        ('a|b|c|d|e|f|g|h|executor0', True),
        ('(?:foo|executor)0?', True),
        ('(?i)EXECUTOR', True),
        ('a{', False),
    ],
)
def test_patterns(text: str, matches: bool) -> None:
    assert bool(target_pattern(text).match(NAME)) is matches


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('(', 'is no regular expression: missing )'),
        ('[a', 'is no regular expression'),
        ('a{1,99999999999999999999}', 'is no regular expression'),
        ('(x+x+)+y', 'repeats a group'),
        ('(.?){40}z', 'repeats a group'),
        ('(.|.)*z', 'repeats a group'),
        ('.?' * 40 + 'z', 'has 40 quantifiers, more than 4'),
        ('(|)' * 40 + 'z', 'has 40 choices in groups, more than 6'),
        ('a' * 1001, 'has 1001 characters, more than 1000'),
    ],
)
def test_what_could_take_forever_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        target_pattern(text)
    assert problem in str(caught.value)
    assert str(caught.value).endswith('; give the name of an Executor, or a pattern that matches the start of names')


def test_the_slowest_pattern_that_is_taken() -> None:
    pattern = target_pattern('(.*|.?)(|.*)(|)(|)(|)(|)z')
    began = time.perf_counter()
    assert pattern.match(NAME) is None
    assert time.perf_counter() - began < 5
