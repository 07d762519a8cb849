"""A Flow as shapes with positions, colours and texts; ``svg`` and ``png`` only write them down."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jina.core.topology import GATEWAY
from jina.export.graph import DrawnDeployment, FlowGraph
from jina.export.layout import Point, lay_out

__all__ = ['Box', 'Line', 'Scene', 'Text', 'condition_text', 'draw']

_MARGIN: Final = 20.0
_PAD: Final = 14.0
_TITLE_SIZE: Final = 15.0
_NOTE_SIZE: Final = 12.0
_HEADING_SIZE: Final = 18.0
_LEADING: Final = 1.35
_STACK: Final = 5.0
"""How far the cards of further replicas look out."""
_LONGEST_NOTE: Final = 36
"""Characters of a line; a second one follows, then the text is cut."""
_SHORTEST: Final = 0.5
"""A shorter piece of a line has no direction that an arrow could have."""
_START, _END = '\nstart', '\nend'
"""Names of the gateway's two ends, which no Deployment can have."""

INK: Final = '#12302f'
FAINT: Final = '#51626a'
LINE: Final = '#5f6b73'
_GATEWAY: Final = ('#4a545b', '#4a545b')
_EXECUTOR: Final = ('#e3f5f4', '#0a8f8f')
_FLOATING: Final = ('#fff6e0', '#b7791f')
_EXTERNAL: Final = ('#ffffff', '#5f6b73')


@dataclass(frozen=True)
class Box:
    """A rectangle with round corners."""

    left: float
    top: float
    width: float
    height: float
    radius: float
    fill: str
    stroke: str
    dashed: bool = False


@dataclass(frozen=True)
class Line:
    """An arrow through points, each stretch as the four points of a cubic curve."""

    curves: tuple[tuple[Point, Point, Point, Point], ...]
    dashed: bool = False


