"""Unit tests of the example; ``TestClient`` needs no ports and no processes."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from documents import Prompt, Token
from jina import TestClient
from jina.core.errors import RemoteError

DEPLOYMENT = str(Path(__file__).with_name('deployment.yml'))


@pytest.fixture(scope='module')
def client() -> Iterator[TestClient]:
    with TestClient(DEPLOYMENT, uses_with={'seconds_per_token': 0}) as client:
        yield client


def generate(client: TestClient, **sampling: float) -> list[str]:
    stream = client.stream_doc('/generate', Prompt(text='Return the'), return_type=Token, parameters=sampling)
    return [token.text for token in stream]


def test_the_seed_decides(client: TestClient) -> None:
    assert generate(client, seed=1) == generate(client, seed=1)
    assert generate(client, seed=1) != generate(client, seed=2)


def test_as_many_tokens_as_wanted(client: TestClient) -> None:
    assert len(generate(client, max_tokens=7)) == 7


def test_parameters_are_checked(client: TestClient) -> None:
    with pytest.raises(RemoteError, match='temperature'):
        generate(client, temperature=-1)


def test_a_reader_that_leaves_stops_the_model(client: TestClient) -> None:
    stream = client.stream_doc('/generate', Prompt(text='A'), return_type=Token, parameters={'max_tokens': 10_000})
    with closing(stream) as tokens:
        next(tokens)
    while not client.executor.streams['cut_short']:
        time.sleep(0.01)
