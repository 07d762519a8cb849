from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from jina.client import Client
from jina.client.loop import run_async
from jina.client.retry import RetryPolicy, wait_or_raise_err
from jina.core.errors import ConfigError, TransportError


def test_pauses_grow_up_to_the_limit() -> None:
    policy = RetryPolicy(max_attempts=5, initial_backoff_s=0.5, max_backoff_s=2, multiplier=2)
    assert [policy.limit_s(attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [((0,), 'max_attempts is 0'), ((1, 0), 'initial_backoff is 0'), ((1, 1, -1), 'max_backoff is -1')],
)
def test_wrong_values_are_refused(arguments: tuple[float, ...], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        RetryPolicy(*arguments)  # type: ignore[arg-type]


def test_documented_helper_raises_after_the_last_attempt() -> None:
    error = ConnectionError('gone')
    limits = {'max_attempts': 2, 'backoff_multiplier': 1.5, 'initial_backoff': 0.01, 'max_backoff': 0.02}
    run_async(wait_or_raise_err, attempt=1, err=error, **limits)
    with pytest.raises(ConnectionError, match='gone'):
        run_async(wait_or_raise_err, attempt=2, err=error, **limits)


async def test_pauses_are_random_below_limits_that_grow(server: Any, options: dict[str, Any]) -> None:
    """Many calls fail four times each. The pauses between their arrivals are even between 0 and 0.005, 0.5, 1 seconds."""
    server.outages = 1_000_000
    client = Client(**options, asyncio=True, reuse_session=True)

    async def fail(number: int) -> None:
        travel = {'metadata': {'x-call': str(number)}, 'max_attempts': 4}
        with pytest.raises(TransportError):
            async for _ in client.post(
                '/echo', initial_backoff=0.005, backoff_multiplier=100, max_backoff=1, stream=False, **travel
            ):
                pass

    await asyncio.gather(*(fail(number) for number in range(40)))
    await client.close()
    came: dict[str, list[float]] = {}
    for metadata, arrival in zip(server.metadata, server.arrivals, strict=True):
        came.setdefault(metadata['x-call'], []).append(arrival)
    assert [len(times) for times in came.values()] == [4] * 40
    steps = [sorted(times[step + 1] - times[step] for times in came.values()) for step in range(3)]
    travel_s = steps[0][20] + 0.1  # how long a request travels, on a busy machine more than the pause takes
    for pauses, limit in ((steps[1], 0.5), (steps[2], 1.0)):
        assert pauses[0] < 0.25 * limit + 2 * travel_s
        assert 0.25 * limit < pauses[20] < 0.75 * limit + 2 * travel_s
        assert 0.7 * limit < pauses[-1] < limit + 4 * travel_s + 1


def test_the_service_config_of_the_user_counts_for_a_single_attempt(wire_server: Any) -> None:
    policy = {
        'maxAttempts': 4,
        'initialBackoff': '0.01s',
        'maxBackoff': '0.02s',
        'backoffMultiplier': 1,
        'retryableStatusCodes': ['UNAVAILABLE'],
    }
    config = json.dumps({'methodConfig': [{'name': [{}], 'retryPolicy': policy}]})
    client = Client(host='localhost', port=wire_server.port, grpc_channel_options={'grpc.service_config': config})
    wire_server.outages = 3
    assert len(client.post('/echo')) == 0
    assert wire_server.methods == ['unary'] * 4
    wire_server.outages = 3
    with pytest.raises(ConnectionError, match='after 2 attempts'):
        client.post('/echo', max_attempts=2, initial_backoff=0.01)
    assert wire_server.methods == ['unary'] * 6
