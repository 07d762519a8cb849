"""The graph of Executors behind a gateway: validated, described as JSON, compiled to a plan.

Pure Python on purpose: orchestration, gateways and exporters all import it.
"""

from __future__ import annotations

import difflib
import heapq
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from jina.core.conditions import Condition
from jina.core.errors import ConfigError, MissingDeploymentError, TopologyError

__all__ = ['GATEWAY', 'REQUEST', 'Node', 'Plan', 'Step', 'Topology']

GATEWAY: Final = 'gateway'
"""The name by which ``needs`` refers to the request of the client."""
REQUEST: Final = -1
"""The index by which ``Step.sources`` refers to the request of the client."""

_START = 'start-gateway'
_END = 'end-gateway'
_DRAWN_LINES = 40


@dataclass(frozen=True)
class Node:
    """A Deployment in a graph."""

    name: str
    needs: tuple[str, ...] = (GATEWAY,)
    """Names whose results it receives, in the order in which they are merged. Empty means the gateway."""
    floating: bool = False
    """The response doesn't wait for it."""
    when: dict[str, Any] | None = None
    """Filter that a document must pass to reach it."""
    no_reduce: bool = False
    """It gets the results of ``needs`` one by one instead of merged."""


@dataclass(frozen=True)
class Step:
    """A node in a plan."""

    index: int
    """Position in ``Plan.steps``."""
    name: str
    sources: tuple[int, ...]
    """Indices of the steps whose results it receives, in merge order; ``REQUEST`` is the request of the client."""
    when: Condition | None = None
    no_reduce: bool = False


@dataclass(frozen=True)
class Plan:
    """What a gateway does with a request."""

    steps: tuple[Step, ...]
    """In an order in which each step comes after its sources."""
    outputs: tuple[int, ...]
    """Indices of the steps whose merged results are the response. Empty: the request itself is the response."""
    floating: tuple[int, ...]
    """Indices of the steps that the response doesn't wait for."""
    is_chain: bool
    """True if each step's only source is the step before it and the last one gives the response."""

    @property
    def chain(self) -> tuple[str, ...]:
        """Names of the steps in order, if the plan is a chain."""
        return tuple(step.name for step in self.steps) if self.is_chain else ()


