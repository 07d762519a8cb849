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
    """It runs elsewhere, so its replicas aren't known."""


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
    def from_yaml(cls, source: str | os.PathLike[str]) -> FlowGraph:
        """Reads the YAML of a Flow.

        Args:
            source: Path or text of the YAML.

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
        nodes: list[Node] = []
        drawn: list[DrawnDeployment] = []
        for index, entry in enumerate(entries):
            values = _values(loaded, key, index, entry)
            if values.get('name') == GATEWAY:
                continue
            node, deployment = _deployment({**defaults, **values}, nodes)
            nodes.append(node)
            drawn.append(deployment)
        return cls(str(shared.get('name', '')), Topology(nodes), tuple(drawn))


def _values(loaded: LoadedYaml, key: str, index: int, entry: object) -> dict[str, Any]:
    """The options of one entry: a mapping of options, the YAML of a Deployment, or the path of one."""
    if isinstance(entry, str):
        folder = [loaded.directory] if loaded.directory else []
        entry = load_yaml(entry, extra_search_paths=folder).data
    if not isinstance(entry, Mapping):
        raise ConfigError(
            f'{loaded.where(key, index)}: {entry!r} is not an Executor', hint='write a mapping of options, or a path'
        )
    if 'jtype' in entry:
        needs = {'needs': entry['needs']} if 'needs' in entry else {}
        return {**(entry.get('with') or {}), **needs}
    return dict(entry)


def _deployment(values: Mapping[str, Any], before: Sequence[Node]) -> tuple[Node, DrawnDeployment]:
    name = str(values.get('name') or f'executor{len(before)}')
    uses = values.get('uses', 'BaseExecutor')
    if isinstance(uses, Mapping):
        uses = uses.get('jtype', 'BaseExecutor')
    node = Node(
        name,
        needs=_needs(values, before),
        floating=bool(values.get('floating', False)),
        when=values.get('when'),
        no_reduce=bool(values.get('no_reduce', values.get('disable_reduce', False))),
    )
    replicas, external = int(values.get('replicas') or 1), bool(values.get('external', False))
    return node, DrawnDeployment(name, str(uses), replicas, external)


def _needs(values: Mapping[str, Any], before: Sequence[Node]) -> tuple[str, ...]:
    """``needs`` as written; else all open ends for ``needs_all``, else the last Deployment that isn't floating."""
    needs = values.get('needs')
    if isinstance(needs, str):
        return (needs,)
    if needs:
        return tuple(map(str, needs))
    standing = [node for node in before if not node.floating]
    if values.get('method') == 'needs_all':
        needed = {name for node in standing for name in node.needs}
        return tuple(node.name for node in standing if node.name not in needed)
    return (standing[-1].name,) if standing else (GATEWAY,)
