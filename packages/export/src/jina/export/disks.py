"""Disks of Executors in Kubernetes: one for each replica, or one that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jina.core.config import DeploymentOptions
from jina.export.workloads import Workload

__all__ = ['WORKSPACE', 'Disk', 'Storage', 'claim', 'disks']

_SIZE: Final = '5Gi'
WORKSPACE: Final = '/app/workspace'
"""Where the workspace of an Executor with ``Storage`` is."""


@dataclass(frozen=True)
class Storage:
    """A disk for the workspace of an Executor.

    Attributes:
        size: As Kubernetes writes it.
        shared: One for all replicas, instead of one for each.
        retain: Keep those of single replicas when the Executor is removed; a shared one goes with its file.
    """

    size: str = _SIZE
    shared: bool = False
    retain: bool = True


@dataclass(frozen=True)
class Disk:
    """What a container mounts.

    Attributes:
        name: Name of the volume.
        claim: Name of the claim that all replicas share, empty if each has its own.
        path: Where it is in the container.
        storage: What it is like.
    """

    name: str
    claim: str
    path: str
    storage: Storage


def disks(workload: Workload, storage: Storage | None = None) -> list[Disk]:
    """The disks of a workload: of the option ``volumes``, and of the workspace.

    Args:
        workload: What mounts them; only Executors do.
        storage: The disk of the workspace, if there is one.
    """
    source = workload.source
    if workload.role != 'executor' or not isinstance(source, DeploymentOptions):
        return []
    found: list[Disk] = []
    for number, volume in enumerate(source.volumes or ()):
        path = volume.rpartition(':')[2]
        found.append(Disk(f'volume-{number}', '', path if path.startswith('/') else f'/{path}', Storage()))
    if storage is not None:
        found.append(Disk('workspace', f'{workload.name}-workspace' if storage.shared else '', WORKSPACE, storage))
    return found


def claim(metadata: Mapping[str, Any], disk: Disk) -> dict[str, Any]:
    """A claim for a disk.

    Args:
        metadata: Name of the claim, and what else belongs there.
        disk: The disk.
    """
    mode = 'ReadWriteMany' if disk.claim else 'ReadWriteOnce'
    requests = {'requests': {'storage': disk.storage.size}}
    return {'metadata': dict(metadata), 'spec': {'accessModes': [mode], 'resources': requests}}
