"""What a Flow or a Deployment is made of when it runs in containers: its images, command lines and addresses."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeVar

from jina.core.config import (
    PUBLIC_OPTIONS,
    DeploymentOptions,
    ExecutorOptions,
    GatewayOptions,
    PodAddress,
    container_arguments,
    default_of,
    external_addresses,
)
from jina.core.config.protection import API_KEY_VARIABLE
from jina.core.enums import DockerNetworkMode, PodRoleType, ProtocolType
from jina.core.environment import gateway_image as gateway_image_of_variable
from jina.core.errors import ConfigError, ContainerError
from jina.core.remote_executor import RemoteExecutor
from jina.core.topology import Node, Topology
from jina.core.version import __version__
from jina.export.volumes import keeps_workspace_in_a_volume

__all__ = [
    'EXECUTOR_PORT',
    'METRICS_PORT',
    'PEER_PORT',
    'Platform',
    'Workload',
    'gateway_image',
    'replica_name',
    'workloads',
]

EXECUTOR_PORT: Final = 8080
"""Port of every Executor: each has an address of its own."""
PEER_PORT: Final = 8090
"""Port at which the replicas of a stateful Executor reach each other."""
METRICS_PORT: Final = 9090
"""Port for Prometheus, unless another one is given."""
CONFIG_FILE: Final = 'config.yml'
"""Where the YAML of an Executor or a gateway is expected in its image; an image can't be asked."""
_GATEWAY: Final = 'gateway'
_OF_THE_SERVER: Final = (
    *('title', 'description', 'cors', 'no_debug_endpoints', 'no_crud_endpoints'),
    *('expose_endpoints', 'expose_graphql_endpoint', 'uvicorn_kwargs', *PUBLIC_OPTIONS),
)
"""Options of the server that clients call. Those behind it don't have them."""
_OF_THE_FRONT: Final = (
    *('timeout_ctrl', 'log_config', 'quiet', 'quiet_error', 'timeout_ready', 'timeout_send', 'retries', 'compression'),
    *('grpc_server_options', 'grpc_channel_options', 'monitoring', 'tracing', 'traces_exporter_host'),
    *('traces_exporter_port', 'metrics', 'metrics_exporter_host', 'metrics_exporter_port', *_OF_THE_SERVER),
)
"""Options of a Deployment that the gateway in front of its replicas has."""
_STATELESS: Final = {'stateful': False, **dict.fromkeys(('peer_ports', 'raft_configuration', 'raft_peers'))}
"""What stands around stateful Executors has no state."""
_Watched = TypeVar('_Watched', DeploymentOptions, GatewayOptions)
Role: TypeAlias = Literal['gateway', 'head', 'executor']


@dataclass(frozen=True)
class Platform:
    """Where the containers run.

    Attributes:
        address: Gives ``host:port`` of a workload from its name; what a gateway or head calls.
        splits_replicas: Replicas are workloads of their own, instead of a number of one.
        namespace: Kubernetes namespace, empty elsewhere.
        peer: Gives ``host:port`` at which other replicas of a workload reach the one of a number.
        takes_ports: Ports that were given count; elsewhere names lead to containers, and ports are numbered from 8080 on.
        observed: Names of Deployments, or ``gateway``, that have ``monitoring`` whatever their options say.
    """

    address: Callable[[str], str]
    splits_replicas: bool
    peer: Callable[[str, int], str]
    namespace: str = ''
    takes_ports: bool = True
    observed: frozenset[str] = frozenset()

    def with_monitoring(self, options: _Watched, name: str) -> _Watched:
        """Returns options with ``monitoring``, if what has this name is observed here."""
        return options.model_copy(update={'monitoring': True}) if name in self.observed else options