class Topology:
    """An acyclic graph of named nodes.

    Args:
        nodes: In the order in which they were added; a node may refer to a later one.
        outputs: Names of the nodes whose results form the response. Default: the last node, in the given order, that is
            not floating and that no other such node needs.

    Raises:
        TopologyError: Two nodes have the same name, a name is reserved, or there is a cycle.
        MissingDeploymentError: A node needs, or ``outputs`` has, a name that doesn't exist.

    Attributes:
        nodes: With ``floating`` as it takes effect. The flag is lifted from nodes that an output needs, and set on nodes
            that no output needs.
        outputs: Names of the nodes whose results form the response.
        hanging: Names of nodes that nothing needs although they were not declared floating.
    """

    GATEWAY: Final = GATEWAY

    def __init__(self, nodes: Iterable[Node], *, outputs: Sequence[str] | None = None) -> None:
        given = [replace(node, needs=tuple(dict.fromkeys(node.needs)) or (GATEWAY,)) for node in nodes]
        _check_names(given, outputs or ())
        self._order = _sorted_names(given)
        by_name = {node.name: node for node in given}
        required = _with_ancestors([node.name for node in given if not node.floating], by_name)
        needed = {need for name in required for need in by_name[name].needs}
        leaves = [node.name for node in given if node.name in required and node.name not in needed]
        self.outputs = tuple(dict.fromkeys(leaves[-1:] if outputs is None else outputs))
        alive = _with_ancestors(self.outputs, by_name)
        self.hanging = tuple(name for name in leaves if name not in alive)
        self.nodes = tuple(replace(node, floating=node.name not in alive) for node in given)

    @classmethod
    def from_description(
        cls,
        description: Mapping[str, Sequence[str]],
        conditions: Mapping[str, dict[str, Any]] | None = None,
        no_reduce: Iterable[str] = (),
        merge_order: Mapping[str, Sequence[str]] | None = None,
    ) -> Topology:
        """Builds the graph that ``description()`` describes.

        Args:
            description: For each node, and for ``start-gateway``, the names that receive its results; ``end-gateway`` marks
                the results that form the response.
            conditions: Filters by node name.
            no_reduce: Names of nodes that get the results of what they need one by one.
            merge_order: What ``merge_order()`` gives.

        Raises:
            TopologyError: The graph is invalid.
            MissingDeploymentError: ``conditions``, ``no_reduce`` or ``merge_order`` have a name that the graph doesn't have.
        """
        needs: dict[str, list[str]] = {name: [] for name in description if name not in (_START, _END)}
        outputs = []
        for source, targets in description.items():
            for target in targets:
                if target == _END:
                    outputs.append(source)
                else:
                    needs.setdefault(target, []).append(GATEWAY if source == _START else source)
        conditions, unreduced, order = conditions or {}, frozenset(no_reduce), merge_order or {}
        merged = {**needs, _END: [name for name in outputs if name != _START]}
        for what, names in (('condition', conditions), ('no_reduce', unreduced), ('merge order', order)):
            for name in names:
                if name not in (merged if names is order else needs):
                    raise MissingDeploymentError(
                        f'{what} for {name!r}, which the graph does not have', hint=_nearest(name, needs)
                    )
        for name, given in order.items():
            if sorted(given) != sorted(merged[name]):
                raise TopologyError(
                    f'the merge order of {name!r} is {", ".join(map(repr, given))}',
                    hint=f'give {", ".join(map(repr, merged[name]))} in another order',
                )
            merged[name] = list(given)
        outputs = merged.pop(_END)
        lost = [name for name, sources in needs.items() if not sources]
        if lost:
            drawn = [Node(name, tuple(sources)) for name, sources in needs.items()]
            raise TopologyError(
                f'nothing leads to {", ".join(map(repr, lost))}',
                hint=f'let the gateway or a Deployment send results there:\n{_draw(drawn, outputs)}',
            )
        nodes = (
            Node(name, tuple(sources), when=conditions.get(name), no_reduce=name in unreduced)
            for name, sources in merged.items()
        )
        return cls(nodes, outputs=outputs)

    def description(self) -> dict[str, list[str]]:
        """Returns the graph as plain JSON data, as a gateway takes it (``--graph-description``).

        An empty graph gives an empty dict. The order of the keys keeps the order of ``needs``, except where two nodes need
        the same names in different orders; for these there is ``merge_order()``.
        """
        targets: dict[str, list[str]] = {GATEWAY: [], **{node.name: [] for node in self.nodes}}
        for node in self.nodes:
            for need in node.needs:
                targets[need].append(node.name)
        for name in self.outputs:
            targets[name].append(_END)
        if not self.nodes:
            return {}
        return {_START if name == GATEWAY else name: targets[name] for name in self._key_order()}

    def merge_order(self) -> dict[str, list[str]]:
        """Returns the ``needs`` of those nodes whose order ``description()`` can't tell; ``end-gateway`` is the response."""
        position = {name: index for index, name in enumerate(self._key_order())}
        return {
            name: list(needs)
            for name, needs in self._merges()
            if any(position[first] > position[second] for first, second in itertools.pairwise(needs))
        }

    def _merges(self) -> list[tuple[str, tuple[str, ...]]]:
        return [*((node.name, node.needs) for node in self.nodes), (_END, self.outputs)]

    def _key_order(self) -> list[str]:
        """Returns all names so that, where possible, each comes after those that precede it in a ``needs``."""
        names = [GATEWAY, *(node.name for node in self.nodes)]
        before: dict[str, list[str]] = {name: [] for name in names}
        for _, needs in self._merges():
            for first, second in itertools.pairwise(needs):
                before[second].append(first)
        placed, blocked = _topological(names, before)
        return placed + blocked

    def compile(self) -> Plan:
        """Returns the plan that a gateway walks for each request.

        Raises:
            ConfigError: A filter makes no sense.
        """
        by_name = {node.name: node for node in self.nodes}
        index = {name: position for position, name in enumerate(self._order)} | {GATEWAY: REQUEST}
        steps = tuple(
            Step(
                index=index[name],
                name=name,
                sources=tuple(index[need] for need in by_name[name].needs),
                when=_condition(by_name[name]),
                no_reduce=by_name[name].no_reduce,
            )
            for name in self._order
        )
        outputs = tuple(index[name] for name in self.outputs)
        return Plan(
            steps=steps,
            outputs=outputs,
            floating=tuple(index[node.name] for node in self.nodes if node.floating),
            is_chain=outputs == (len(steps) - 1,) and all(step.sources == (step.index - 1,) for step in steps),
        )

    def __str__(self) -> str:
        return _draw(self.nodes, self.outputs)

    def __repr__(self) -> str:
        return f'<Topology {self.description()}>'


