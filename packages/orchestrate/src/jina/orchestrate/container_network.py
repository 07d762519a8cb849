"""The network of a container: which one it is, and how it and this machine reach each other."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jina.core.enums import DockerNetworkMode
from jina.core.errors import ConfigError

if TYPE_CHECKING:
    from jina.core.config import DeploymentOptions, GatewayOptions

MACHINE: Final = 'host.docker.internal'
"""Name of this machine in containers."""
LOOPBACK: Final = '127.0.0.1'
NETWORK_SETTINGS: Final = ('network', 'network_mode')
"""Entries of ``docker_kwargs`` that name a network."""
_HOST: Final = 'host'
_BRIDGE: Final = 'bridge'
_ANY: Final = ('', '0.0.0.0', '::')
_FORCED: Final = {DockerNetworkMode.HOST: _HOST, DockerNetworkMode.BRIDGE: _BRIDGE, DockerNetworkMode.NONE: 'none'}


@dataclass(frozen=True)
class ContainerNetwork:
    """The network of one container.

    Attributes:
        name: Its name; ``bridge`` is the one that containers of the engine have by themselves.
    """

    name: str

    @classmethod
    def of(cls, options: DeploymentOptions | GatewayOptions) -> ContainerNetwork:
        """Returns the network that ``force_network_mode`` or ``docker_kwargs`` asks for.

        Args:
            options: Options of the container.

        Raises:
            ConfigError: They contradict each other, or nothing could call a container in that network.
        """
        owner = options.runtime_name
        kwargs = options.docker_kwargs or {}
        given = {name: kwargs[name] for name in NETWORK_SETTINGS if kwargs.get(name) is not None}
        mode = options.force_network_mode
        if mode is not DockerNetworkMode.AUTO:
            given['force_network_mode'] = _FORCED[mode]
        if len(set(map(str, given.values()))) > 1:
            both = ' and '.join(f'{name} ({value})' for name, value in given.items())
            raise ConfigError(f'{owner} has several networks: {both}', hint='give only one')
        name = next(iter(given.values()), _BRIDGE)
        if not isinstance(name, str):
            place = next(iter(given))
            raise ConfigError(f'{place!r} in docker_kwargs of {owner} is {name!r}', hint='give the name of a network')
        _refuse_closed(name, owner)
        return cls(_BRIDGE if name in ('', 'default') else name)

    @property
    def is_of_machine(self) -> bool:
        """Whether it is that of this machine, in which nothing is published."""
        return self.name == _HOST

    @property
    def arguments(self) -> list[str]:
        """Arguments of ``docker create``."""
        if self.is_of_machine:
            return ['--network', _HOST]
        known = ['--add-host', f'{MACHINE}:host-gateway']
        return known if self.name == _BRIDGE else [*known, '--network', self.name]

    def seen_inside(self, target: str) -> str:
        """Returns an address of a server as its clients in the container write it.

        Args:
            target: ``host:port`` as this machine writes it, with or without a scheme.
        """
        if self.is_of_machine:
            return target
        scheme, separator, rest = target.rpartition('://')
        host, _, port = rest.rpartition(':')
        inside = host.strip('[]')
        if scheme == 'dns' or not (inside in _ANY or is_loopback(inside)):
            return target
        return f'{scheme}{separator}{MACHINE}:{port}'


def _refuse_closed(name: str, owner: str) -> None:
    if name == 'none':
        raise ConfigError(
            f'{owner} is a container without a network (none), and nothing could call it',
            hint='leave it out, or give the name of a network, bridge or host',
        )
    if name.startswith('container:'):
        raise ConfigError(
            f'{owner} is to share the network of another container ({name}), whose ports are published by that one',
            hint='give the name of a network that both are in',
        )
    if name == _HOST and sys.platform != 'linux':
        raise ConfigError(
            f"{owner} is to have this machine's network (host), and on {sys.platform} containers run in a machine of their own",
            hint='leave it out: ports are published',
        )


def is_loopback(host: str) -> bool:
    """Tells whether only this machine reaches an address.

    Args:
        host: A host without its port.
    """
    return host in ('localhost', '::1') or host.startswith('127.')