@dataclass(frozen=True)
class Workload:
    """One image with one command line, and how many containers of it there are.

    Attributes:
        name: Its name.
        deployment: Name of the Deployment that it belongs to, or ``gateway``.
        role: What it is.
        image: Image of its containers.
        arguments: Arguments of the command ``jina``.
        options: What the arguments were made from.
        ports: The port for each protocol.
        replicas: Number of containers.
        metrics_port: Port for Prometheus; None without ``monitoring``.
        source: Options of the Deployment or gateway as they were given.
    """

    name: str
    deployment: str
    role: Role
    image: str
    arguments: tuple[str, ...]
    options: ExecutorOptions | GatewayOptions
    source: DeploymentOptions | GatewayOptions
    ports: dict[ProtocolType, int] = field(default_factory=dict)
    replicas: int = 1
    metrics_port: int | None = None

    @property
    def has_volumes(self) -> bool:
        """Whether it takes volumes, GPUs and an entrypoint: an Executor, or the gateway of a Flow, and none in front of a Deployment."""
        return self.role == 'executor' or isinstance(self.source, GatewayOptions)

    @property
    def program(self) -> tuple[str, ...]:
        """What gets the arguments: ``jina``, or the ``entrypoint`` of the image that an Executor or a gateway is."""
        own = self.source.entrypoint if self.has_volumes else None
        return tuple(shlex.split(own)) if own else ('jina',)

    @property
    def peer_port(self) -> int | None:
        """Port for the other replicas; None if it isn't stateful."""
        return PEER_PORT if self.options.stateful else None

    @property
    def first_address(self) -> PodAddress:
        """Where the container itself finds its first protocol, which health checks ask."""
        protocol, port = next(iter(self.ports.items()))
        return PodAddress(protocol, '127.0.0.1', port)


def gateway_image(options: GatewayOptions) -> str:
    """The image of a gateway: that of a custom one, else the variable ``JINA_GATEWAY_IMAGE``, else one of our version."""
    if options.uses is not None:
        return _image(options.uses, 'the gateway')
    return _framework_image()


def _framework_image() -> str:
    """The image of what needs no code but the framework's: gateways, heads, and Executors that pass documents on."""
    return gateway_image_of_variable() or f'jina-gateway:{__version__}'


def workloads(subject: Any, platform: Platform) -> list[Workload]:
    """Everything that has to run.

    Args:
        subject: A Flow or a Deployment.
        platform: Where it is to run.

    Returns:
        The gateway first, then each Deployment with its head before its replicas. External Executors are left out.

    Raises:
        ContainerError: An Executor isn't a container image.
        ConfigError: It is an Executor of the hub, which can't be looked up here, or an option can't be exported.
        TopologyError: The graph is invalid.
    """
    if hasattr(subject, 'topology'):
        for options in (subject.gateway_options, *(one.options for one in subject.deployments)):
            _check_settings(options, platform)
        return list(_of_flow(subject, platform))
    _check_settings(subject.options, platform)
    return list(_of_deployment(subject.options, platform, is_public=True))


def _check_settings(options: DeploymentOptions | GatewayOptions, platform: Platform) -> None:
    if options.stateful and platform.splits_replicas and not (options.workspace or options.volumes):
        raise ConfigError(
            f'the replicas of {options.name} would lose their state with their containers', hint='give a workspace'
        )
    if options.docker_kwargs:
        raise ConfigError(
            f'docker_kwargs of {options.owner} is for the Docker SDK, and can not be exported',
            hint='leave it out, and write what it is for into the exported file',
        )
    if options.force_network_mode is not DockerNetworkMode.AUTO:
        raise ConfigError(
            f'force_network_mode of {options.owner} is for containers that a Flow starts itself, and can not be exported',
            hint='leave it out: exported containers have a network of their own',
        )
    if options.ssl_certfile:
        raise ConfigError(
            f'ssl_certfile of {options.owner} is a file of this machine, which containers do not have',
            hint='leave it out: an ingress or a load balancer in front encrypts, or --ssl-certfile in the exported arguments',
        )


def _of_flow(flow: Any, platform: Platform) -> Iterator[Workload]:
    topology: Topology = flow.topology
    deployments = list(flow.deployments)
    given: GatewayOptions = platform.with_monitoring(flow.gateway_options, _GATEWAY)
    ports = _ports(given, platform)
    options = given.model_copy(
        update={
            'graph_description': topology.description(),
            'graph_merge_order': topology.merge_order(),
            'graph_conditions': {node.name: node.when for node in topology.nodes if node.when},
            'deployments_addresses': {one.name: _entry(one.options, platform) for one in deployments},
            'deployments_metadata': {
                one.name: dict(one.options.grpc_metadata) for one in deployments if one.options.grpc_metadata
            },
            'deployments_no_reduce': [node.name for node in topology.nodes if node.no_reduce],
            'port': list(ports.values()),
            **_monitoring(given),
            **({'uses': CONFIG_FILE} if given.uses is not None else {}),
        }
    )
    yield Workload(
        name=_GATEWAY,
        deployment=_GATEWAY,
        role='gateway',
        image=gateway_image(given),
        arguments=('gateway', *_arguments(options, GatewayOptions, platform)),
        options=options,
        source=given,
        ports=ports,
        replicas=given.replicas,
        metrics_port=_metrics_port(given),
    )
    for deployment in deployments:
        if not deployment.external:
            yield from _of_deployment(deployment.options, platform, is_public=False)


