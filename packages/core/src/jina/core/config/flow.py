"""Which part of a Flow an option of ``Flow(...)`` is meant for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jina.core.config.build import unknown_option
from jina.core.config.models import DeploymentOptions, FlowOptions, GatewayOptions
from jina.core.config.protection import PUBLIC_OPTIONS
from jina.core.errors import ConfigError

_ONLY_FLOW = frozenset({'name', 'uses', 'uses_with', 'inspect', 'asyncio', 'reuse_session', 'suppress_root_logging'})
NOT_FOR_GATEWAY = _ONLY_FLOW | {
    'py_modules',
    'volumes',
    'gpus',
    'disable_auto_volume',
    'force_network_mode',
    'replicas',
    'floating',
    'runtime_cls',
    'pod_role',
    'shard_id',
    'replica_id',
    'stateful',
    'peer_ports',
}
"""Options of a Flow that its gateway doesn't get."""
NOT_FOR_EXECUTORS = _ONLY_FLOW | {
    'port',
    'port_monitoring',
    'host',
    'protocol',
    'title',
    'description',
    'cors',
    'no_debug_endpoints',
    'no_crud_endpoints',
    'expose_endpoints',
    'expose_graphql_endpoint',
    'uvicorn_kwargs',
    'max_concurrency',
    'max_queue',
    *PUBLIC_OPTIONS,
    'needs',
    'peer_ports',
    'raft_peers',
}
"""Options of a Flow that its Executors don't get: those of its public server, and those that name one object."""


class FlowValues(NamedTuple):
    """The values of a Flow, sorted by whom they are meant for."""

    flow: dict[str, Any]
    """For :class:`FlowOptions`."""
    gateway: dict[str, Any]
    """For :class:`GatewayOptions`."""
    executors: dict[str, Any]
    """Defaults of each Executor's :class:`DeploymentOptions`."""


def split_flow_values(
    values: Mapping[str, Any], *, where: str = 'Flow', locate: Callable[[str], str] | None = None
) -> FlowValues:
    """Sort the values of a Flow: every one goes to the gateway and to all Executors, except those of the tables above.

    Args:
        values: Names and values, as written by a person; aliases are replaced by the names they stand for.
        where: Place of the values, for messages.
        locate: Gives the whole place of an option; by default ``where`` and its name.

    Raises:
        ConfigError: No part of a Flow has such an option, or the option can't be given for a whole Flow.
    """
    aliases = {**DeploymentOptions.aliases(), **GatewayOptions.aliases(), **FlowOptions.aliases()}
    result = FlowValues({}, {}, {})
    written: dict[str, str] = {}
    for given, value in values.items():
        name = aliases.get(given, given)
        if name in written:
            raise ConfigError(f'{where}: {written[name]} and {given} are the same option', hint='give only one')
        written[name] = given
        targets = [part for part, wanted in zip(result, _wanted(name), strict=True) if wanted]
        if not targets:
            place = locate(given) if locate else f'{where}.{given}'
            raise _refusal(given, name, aliases, place)
        for part in targets:
            part[name] = value
    return result


def _wanted(name: str) -> tuple[bool, bool, bool]:
    return (
        name in FlowOptions.model_fields,
        name in GatewayOptions.model_fields and name not in NOT_FOR_GATEWAY,
        name in DeploymentOptions.model_fields and name not in NOT_FOR_EXECUTORS,
    )


def _refusal(given: str, name: str, aliases: dict[str, str], place: str) -> ConfigError:
    known = {*FlowOptions.model_fields, *GatewayOptions.model_fields, *DeploymentOptions.model_fields}
    if name in known:
        return ConfigError(
            f'{place} is an option of one Executor or of the gateway, not of a Flow',
            hint='give it to add() or config_gateway()',
        )
    return unknown_option(given, known | set(aliases), command='flow', place=place)
