"""Changelog fragments keep to the rules of .changelog/README.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.distributions import ROOT, distributions

KINDS = ('breaking', 'added', 'changed', 'fixed', 'removed', 'security')
FRAGMENTS = sorted(file for file in (ROOT / '.changelog').iterdir() if file.name != 'README.md')


@pytest.mark.parametrize('file', FRAGMENTS, ids=lambda file: file.name)
def test_fragment(file: Path) -> None:
    assert re.fullmatch(rf'\d+\.({"|".join(KINDS)})\.md', file.name)
    names = '|'.join(distribution.name for distribution in distributions())
    lines = file.read_text().splitlines()
    assert lines
    for line in lines:
        assert re.match(rf'`({names})`: [a-z]+ed ', line), f'{line!r} does not open with a distribution and a verb'
        assert line.endswith('.')
