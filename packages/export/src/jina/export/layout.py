"""Where the boxes of a graph stand and how its lines run: a layered layout, made here so that pictures need no web service.

The steps are Sugiyama's: boxes are put into layers so that every line goes forward, lines over several layers get a bend
in each, the order within each layer is chosen for few crossings, and positions are chosen for straight lines.
Coordinates: ``main`` is the direction of the data, ``cross`` the other one.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ['Layout', 'lay_out']

_GAP: Final = 26.0
"""Least distance of neighbours in a layer."""
_LINE_GAP: Final = 12.0
"""The same beside a line that passes."""
_LAYER_GAP: Final = 58.0
"""Least distance of two layers."""
_STEEP: Final = 0.12
"""A layer's distance grows with its longest slope, so that lines don't become too steep."""
_WIDEST_GAP: Final = 150.0
_ORDER_ROUNDS: Final = 12
_PLACE_ROUNDS: Final = 16
_STRAIGHTEN_ROUNDS: Final = 3
_STRAIGHT: Final = {0: 1.0, 1: 3.0, 2: 10.0}
"""How much a line wants to be straight, by the number of its ends that are bends."""

Name = str
Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """A finished layout."""

    centres: dict[Name, Point]
    """``main`` and ``cross`` of each box."""
    lines: dict[tuple[Name, Name], list[tuple[Point, Point]]]
    """Each line as the stretches in which it is level, one in each layer: it bends between layers only, and so meets no box."""
    size: Point
    """Extent in both directions, from 0."""


@dataclass
class _Item:
    """A box, or a bend of a line, in a layer."""

    key: str
    main: float
    cross: float
    bend: bool
    centre: float = 0.0
    place: float = 0.0


def lay_out(sizes: Mapping[Name, Point], edges: Sequence[tuple[Name, Name]]) -> Layout:
    """Lays out an acyclic graph.

    Args:
        sizes: Extent of each box in ``main`` and ``cross``, in the preferred order.
        edges: From where to where the lines go.
    """
    ranks = _ranks(list(sizes), edges)
    layers, chains = _layers(sizes, edges, ranks)
    links = [(first, second) for chain in chains.values() for first, second in itertools.pairwise(chain)]
    _order(layers, links)
    _place(layers, links)
    _straighten(layers, chains.values())
    spans = _spans(layers, links)
    low = min((item.centre - item.cross / 2 for layer in layers for item in layer), default=0.0)
    high = max((item.centre + item.cross / 2 for layer in layers for item in layer), default=0.0)
    for layer in layers:
        for item in layer:
            item.centre -= low
    found = {item.key: (item, rank) for rank, layer in enumerate(layers) for item in layer}
    centres = {
        name: ((spans[found[name][1]][0] + spans[found[name][1]][1]) / 2, found[name][0].centre) for name in sizes
    }
    lines = {}
    for (start, end), chain in chains.items():
        stretches = []
        for key in chain:
            item, rank = found[key]
            middle, (left, right) = sum(spans[rank]) / 2, spans[rank]
            if key == start:
                left = middle + item.main / 2
            elif key == end:
                right = middle - item.main / 2
            stretches.append(((left, item.centre), (right, item.centre)))
        lines[start, end] = stretches
    return Layout(centres, lines, (spans[-1][1] if spans else 0.0, high - low))


def _ranks(names: Sequence[Name], edges: Sequence[tuple[Name, Name]]) -> dict[Name, int]:
    """Returns the layer of each box: one behind the last of those that lead to it."""
    before: dict[Name, list[Name]] = {name: [] for name in names}
    after: dict[Name, list[Name]] = {name: [] for name in names}
    for first, second in edges:
        before[second].append(first)
        after[first].append(second)
    waiting = {name: len(before[name]) for name in names}
    ranks: dict[Name, int] = {}
    ready = [name for name in names if not waiting[name]]
    for name in ready:
        ranks[name] = max((ranks[other] + 1 for other in before[name]), default=0)
        for other in after[name]:
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    return ranks


def _layers(
    sizes: Mapping[Name, Point], edges: Sequence[tuple[Name, Name]], ranks: Mapping[Name, int]
) -> tuple[list[list[_Item]], dict[tuple[Name, Name], list[str]]]:
    """Returns the layers, and for each line the keys of the boxes and bends that it consists of."""
    layers: list[list[_Item]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for name, (main, cross) in sizes.items():
        layers[ranks[name]].append(_Item(name, main, cross, bend=False))
    chains = {}
    for start, end in edges:
        chain = [start]
        for rank in range(ranks[start] + 1, ranks[end]):
            chain.append(f'{start}\n{end}\n{rank}')
            layers[rank].append(_Item(chain[-1], 0.0, 0.0, bend=True))
        chains[start, end] = [*chain, end]
    return layers, chains


def _neighbours(links: Sequence[tuple[str, str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for first, second in links:
        after.setdefault(first, []).append(second)
        before.setdefault(second, []).append(first)
    return before, after


def _order(layers: list[list[_Item]], links: Sequence[tuple[str, str]]) -> None:
    """Orders the layers, each by the mean place of its neighbours, back and forth, and keeps the best found."""
    before, after = _neighbours(links)
    items = {item.key: item for layer in layers for item in layer}

    def number(layer: list[_Item]) -> None:
        for place, item in enumerate(layer):
            item.place = place

    for layer in layers:
        number(layer)
    best = [list(layer) for layer in layers]
    fewest = _crossings(layers, after, items)
    for turn in range(_ORDER_ROUNDS):
        if not fewest:
            break
        near = before if turn % 2 == 0 else after
        for layer in layers[1:] if turn % 2 == 0 else layers[-2::-1]:
            means = {
                item.key: _mean([items[other].place for other in near.get(item.key, ())], item.place) for item in layer
            }
            layer.sort(key=lambda item: means[item.key])
            number(layer)
        count = _crossings(layers, after, items)
        if count < fewest:
            fewest, best = count, [list(layer) for layer in layers]
    layers[:] = best


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _crossings(layers: Sequence[Sequence[_Item]], after: Mapping[str, list[str]], items: Mapping[str, _Item]) -> int:
    total = 0
    for layer in layers:
        ends: list[float] = []
        for item in layer:
            places = sorted(items[other].place for other in after.get(item.key, ()))
            total += sum(len(ends) - bisect.bisect_right(ends, place) for place in places)
            for place in places:
                bisect.insort(ends, place)
    return total


def _place(layers: Sequence[Sequence[_Item]], links: Sequence[tuple[str, str]]) -> None:
    """Moves each layer to where its lines are as straight as the distances allow, back and forth."""
    before, after = _neighbours(links)
    items = {item.key: item for layer in layers for item in layer}
    for layer in layers:
        _settle(layer, [(0.0, 1.0)] * len(layer))
    for turn in range(_PLACE_ROUNDS):
        sides = (before, after) if turn >= _PLACE_ROUNDS - 2 else (before,) if turn % 2 == 0 else (after,)
        for layer in layers if turn % 2 == 0 else reversed(layers):
            wishes = []
            for item in layer:
                near = [items[other] for side in sides for other in side.get(item.key, ())]
                weights = [_STRAIGHT[item.bend + other.bend] for other in near]
                weight = sum(weights)
                wish = sum(w * other.centre for w, other in zip(weights, near, strict=True))
                wishes.append((wish / weight, weight) if weight else (item.centre, 0.01))
            _settle(layer, wishes)


def _settle(layer: Sequence[_Item], wishes: Sequence[tuple[float, float]]) -> None:
    """Gives each item the position nearest to its wish (least squares) that keeps order and distances."""
    offsets = [0.0]
    for first, second in itertools.pairwise(layer):
        gap = _LINE_GAP if first.bend or second.bend else _GAP
        offsets.append(offsets[-1] + first.cross / 2 + gap + second.cross / 2)
    # Without the distances, what is left is an order: blocks that would overtake each other are joined at their mean.
    blocks: list[tuple[float, float, int]] = []
    for (wish, weight), offset in zip(wishes, offsets, strict=False):
        block = (wish - offset, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            value, other, count = blocks.pop()
            total = other + block[1]
            block = ((value * other + block[0] * block[1]) / total, total, count + block[2])
        blocks.append(block)
    position = 0
    for value, _, count in blocks:
        for _ in range(count):
            layer[position].centre = value + offsets[position]
            position += 1


def _straighten(layers: Sequence[Sequence[_Item]], chains: Collection[Sequence[str]]) -> None:
    """Puts all bends of a line on one level, if there is room."""
    items = {item.key: item for layer in layers for item in layer}
    above = {second.key: first for layer in layers for first, second in itertools.pairwise(layer)}
    below = {first.key: second for layer in layers for first, second in itertools.pairwise(layer)}

    def low(key: str) -> float:
        near = above.get(key)
        return -math.inf if near is None else near.centre + near.cross / 2 + _LINE_GAP

    def high(key: str) -> float:
        near = below.get(key)
        return math.inf if near is None else near.centre - near.cross / 2 - _LINE_GAP

    for _ in range(_STRAIGHTEN_ROUNDS):
        for chain in chains:
            bends = chain[1:-1]
            if len(bends) < 2:
                continue
            lowest, highest = max(map(low, bends)), min(map(high, bends))
            if lowest <= highest:
                level = statistics.median(items[key].centre for key in bends)
                for key in bends:
                    items[key].centre = min(max(level, lowest), highest)


def _spans(layers: Sequence[Sequence[_Item]], links: Sequence[tuple[str, str]]) -> list[tuple[float, float]]:
    """Returns where each layer begins and ends in ``main``."""
    items = {item.key: item for layer in layers for item in layer}
    rank_of = {item.key: rank for rank, layer in enumerate(layers) for item in layer}
    slopes = [0.0] * len(layers)
    for first, second in links:
        slope = abs(items[first].centre - items[second].centre)
        slopes[rank_of[first]] = max(slopes[rank_of[first]], slope)
    spans, position = [], 0.0
    for layer, slope in zip(layers, slopes, strict=True):
        width = max(item.main for item in layer)
        spans.append((position, position + width))
        position += width + min(_WIDEST_GAP, _LAYER_GAP + _STEEP * slope)
    return spans
