"""Who gets an option of a Flow."""

from __future__ import annotations

import pytest
from jina.core.config import DeploymentOptions, FlowOptions, GatewayOptions, split_flow_values
from jina.core.errors import ConfigError

TARGETS = {
    'name': 'flow',
    'inspect': 'flow',
    'suppress_root_logging': 'flow',
    'dashboard': 'flow',
    'port_dashboard': 'flow',
    'asyncio': 'flow',
    'reuse_session': 'flow',
    'workspace': 'flow gateway executors',
    'log_config': 'flow gateway executors',
    'quiet': 'flow gateway executors',
    'quiet_error': 'flow gateway executors',
    'env': 'flow gateway executors',
    'reload': 'flow gateway executors',
    'uses': 'flow',
    'port': 'gateway',
    'port_monitoring': 'gateway',
    'host': 'gateway',
    'protocol': 'gateway',
    'prefetch': 'gateway',
    'title': 'gateway',
    'cors': 'gateway',
    'uvicorn_kwargs': 'gateway',
    'no_debug_endpoints': 'gateway',
    'ssl_certfile': 'gateway',
    'timeout_send': 'gateway executors',
    'timeout_ready': 'gateway executors',
    'retries': 'gateway executors',
    'compression': 'gateway executors',
    'monitoring': 'gateway executors',
    'tracing': 'gateway executors',
    'metrics_exporter_port': 'gateway executors',
    'grpc_channel_options': 'gateway executors',
    'grpc_server_options': 'gateway executors',
    'extra_search_paths': 'gateway executors',
    'image_pull_secrets': 'gateway executors',
    'py_modules': 'executors',
    'replicas': 'executors',
    'shards': 'executors',
    'polling': 'executors',
    'stateful': 'executors',
    'raft_configuration': 'executors',
    'uses_metas': 'executors',
    'allow_concurrent': 'executors',
    'exit_on_exceptions': 'executors',
    'volumes': 'executors',
}


@pytest.mark.parametrize(('name', 'targets'), TARGETS.items())
def test_targets(name: str, targets: str) -> None:
    parts = split_flow_values({name: 'value'})
    assert ' '.join(part for part, values in parts._asdict().items() if values) == targets
    assert all(values == {name: 'value'} for values in parts if values)


def test_values_reach_only_parts_that_know_them() -> None:
    names = {*FlowOptions.model_fields, *GatewayOptions.model_fields, *DeploymentOptions.model_fields}
    for name in names - {'uses_with', 'needs', 'runtime_cls', 'pod_role', 'peer_ports', 'raft_peers'}:
        parts = split_flow_values({name: 1})
        assert parts.flow.keys() <= FlowOptions.model_fields.keys()
        assert parts.gateway.keys() <= GatewayOptions.model_fields.keys()
        assert parts.executors.keys() <= DeploymentOptions.model_fields.keys()


def test_aliases_are_replaced() -> None:
    parts = split_flow_values({'port_expose': 12345, 'protocols': 'http', 'disable_reduce': True})
    assert parts.gateway == {'port': 12345, 'protocol': 'http'}
    assert parts.executors == {'no_reduce': True}


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'prot': 1}, "flow.yml: with.prot: no such option; did you mean 'port'?"),
        ({'zzz': 1}, 'flow.yml: with.zzz: no such option; `jina flow --help` lists the options'),
        (
            {'needs': ['a']},
            'flow.yml: with.needs is an option of one Executor or of the gateway, not of a Flow; '
            'give it to add() or config_gateway()',
        ),
        (
            {'uses_with': {'a': 1}},
            'flow.yml: with.uses_with is an option of one Executor or of the gateway, not of a Flow; '
            'give it to add() or config_gateway()',
        ),
        ({'port': 1, 'ports': 2}, 'flow.yml: with: port and ports are the same option; give only one'),
    ],
)
def test_wrong_names(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        split_flow_values(values, where='flow.yml: with')
    assert str(caught.value) == message