@dataclass(frozen=True)
class Text:
    """One line of text, centred on ``x`` or starting there, with its base line at ``y``."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    bold: bool = False
    centred: bool = True
    full: str = ''
    """The whole text, if it was cut."""


@dataclass(frozen=True)
class Scene:
    """A picture; shapes lie upon those before them."""

    width: float
    height: float
    title: str
    shapes: tuple[Box | Line | Text, ...]


@dataclass(frozen=True)
class _Note:
    """A line below the name of a box."""

    text: str
    full: str = ''


@dataclass
class _Card:
    """A box with its texts, before it has a place."""

    fill: str
    stroke: str
    title: str
    notes: list[_Note] = field(default_factory=list)
    dashed: bool = False
    stack: int = 0
    pill: bool = False
    title_colour: str = INK

    @property
    def size(self) -> Point:
        texts = [(self.title, _TITLE_SIZE * 1.06), *((note.text, _NOTE_SIZE) for note in self.notes)]
        width = max(text_width(text, size) for text, size in texts) + 2 * _PAD
        height = _TITLE_SIZE * _LEADING + len(self.notes) * _NOTE_SIZE * _LEADING + 2 * self.pad
        stack = self.stack * _STACK
        return max(width, 84.0) + stack, height + stack

    @property
    def pad(self) -> float:
        """Space above and below the texts."""
        return _PAD * (0.55 if self.pill else 0.8)


def draw(graph: FlowGraph, *, vertical_layout: bool = False, ends: bool = True) -> Scene:
    """Lays a Flow out.

    Args:
        graph: The Flow.
        vertical_layout: From top to bottom instead of from left to right.
        ends: Draw the way back to the gateway.
    """
    cards, edges = _cards(graph, ends=ends)
    sizes = {name: card.size[::-1] if vertical_layout else card.size for name, card in cards.items()}
    layout = lay_out(sizes, list(edges))

    def at(point: Point) -> Point:
        main, cross = point
        x, y = (cross, main) if vertical_layout else (main, cross)
        return x + _MARGIN, y + top

    top = _MARGIN + (_HEADING_SIZE * 1.8 if graph.name else 0.0)
    shapes: list[Box | Line | Text] = []
    for edge, dashed in edges.items():
        shapes.append(_line([(at(a), at(b)) for a, b in layout.lines[edge]], vertical_layout, dashed))
    for name, card in cards.items():
        shapes += _shapes(card, at(layout.centres[name]))
    extent = layout.size[::-1] if vertical_layout else layout.size
    width, height = extent[0] + 2 * _MARGIN, extent[1] + top + _MARGIN
    if graph.name:
        shapes.append(Text(_MARGIN, _MARGIN + _HEADING_SIZE * 0.8, graph.name, _HEADING_SIZE, INK, True, False))
        width = max(width, text_width(graph.name, _HEADING_SIZE * 1.06) + 2 * _MARGIN)
    return Scene(round(width, 1), round(height, 1), graph.name, tuple(shapes))


def _cards(graph: FlowGraph, *, ends: bool) -> tuple[dict[str, _Card], dict[tuple[str, str], bool]]:
    """Returns the boxes, and the lines between them with whether they are dashed."""
    cards = {_START: _Card(*_GATEWAY, title='gateway', pill=True, title_colour='#ffffff')}
    edges: dict[tuple[str, str], bool] = {}
    for deployment, node in zip(graph.deployments, graph.topology.nodes, strict=True):
        floating = deployment.floating and node.floating
        cards[node.name] = _card(deployment, floating, node.when, node.no_reduce and len(node.needs) > 1)
        for need in node.needs:
            edges[_START if need == GATEWAY else need, node.name] = floating or deployment.inspecting
    if ends:
        cards[_END] = _Card(*_GATEWAY, title='gateway', pill=True, title_colour='#ffffff')
        for name in graph.topology.outputs or (_START,):
            edges[name, _END] = any(item.name == name and item.inspecting for item in graph.deployments)
    return cards, edges


def _card(deployment: DrawnDeployment, floating: bool, when: dict[str, Any] | None, no_reduce: bool) -> _Card:
    fill, stroke = _FLOATING if floating or deployment.inspecting else _EXTERNAL if deployment.external else _EXECUTOR
    notes = [] if deployment.external and deployment.uses == 'BaseExecutor' else [deployment.uses]
    parts = [(deployment.shards, 'shard'), (deployment.replicas, 'replica')]
    scale = ' × '.join(f'{number} {what}s' for number, what in parts if number > 1)
    if deployment.external:
        notes.append(f'external, {scale}' if scale else 'external')
    elif scale:
        notes.append(scale)
    notes += [word for word, given in (('floating', floating), ('inspects', deployment.inspecting)) if given]
    if when:
        notes.append(f'when {condition_text(when)}')
    if no_reduce:
        notes.append('no_reduce')
    copies = deployment.shards * deployment.replicas
    return _Card(
        fill,
        stroke,
        title=deployment.name,
        notes=[line for note in notes for line in _wrapped(note)],
        dashed=deployment.external,
        stack=min(2, copies - 1),
    )


def _shapes(card: _Card, centre: Point) -> list[Box | Line | Text]:
    left, top = centre[0] - card.size[0] / 2, centre[1] - card.size[1] / 2
    width, height = card.size[0] - card.stack * _STACK, card.size[1] - card.stack * _STACK
    middle = left + width / 2
    radius = height / 2 if card.pill else 7.0
    shapes: list[Box | Line | Text] = [
        Box(left + shift, top + shift, width, height, radius, card.fill, card.stroke, card.dashed)
        for shift in (_STACK * number for number in range(card.stack, -1, -1))
    ]
    base = top + card.pad + _TITLE_SIZE * 1.02
    shapes.append(Text(middle, base, card.title, _TITLE_SIZE, card.title_colour, bold=True))
    for note in card.notes:
        base += _NOTE_SIZE * _LEADING
        shapes.append(Text(middle, base, note.text, _NOTE_SIZE, FAINT, full=note.full))
    return shapes


def _line(stretches: Sequence[tuple[Point, Point]], vertical: bool, dashed: bool) -> Line:
    """Joins the level stretches of a line by curves that start and end level."""
    pieces = []
    for number, (enter, leave) in enumerate(stretches):
        if number:
            start = stretches[number - 1][1]
            middle = ((start[0] + enter[0]) / 2, (start[1] + enter[1]) / 2)
            if vertical:
                pieces.append((start, (start[0], middle[1]), (enter[0], middle[1]), enter))
            else:
                pieces.append((start, (middle[0], start[1]), (middle[0], enter[1]), enter))
        if math.dist(enter, leave) > _SHORTEST:
            pieces.append((enter, enter, leave, leave))
    return Line(tuple(pieces), dashed)


def condition_text(when: object) -> str:
    """A filter in the short form in which it is written in YAML's flow style."""
    if isinstance(when, dict):
        return ', '.join(f'{key}: {condition_text(value)}' for key, value in when.items())
    if isinstance(when, list):
        return '[' + ', '.join(map(condition_text, when)) + ']'
    return {True: 'true', False: 'false', None: 'null'}[when] if when is None or isinstance(when, bool) else str(when)


def _wrapped(note: str) -> list[_Note]:
    lines = textwrap.wrap(note, _LONGEST_NOTE, max_lines=2, placeholder=' …')
    cut = lines[-1:] and lines[-1].endswith('…')
    return [_Note(line, note if cut else '') for line in lines]


_NARROW: Final = frozenset("!'(),-./:;I[\\]`fijlrt{|} ")
_WIDE: Final = frozenset('%@MWmw—…')


def text_width(text: str, size: float) -> float:
    """Returns about how wide a text becomes in a sans-serif font, rather too much than too little."""
    total = 0.0
    for character in text:
        if unicodedata.east_asian_width(character) in 'WF':
            total += 1.05
        elif character in _NARROW:
            total += 0.39
        elif character in _WIDE:
            total += 0.95
        else:
            total += 0.72 if character.isupper() else 0.61
    return total * size
