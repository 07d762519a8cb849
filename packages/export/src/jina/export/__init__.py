"""Docker Compose, Kubernetes and flowchart export of the jina serving framework."""

from jina.export.compose import compose_document, export_docker_compose
from jina.export.disks import Storage
from jina.export.dockerfile import dockerfile, export_dockerfile
from jina.export.flowchart import Picture, export_flowchart, picture
from jina.export.graph import DrawnDeployment, FlowGraph
from jina.export.hosting import hosting_settings
from jina.export.kubernetes import Autoscale, KubernetesSettings, export_kubernetes, manifests
from jina.export.schema import export_schema

__all__ = [
    'Autoscale',
    'DrawnDeployment',
    'FlowGraph',
    'KubernetesSettings',
    'Picture',
    'Storage',
    'compose_document',
    'dockerfile',
    'export_docker_compose',
    'export_dockerfile',
    'export_flowchart',
    'export_kubernetes',
    'export_schema',
    'hosting_settings',
    'manifests',
    'picture',
]
