"""Messages for wrong options: whole, with place and nearest name."""

from __future__ import annotations

from typing import Any

import pytest
from jina.core.config import DeploymentOptions, ExecutorOptions, GatewayOptions, PingOptions, build, nearest
from jina.core.errors import ConfigError


def message_of(values: dict[str, Any], *, model: Any = DeploymentOptions, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        build(model, values, **settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ('where', 'message'),
    [
        ('', "replicsa: no such option; did you mean 'replicas'?"),
        ('Deployment', "Deployment.replicsa: no such option; did you mean 'replicas'?"),
        ('flow.yml: executors[1]', "flow.yml: executors[1].replicsa: no such option; did you mean 'replicas'?"),
        ('flow.yml:', "flow.yml: replicsa: no such option; did you mean 'replicas'?"),
    ],
)
def test_unknown_option(where: str, message: str) -> None:
    assert message_of({'replicsa': 2}, where=where) == message


def test_unknown_option_near_an_alias() -> None:
    assert message_of({'prots': 2}) == "prots: no such option; did you mean 'ports'?"


def test_unknown_option_without_a_neighbour() -> None:
    assert message_of({'zzz': 2}) == 'zzz: no such option; `jina deployment --help` lists the options'


def test_spelling_as_flags() -> None:
    def spell(name: str) -> str:
        return f'--{name}'

    assert message_of({'replicas': 'x'}, where='jina deployment:', spell=spell) == (
        "jina deployment: --replicas: 'x' is not valid; give a whole number"
    )
    assert message_of({'replicsa': 'x'}, where='jina deployment:', spell=spell) == (
        "jina deployment: --replicsa: no such option; did you mean '--replicas'?"
    )


def test_several_problems_take_a_line_each() -> None:
    assert message_of({'replicas': 'x', 'prot': 1, 'port': [-1, -2]}, where='Deployment').splitlines() == [
        'Deployment.port: -1 is not valid; give 0 or more',
        "Deployment.replicas: 'x' is not valid; give a whole number",
        "Deployment.prot: no such option; did you mean 'port'?",
    ]


def test_refused_option_with_a_place() -> None:
    refusal = "option 'force_update' of Deployment is not available in this version (it comes with the Executor hub); remove it"
    assert message_of({'force_update': True}) == refusal
    assert message_of({'force_update': True}, where='Deployment') == refusal
    assert message_of({'force_update': True}, where='flow.yml: executors[0]') == f'flow.yml: executors[0]: {refusal}'


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (
            {'port': [1, 2]},
            'Deployment: port [1, 2] and protocol GRPC differ in number; give one port for each protocol',
        ),
        (
            {'port': 1, 'protocol': ['grpc', 'http']},
            'Deployment: port [1] and protocol GRPC, HTTP differ in number; give one port for each protocol',
        ),
        (
            {'port': [80, 80], 'protocol': ['grpc', 'http']},
            'Deployment: port [80, 80] names a port twice; give each protocol its own',
        ),
        ({'protocol': ['http', 'HTTP']}, 'Deployment: protocols must be different and at least one, got HTTP, HTTP'),
        ({'protocol': []}, 'Deployment: protocols must be different and at least one, got none'),
        ({'port': 1, 'ports': 2}, 'Deployment: port and ports are the same option; give only one'),
        ({'ports': 1, 'port': 2}, 'Deployment: ports and port are the same option; give only one'),
        ({'tls': True}, 'Deployment: tls is for external Executors; give external=True and host too'),
    ],
)
def test_options_that_do_not_fit_together(values: dict[str, Any], message: str) -> None:
    assert message_of(values) == message
    assert message_of(values, where='flow.yml: executors[2]') == message.replace('Deployment', 'flow.yml: executors[2]')


def test_ports_of_an_external_executor_are_those_of_its_replicas() -> None:
    options = build(DeploymentOptions, {'host': ['a', 'b'], 'port': ['1', '2'], 'external': True})
    assert options.port == [1, 2]


def test_ports_without_protocols_are_left_to_the_system() -> None:
    assert build(ExecutorOptions, {'protocol': ['grpc', 'http']}).port == []
    assert build(ExecutorOptions, {'protocol': ['grpc', 'http'], 'port': [1, 2]}).port == [1, 2]


def test_missing_value() -> None:
    assert message_of({'target': 'flow'}, model=PingOptions) == 'host is missing; give it'


def test_choice() -> None:
    message = message_of({'target': 'pod', 'host': 'x:1'}, model=PingOptions, where='ping')
    assert message == "ping.target: 'pod' is not valid; give one of 'flow', 'deployment', 'executor' or 'gateway'"


def test_none_means_not_given() -> None:
    given = dict.fromkeys(GatewayOptions.model_fields)
    built = build(GatewayOptions, given)
    assert built == GatewayOptions(name=None)


def test_nearest() -> None:
    assert nearest('uses_wtih', ['uses', 'uses_with']) == 'uses_with'
    assert nearest('zzz', ['uses', 'uses_with']) is None
