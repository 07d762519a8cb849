"""Options and arguments of containers: those that only containers have, and those that mean nothing inside of one."""

from __future__ import annotations

from typing import Any, Final

from jina.core.config.arguments import to_arguments
from jina.core.config.base import Options, default_of
from jina.core.errors import ConfigError

__all__ = ['CONTAINER_OPTIONS', 'container_arguments', 'refuse_container_options']

_IN_KUBERNETES: Final = 'export to Kubernetes, or set the variable in env'
_IN_CONTAINERS: Final = "give an image (uses='docker://<image>'), or leave it out"
CONTAINER_OPTIONS: Final = {
    'env_from_secret': _IN_KUBERNETES,
    'image_pull_secrets': 'export to Kubernetes, or leave it out',
    'entrypoint': _IN_CONTAINERS,
    'docker_kwargs': _IN_CONTAINERS,
    'volumes': _IN_CONTAINERS,
    'gpus': "give an image (uses='docker://<image>'), or set CUDA_VISIBLE_DEVICES in env",
    'disable_auto_volume': _IN_CONTAINERS,
    'force_network_mode': _IN_CONTAINERS,
}
"""The options, and what to do instead."""
_OUTSIDE: Final = frozenset(
    {
        # belongs to the machine that starts or exports it, or becomes a setting of the container
        *('env', 'workspace', 'extra_search_paths', 'py_modules', 'log_config', 'host', 'reload'),
        *('install_requirements', 'timeout_ready', 'noblock_on_start', 'replicas', 'needs', 'floating', 'when'),
        *('restart', 'volumes', 'disable_auto_volume', 'gpus', 'docker_kwargs', 'entrypoint', 'force_network_mode'),
        *('env_from_secret', 'image_pull_secrets', 'ssl_certfile', 'ssl_keyfile'),
    }
)
"""Options that are not written into the command lines of containers."""


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


def container_arguments(options: Options, kind: type[Options], **further: Any) -> list[str]:
    """The arguments of the command that runs in a container.

    Args:
        options: Options of what runs there; those that belong to the machine around it are left out.
        kind: Model of the options that the command knows.
        further: Options that are written in any case.

    Raises:
        ConfigError: One is secret, and arguments are seen by everybody.
    """
    given = {name: value for name, value in dict(options).items() if name in kind.model_fields and name not in _OUTSIDE}
    defaults = {name: default_of(kind, name) for name in kind.model_fields}
    return to_arguments(kind.model_construct(**{**defaults, **given, **further}))
