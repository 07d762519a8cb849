"""The model of the streaming example: what it says follows from its texts and the seed."""

from __future__ import annotations

import importlib.util
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / 'docs/examples/markov_stream/markov.py'
TEXT = (
    'The cat sat on the mat and the cat slept.\n\n'
    'The dog sat on the cat and the cat ran away.\n\n'
    '>>> this is no sentence\n\n'
    'The cat sat on the dog, and nobody ran away from it.'
)


@pytest.fixture(scope='module')
def chain() -> Any:
    spec = importlib.util.spec_from_file_location('markov', SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MarkovChain([TEXT])


def said(chain: Any, prompt: str, count: int = 8, **how: Any) -> str:
    return ''.join(islice(chain.walk(prompt, **{'order': 2, 'temperature': 1, 'seed': 0, **how}), count))


def test_code_is_no_text(chain: Any) -> None:
    assert 'sentence' not in ''.join(chain.tokens)
    assert ''.join(chain.tokens).count('\n\n') == 2


def test_followers_are_counted(chain: Any) -> None:
    assert chain.followers(['The', ' cat']) == {' sat': 2}
    assert chain.followers([' the', ' cat']) == {' slept': 1, ' and': 1, ' ran': 1}


def test_an_unknown_context_is_shortened(chain: Any) -> None:
    assert chain.followers([' unknown', ' sat']) == {' on': 3}
    assert chain.followers([' unknown'])[' cat'] == chain.followers([])[' cat'] > 0


def test_greedy_takes_the_most_frequent(chain: Any) -> None:
    assert said(chain, 'The dog', temperature=0, count=4) == said(chain, 'The dog', temperature=0, count=4, seed=9)
    assert said(chain, 'The', temperature=0, count=3) == ' cat sat on'


def test_the_seed_decides(chain: Any) -> None:
    assert said(chain, 'The') == said(chain, 'The')
    assert len({said(chain, 'The', seed=seed) for seed in range(10)}) > 1


def test_a_longer_context_follows_the_text(chain: Any) -> None:
    assert said(chain, 'on the dog,', order=4, count=4) == ' and nobody ran away'