def _of_deployment(options: DeploymentOptions, platform: Platform, *, is_public: bool) -> Iterator[Workload]:
    name = options.name or 'executor'
    options = platform.with_monitoring(options, name)
    if is_public and platform.splits_replicas and options.replicas > 1 and not options.needs_head:
        yield _front(options, platform)
    if options.needs_head:
        yield _head(options, platform, is_public=is_public)
        for around in ('uses_before', 'uses_after'):
            uses = getattr(options, around)
            if uses is not None:
                own = options.model_copy(
                    update={'uses': uses, 'uses_with': None, 'uses_metas': None, 'shards': 1, **_STATELESS}
                )
                yield _executor(own, platform, f'{name}-{around.replace("_", "-")}', is_public=False)
    for shard in range(options.shards):
        entry = f'{name}-{shard}' if options.shards > 1 else f'{name}-0' if options.needs_head else name
        own = options.model_copy(update={'shard_id': shard})
        if options.stateful:
            peers = [platform.peer(entry, number) for number in range(options.replicas)]
            own = own.model_copy(update={'raft_peers': peers, 'peer_ports': None})
        alone = is_public and not options.needs_head and not (platform.splits_replicas and options.replicas > 1)
        if not platform.splits_replicas or options.replicas == 1:
            yield _executor(own, platform, entry, is_public=alone, replicas=options.replicas)
            continue
        for number in range(options.replicas):
            yield _executor(own.model_copy(update={'replica_id': number}), platform, replica_name(entry, number))


def _executor(
    options: DeploymentOptions, platform: Platform, name: str, *, is_public: bool = False, replicas: int = 1
) -> Workload:
    ports = _ports(options, platform) if is_public else {ProtocolType.GRPC: EXECUTOR_PORT}
    only_passes_on = options.uses == default_of(ExecutorOptions, 'uses')
    own = options.model_copy(
        update={
            **({} if is_public else _behind(options)),
            'uses': options.uses if only_passes_on else CONFIG_FILE,
            'native': True,
            'port': list(ports.values()),
            'protocol': list(ports),
            **dict.fromkeys(('uses_before', 'uses_after', 'uses_before_address', 'uses_after_address')),
            **_monitoring(options),
        }
    )
    who = f'the Executor {options.name or "executor"!r}'
    return Workload(
        name=name,
        deployment=options.name or 'executor',
        role='executor',
        image=_framework_image() if only_passes_on else _image(options.uses, who),
        arguments=('executor', *_arguments(own, ExecutorOptions, platform)),
        options=own,
        source=options,
        ports=ports,
        replicas=replicas,
        metrics_port=_metrics_port(options),
    )


def _behind(options: DeploymentOptions) -> dict[str, Any]:
    """Options of what only gateways and heads call: it has none of those of the server that clients call, and asks for no key."""
    found = {option: default_of(ExecutorOptions, option) for option in _OF_THE_SERVER}
    if API_KEY_VARIABLE in {**(options.env or {}), **(options.env_from_secret or {})}:
        found['api_key'] = []
    return found


def _head(options: DeploymentOptions, platform: Platform, *, is_public: bool) -> Workload:
    name = options.name or 'executor'
    ports = _ports(options, platform) if is_public else {ProtocolType.GRPC: EXECUTOR_PORT}
    shards = {str(number): _targets(options, platform, f'{name}-{number}') for number in range(options.shards)}
    around = {
        f'{one}_address': platform.address(f'{name}-{one.replace("_", "-")}')
        for one in ('uses_before', 'uses_after')
        if getattr(options, one) is not None
    }
    own = options.model_copy(
        update={
            **({} if is_public else _behind(options)),
            'pod_role': PodRoleType.HEAD,
            'connection_list': shards,
            'port': list(ports.values()),
            'protocol': list(ports),
            **dict.fromkeys(('uses_before', 'uses_after', 'uses_with', 'uses_metas', 'uses_requests')),
            'uses': default_of(ExecutorOptions, 'uses'),
            'uses_dynamic_batching': None,
            **_STATELESS,
            **dict.fromkeys(('max_concurrency', 'max_queue')),  # which count in each replica
            **around,
            **_monitoring(options),
        }
    )
    return Workload(
        name=f'{name}-head',
        deployment=name,
        role='head',
        image=_framework_image(),
        arguments=('executor', *_arguments(own, ExecutorOptions, platform)),
        options=own,
        source=options,
        ports=ports,
        metrics_port=_metrics_port(options),
    )


