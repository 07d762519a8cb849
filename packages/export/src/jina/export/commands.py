"""The command ``jina export``."""

from __future__ import annotations

import json
from functools import partial

from jina.core.cli import Command, CommandGroup
from jina.core.config import (
    ExportComposeOptions,
    ExportFlowchartOptions,
    ExportKubernetesOptions,
    ExportOptions,
    ExportSchemaOptions,
)
from jina.export.flowchart import export_flowchart
from jina.export.planned import refuse
from jina.export.schema import export_schema, json_schema

__all__ = ['EXPORT']


def run_flowchart(options: ExportFlowchartOptions) -> int:
    """Writes a picture of a Flow."""
    written = export_flowchart(options.config_path, options.outpath, vertical_layout=options.vertical_layout)
    print(f'wrote {written}')  # noqa: T201  the command's result
    return 0


def run_schema(options: ExportSchemaOptions) -> int:
    """Writes the JSON Schema of YAML files, or prints it if no file is named."""
    written = export_schema(yaml_path=options.yaml_path, json_path=options.json_path, schema_path=options.schema_path)
    print('\n'.join(f'wrote {path}' for path in written) or json.dumps(json_schema(), indent=2))  # noqa: T201
    return 0


def _refuse(kind: str, _options: ExportOptions) -> int:
    refuse(kind)


EXPORT = CommandGroup(
    'export',
    'Write a flowchart, or the JSON Schema of YAML files',
    (
        Command('flowchart', 'Draw the Executors of a Flow', ExportFlowchartOptions, run_flowchart),
        Command(
            'kubernetes',
            'Write Kubernetes manifests (in a later version)',
            ExportKubernetesOptions,
            partial(_refuse, 'kubernetes'),
        ),
        Command(
            'docker-compose',
            'Write a Docker Compose file (in a later version)',
            ExportComposeOptions,
            partial(_refuse, 'docker-compose'),
        ),
        Command('schema', 'Write the JSON Schema of YAML files, for editors', ExportSchemaOptions, run_schema),
    ),
)
