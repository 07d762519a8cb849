"""What a container of an Executor or of a gateway is started with: the arguments of ``docker create``."""

from __future__ import annotations

import os
import shlex
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from jina.core.config import (
    DeploymentOptions,
    ExecutorOptions,
    GatewayOptions,
    PodAddress,
    api_keys_of,
    container_arguments,
    default_of,
    refuse_container_options,
)
from jina.core.config.protection import API_KEY_VARIABLE
from jina.core.errors import ConfigError
from jina.core.logging.built_in import BUILT_IN
from jina.core.remote_executor import RemoteExecutor
from jina.orchestrate.container_network import LOOPBACK, MACHINE, ContainerNetwork
from jina.orchestrate.docker_options import docker_arguments, gpu_arguments, volume_arguments, volume_targets
from jina.orchestrate.pod_options import replica_options, with_ports

FIRST_PORT: Final = 8080
"""Port of the first protocol in a container with a network of its own; those of others follow it."""
METRICS_PORT: Final = 9090
"""Port for Prometheus in such a container."""
START_LABEL: Final = 'jina.start'
"""Label with what all starts of the same pod share."""
_CONFIG_FILE: Final = 'config.yml'
_WORKSPACE: Final = '/app/workspace'
_WORKSPACE_VARIABLE: Final = 'JINA_DEFAULT_WORKSPACE_BASE'
_DEFAULT_WORKSPACE: Final = '~/.cache/jina'
_LOCAL: Final = (None, '', 'localhost', '127.0.0.1', '0.0.0.0')
_TLS_FILES: Final = ('ssl_certfile', 'ssl_keyfile', 'ssl_cafile')
_TLS_FOLDER: Final = '/run/jina'
_REFUSED: Final = {
    'stateful': 'give a class instead of an image, or export to Docker Compose',
    'reload': 'an image does not change; make a new one and restart',
    'py_modules': 'put the modules into the image and name them in its config.yml',
    'install_requirements': 'install the requirements when the image is built',
    'native': 'leave it out, or give a class instead of an image',
    'env_from_secret': 'export to Kubernetes, or set the variable in env',
    'image_pull_secrets': 'export to Kubernetes, or run docker login',
}
"""Options that a container on this machine can't have, and what to do instead."""


def image_of(uses: Any) -> str | None:
    """Returns the image that ``uses`` names by ``docker://``, with its tag; None if it is something else.

    Raises:
        ConfigError: It begins so and names no image.
    """
    remote = RemoteExecutor.parse(uses) if isinstance(uses, str) and '\n' not in uses else None
    return None if remote is None else remote.image


def check_containers(options: DeploymentOptions, *, is_public: bool) -> None:
    """Checks what a Deployment wants of containers, before anything is started.

    Args:
        options: Options of the Deployment.
        is_public: Clients call it, and no gateway of a Flow.

    Raises:
        ConfigError: Processes are asked for what only containers have, or containers for what they can't have.
    """
    images = [image_of(uses) for uses in (options.uses, options.uses_before, options.uses_after)]
    if not any(images):
        refuse_container_options(options)
        return
    if images[0] is None:
        return
    if is_public and not options.include_gateway:
        raise ConfigError(
            f'{options.runtime_name} is a container, and include_gateway is False',
            hint='leave it out: a gateway stands in front of containers',
        )
    for one in replica_options(options, is_public=not is_public and not options.needs_head):
        ContainerPlan.make(one, LOOPBACK)


