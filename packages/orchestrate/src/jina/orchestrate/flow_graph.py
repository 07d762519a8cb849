"""The graph that the Deployments of a Flow form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jina.core.enums import DeploymentRoleType, FlowInspectType
from jina.core.errors import MissingDeploymentError, TopologyError
from jina.core.topology import GATEWAY, Node, Topology
from jina.orchestrate.deployment import Deployment


def topology_of(deployments: Sequence[Deployment], inspect: FlowInspectType) -> Topology:
    """The graph of a Flow.

    Args:
        deployments: In the order in which they were added.
        inspect: What becomes of the results of inspecting Deployments: HANG leaves them alone, COLLECT merges them with
            the response.

    Raises:
        TopologyError: Two have the same name, there is a cycle, or several predecessors can't be given one by one.
        MissingDeploymentError: A ``needs`` names an Executor that doesn't exist.
    """
    nodes = [_node(deployment) for deployment in deployments]
    inspecting = [deployment.name for deployment in deployments if is_inspecting(deployment)]
    hanging = [replace(node, floating=True) if node.name in inspecting else node for node in nodes]
    graph = Topology(hanging)
    if inspect is FlowInspectType.COLLECT:
        taken = {need for node in nodes if node.name not in inspecting for need in node.needs}
        collected = [name for name in inspecting if name not in taken]
        if collected:
            graph = Topology(hanging, outputs=[*graph.outputs, *collected])
    for deployment in deployments:
        if deployment.external and deployment.options.no_reduce and len(set(deployment.needs)) > 1:
            raise TopologyError(
                f'the external Deployment {deployment.name!r} has no_reduce, and needs several others',
                hint=f'leave out no_reduce: an external Executor gets merged results only:\n{graph}',
            )
    return graph


def check_added(deployments: Sequence[Deployment], added: Deployment) -> None:
    """Check what can be known when a Deployment is added; a ``needs`` may name one that comes later.

    Raises:
        TopologyError: The name is taken already, or it closes a cycle.
    """
    mentioned = any(deployment.name == added.name or added.name in deployment.needs for deployment in deployments)
    if not mentioned and added.name not in added.needs:
        return
    try:
        Topology([_node(deployment) for deployment in (*deployments, added)])
    except MissingDeploymentError:
        return


def last_name(deployments: Sequence[Deployment]) -> str:
    """Name of the one that the next one needs by default: the last that doesn't stand aside."""
    for deployment in reversed(deployments):
        if not deployment.options.floating and not is_inspecting(deployment):
            return deployment.name
    return GATEWAY


def open_ends(deployments: Sequence[Deployment]) -> list[str]:
    """Names of those whose results nobody takes so far, in the order in which they were added."""
    standing = [deployment for deployment in deployments if not deployment.options.floating]
    taken = {need for deployment in standing for need in deployment.needs if not is_inspecting(deployment)}
    return [
        deployment.name for deployment in standing if deployment.name not in taken and not is_inspecting(deployment)
    ]


def open_inspections(deployments: Sequence[Deployment]) -> list[str]:
    """Names of inspecting Deployments whose results nobody takes so far."""
    taken = {need for deployment in deployments for need in deployment.needs}
    return [deployment.name for deployment in deployments if is_inspecting(deployment) and deployment.name not in taken]


def is_inspecting(deployment: Deployment) -> bool:
    """Whether it only looks at what passes by."""
    return deployment.options.deployment_role is DeploymentRoleType.INSPECT


def _node(deployment: Deployment) -> Node:
    return Node(
        name=deployment.name,
        needs=tuple(deployment.needs),
        floating=deployment.options.floating,
        when=deployment.options.when,
        no_reduce=deployment.options.no_reduce,
    )
