"""The command ``jina export``."""

from __future__ import annotations

from typing import ClassVar, Literal

from jina.core.cli import Command
from jina.core.config import (
    ExportComposeOptions,
    ExportFlowchartOptions,
    ExportKubernetesOptions,
    Options,
    option,
)
from jina.export.flowchart import export_flowchart
from jina.export.planned import refuse

__all__ = ['EXPORT', 'ExportCommandOptions']


class _Kind(Options):
    kind: Literal['flowchart', 'kubernetes', 'docker-compose', 'schema'] = option(positional=True)
    """What is written; this version writes flowcharts."""


class ExportCommandOptions(ExportFlowchartOptions, ExportKubernetesOptions, ExportComposeOptions, _Kind):
    """Options of ``jina export``: those of all kinds."""

    owner: ClassVar[str] = 'export'
    command: ClassVar[str] = 'export'


def run_export(options: ExportCommandOptions) -> int:
    """Writes what the command line asks for; returns the exit status."""
    if options.kind != 'flowchart':
        refuse(options.kind)
    written = export_flowchart(options.config_path, options.outpath, vertical_layout=options.vertical_layout)
    print(f'wrote {written}')  # noqa: T201  the command's result
    return 0


EXPORT = Command(
    'export', 'Write flowcharts of Flows (Kubernetes, Docker Compose: later)', ExportCommandOptions, run_export
)
