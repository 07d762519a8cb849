"""Disks of Executors and gateways in Kubernetes: one for each replica, or one that all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jina.core.config import DeploymentOptions, GatewayOptions
from jina.core.errors import ConfigError
from jina.export.volumes import StorageClaim, keeps_workspace_in_a_volume, storage_claim, volumes_of
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

    @property
    def claim(self) -> StorageClaim:
        """What the cluster is asked for, with the storage class that it has by default."""
        return StorageClaim(('ReadWriteMany' if self.shared else 'ReadWriteOnce',), '', self.size)


@dataclass(frozen=True)
class Disk:
    """What a container mounts.

    Attributes:
        name: Name of the volume.
        claim: Name of the claim that all replicas share, empty if each has its own.
        path: Where it is in the container.
        wanted: What the cluster is asked for.
        read_only: Nothing can be written there.
        retain: Keep it when what mounts it is removed.
    """

    name: str
    claim: str
    path: str
    wanted: StorageClaim
    read_only: bool = False
    retain: bool = True


def disks(workload: Workload, storage: Storage | None = None) -> list[Disk]:
    """The disks of a workload: of the option ``volumes``, and of the workspace.

    Args:
        workload: What mounts them.
        storage: The disk of the workspace, if there is one. Replicas with state have one in any case.

    Raises:
        ConfigError: An entry of ``volumes``, or a variable with what they ask for, isn't well written, or replicas with
            state are to share a disk.
    """
    if not workload.has_volumes:
        return []
    source = workload.source
    found = [
        Disk(f'volume-{number}', '', volume.target, storage_claim(), read_only=volume.mode == 'ro')
        for number, volume in enumerate(volumes_of(source))
    ]
    if workload.peer_port is not None:
        if storage is not None and storage.shared:
            raise ConfigError(
                f'the storage of {workload.deployment!r} is shared, and each replica of a stateful Executor has a state of its own',
                hint='give it one disk for each replica: Storage(shared=False), or storage of the kind ebs',
            )
        if not _keeps_workspace(source, found):
            storage = storage or Storage()
    if storage is not None:
        shared = f'{workload.name}-workspace' if storage.shared else ''
        found.append(Disk('workspace', shared, WORKSPACE, storage.claim, retain=storage.retain))
    return found


def _keeps_workspace(source: DeploymentOptions | GatewayOptions, found: Sequence[Disk]) -> bool:
    in_volume = isinstance(source, DeploymentOptions) and keeps_workspace_in_a_volume(source)
    return in_volume or any(disk.path == WORKSPACE for disk in found)


def claim(metadata: Mapping[str, Any], disk: Disk) -> dict[str, Any]:
    """A claim for a disk.

    Args:
        metadata: Name of the claim, and what else belongs there.
        disk: The disk.
    """
    wanted = disk.wanted
    spec: dict[str, Any] = {
        'accessModes': list(wanted.access_modes),
        'resources': {'requests': {'storage': wanted.capacity}},
    }
    if wanted.storage_class:
        spec['storageClassName'] = wanted.storage_class
    return {'metadata': dict(metadata), 'spec': spec}
