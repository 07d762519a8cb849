import pytest
from jina.core.config import RaftOptions, build, check_raft
from jina.core.errors import ConfigError


def refusal(**settings: object) -> str:
    with pytest.raises(ConfigError) as caught:
        check_raft(settings)
    return str(caught.value)


def test_names_of_both_kinds():
    given = {'HeartbeatTimeout': 200, 'ElectionTimeout': '300', 'leader_lease_timeout': 100, 'TrailingLogs': 7}
    assert check_raft(given) == {
        'heartbeat_timeout': 200,
        'election_timeout': 300,
        'leader_lease_timeout': 100,
        'trailing_logs': 7,
    }
    options = build(RaftOptions, given)
    assert options.heartbeat_timeout == 200
    assert options.commit_timeout == 50


def test_all_aliases_are_the_names_of_go():
    for name in RaftOptions.model_fields:
        aliases = [alias for alias, stands_for in RaftOptions.aliases().items() if stands_for == name]
        assert name.replace('_', '') in {alias.lower() for alias in aliases}


def test_defaults_fit_together():
    assert check_raft({}) == {}
    assert RaftOptions().leader_lease_timeout <= RaftOptions().heartbeat_timeout <= RaftOptions().election_timeout


def test_an_unknown_name_gets_the_nearest_one():
    assert refusal(hartbeat_timeout=5) == (
        "raft_configuration.hartbeat_timeout: no such option; did you mean 'heartbeat_timeout'?"
    )
    assert "did you mean 'SnapshotInterval'?" in refusal(SnapshotIntervall=5)


def test_wrong_values():
    assert refusal(commit_timeout=0) == 'raft_configuration.commit_timeout: 0 is not valid; give 1 or more'
    assert refusal(heartbeat_timeout=[]) == 'raft_configuration.heartbeat_timeout: [] is not valid; give a whole number'
    assert 'are the same option; give only one' in refusal(heartbeat_timeout=500, HeartbeatTimeout=500)


def test_times_that_do_not_fit_together():
    assert refusal(leader_lease_timeout=2000) == (
        'raft_configuration: leader_lease_timeout is 2000 ms, more than heartbeat_timeout (1000 ms): two leaders could be at work'
    )
    assert refusal(heartbeat_timeout=2000) == (
        'raft_configuration: election_timeout is 1000 ms; give at least heartbeat_timeout (2000 ms)'
    )


@pytest.mark.parametrize(
    'name',
    [
        *('LocalID', 'ShutdownOnRemove', 'BatchApplyCh', 'NotifyCh', 'Logger', 'LogOutput', 'LogLevel'),
        *('NoLegacyTelemetry', 'ProtocolVersion', 'local_id', 'log_level'),
    ],
)
def test_what_only_the_library_in_go_has_is_refused_with_a_reason(name):
    message = refusal(**{name: 'x'})
    assert 'of raft_configuration is not available in this version (' in message
    assert message.endswith('remove it')