def _condition(node: Node) -> Condition | None:
    try:
        return Condition(node.when) if node.when else None
    except ConfigError as error:
        raise ConfigError(f'the filter of Deployment {node.name!r}: {error}') from None


def _check_names(nodes: Sequence[Node], outputs: Sequence[str]) -> None:
    known: set[str] = set()
    for node in nodes:
        if node.name in (GATEWAY, _START, _END) or not node.name:
            raise TopologyError(f'a Deployment can not be named {node.name!r}', hint='choose another name')
        if node.name in known:
            raise TopologyError(f'two Deployments are named {node.name!r}', hint=f'rename one of them:\n{_draw(nodes)}')
        known.add(node.name)
    for node in nodes:
        if node.name in node.needs:
            raise TopologyError(f'Deployment {node.name!r} needs itself', hint=f'correct its needs:\n{_draw(nodes)}')
        for need in node.needs:
            if need != GATEWAY and need not in known:
                raise MissingDeploymentError(
                    f'Deployment {node.name!r} needs {need!r}, which does not exist',
                    hint=f'{_nearest(need, [*(known - {node.name}), GATEWAY])}:\n{_draw(nodes)}',
                )
    for name in outputs:
        if name not in known:
            raise MissingDeploymentError(f'output {name!r} does not exist', hint=_nearest(name, known))


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    return f'did you mean {close[0]!r}?' if close else f'there are {", ".join(map(repr, names)) or "none"}'


def _sorted_names(nodes: Sequence[Node]) -> list[str]:
    """Returns the names so that each comes after those it needs, otherwise in the given order."""
    placed, blocked = _topological(
        [node.name for node in nodes],
        {node.name: [need for need in node.needs if need != GATEWAY] for node in nodes},
    )
    if blocked:
        cycle = _find_cycle({node.name: node for node in nodes}, blocked)
        raise TopologyError(
            f'the Deployments need each other in a circle: {" → ".join(cycle)}',
            hint=f'remove one of these needs:\n{_draw(nodes)}',
        )
    return placed


def _topological(names: Sequence[str], before: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Sorts names so that each comes after those in ``before``; returns the sorted ones and those caught in a cycle."""
    position = {name: index for index, name in enumerate(names)}
    waiting = {name: len(before[name]) for name in names}
    after: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        for other in before[name]:
            after[other].append(name)
    ready = [position[name] for name in names if not waiting[name]]
    placed = []
    while ready:
        name = names[heapq.heappop(ready)]
        placed.append(name)
        for other in after[name]:
            waiting[other] -= 1
            if not waiting[other]:
                heapq.heappush(ready, position[other])
    return placed, [name for name in names if waiting[name]]


def _find_cycle(by_name: Mapping[str, Node], blocked: Sequence[str]) -> list[str]:
    """Returns a cycle in the direction of the data, its first name repeated at the end."""
    caught = frozenset(blocked)
    path: list[str] = []
    name = blocked[0]
    while name not in path:
        path.append(name)
        name = next(need for need in by_name[name].needs if need in caught)
    cycle = [name, *reversed(path[path.index(name) :])]
    return cycle


def _with_ancestors(names: Iterable[str], by_name: Mapping[str, Node]) -> set[str]:
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in found and name != GATEWAY:
            found.add(name)
            pending.extend(by_name[name].needs)
    return found


def _draw(nodes: Sequence[Node], outputs: Sequence[str] = ()) -> str:
    """Returns one line per source: ``    a ─→ b, c``."""
    known = {node.name for node in nodes}
    targets: dict[str, list[str]] = {GATEWAY: [], **{node.name: [] for node in nodes}}
    for node in nodes:
        for need in node.needs:
            targets.setdefault(need, []).append(node.name)
    for name in outputs:
        targets[name].append('response')
    if not nodes:
        targets[GATEWAY].append('response')
    lines = [
        f'    {name}{"" if name in known or name == GATEWAY else " (missing)"} ─→ {", ".join(receivers)}'
        for name, receivers in targets.items()
        if receivers
    ]
    if len(lines) > _DRAWN_LINES:
        lines[_DRAWN_LINES:] = [f'    … {len(lines) - _DRAWN_LINES} more']
    return '\n'.join(lines)
