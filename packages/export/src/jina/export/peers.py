"""The replicas of stateful Executors in Kubernetes: names that stay, a number for each, and nodes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jina.export.workloads import PEER_PORT

__all__ = ['INDEX_ARGUMENTS', 'INDEX_VARIABLE', 'affinity', 'majority', 'peer_address', 'peers_name', 'service_spec']

INDEX_VARIABLE: Final = {
    'name': 'K8S_POD_INDEX',
    # which Kubernetes gives to the pods of a StatefulSet, from 1.28 on
    'valueFrom': {'fieldRef': {'fieldPath': "metadata.labels['apps.kubernetes.io/pod-index']"}},
}
"""The number of a pod, from 0 on."""
INDEX_ARGUMENTS: Final = ('--replica-id', '$(K8S_POD_INDEX)')
"""Tells a replica its number; all pods of a StatefulSet have the same arguments."""


def peers_name(workload: str) -> str:
    """The Service that gives each replica a name. It isn't that of the callers: they are to find replicas that are ready alone.

    Args:
        workload: Name of the workload.
    """
    return f'{workload}-peers'


def peer_address(workload: str, number: int, namespace: str) -> str:
    """Where the other replicas find one.

    Args:
        workload: Name of the workload.
        number: Number of the replica.
        namespace: Namespace of the workload.
    """
    return f'{workload}-{number}.{peers_name(workload)}.{namespace}.svc:{PEER_PORT}'


def service_spec(selector: Mapping[str, str]) -> dict[str, Any]:
    """What the Service for the replicas is. A replica is ready when it has agreed with the others, so they need its name before.

    Args:
        selector: Labels of the pods.
    """
    return {
        'type': 'ClusterIP',
        'clusterIP': 'None',
        'publishNotReadyAddresses': True,
        'selector': dict(selector),
        'ports': [{'name': 'peers', 'port': PEER_PORT, 'targetPort': PEER_PORT, 'protocol': 'TCP'}],
    }


def majority(replicas: int) -> int:
    """How many replicas have to be there for a write."""
    return replicas // 2 + 1


def affinity(selector: Mapping[str, str]) -> dict[str, Any]:
    """Spreads replicas over nodes where there are enough of them: with one node not more than one should go.

    Args:
        selector: Labels of the pods.
    """
    term = {'labelSelector': {'matchLabels': dict(selector)}, 'topologyKey': 'kubernetes.io/hostname'}
    wish = {'weight': 100, 'podAffinityTerm': term}
    return {'podAntiAffinity': {'preferredDuringSchedulingIgnoredDuringExecution': [wish]}}
