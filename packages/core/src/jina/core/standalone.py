"""An Executor class that is served, exported or fetched by itself, without a Deployment in the user's code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jina.core.enums import StandaloneExecutorType
from jina.core.errors import ConfigError, NotSupportedError
from jina.core.remote_executor import RemoteExecutor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ['StandaloneMixin']


class StandaloneMixin:
    """``serve``, ``to_kubernetes_yaml``, ``to_docker_compose_yaml`` and ``from_hub`` of an Executor class."""

    @classmethod
    def serve(
        cls,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, str] | None = None,
        stop_event: Any = None,
        uses_dynamic_batching: Mapping[str, Any] | None = None,
        reload: bool = False,
        **kwargs: Any,
    ) -> None:
        """Serves this class until the program is interrupted, or until an event.

        Args:
            uses_with: Arguments of its ``__init__``.
            uses_metas: Values of its ``metas``.
            uses_requests: Endpoint to method name; overrides the decorators.
            stop_event: A ``threading.Event`` or ``multiprocessing.Event`` that ends it.
            uses_dynamic_batching: Endpoint or method to its batching settings.
            reload: Follow changes of its source files.
            kwargs: Further options of a Deployment, for example ``port``, ``protocol`` and ``replicas``.

        Raises:
            MissingExtraError: ``jina-orchestrate`` isn't installed.
            ConfigError: An option doesn't exist or has a wrong value.
            StartupError: It failed to start.
        """
        deployment = _deployment(
            uses=cls,
            uses_with=uses_with,
            uses_metas=uses_metas,
            uses_requests=uses_requests,
            uses_dynamic_batching=uses_dynamic_batching,
            reload=reload,
            **kwargs,
        )
        deployment.run(stop_event)

    @staticmethod
    def to_kubernetes_yaml(
        uses: str,
        output_base_path: str | os.PathLike[str],
        k8s_namespace: str | None = None,
        executor_type: StandaloneExecutorType | str = StandaloneExecutorType.EXTERNAL,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Writes Kubernetes manifests for an Executor in a container.

        Args:
            uses: Its image.
            output_base_path: Folder that they are written to.
            k8s_namespace: Namespace of the objects.
            executor_type: EXTERNAL puts a gateway in front of it; SHARED is for Flows alone and has none.
            uses_with: Arguments of its ``__init__``.
            uses_metas: Values of its ``metas``.
            uses_requests: Endpoint to method name; overrides the decorators.
            kwargs: Further options of a Deployment, for example ``replicas``.

        Raises:
            MissingExtraError: ``jina-orchestrate`` isn't installed.
            ConfigError: An option doesn't exist or has a wrong value.
            NotSupportedError: There is no such exporter.
        """
        deployment = _deployment(
            uses=uses,
            uses_with=uses_with,
            uses_metas=uses_metas,
            uses_requests=uses_requests,
            **_with_gateway(executor_type, kwargs),
        )
        deployment.to_kubernetes_yaml(output_base_path, k8s_namespace=k8s_namespace)

    to_k8s_yaml = to_kubernetes_yaml

    @staticmethod
    def to_docker_compose_yaml(
        uses: str,
        output_path: str | os.PathLike[str] | None = None,
        network_name: str | None = None,
        executor_type: StandaloneExecutorType | str = StandaloneExecutorType.EXTERNAL,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Writes a Docker Compose file for an Executor in a container.

        Args:
            uses: Its image.
            output_path: The file; ``docker-compose.yml`` by default.
            network_name: Name of the network that the services share.
            executor_type: EXTERNAL puts a gateway in front of it; SHARED is for Flows alone and has none.
            uses_with: Arguments of its ``__init__``.
            uses_metas: Values of its ``metas``.
            uses_requests: Endpoint to method name; overrides the decorators.
            kwargs: Further options of a Deployment, for example ``replicas``.

        Raises:
            MissingExtraError: ``jina-orchestrate`` isn't installed.
            ConfigError: An option doesn't exist or has a wrong value.
            NotSupportedError: There is no such exporter.
        """
        deployment = _deployment(
            uses=uses,
            uses_with=uses_with,
            uses_metas=uses_metas,
            uses_requests=uses_requests,
            **_with_gateway(executor_type, kwargs),
        )
        deployment.to_docker_compose_yaml(output_path, network_name=network_name)

    @classmethod
    def from_hub(
        cls,
        uri: str,
        *,
        install_requirements: bool = False,
        force_update: bool = False,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, str] | None = None,
    ) -> Self:
        """Refuses to make an Executor of the hub, a hosted service of the original that this framework doesn't use.

        Args:
            uri: For example ``jinaai://user/Name:tag``.
            install_requirements: Install its requirements first.
            force_update: Fetch it again.
            uses_with: Arguments of its ``__init__``.
            uses_metas: Values of its ``metas``.
            uses_requests: Endpoint to method name; overrides the decorators.

        Raises:
            ConfigError: ``uri`` names no Executor of the hub.
            NotSupportedError: It does.
        """
        remote = RemoteExecutor.parse(uri)
        if remote is None or remote.registry != 'hub':
            raise ConfigError(f'{uri!r} names no Executor of the hub', hint='write jinaai://<user>/<name>[:<tag>]')
        if remote.form == 'image':
            raise NotSupportedError(
                f'{uri!r} is a container image, which can not become an object in this process',
                hint=f'name its source: jinaai://{remote.owner or "<user>"}/{remote.name}:{remote.tag}',
            )
        raise NotSupportedError(
            f'{remote.label} can not be fetched from the hub: this version does not use hosted services',
            hint="download its source and call Executor.load_config('<folder>/config.yml')",
        )


def _deployment(**options: Any) -> Any:
    """A Deployment, from the distribution above this one.

    Raises:
        MissingExtraError: It isn't installed.
    """
    from jina.core.aliases import public_name  # noqa: PLC0415 - the table knows homes in other distributions by name

    deployment: Any = public_name('Deployment')
    return deployment(**options)


def _with_gateway(executor_type: StandaloneExecutorType | str, options: dict[str, Any]) -> dict[str, Any]:
    kind: Any = executor_type
    try:
        kind = StandaloneExecutorType(kind)
    except ValueError:
        known = ' or '.join(StandaloneExecutorType.__members__)
        raise ConfigError(f'executor_type={executor_type!r} is not valid', hint=f'give {known}') from None
    return {'include_gateway': kind is StandaloneExecutorType.EXTERNAL, **options}
