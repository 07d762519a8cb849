"""Docker Compose: a file with a service for each container of a Flow or Deployment."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from jina.core.config import DeploymentOptions, GatewayOptions
from jina.core.environment import log_level
from jina.core.errors import ConfigError
from jina.export.volumes import keeps_workspace_in_a_volume, volumes_of
from jina.export.workloads import EXECUTOR_PORT, PEER_PORT, Platform, Workload, replica_name, workloads
from jina.export.yaml_text import to_yaml

__all__ = ['FORMAT_VERSION', 'compose_document', 'export_docker_compose']

FORMAT_VERSION: Final = '3.3'
"""Version that the file declares: the one that old programs want to see, and new ones ignore."""
DEFAULT_NETWORK: Final = 'jina-network'
_CLOSE_S: Final = 6
"""Seconds that ``close`` of an Executor has beside the time for requests in flight."""
_WORKSPACE: Final = '/app/workspace'
_PLATFORM: Final = Platform(
    address=lambda name: f'{name}:{EXECUTOR_PORT}',
    splits_replicas=True,
    peer=lambda name, number: f'{replica_name(name, number)}:{PEER_PORT}',
)


def compose_document(subject: Any, *, network_name: str | None = None) -> dict[str, Any]:
    """The Compose file of a Flow or Deployment.

    Args:
        subject: The Flow or Deployment. All its Executors are images (``docker://``) or external.
        network_name: Name of the network that the services share; ``jina-network`` by default.

    Returns:
        The document. Only the service that clients call publishes ports, and those whose ``port_monitoring`` is given.

    Raises:
        ContainerError: An Executor isn't a container image.
        ConfigError: An option means nothing to Docker Compose.
    """
    network = network_name or DEFAULT_NETWORK
    found = workloads(subject, _PLATFORM)
    published = _published(found)
    # the order of the documentation: Executors first, the gateway last
    services = {one.name: _service(one, network, published[one.name]) for one in (*found[1:], found[0])}
    document = {'version': FORMAT_VERSION, 'services': services, 'networks': {network: {'driver': 'bridge'}}}
    volumes = [volume for one in found if one.has_volumes for volume in volumes_of(one.source)]
    named = sorted({volume.source for volume in volumes if volume.is_named})
    return {**document, 'volumes': {name: {} for name in named}} if named else document


def export_docker_compose(subject: Any, outpath: str | os.PathLike[str], *, network_name: str | None = None) -> Path:
    """Writes the Compose file.

    Args:
        subject: See :func:`compose_document`.
        outpath: The file.
        network_name: Name of the network that the services share.

    Returns:
        The file.

    Raises:
        ContainerError: An Executor isn't a container image.
        ConfigError: An option means nothing to Docker Compose.
    """
    path = Path(outpath)
    path.write_text(to_yaml([compose_document(subject, network_name=network_name)]))
    return path


def _service(workload: Workload, network: str, published: Sequence[int]) -> dict[str, Any]:
    source = workload.source
    service: dict[str, Any] = {
        'image': workload.image,
        'entrypoint': list(workload.program),
        'command': [_escaped(argument) for argument in workload.arguments],
        'healthcheck': {
            'test': ['CMD', 'jina', 'ping', _kind(workload), str(workload.first_address)],
            'interval': '5s',
            'timeout': '10s',
            'retries': 5,
            'start_period': f'{max(5, source.timeout_ready // 1000 if source.timeout_ready > 0 else 600)}s',
        },
        'restart': 'unless-stopped',
        'stop_grace_period': f'{math.ceil(source.graceful_shutdown_s) + _CLOSE_S}s',
        'networks': [network],
    }
    if workload.has_volumes:
        volumes = _volumes(source)
        if volumes:
            service['volumes'] = volumes
        if source.gpus:
            service['deploy'] = {'resources': {'reservations': {'devices': [_devices(source.gpus)]}}}
    environment = _environment(workload)
    if environment:
        service['environment'] = {key: _escaped(value) for key, value in environment.items()}
    if published:
        service['ports'] = [f'{port}:{port}' for port in published]
    inner = (*workload.ports.values(), workload.metrics_port, workload.peer_port)
    exposed = [port for port in inner if port and port not in published]
    if exposed:
        service['expose'] = [str(port) for port in exposed]
    return service


def _published(found: Sequence[Workload]) -> dict[str, list[int]]:
    """The ports of each service that the machine has too: those that clients call, and those that Prometheus was promised."""
    public = found[0]
    ports = {one.name: list(one.ports.values()) if one is public else [] for one in found}
    promised = [one for one in found if one.metrics_port in one.source.port_monitoring]
    # a port of the machine is one service's; where several want it, Prometheus has to be in their network
    wanted = Counter([*ports[public.name], *(one.metrics_port for one in promised)])
    for one in promised:
        if one.metrics_port is not None and wanted[one.metrics_port] == 1:
            ports[one.name].append(one.metrics_port)
    return ports


def _environment(workload: Workload) -> dict[str, str]:
    source = workload.source
    if source.env_from_secret:
        raise ConfigError(
            f'env_from_secret of {workload.deployment!r} names secrets of Kubernetes, and Docker Compose has none of them',
            hint='set the variables in env, or by env_file in the exported file',
        )
    found = {key: str(value) for key, value in (source.env or {}).items()}
    if (level := log_level()) is not None:
        found.setdefault('JINA_LOG_LEVEL', level)
    if workload.role == 'executor' and isinstance(source, DeploymentOptions) and _mounts_workspace(source):
        found.setdefault('JINA_DEFAULT_WORKSPACE_BASE', _WORKSPACE)
    return found


def _escaped(text: str) -> str:
    """Keeps Compose from filling in what looks like a variable of its own."""
    return text.replace('$', '$$')


def _volumes(options: DeploymentOptions | GatewayOptions) -> list[str]:
    found = [':'.join(filter(None, (one.path, one.target, one.mode))) for one in volumes_of(options)]
    if isinstance(options, DeploymentOptions) and _mounts_workspace(options):
        found.append(f'{Path(options.workspace or "").absolute()}:{_WORKSPACE}')
    return found


def _mounts_workspace(options: DeploymentOptions) -> bool:
    return bool(options.workspace) and not options.disable_auto_volume and not keeps_workspace_in_a_volume(options)


def _devices(gpus: str) -> dict[str, Any]:
    """GPUs as ``docker run --gpus`` writes them: ``all``, a number, or ``device=0,1``."""
    device: dict[str, Any] = {'driver': 'nvidia', 'capabilities': [['gpu']]}
    if gpus.startswith('device='):
        return {**device, 'device_ids': gpus.removeprefix('device=').split(',')}
    return {**device, 'count': 'all' if gpus == 'all' else int(gpus)}


def _kind(workload: Workload) -> str:
    return 'gateway' if workload.role == 'gateway' else 'executor'
