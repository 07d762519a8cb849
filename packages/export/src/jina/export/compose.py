"""Docker Compose: a file with a service for each container of a Flow or Deployment."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Final

from jina.core.config import DeploymentOptions
from jina.export.workloads import EXECUTOR_PORT, Platform, Workload, workloads
from jina.export.yaml_text import to_yaml

__all__ = ['FORMAT_VERSION', 'compose_document', 'export_docker_compose']

FORMAT_VERSION: Final = '3.3'
"""Version that the file declares: the one that old programs want to see, and new ones ignore."""
DEFAULT_NETWORK: Final = 'jina-network'
_CLOSE_S: Final = 6
"""Seconds that ``close`` of an Executor has beside the time for requests in flight."""
_WORKSPACE: Final = '/app/workspace'
_PLATFORM: Final = Platform(address=lambda name: f'{name}:{EXECUTOR_PORT}', splits_replicas=True)


def compose_document(subject: Any, *, network_name: str | None = None) -> dict[str, Any]:
    """The Compose file of a Flow or Deployment.

    Args:
        subject: The Flow or Deployment. All its Executors are images (``docker://``) or external.
        network_name: Name of the network that the services share; ``jina-network`` by default.

    Returns:
        The document. Only the service that clients call publishes ports.

    Raises:
        ContainerError: An Executor isn't a container image.
    """
    network = network_name or DEFAULT_NETWORK
    found = workloads(subject, _PLATFORM)
    published = found[0].name
    services = {one.name: _service(one, network, is_public=one.name == published) for one in found}
    # the order of the documentation: Executors first, the gateway last
    services = {name: services[name] for name in (*[name for name in services if name != published], published)}
    return {'version': FORMAT_VERSION, 'services': services, 'networks': {network: {'driver': 'bridge'}}}


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
    """
    path = Path(outpath)
    path.write_text(to_yaml([compose_document(subject, network_name=network_name)]))
    return path


def _service(workload: Workload, network: str, *, is_public: bool) -> dict[str, Any]:
    source = workload.source
    service: dict[str, Any] = {
        'image': workload.image,
        'entrypoint': [source.entrypoint] if source.entrypoint else ['jina'],
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
    environment = {key: str(value) for key, value in (source.env or {}).items()}
    if workload.role == 'executor' and isinstance(source, DeploymentOptions):
        volumes = _volumes(source)
        if volumes:
            service['volumes'] = volumes
        if _keeps_workspace(source):
            environment.setdefault('JINA_DEFAULT_WORKSPACE_BASE', _WORKSPACE)
        if source.gpus:
            service['deploy'] = {'resources': {'reservations': {'devices': [_devices(source.gpus)]}}}
    if environment:
        service['environment'] = {key: _escaped(value) for key, value in environment.items()}
    ports = list(workload.ports.values()) if is_public else []
    if ports:
        service['ports'] = [f'{port}:{port}' for port in ports]
    exposed = [port for port in (*workload.ports.values(), workload.metrics_port) if port and port not in ports]
    if exposed:
        service['expose'] = [str(port) for port in exposed]
    return service


def _escaped(text: str) -> str:
    """Keeps Compose from filling in what looks like a variable of its own."""
    return text.replace('$', '$$')


def _volumes(options: DeploymentOptions) -> list[str]:
    found = [volume if ':' in volume else f'{volume}:/{Path(volume).name}' for volume in options.volumes or ()]
    if _keeps_workspace(options):
        found.append(f'{Path(options.workspace or "").absolute()}:{_WORKSPACE}')
    return found


def _keeps_workspace(options: DeploymentOptions) -> bool:
    return bool(options.workspace) and not options.disable_auto_volume


def _devices(gpus: str) -> dict[str, Any]:
    """GPUs as ``docker run --gpus`` writes them: ``all``, a number, or ``device=0,1``."""
    device: dict[str, Any] = {'driver': 'nvidia', 'capabilities': [['gpu']]}
    if gpus.startswith('device='):
        return {**device, 'device_ids': gpus.removeprefix('device=').split(',')}
    return {**device, 'count': 'all' if gpus == 'all' else int(gpus)}


def _kind(workload: Workload) -> str:
    return 'gateway' if workload.role == 'gateway' else 'executor'
