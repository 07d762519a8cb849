"""Conversions to other orchestrators, found through the entry points ``jina.exporters``."""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING, Any

from jina.core.errors import NotSupportedError

if TYPE_CHECKING:
    from jina.core.logging.logger import JinaLogger

_GROUP = 'jina.exporters'


def run_exporter(name: str, subject: Any, *arguments: Any, **options: Any) -> Any:
    """Call the exporter of a name.

    Args:
        name: ``kubernetes``, ``docker-compose`` or ``flowchart``.
        subject: What is exported: a Deployment, a Flow, or the document of one.
        arguments: For the exporter.
        options: For the exporter.

    Raises:
        NotSupportedError: No installed distribution provides it.
    """
    for entry in importlib.metadata.entry_points(group=_GROUP, name=name):
        return entry.load()(subject, *arguments, **options)
    raise NotSupportedError(
        f'there is no exporter {name!r}',
        hint='run: pip install jina-export',
    )


class ExportMixin:
    """``to_kubernetes_yaml`` and ``to_docker_compose_yaml`` of Deployment and Flow."""

    if TYPE_CHECKING:

        def _log(self) -> JinaLogger: ...

    def to_kubernetes_yaml(
        self,
        output_base_path: str | os.PathLike[str],
        k8s_namespace: str | None = None,
        *,
        kustomize: bool = False,
        settings: Any = None,
    ) -> None:
        """Write Kubernetes manifests.

        Args:
            output_base_path: Folder that they are written to.
            k8s_namespace: Namespace of the objects; ``default`` if none is given.
            kustomize: Write a ``kustomization.yaml`` that lists the files, as a base for overlays.
            settings: A ``jina.export.KubernetesSettings``: balancing, users, scraping, resources, autoscaling and labels.

        Raises:
            NotSupportedError: No exporter is installed.
            ContainerError: An Executor isn't a container image.
            ConfigError: Kubernetes can't have what an option asks for.
        """
        further = {'k8s_namespace': k8s_namespace, 'kustomize': kustomize, 'settings': settings}
        run_exporter('kubernetes', self, output_base_path, **further)
        self._log().info(
            'K8s yaml files have been created under %s. You can use them by running: kubectl apply %s %s',
            output_base_path,
            '-k' if kustomize else '-R -f',
            output_base_path,
        )

    to_k8s_yaml = to_kubernetes_yaml

    def to_docker_compose_yaml(
        self, output_path: str | os.PathLike[str] | None = None, network_name: str | None = None
    ) -> None:
        """Write a Docker Compose file.

        Args:
            output_path: The file; ``docker-compose.yml`` by default.
            network_name: Name of the network that the services share.

        Raises:
            NotSupportedError: No exporter is installed.
        """
        path = output_path or 'docker-compose.yml'
        run_exporter('docker-compose', self, path, network_name=network_name)
        self._log().info(
            'The Docker Compose file %s has been created. You can use it by running: docker-compose -f %s up',
            path,
            path,
        )
