"""The options of each process of a Deployment: replicas, what is around the shards, head, gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from jina.core.config import (
    PUBLIC_OPTIONS,
    AroundOptions,
    DeploymentOptions,
    GatewayOptions,
    PodAddress,
    default_of,
)
from jina.core.enums import PodRoleType, ProtocolType
from jina.core.topology import Node, Topology
from jina.orchestrate.devices import VARIABLE, visible_device

_Options = TypeVar('_Options', bound=DeploymentOptions)
AROUND: tuple[Literal['uses_before', 'uses_after'], ...] = ('uses_before', 'uses_after')
UNPROTECTED: dict[str, Any] = {
    **{name: default_of(DeploymentOptions, name) for name in PUBLIC_OPTIONS},
    'api_key': [],
}
"""Options of processes behind a gateway or a head: keys, limits and TLS are for what clients call."""
_PUBLIC_ONLY: dict[str, Any] = {
    **UNPROTECTED,
    'no_debug_endpoints': False,
    'no_crud_endpoints': False,
    'expose_endpoints': None,
    'expose_graphql_endpoint': False,
    'uvicorn_kwargs': None,
}
"""Options of the public server that processes behind it don't have."""
_UNLIMITED: dict[str, Any] = {'max_concurrency': None, 'max_queue': None}
"""A head shares requests out: what limits the load of a Deployment counts in each of its replicas."""
_HIDDEN: dict[str, Any] = {**_PUBLIC_ONLY, 'port': [], 'protocol': [ProtocolType.GRPC], 'include_gateway': True}
"""Replicas behind a gateway or a head: nobody else calls them."""
_STATELESS: dict[str, Any] = {'stateful': False, 'peer_ports': None, 'raft_configuration': None, 'raft_peers': None}
"""Only the Executor of the shards has state."""
_OF_SHARDS: dict[str, Any] = {
    **_STATELESS,
    **dict.fromkeys((*AROUND, *(f'{name}_address' for name in AROUND), 'connection_list')),
    **dict.fromkeys(('uses_with', 'uses_metas', 'uses_requests', 'uses_dynamic_batching')),
    'shards': 1,
    'port_monitoring': [],
    'replicas': 1,
}
"""What is meant for the Executor of the shards, and not for those around them."""
_SHARED_WITH_GATEWAY = (
    'timeout_ctrl',
    'log_config',
    'quiet',
    'quiet_error',
    'env',
    'timeout_graceful_shutdown',
    'timeout_ready',
    'timeout_send',
    'retries',
    'compression',
    'grpc_server_options',
    'grpc_channel_options',
    'title',
    'description',
    'cors',
    'no_debug_endpoints',
    'no_crud_endpoints',
    'expose_endpoints',
    'expose_graphql_endpoint',
    'uvicorn_kwargs',
    'workspace',
    'reload',
    'restart',
    'monitoring',
    'tracing',
    'traces_exporter_host',
    'traces_exporter_port',
    'metrics',
    'metrics_exporter_host',
    'metrics_exporter_port',
    *PUBLIC_OPTIONS,
)


def replica_options(
    options: DeploymentOptions, *, is_public: bool, shard: int = 0, replicas: range | None = None
) -> list[DeploymentOptions]:
    """Options of the replicas of one shard.

    Args:
        options: Options of the Deployment.
        is_public: They listen on the public ports themselves.
        shard: Number of the shard.
        replicas: Numbers of the replicas; all by default.

    Raises:
        ConfigError: ``CUDA_VISIBLE_DEVICES`` begins with RR and names no GPUs.
    """
    common: dict[str, Any] = {} if is_public else dict(_HIDDEN)
    if options.needs_head:
        common.update(dict.fromkeys((*AROUND, *(f'{name}_address' for name in AROUND))), shard_id=shard)
    numbers = range(options.replicas) if replicas is None else replicas
    found = []
    for number in numbers:
        place = number * options.shards + shard + (1 if options.needs_head else 0)
        own: dict[str, Any] = {'replica_id': number, 'port_monitoring': _metrics_ports(options, number, place)}
        found.append(_with_device(options.model_copy(update={**common, **own})))
    return found


