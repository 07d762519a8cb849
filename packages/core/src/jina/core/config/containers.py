"""Options that only containers have: they are written into exports, and refused where a process is started."""

from __future__ import annotations

from typing import Any, Final

from jina.core.config.base import Options, default_of
from jina.core.errors import ConfigError

__all__ = ['CONTAINER_OPTIONS', 'refuse_container_options']

_IN_KUBERNETES: Final = 'export to Kubernetes, or set the variable in env'
_IN_CONTAINERS: Final = 'export to Docker Compose or Kubernetes, or leave it out'
CONTAINER_OPTIONS: Final = {
    'env_from_secret': _IN_KUBERNETES,
    'image_pull_secrets': 'export to Kubernetes, or leave it out',
    'entrypoint': _IN_CONTAINERS,
    'docker_kwargs': _IN_CONTAINERS,
    'volumes': _IN_CONTAINERS,
    'gpus': 'export it, or set CUDA_VISIBLE_DEVICES in env',
    'disable_auto_volume': _IN_CONTAINERS,
}
"""The options, and what to do instead."""


def refuse_container_options(options: Options) -> None:
    """Checks that a process on this machine isn't asked for what only a container has.

    Args:
        options: Options of a Deployment, an Executor or a gateway.

    Raises:
        ConfigError: It is.
    """
    values: dict[str, Any] = dict(options)
    for name, hint in CONTAINER_OPTIONS.items():
        if name in values and values[name] != default_of(type(options), name):
            raise ConfigError(
                f'option {name!r} of {options.owner} is for containers, and this starts a process', hint=hint
            )
