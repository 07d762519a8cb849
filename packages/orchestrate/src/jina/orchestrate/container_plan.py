"""What a container of an Executor is started with: the arguments of ``docker create``."""

from __future__ import annotations

import os
import shlex
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from jina.core.config import (
    DeploymentOptions,
    ExecutorOptions,
    PodAddress,
    container_arguments,
    default_of,
    refuse_container_options,
)
from jina.core.errors import ConfigError
from jina.core.logging.built_in import BUILT_IN
from jina.core.remote_executor import RemoteExecutor
from jina.orchestrate.docker_options import docker_arguments, gpu_arguments, volume_arguments, volume_targets
from jina.orchestrate.pod_options import replica_options, with_ports

EXECUTOR_PORT: Final = 8080
"""Port of the first protocol in a container; those of others follow it."""
METRICS_PORT: Final = 9090
"""Port for Prometheus in a container."""
START_LABEL: Final = 'jina.start'
"""Label with what all starts of the same pod share."""
_CONFIG_FILE: Final = 'config.yml'
_WORKSPACE: Final = '/app/workspace'
_WORKSPACE_VARIABLE: Final = 'JINA_DEFAULT_WORKSPACE_BASE'
_DEFAULT_WORKSPACE: Final = '~/.cache/jina'
_HOST: Final = 'host.docker.internal'
"""Name of this machine in containers."""
_LOCAL: Final = (None, '', 'localhost', '127.0.0.1', '0.0.0.0')
_REFUSED: Final = {
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
        ContainerPlan.make(one, '127.0.0.1')


@dataclass(frozen=True)
class ContainerPlan:
    """One container.

    Attributes:
        image: Its image.
        options: Options of its Executor.
        host: Address of this machine at which it is reached.
        key: What all starts of the same pod share.
        launcher: Process that it belongs to.
    """

    image: str
    options: DeploymentOptions
    host: str
    key: str
    launcher: int

    @classmethod
    def make(cls, options: DeploymentOptions, host: str) -> ContainerPlan:
        """Returns the plan of a container for an image.

        Args:
            options: Options of its Executor; ``uses`` names the image.
            host: Address of this machine at which it is reached.

        Raises:
            ConfigError: An option is wrong, or a container on this machine can't have it.
        """
        image = image_of(options.uses)
        if image is None:
            raise ConfigError(f'{options.uses!r} names no container image', hint='write docker://<image>[:<tag>]')
        for name, hint in _REFUSED.items():
            if getattr(options, name) != default_of(type(options), name):
                raise ConfigError(f'{options.runtime_name} is a container, which takes no {name}', hint=hint)
        if options.log_config.lower() not in BUILT_IN:
            raise ConfigError(
                f'log_config of {options.runtime_name} is {options.log_config!r}, a file that its container does not have',
                hint=f'give one of {", ".join(BUILT_IN)}',
            )
        if options.ssl_certfile is not None:
            raise ConfigError(
                f'{options.runtime_name} is a container, which does not have the certificate',
                hint='give ssl_certfile to the Flow or Deployment: what stands in front of the container uses it',
            )
        plan = cls(image, options, host, uuid.uuid4().hex[:12], os.getpid())
        plan.create_arguments('check')
        return plan

    def at(self, addresses: Sequence[PodAddress]) -> ContainerPlan:
        """Returns the plan of a container that takes the place of one that was reached at these addresses.

        Args:
            addresses: Those of the protocols.
        """
        return replace(self, options=with_ports(self.options, addresses))

    @property
    def workspace_source(self) -> Path | None:
        """Folder of this machine that is mounted as the workspace; None if there is none."""
        options = self.options
        if options.disable_auto_volume or self._workspace_in_volume() or (options.volumes and not options.workspace):
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
        """Returns the port of this machine for each port of the container; 0 for a free one."""
        options = self.options
        wanted = [*options.port, *([0] * len(options.protocol))]
        found = {EXECUTOR_PORT + index: wanted[index] for index in range(len(options.protocol))}
        if options.monitoring:
            given = options.port_monitoring
            found[METRICS_PORT] = given[options.replica_id] if options.replica_id < len(given) else 0
        return found

    def create_arguments(self, name: str) -> list[str]:
        """Returns the arguments of ``docker create``.

        Args:
            name: Name of the container.
        """
        options = self.options
        words = ['--name', name, '--label', f'{START_LABEL}={self.key}', '--label', f'jina.pod={options.runtime_name}']
        words += ['--label', f'jina.launcher={self.launcher}', '--add-host', f'{_HOST}:host-gateway']
        for inside, outside in self.ports().items():
            words += ['--publish', f'{self.host}:{outside or ""}:{inside}']
        for variable, value in self._environment().items():
            words += ['--env', f'{variable}={value}']
        words += self._volumes()
        if self.workspace_source is not None:
            words += ['--volume', f'{self.workspace_source}:{_WORKSPACE}']
        words += gpu_arguments(options.gpus, options.runtime_name)
        words += docker_arguments(options.docker_kwargs, options.runtime_name)
        command = self._arguments()
        if options.entrypoint:
            program, *before = shlex.split(options.entrypoint)
            words += ['--entrypoint', program]
            command = [*before, 'executor', '--uses', _CONFIG_FILE, *command]
        return [*words, self.image, *command]

    def _environment(self) -> dict[str, str]:
        options = self.options
        found = {name: str(value) for name, value in (options.env or {}).items()}
        found.setdefault('JINA_DEPLOYMENT_NAME', options.runtime_name)
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
        further: dict[str, Any] = {
            'uses': default_of(ExecutorOptions, 'uses'),
            'native': True,
            'port': [EXECUTOR_PORT + index for index in range(len(options.protocol))],
            'port_monitoring': [METRICS_PORT] * (options.replica_id + 1) if options.monitoring else [],
            'log_config': options.log_config,
        }
        if options.workspace is not None and self.workspace_source is None:
            further['workspace'] = options.workspace
        for kind, recorded in (('traces', options.tracing), ('metrics', options.metrics)):
            exporter = f'{kind}_exporter_host'
            if recorded and getattr(options, exporter) in _LOCAL:
                further[exporter] = _HOST
        return container_arguments(options, ExecutorOptions, **further)
