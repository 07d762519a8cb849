"""Choices that options offer: numbered as the wire and the original number them, read in any case."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


__all__ = [
    'DataInputType',
    'DeploymentRoleType',
    'DockerNetworkMode',
    'FlowBuildLevel',
    'FlowInspectType',
    'NamedEnum',
    'PodRoleType',
    'PollingType',
    'ProtocolType',
    'ProviderType',
    'StandaloneExecutorType',
]


class NamedEnum(IntEnum):
    """An enum whose members are found by name in any case: ``ProtocolType('http') is ProtocolType.HTTP``."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if isinstance(value, str):
            return cls.__members__.get(value.strip().upper())
        return None

    @classmethod
    def from_string(cls, name: str) -> Self:
        """Find a member by its name, in any case.

        Args:
            name: Name of the member, for example ``"http"``.

        Raises:
            ValueError: There is no such member; the message lists those that exist.
        """
        member = cls.__members__.get(name.strip().upper())
        if member is None:
            raise ValueError(f'{name!r} is not one of {", ".join(cls.__members__)}')
        return member

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        return format(self.name, spec)


class PollingType(NamedEnum):
    """Which shards get a request."""

    ANY = 1
    ALL = 2
    ALL_ASYNC = 3


class FlowBuildLevel(NamedEnum):
    """How far a Flow is built."""

    EMPTY = 0
    GRAPH = 1
    RUNNING = 2


class DockerNetworkMode(NamedEnum):
    """Network of a container."""

    AUTO = 0
    HOST = 1
    BRIDGE = 2
    NONE = 3


class ProtocolType(NamedEnum):
    """Protocol that a server speaks to its clients."""

    GRPC = 0
    HTTP = 1
    WEBSOCKET = 2


class PodRoleType(NamedEnum):
    """What a pod does in its Deployment."""

    HEAD = 0
    WORKER = 1
    GATEWAY = 2


class DeploymentRoleType(NamedEnum):
    """What a Deployment does in its Flow."""

    DEPLOYMENT = 0
    JOIN = 1
    INSPECT = 2
    GATEWAY = 3
    INSPECT_AUX_PASS = 4
    JOIN_INSPECT = 5


class FlowInspectType(NamedEnum):
    """What a Flow does with its inspecting Deployments."""

    HANG = 0
    REMOVE = 1
    COLLECT = 2


class DataInputType(NamedEnum):
    """How a client reads its inputs."""

    AUTO = 0
    DOCUMENT = 1
    CONTENT = 2
    DICT = 3


class ProviderType(NamedEnum):
    """Hosting service whose HTTP conventions a server follows."""

    NONE = 0
    SAGEMAKER = 1
    AZURE = 2


class StandaloneExecutorType(NamedEnum):
    """How an Executor that is exported by itself is used."""

    EXTERNAL = 0
    SHARED = 1
