"""What a picture of a Flow shows, read from its YAML without starting or importing anything."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jina.core.config import split_flow_values
from jina.core.errors import ConfigError
from jina.core.topology import GATEWAY, Node, Topology
from jina.core.yaml import LoadedYaml, load_yaml

__all__ = ['DrawnDeployment', 'FlowGraph']


@dataclass(frozen=True)
class DrawnDeployment:
    """A Deployment in the picture."""

    name: str
    uses: str = 'BaseExecutor'
    """The Executor as a person wrote it: class name, path or image."""
    replicas: int = 1
    external: bool = False
    """It runs elsewhere; ``replicas`` is the number of its addresses."""
    shards: int = 1
    floating: bool = False
    """Declared so; whether it takes effect is for the topology to say."""
    inspecting: bool = False
    """It only looks at what passes by."""


@dataclass(frozen=True)
class FlowGraph:
    """A Flow as a picture shows it.

    Args:
        name: Title of the picture; may be empty.
        topology: How the Deployments follow each other.
        deployments: Each node of ``topology``, in the same order.
    """

    name: str
    topology: Topology
    deployments: tuple[DrawnDeployment, ...]

    @classmethod
    def from_yaml(cls, source: str | os.PathLike[str] | Mapping[str, Any]) -> FlowGraph:
        """Reads the YAML of a Flow.

        Args:
            source: Path, URL or text of the YAML, or what it says as a dict.

        Raises:
            ConfigError: It isn't the YAML of a Flow, or an entry is malformed.
            TopologyError: The Deployments don't form a graph.
        """
        loaded = load_yaml(source)
        if loaded.data.get('jtype', 'Flow') not in ('Flow', 'AsyncFlow'):
            raise ConfigError(
                f'{loaded.where("jtype")}: {loaded.data["jtype"]!r} is not a Flow', hint='give the YAML of a Flow'
            )
        shared = loaded.data.get('with') or {}
        key = 'executors' if 'executors' in loaded.data else 'deployments'
        entries = loaded.data.get(key) or []
        if not isinstance(entries, Sequence) or isinstance(entries, str):
            raise ConfigError(f'{loaded.where(key)}: {entries!r} is not a list of Executors')
        defaults = split_flow_values(shared, where=loaded.where('with')).executors
        strategy = str(shared.get('inspect', 'COLLECT')).upper()
        nodes: list[Node] = []
        drawn: list[DrawnDeployment] = []
        for index, entry in enumerate(entries):
            values = _values(loaded, key, index, entry)
            if values.get('name') == GATEWAY:
                continue
            for node, deployment in _deployments({**defaults, **values}, nodes, drawn, strategy):
                nodes.append(node)
                drawn.append(deployment)
        return cls(str(shared.get('name') or ''), _topology(nodes, drawn, strategy), tuple(drawn))


def _values(loaded: LoadedYaml, key: str, index: int, entry: object) -> dict[str, Any]:
    """The options of one entry: a mapping of options, the YAML of a Deployment, or the path of one."""
    if isinstance(entry, str):
        folder = [loaded.directory] if loaded.directory else []
        path = entry if loaded.url is None else loaded.beside(entry)
        entry = load_yaml(path, extra_search_paths=folder).data
    if not isinstance(entry, Mapping):
        raise ConfigError(
            f'{loaded.where(key, index)}: {entry!r} is not an Executor', hint='write a mapping of options, or a path'
        )
    if 'jtype' in entry:
        needs = {'needs': entry['needs']} if 'needs' in entry else {}
        return {**(entry.get('with') or {}), **needs}
    return dict(entry)


def _deployments(
    values: Mapping[str, Any], before: Sequence[Node], drawn: Sequence[DrawnDeployment], strategy: str
) -> list[tuple[Node, DrawnDeployment]]:
    """Returns what an entry adds: one Deployment, or none if it is removed or has nothing to gather."""
    method = values.get('method')
    inspecting = method == 'inspect' or str(values.get('deployment_role', '')).upper() == 'INSPECT'
    if inspecting and strategy == 'REMOVE':
        return []
    if method == 'gather_inspect' and not _inspected(before, drawn):
        return []
    default = method if method in _DEFAULT_NAMES else None
    name = str(values.get('name') or _DEFAULT_NAMES.get(str(default), f'executor{len(before)}'))
    uses = values.get('uses', 'BaseExecutor')
    if isinstance(uses, Mapping):
        uses = uses.get('jtype', 'BaseExecutor')
    floating, external = bool(values.get('floating', False)), bool(values.get('external', False))
    node = Node(
        name,
        needs=_needs(values, before, drawn),
        floating=floating or inspecting,
        when=values.get('when') or None,
        no_reduce=bool(values.get('no_reduce', values.get('disable_reduce', False))),
    )
    hosts = values.get('host') if external else None
    replicas = len(hosts) if isinstance(hosts, (list, tuple)) else int(values.get('replicas') or 1)
    shards = int(values.get('shards') or 1)
    return [(node, DrawnDeployment(name, str(uses), replicas, external, shards, floating, inspecting))]


_DEFAULT_NAMES = {
    'needs': 'joiner',
    'needs_all': 'joiner',
    'inspect': 'inspect',
    'gather_inspect': 'gather_inspect',
}


def _needs(values: Mapping[str, Any], before: Sequence[Node], drawn: Sequence[DrawnDeployment]) -> tuple[str, ...]:
    """``needs`` as written; else what the method takes, or the last Deployment that isn't floating."""
    needs = values.get('needs')
    if isinstance(needs, str):
        return (needs,)
    if needs:
        return tuple(map(str, needs))
    inspecting = {item.name for item in drawn if item.inspecting}
    standing = [node for node in before if not node.floating and node.name not in inspecting]
    last = standing[-1].name if standing else GATEWAY
    if values.get('method') == 'needs_all':
        needed = {name for node in standing for name in node.needs}
        return tuple(node.name for node in standing if node.name not in needed)
    if values.get('method') == 'gather_inspect':
        return (*_inspected(before, drawn), last)
    return (last,)


def _inspected(before: Sequence[Node], drawn: Sequence[DrawnDeployment]) -> list[str]:
    """Names of inspecting Deployments whose results nobody takes so far."""
    taken = {need for node in before for need in node.needs}
    return [item.name for item in drawn if item.inspecting and item.name not in taken]


def _topology(nodes: Sequence[Node], drawn: Sequence[DrawnDeployment], strategy: str) -> Topology:
    """The graph, with the results of inspecting Deployments merged into the response if they are collected."""
    graph = Topology(nodes)
    collected = _inspected(nodes, drawn) if strategy == 'COLLECT' else []
    return Topology(nodes, outputs=[*graph.outputs, *collected]) if collected else graph
