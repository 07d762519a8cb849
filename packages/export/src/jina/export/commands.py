"""The command ``jina export``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from jina.core.aliases import public_name
from jina.core.cli import Command, CommandGroup
from jina.core.config import (
    ExportComposeOptions,
    ExportDashboardsOptions,
    ExportDockerfileOptions,
    ExportFlowchartOptions,
    ExportKubernetesOptions,
    ExportSchemaOptions,
)
from jina.core.errors import MissingExtraError
from jina.core.yaml import load_yaml
from jina.export.compose import export_docker_compose
from jina.export.dockerfile import export_dockerfile
from jina.export.flowchart import export_flowchart
from jina.export.hosting import hosting_settings
from jina.export.kubernetes import KubernetesSettings, export_kubernetes
from jina.export.schema import export_schema, json_schema

__all__ = ['EXPORT']


def run_flowchart(options: ExportFlowchartOptions) -> int:
    """Writes a picture of a Flow."""
    return _tell([export_flowchart(options.config_path, options.outpath, vertical_layout=options.vertical_layout)])


def run_kubernetes(options: ExportKubernetesOptions) -> int:
    """Writes the manifests of a Flow or Deployment; its ``jcloud`` sections become resources and autoscaling."""
    subject, document = _subject(options.config_path)
    settings = KubernetesSettings(
        namespace=options.k8s_namespace or 'default',
        balance=options.balance,
        nonroot=options.nonroot,
        scrape=options.scrape,
        pre_stop_s=options.pre_stop_s,
        **hosting_settings(document),
    )
    return _tell(export_kubernetes(subject, options.outpath, settings=settings, kustomize=options.kustomize))


def run_docker_compose(options: ExportComposeOptions) -> int:
    """Writes the Compose file of a Flow or Deployment."""
    subject, _ = _subject(options.config_path)
    return _tell([export_docker_compose(subject, options.outpath, network_name=options.network_name)])


def run_dockerfile(options: ExportDockerfileOptions) -> int:
    """Writes a Dockerfile."""
    config = options.config or None
    return _tell([export_dockerfile(options.outpath, kind=options.kind, config=config, base=options.base)])


def run_dashboards(options: ExportDashboardsOptions) -> int:
    """Writes a Grafana dashboard and Prometheus alert rules.

    Raises:
        MissingExtraError: The distribution that has them isn't installed.
    """
    for entry in entry_points(group='jina.exporters', name='dashboards'):
        return _tell(entry.load()(options.outpath))
    raise MissingExtraError('the dashboard', install='jina-telemetry')


def run_schema(options: ExportSchemaOptions) -> int:
    """Writes the JSON Schema of YAML files, or prints it if no file is named."""
    written = export_schema(yaml_path=options.yaml_path, json_path=options.json_path, schema_path=options.schema_path)
    if not written:
        print(json.dumps(json_schema(), indent=2))  # noqa: T201  the command's result
    return _tell(written)


def _subject(path: str) -> tuple[Any, dict[str, Any]]:
    """Loads the Flow or Deployment of a YAML file; returns it with its document."""
    document = load_yaml(path, substitute=False).data
    kind = 'Deployment' if document.get('jtype') == 'Deployment' else 'Flow'
    loaded: Any = public_name(kind)
    return loaded.load_config(path), document


def _tell(paths: Iterable[Path | str]) -> int:
    for path in paths:
        print(f'wrote {path}')  # noqa: T201  the command's result
    return 0


EXPORT = CommandGroup(
    'export',
    'Write files for Kubernetes, Docker Compose and Docker, pictures, dashboards, and the JSON Schema of YAML files',
    (
        Command('flowchart', 'Draw the Executors of a Flow', ExportFlowchartOptions, run_flowchart),
        Command('kubernetes', 'Write Kubernetes manifests', ExportKubernetesOptions, run_kubernetes),
        Command('docker-compose', 'Write a Docker Compose file', ExportComposeOptions, run_docker_compose),
        Command(
            'dockerfile', 'Write a Dockerfile for an Executor or a gateway', ExportDockerfileOptions, run_dockerfile
        ),
        Command(
            'dashboards',
            'Write a Grafana dashboard and Prometheus alert rules',
            ExportDashboardsOptions,
            run_dashboards,
        ),
        Command('schema', 'Write the JSON Schema of YAML files, for editors', ExportSchemaOptions, run_schema),
    ),
)
