"""A Flow as a picture: the text of a Mermaid flowchart, which documentation sites and editors render."""

from __future__ import annotations

from jina.core.topology import GATEWAY
from jina.export.graph import DrawnDeployment, FlowGraph
from jina.export.scene import condition_text

__all__ = ['mermaid']

_START, _END = 'gatewaystart', 'gatewayend'
_RESERVED = frozenset({'end', 'graph', 'subgraph', 'flowchart', 'style', 'class', 'click', 'default', _START, _END})
"""Words that Mermaid doesn't take as the id of a node."""


def mermaid(graph: FlowGraph, *, vertical_layout: bool = False, ends: bool = True) -> str:
    """The Mermaid text of a Flow.

    Args:
        graph: The Flow.
        vertical_layout: Draw from top to bottom instead of from left to right.
        ends: Draw the way back to the gateway.

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
    lines += [f'    {start}', f'    {end}'] if ends else [f'    {start}']
    for node in graph.topology.nodes:
        label = f'|{_quoted(condition_text(node.when))}|' if node.when else ''
        for need in node.needs:
            lines.append(f'    {_START if need == GATEWAY else _identifier(need)} -->{label} {_identifier(node.name)}')
    if ends:
        lines += [f'    {_identifier(name)} --> {_END}' for name in graph.topology.outputs]
        if not graph.topology.outputs:
            lines.append(f'    {_START} --> {_END}')
    lines += [
        '    classDef pod fill:#32C8CD,stroke:#009999,color:#fff',
        '    classDef external fill:#fff,stroke:#009999,stroke-dasharray:4',
        '    classDef GATEWAY fill:#6E7278,stroke:#6E7278,color:#fff',
    ]
    return '\n'.join(lines) + '\n'


def _box(deployment: DrawnDeployment) -> list[str]:
    """A Deployment with one node per process; an external one is a single node."""
    identifier = _identifier(deployment.name)
    if deployment.external:
        return [f'    {identifier}[{_quoted(deployment.name)}]:::external']
    shards = [f'/shard-{shard}' for shard in range(deployment.shards)] if deployment.shards > 1 else ['']
    pods = [
        f'        {identifier}{shard}/rep-{replica}[{_quoted(deployment.uses)}]:::pod'
        for shard in shards
        for replica in range(deployment.replicas)
    ]
    return [f'    subgraph {identifier} [{_quoted(deployment.name)}]', '        direction LR', *pods, '    end']


def _identifier(name: str) -> str:
    return f'{name}_' if name.lower() in _RESERVED else name


def _quoted(text: str) -> str:
    """A text in quotes; Mermaid writes a quote inside as an entity."""
    return '"' + text.replace('"', '#quot;').replace('\n', ' ') + '"'
