"""Volumes of an Executor or a gateway in a container, as its options write them, and the storage that Kubernetes is asked for."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from jina.core.config import DeploymentOptions, GatewayOptions
from jina.core.errors import ConfigError

__all__ = ['StorageClaim', 'Volume', 'keeps_workspace_in_a_volume', 'storage_claim', 'volumes_of']

_NAME: Final = re.compile(r'[A-Za-z0-9][\w.-]*', re.ASCII)


class StorageClaim(NamedTuple):
    """What exports to Kubernetes ask for where an Executor has volumes.

    Attributes:
        access_modes: How volumes may be mounted.
        storage_class: Kind of the storage; empty for the default of the cluster.
        capacity: Size of each.
    """

    access_modes: tuple[str, ...] = ('ReadWriteOnce',)
    storage_class: str = 'standard'
    capacity: str = '10G'


def storage_claim() -> StorageClaim:
    """Returns what ``JINA_K8S_ACCESS_MODES``, ``JINA_K8S_STORAGE_CLASS_NAME`` and ``JINA_K8S_STORAGE_CAPACITY`` say.

    Raises:
        ConfigError: The access modes are no list of texts in JSON.
    """
    default = StorageClaim()
    modes = os.environ.get('JINA_K8S_ACCESS_MODES')
    return StorageClaim(
        _access_modes(modes) if modes else default.access_modes,
        os.environ.get('JINA_K8S_STORAGE_CLASS_NAME', default.storage_class),
        os.environ.get('JINA_K8S_STORAGE_CAPACITY') or default.capacity,
    )


def _access_modes(text: str) -> tuple[str, ...]:
    try:
        modes = json.loads(text)
    except ValueError:
        modes = None
    if not isinstance(modes, list) or not modes or not all(isinstance(mode, str) for mode in modes):
        raise ConfigError(
            f'environment variable JINA_K8S_ACCESS_MODES is {text!r}',
            hint='write a list in JSON, for example ["ReadWriteMany"]',
        )
    return tuple(modes)


class Volume(NamedTuple):
    """One entry of ``volumes``.

    Attributes:
        source: A path of the machine, or the name of a volume of the engine.
        target: Where it is in the container.
        mode: ``ro`` if nothing is to be written, or empty.
        is_named: Whether the source is the name of a volume.
    """

    source: str
    target: str
    mode: str
    is_named: bool

    @property
    def path(self) -> str:
        """The source with an absolute path."""
        return self.source if self.is_named else str(Path(self.source).expanduser().absolute())


def volumes_of(options: DeploymentOptions | GatewayOptions) -> list[Volume]:
    """Reads ``volumes``: each ``HOST_PATH``, ``HOST_PATH:CONTAINER_PATH`` or with ``:ro`` behind it.

    Args:
        options: Options of the Executor or the gateway.

    Raises:
        ConfigError: One isn't written so.
    """
    found = []
    for volume in options.volumes or ():
        source, separator, rest = volume.partition(':')
        target, _, mode = rest.partition(':')
        target = target if separator else f'/{Path(source).name}'
        if not source or not target.startswith('/') or target == '/' or ':' in mode:
            raise ConfigError(
                f'{volume!r} in volumes of {options.name or "executor"!r} can not be mounted',
                hint='write HOST_PATH:/CONTAINER_PATH, with :ro behind it if nothing is to be written',
            )
        found.append(Volume(source, target, mode, bool(separator and _NAME.fullmatch(source))))
    return found


def keeps_workspace_in_a_volume(options: DeploymentOptions) -> bool:
    """Whether the workspace is a path in one of the volumes."""
    workspace = options.workspace
    return workspace is not None and any(Path(workspace).is_relative_to(one.target) for one in volumes_of(options))