def _front(options: DeploymentOptions, platform: Platform) -> Workload:
    """The gateway in front of the replicas of a Deployment that clients call."""
    name = options.name or 'executor'
    ports = _ports(options, platform)
    own = GatewayOptions(
        name=f'{name}-gateway',
        pod_role=PodRoleType.GATEWAY,
        protocol=list(ports),
        port=list(ports.values()),
        graph_description=Topology([Node(name)]).description(),
        deployments_addresses={name: _targets(options, platform, name)},
    ).model_copy(
        update={
            **{option: getattr(options, option) for option in _OF_THE_FRONT},
            'port_monitoring': [METRICS_PORT] if options.monitoring else [],  # those that were given are the replicas'
        }
    )
    return Workload(
        name=f'{name}-gateway',
        deployment=name,
        role='gateway',
        image=_framework_image(),
        arguments=('gateway', *_arguments(own, GatewayOptions, platform)),
        options=own,
        source=options,
        ports=ports,
        metrics_port=METRICS_PORT if options.monitoring else None,
    )


def _entry(options: DeploymentOptions, platform: Platform) -> list[str]:
    """Where a gateway finds a Deployment."""
    name = options.name or 'executor'
    if options.external:
        return [address.dialled for address in external_addresses(options)]
    if options.needs_head:
        return [platform.address(f'{name}-head')]
    return _targets(options, platform, name)


def _targets(options: DeploymentOptions, platform: Platform, name: str) -> list[str]:
    """Addresses of all replicas behind a name."""
    if not platform.splits_replicas or options.replicas == 1:
        return [platform.address(name)]
    return [platform.address(replica_name(name, number)) for number in range(options.replicas)]


def replica_name(name: str, number: int) -> str:
    """The workload that one replica is, where replicas are workloads of their own.

    Args:
        name: What all of them are called.
        number: Number of the replica.
    """
    return f'{name}-rep-{number}'


def _ports(options: DeploymentOptions | GatewayOptions, platform: Platform) -> dict[ProtocolType, int]:
    """The port for each protocol; those that were left open, or don't count, are numbered from 8080 on."""
    given = [*(options.port if platform.takes_ports else ()), *([0] * len(options.protocol))]
    return {protocol: given[index] or EXECUTOR_PORT + index for index, protocol in enumerate(options.protocol)}


def _monitoring(options: DeploymentOptions | GatewayOptions) -> dict[str, Any]:
    port = _metrics_port(options)
    # a process takes the entry of its number, and replicas with state have numbers
    count = options.replicas if options.stateful else options.replica_id + 1
    return {} if port is None else {'port_monitoring': [port] * count}


def _metrics_port(options: DeploymentOptions | GatewayOptions) -> int | None:
    if not options.monitoring:
        return None
    return _given_metrics_port(options) or METRICS_PORT


def _given_metrics_port(options: DeploymentOptions | GatewayOptions) -> int:
    """The port for Prometheus that was asked for; 0 if any will do."""
    given = options.port_monitoring
    return given[options.replica_id if options.replica_id < len(given) else 0] if given else 0


def _arguments(options: Any, kind: type[ExecutorOptions | GatewayOptions], platform: Platform) -> list[str]:
    further: dict[str, Any] = {
        'log_config': options.log_config
    }  # the name of a built-in one, or a path in the container
    if platform.namespace:
        further['k8s_namespace'] = platform.namespace
    if isinstance(options, DeploymentOptions) and keeps_workspace_in_a_volume(options):
        further['workspace'] = options.workspace
    if options.stateful:
        further['replicas'] = options.replicas
    return container_arguments(options, kind, **further)


def _image(uses: Any, who: str) -> str:
    remote = RemoteExecutor.parse(uses) if isinstance(uses, str) else None
    if remote is None:
        raise ContainerError(
            f'{who} is {getattr(uses, "__name__", uses)!r}, which is no container image',
            hint='build an image of it (jina export dockerfile) and write uses="docker://<image>"',
        )
    if remote.registry != 'docker':
        raise ConfigError(
            f'{who} is {remote.uri!r}, and the image of an Executor of the hub can not be looked up here',
            hint='write uses="docker://<image>"',
        )
    return f'{remote.name}:{remote.tag}'
