"""The pattern by which a request names the Executors that it is for."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from jina.core.errors import InputError

_HINT: Final = 'give the name of an Executor, or a pattern that matches the start of names'
_LONGEST: Final = 1000
_QUANTIFIERS: Final = 4
_CHOICES: Final = 6


@lru_cache(maxsize=256)
def target_pattern(text: str) -> re.Pattern[str]:
    """Returns the pattern; patterns that could take long to match are refused, since everybody waits meanwhile.

    Args:
        text: A regular expression.

    Raises:
        InputError: It is none, or one with many quantifiers or choices, or with a repeated group.
    """
    problem = _excess(text)
    if problem:
        raise InputError(f'target_executor {text[:100]!r} {problem}', hint=_HINT)
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f'target_executor {text!r} is no regular expression: {error}', hint=_HINT) from error


def _excess(text: str) -> str:
    """Returns what makes a pattern slow: the time to match grows with the power of the number of these."""
    if len(text) > _LONGEST:
        return f'has {len(text)} characters, more than {_LONGEST}'
    quantifiers = choices = depth = 0
    before = ''
    for token in re.findall(r'\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?|[*+?]|\{[\d,]*\}|.', text, re.DOTALL):
        if token[0] in '*+?{' and token != '{':
            if before and before[0] in '*+?{':
                continue  # lazy or possessive
            if before == ')' and token != '?':
                return 'repeats a group'
            quantifiers += 1
        depth += (token[0] == '(') - (token == ')')
        choices += token == '|' and depth > 0
        before = token
    if quantifiers > _QUANTIFIERS:
        return f'has {quantifiers} quantifiers, more than {_QUANTIFIERS}'
    return f'has {choices} choices in groups, more than {_CHOICES}' if choices > _CHOICES else ''
