"""Docker Compose, Kubernetes and flowchart export of the jina serving framework."""

from jina.export.flowchart import Picture, export_flowchart, picture
from jina.export.graph import DrawnDeployment, FlowGraph
from jina.export.planned import export_docker_compose, export_kubernetes
from jina.export.schema import export_schema

__all__ = [
    'DrawnDeployment',
    'FlowGraph',
    'Picture',
    'export_docker_compose',
    'export_flowchart',
    'export_kubernetes',
    'export_schema',
    'picture',
]