@dataclass(frozen=True)
class ContainerPlan:
    """One container.

    Attributes:
        image: Its image.
        options: Options of its Executor or gateway.
        host: Address of this machine at which it is reached.
        network: Its network.
        key: What all starts of the same pod share.
        launcher: Process that it belongs to.
        for_containers: Other containers call it: it is reached at the address of this machine that they know.
        api_keys: Keys that clients of a gateway send.
    """

    image: str
    options: DeploymentOptions | GatewayOptions
    host: str
    network: ContainerNetwork
    key: str
    launcher: int
    for_containers: bool = False
    api_keys: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def make(
        cls, options: DeploymentOptions | GatewayOptions, host: str | None = None, *, for_containers: bool = False
    ) -> ContainerPlan:
        """Returns the plan of a container for an image.

        Args:
            options: Options of its Executor or gateway; ``uses`` names the image.
            host: Address of this machine at which it is reached; by default that of the options for a gateway, and for an Executor
                with a ``port``, and else the loopback address.
            for_containers: The gateway that calls it is a container with a network of its own.

        Raises:
            ConfigError: An option is wrong, or a container on this machine can't have it.
        """
        image = image_of(options.uses)
        name = options.runtime_name
        if image is None:
            raise ConfigError(f'{options.uses!r} names no container image', hint='write docker://<image>[:<tag>]')
        for option, hint in _REFUSED.items():
            if option in type(options).model_fields and getattr(options, option) != default_of(type(options), option):
                raise ConfigError(f'{name} is a container, which takes no {option}', hint=hint)
        if options.log_config.lower() not in BUILT_IN:
            raise ConfigError(
                f'log_config of {name} is {options.log_config!r}, a file that its container does not have',
                hint=f'give one of {", ".join(BUILT_IN)}',
            )
        is_gateway = isinstance(options, GatewayOptions)
        if options.ssl_certfile is not None and not is_gateway:
            raise ConfigError(
                f'{name} is a container, which does not have the certificate',
                hint='give ssl_certfile to the Flow or Deployment: what stands in front of the container uses it',
            )
        given = _host_of(options) if is_gateway or any(options.port) else LOOPBACK
        plan = cls(
            image,
            options,
            host or given,
            ContainerNetwork.of(options),
            uuid.uuid4().hex[:12],
            os.getpid(),
            for_containers=for_containers and not any(options.port),
            api_keys=tuple(api_keys_of(options)) if is_gateway else (),
        )
        plan.create_arguments('check')
        return plan

    def at(self, addresses: Sequence[PodAddress]) -> ContainerPlan:
        """Returns the plan of a container that takes the place of one that was reached at these addresses.

        Args:
            addresses: Those of the protocols.
        """
        return replace(self, options=with_ports(self.options, addresses))

    def with_options(self, options: DeploymentOptions | GatewayOptions) -> ContainerPlan:
        """Returns the plan of a container that takes the place of this one with other options."""
        return replace(self, options=options)

    @property
    def is_gateway(self) -> bool:
        """Whether a gateway runs in it."""
        return isinstance(self.options, GatewayOptions)

    @property
    def workspace_source(self) -> Path | None:
        """Folder of this machine that is mounted as the workspace; None if there is none."""
        options = self.options
        if options.disable_auto_volume or self._workspace_in_volume():
            return None
        if not options.workspace and (options.volumes or self.is_gateway):
            return None
        base = options.workspace or os.environ.get(_WORKSPACE_VARIABLE) or _DEFAULT_WORKSPACE
        return Path(base).expanduser().absolute()

    def _workspace_in_volume(self) -> bool:
        """Whether the workspace is a path in one of the volumes."""
        if self.options.workspace is None:
            return False
        workspace = Path(self.options.workspace)
        return any(workspace.is_relative_to(target) for target in volume_targets(self._volumes()))

    def _volumes(self) -> list[str]:
        return volume_arguments(self.options.volumes, self.options.runtime_name)

    def ports(self) -> dict[int, int]:
        """Returns the port of this machine for each port of the container; 0 for a free one.

        In the network of this machine they are the same, and all are known when the container is made.
        """
        if self.network.is_of_machine:
            return {port: port for port in self.wanted_ports}
        inside = [FIRST_PORT + index for index in range(len(self.options.protocol))]
        return dict(zip([*inside, METRICS_PORT], self.wanted_ports, strict=False))

    @property
    def wanted_ports(self) -> list[int]:
        """The port of this machine for each protocol, and the one for Prometheus if it is monitored; 0 for a free one."""
        options = self.options
        count = len(options.protocol)
        wanted = [*options.port, *([0] * count)][:count]
        if options.monitoring:
            given = options.port_monitoring
            wanted.append(given[options.replica_id] if options.replica_id < len(given) else 0)
        return wanted

    def placed(self, host: str, ports: Sequence[int]) -> ContainerPlan:
        """Returns the plan with the address of this machine that was chosen.

        Args:
            host: Where it is reached.
            ports: The ports of its protocols, and the one for Prometheus.
        """
        options = self.options
        count = len(options.protocol)
        changed: dict[str, Any] = {'port': list(ports[:count])}
        if options.monitoring:
            changed['port_monitoring'] = [ports[count]] * (options.replica_id + 1)
        return replace(self, host=host, options=options.model_copy(update=changed))

    def create_arguments(self, name: str) -> list[str]:
        """Returns the arguments of ``docker create``.

        Args:
            name: Name of the container.
        """
        options = self.options
        words = ['--name', name, '--label', f'{START_LABEL}={self.key}', '--label', f'jina.pod={options.runtime_name}']
        words += ['--label', f'jina.launcher={self.launcher}', *self.network.arguments]
        if not self.network.is_of_machine:
            host = f'[{self.host}]' if ':' in self.host else self.host
            for inside, outside in self.ports().items():
                words += ['--publish', f'{host}:{outside or ""}:{inside}']
        for variable, value in self._environment().items():
            words += ['--env', f'{variable}={value}']
        if self.api_keys:
            words += ['--env', API_KEY_VARIABLE]  # without its value, which everybody on the machine would see
        words += self._volumes()
        for option, file in self._tls_files().items():
            words += ['--volume', f'{file}:{_TLS_FOLDER}/{option}.pem:ro']
        if self.workspace_source is not None:
            words += ['--volume', f'{self.workspace_source}:{_WORKSPACE}']
        words += gpu_arguments(options.gpus, options.runtime_name)
        words += docker_arguments(options.docker_kwargs, options.runtime_name)
        command = self._arguments()
        if options.entrypoint:
            program, *before = shlex.split(options.entrypoint)
            words += ['--entrypoint', program]
            command = [*before, 'gateway' if self.is_gateway else 'executor', '--uses', _CONFIG_FILE, *command]
        return [*words, self.image, *command]

    def secrets(self) -> dict[str, str]:
        """Returns the variables that ``docker create`` takes from its own environment."""
        return {API_KEY_VARIABLE: ','.join(self.api_keys)} if self.api_keys else {}

    def _tls_files(self) -> dict[str, Path]:
        found = {name: getattr(self.options, name) for name in _TLS_FILES if self.is_gateway}
        return {name: Path(file).absolute() for name, file in found.items() if file is not None}

    def _environment(self) -> dict[str, str]:
        options = self.options
        found = {name: str(value) for name, value in (options.env or {}).items()}
        found.setdefault('JINA_DEPLOYMENT_NAME', options.runtime_name)
        if self.network.is_of_machine:
            found['JINA_DEFAULT_HOST'] = self.host
        if 'JINA_LOG_LEVEL' in os.environ:
            found.setdefault('JINA_LOG_LEVEL', os.environ['JINA_LOG_LEVEL'])
        if options.quiet:
            found.setdefault('JINA_LOG_CONFIG', 'QUIET')
        if self.workspace_source is not None:
            found.setdefault(_WORKSPACE_VARIABLE, _WORKSPACE)
        return found

    def _arguments(self) -> list[str]:
        """The arguments that follow those of the image's entrypoint."""
        options = self.options
        ports = list(self.ports())
        count = len(options.protocol)
        further: dict[str, Any] = {
            'port': ports[:count],
            'port_monitoring': ports[count:] * (options.replica_id + 1),
            'log_config': options.log_config,
            **{name: f'{_TLS_FOLDER}/{name}.pem' for name in self._tls_files()},
        }
        if options.workspace is not None and self.workspace_source is None:
            further['workspace'] = options.workspace
        for kind, recorded in (('traces', options.tracing), ('metrics', options.metrics)):
            exporter = f'{kind}_exporter_host'
            if recorded and getattr(options, exporter) in _LOCAL and not self.network.is_of_machine:
                further[exporter] = MACHINE
        try:
            if isinstance(options, GatewayOptions):
                return self._gateway_arguments(options, further)
            further |= {'uses': default_of(ExecutorOptions, 'uses'), 'native': True}
            return container_arguments(options, ExecutorOptions, **further)
        except TypeError as error:
            raise ConfigError(
                f'an option of {options.runtime_name} holds a Python object, which its container can not get: {error}',
                hint='give plain values, or set it in the image',
            ) from error

    def _gateway_arguments(self, options: GatewayOptions, further: dict[str, Any]) -> list[str]:
        addresses = {
            name: [self.network.seen_inside(target) for target in targets]
            for name, targets in options.deployments_addresses.items()
        }
        further |= {'uses': None, 'api_key': None, 'api_key_file': None, 'deployments_addresses': addresses}
        found = container_arguments(options, GatewayOptions, **further)
        if '--protocol' in found:
            return found
        return ['--protocol', *map(str, options.protocol), *found]  # of its class and its document would others win


def _host_of(options: DeploymentOptions | GatewayOptions) -> str:
    host = options.host if isinstance(options, GatewayOptions) else options.host[0]
    return LOOPBACK if host == 'localhost' else host.strip('[]')
