"""A Flow as a picture: the text of a Mermaid flowchart, which documentation sites and editors render."""

from __future__ import annotations

import os
from pathlib import Path

from jina.core.errors import NotSupportedError
from jina.core.topology import GATEWAY
from jina.export.graph import DrawnDeployment, FlowGraph

__all__ = ['SUFFIXES', 'export_flowchart', 'flowchart']

SUFFIXES = ('.mmd', '.mermaid', '.txt', '.md')
"""Kinds of files that can be written; ``.md`` puts the text into a fenced block."""
_START, _END = 'gatewaystart', 'gatewayend'
_RESERVED = frozenset({'end', 'graph', 'subgraph', 'flowchart', 'style', 'class', 'click', 'default', _START, _END})
"""Words that Mermaid doesn't take as the id of a node."""


def flowchart(graph: FlowGraph, *, vertical_layout: bool = False) -> str:
    """The Mermaid text of a Flow.

    Args:
        graph: The Flow.
        vertical_layout: Draw from top to bottom instead of from left to right.

    Returns:
        The text, ending with a newline. Filters (``when``) stand on the arrows; a floating Deployment has no arrow to the
        gateway's end, an external one has no replicas.
    """
    lines = [f'flowchart {"TD" if vertical_layout else "LR"}']
    if graph.name:
        lines = ['---', f'title: {_quoted(graph.name)}', '---', *lines]
    for deployment in graph.deployments:
        lines += _box(deployment)
    start, end = f'{_START}(["gateway"]):::GATEWAY', f'{_END}(["gateway"]):::GATEWAY'
    lines += [f'    {start}', f'    {end}']
    for node in graph.topology.nodes:
        label = f'|{_quoted(_condition(node.when))}|' if node.when else ''
        for need in node.needs:
            lines.append(f'    {_START if need == GATEWAY else _identifier(need)} -->{label} {_identifier(node.name)}')
    lines += [f'    {_identifier(name)} --> {_END}' for name in graph.topology.outputs]
    if not graph.deployments:
        lines.append(f'    {_START} --> {_END}')
    lines += [
        '    classDef pod fill:#32C8CD,stroke:#009999,color:#fff',
        '    classDef external fill:#fff,stroke:#009999,stroke-dasharray:4',
        '    classDef GATEWAY fill:#6E7278,stroke:#6E7278,color:#fff',
    ]
    return '\n'.join(lines) + '\n'


def export_flowchart(
    flow: FlowGraph | str | os.PathLike[str], outpath: str | os.PathLike[str], *, vertical_layout: bool = False
) -> Path:
    """Writes the picture of a Flow.

    Args:
        flow: The Flow, or the path or text of its YAML.
        outpath: File to write; its suffix is one of ``SUFFIXES``.
        vertical_layout: Draw from top to bottom instead of from left to right.

    Returns:
        The written file.

    Raises:
        NotSupportedError: The suffix asks for a rendered picture.
        ConfigError: The YAML isn't that of a Flow.
    """
    target = Path(outpath).expanduser()
    if target.suffix not in SUFFIXES:
        raise NotSupportedError(
            f'a flowchart cannot be written as {target.name!r} in this version',
            hint=f'choose a name that ends with {", ".join(SUFFIXES)}; editors and documentation sites render Mermaid',
        )
    text = flowchart(
        flow if isinstance(flow, FlowGraph) else FlowGraph.from_yaml(flow), vertical_layout=vertical_layout
    )
    target.write_text(f'```mermaid\n{text}```\n' if target.suffix == '.md' else text, encoding='utf-8')
    return target


def _box(deployment: DrawnDeployment) -> list[str]:
    """A Deployment with one node per replica; an external one is a single node."""
    identifier = _identifier(deployment.name)
    if deployment.external:
        return [f'    {identifier}[{_quoted(deployment.name)}]:::external']
    pods = [
        f'        {identifier}/rep-{replica}[{_quoted(deployment.uses)}]:::pod'
        for replica in range(deployment.replicas)
    ]
    return [f'    subgraph {identifier} [{_quoted(deployment.name)}]', '        direction LR', *pods, '    end']


def _identifier(name: str) -> str:
    return f'{name}_' if name.lower() in _RESERVED else name


def _condition(when: object) -> str:
    """A filter in the short form in which it is written in YAML's flow style."""
    if isinstance(when, dict):
        return ', '.join(f'{key}: {_condition(value)}' for key, value in when.items())
    if isinstance(when, list):
        return '[' + ', '.join(map(_condition, when)) + ']'
    return str(when)


def _quoted(text: str) -> str:
    """A text in quotes; Mermaid writes a quote inside as an entity."""
    return '"' + text.replace('"', '#quot;').replace('\n', ' ') + '"'