def around_options(options: DeploymentOptions) -> list[AroundOptions]:
    """Options of the processes of ``uses_before`` and ``uses_after``."""
    found = []
    for name in AROUND:
        if getattr(options, name) is not None:
            no_reduce = options.no_reduce if name == 'uses_before' else True
            own: dict[str, Any] = {'uses': getattr(options, name), 'around': name, 'no_reduce': no_reduce}
            found.append(
                _with_device(AroundOptions.model_construct(**{**dict(options), **_HIDDEN, **_OF_SHARDS, **own}))
            )
    return found


def head_options(
    options: DeploymentOptions, shards: Sequence[Sequence[str]], around: Mapping[str, str], *, is_public: bool
) -> DeploymentOptions:
    """Options of the head.

    Args:
        options: Options of the Deployment.
        shards: The addresses of the replicas of each shard.
        around: The addresses of the processes of ``uses_before`` and ``uses_after``.
        is_public: Clients call the head itself.
    """
    given = {f'{name}_address': address for name, address in around.items()}
    entry: dict[str, Any] = {} if is_public else {**_PUBLIC_ONLY, 'protocol': [ProtocolType.GRPC]}
    return options.model_copy(
        update={
            **entry,
            'pod_role': PodRoleType.HEAD,
            **_UNLIMITED,
            **_STATELESS,
            'connection_list': {str(number): list(addresses) for number, addresses in enumerate(shards)},
            'port_monitoring': options.port_monitoring[:1],
            **given,
        }
    )


def gateway_options(options: DeploymentOptions, addresses: Sequence[str]) -> GatewayOptions:
    """Options of the gateway in front of replicas.

    Args:
        options: Options of the Deployment.
        addresses: The addresses of the replicas.
    """
    name = options.name or 'executor'
    shared = {key: getattr(options, key) for key in _SHARED_WITH_GATEWAY}
    return GatewayOptions.model_construct(
        **{
            **_defaults(GatewayOptions),
            **shared,
            'pod_role': PodRoleType.HEAD,
            'port': [] if options.external else options.port,
            'protocol': [ProtocolType.GRPC] if options.external else options.protocol,
            'host': '127.0.0.1' if options.external else options.host[0],
            'graph_description': Topology([Node(name)]).description(),
            'deployments_addresses': {name: list(addresses)},
            'deployments_metadata': {name: options.grpc_metadata} if options.grpc_metadata else {},
            **({**UNPROTECTED, 'ssl_cafile': options.ssl_cafile} if options.external else {}),
        }
    )


def pod_environment(options: DeploymentOptions | GatewayOptions) -> dict[str, str]:
    """Environment variables that a pod gets beside the parent's."""
    environ = {name: str(value) for name, value in (options.env or {}).items()}
    if options.quiet:
        environ.setdefault('JINA_LOG_CONFIG', 'QUIET')
    return environ


def with_ports(options: Any, addresses: Sequence[PodAddress]) -> Any:
    """Options of a process that takes the place of one that listened at these addresses."""
    return options.model_copy(update={'port': [address.port for address in addresses]})


def _metrics_ports(options: DeploymentOptions, replica: int, place: int) -> list[int]:
    """``port_monitoring`` of one process, which takes the entry of its replica.

    Args:
        options: Options of the Deployment, whose list begins with the head, if there is one, and goes on with the first replica of
            each shard, then the second one of each.
        replica: Number of the replica.
        place: Its place in that list.
    """
    given = options.port_monitoring
    return [*([0] * replica), given[place]] if place < len(given) else []


def _with_device(options: _Options) -> _Options:
    """The options of a process with the GPU whose turn it is, if it is to have one."""
    device = visible_device(options.env or {}, options.replica_id)
    if device is None:
        return options
    return options.model_copy(update={'env': {**(options.env or {}), VARIABLE: device}})


def _defaults(model: type[GatewayOptions]) -> dict[str, Any]:
    return {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in model.model_fields.items()
    }
