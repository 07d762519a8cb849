from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jina.core.config import (
    PUBLIC_OPTIONS,
    ClientOptions,
    DeploymentOptions,
    GatewayOptions,
    api_keys_of,
    build,
    split_flow_values,
)
from jina.core.errors import ConfigError


@pytest.mark.parametrize(
    ('given', 'keys'),
    [('a', ['a']), ('a,b', ['a', 'b']), (['a', 'b'], ['a', 'b']), ('["a", "b"]', ['a', 'b']), ([], [])],
)
def test_keys_are_read(given: Any, keys: list[str]) -> None:
    assert build(GatewayOptions, {'api_key': given}).api_key == keys


@pytest.mark.parametrize(
    'given', ['', 'a,', ['secret-one', ''], 'secret two', ['schlüssel'], {'secret': 1}, [['secret']]]
)
def test_wrong_keys_are_refused_and_never_shown(given: Any) -> None:
    with pytest.raises(ConfigError, match=r'Flow.api_key') as caught:
        build(GatewayOptions, {'api_key': given}, where='Flow')
    assert 'secret' not in str(caught.value) and 'schl' not in str(caught.value)


def test_options_do_not_show_their_keys() -> None:
    for options in (
        GatewayOptions(api_key=['hush']),
        DeploymentOptions(api_key=['hush']),
        ClientOptions(api_key='hush'),
    ):
        assert 'hush' not in repr(options) and 'hush' not in str(options)


def test_where_keys_come_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv('JINA_API_KEY', raising=False)
    assert api_keys_of(GatewayOptions()) == []
    monkeypatch.setenv('JINA_API_KEY', 'one, two')
    assert api_keys_of(GatewayOptions()) == ['one', 'two']
    assert api_keys_of(GatewayOptions(), {}) == []
    assert api_keys_of(GatewayOptions(api_key=[])) == []
    assert api_keys_of(GatewayOptions(api_key=['three'])) == ['three']
    file = tmp_path / 'keys'
    file.write_text('four\n\n  five  \n')
    assert api_keys_of(GatewayOptions(api_key_file=str(file))) == ['one', 'two', 'four', 'five']
    assert api_keys_of(GatewayOptions(api_key=[], api_key_file=str(file))) == ['four', 'five']
    file.write_text('hush hush\n')
    with pytest.raises(ConfigError, match=r"api_key_file '.*keys': a key is empty, or has a space") as caught:
        api_keys_of(GatewayOptions(api_key_file=str(file)))
    assert 'hush' not in str(caught.value)
    file.write_text('\n')
    with pytest.raises(ConfigError, match='holds no key'):  # rather than a server that asks for none
        api_keys_of(GatewayOptions(api_key_file=str(file)))
    with pytest.raises(ConfigError, match=r"api_key_file 'none' can not be read: No such file"):
        api_keys_of(GatewayOptions(api_key_file='none'))
    monkeypatch.setenv('JINA_API_KEY', 'hush,')
    with pytest.raises(ConfigError, match='environment variable JINA_API_KEY: a key is empty') as caught:
        api_keys_of(GatewayOptions())
    assert 'hush' not in str(caught.value)


def test_protection_of_a_flow_is_that_of_its_gateway() -> None:
    given = {name: 'x' for name in (*PUBLIC_OPTIONS, 'max_concurrency', 'max_queue')}
    values = split_flow_values(given)
    assert values.gateway == given and values.executors == {}


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match='max_queue says how many requests wait for max_concurrency; give max_conc'):
        build(GatewayOptions, {'max_queue': 5})
    for name in ('timeout_headers', 'timeout_body'):
        with pytest.raises(ConfigError, match=r'milliseconds, 1 or more; -1 sets no limit'):
            build(GatewayOptions, {name: 0})
    assert GatewayOptions(max_concurrency=1).queue_limit == 100
    assert GatewayOptions(max_concurrency=1, max_queue=0).queue_limit == 0
