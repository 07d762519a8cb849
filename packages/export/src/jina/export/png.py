"""A scene as PNG, drawn by Pillow from the same shapes as the SVG."""

from __future__ import annotations

import io
import itertools
import math
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from jina.core.errors import MissingExtraError
from jina.export.scene import LINE, Box, Line, Scene, Text

if TYPE_CHECKING:
    from jina.export.layout import Point
    from PIL.ImageDraw import ImageDraw

__all__ = ['png']

_SMOOTH: Final = 2
"""Everything is drawn so many times larger and reduced, because Pillow's lines and boxes have hard edges."""
_LARGEST: Final = 60_000_000
"""Pixels of the drawing; larger pictures are drawn in a smaller scale."""
_OTHER_FONTS: Final = ('NotoSansCJK-Regular.ttc', 'DejaVuSans.ttf', 'Arial Unicode.ttf', 'arial.ttf', 'msyh.ttc')
"""Tried for characters that Pillow's own font doesn't have."""


def png(scene: Scene, scale: float = 2.0) -> bytes:
    """Returns a scene as PNG.

    Args:
        scene: The scene.
        scale: Pixels for each of its units.

    Raises:
        MissingExtraError: Pillow isn't installed.
    """
    try:
        from PIL import Image, ImageDraw  # noqa: PLC0415 - optional
    except ImportError:
        raise MissingExtraError('the writer of PNG files', install='jina-export[png]') from None
    scale = min(scale, math.sqrt(_LARGEST / (scene.width * scene.height)) / _SMOOTH)
    factor = scale * _SMOOTH
    image = Image.new('RGB', (math.ceil(scene.width * factor), math.ceil(scene.height * factor)), '#ffffff')
    brush = _Brush(ImageDraw.Draw(image), factor)
    for shape in scene.shapes:
        brush.draw(shape)
    size = max(1, round(scene.width * scale)), max(1, round(scene.height * scale))
    file = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(file, 'PNG', optimize=True)
    return file.getvalue()


class _Brush:
    """Draws shapes on a canvas that is ``factor`` times larger than the scene."""

    def __init__(self, canvas: ImageDraw, factor: float) -> None:
        self._canvas = canvas
        self._factor = factor
        self._width = max(1, round(1.5 * factor))

    def draw(self, shape: Box | Line | Text) -> None:
        if isinstance(shape, Box):
            self._box(shape)
        elif isinstance(shape, Line):
            self._line(shape)
        else:
            self._text(shape)

    def _box(self, box: Box) -> None:
        f = self._factor
        corners = (box.left * f, box.top * f, (box.left + box.width) * f, (box.top + box.height) * f)
        self._canvas.rounded_rectangle(
            corners, box.radius * f, box.fill, None if box.dashed else box.stroke, 0 if box.dashed else self._width
        )
        if box.dashed:
            self._stroke(_outline(box), box.stroke, dashed=True)

    def _line(self, line: Line) -> None:
        points = [point for curve in line.curves for point in _flat(*curve)]
        (x, y), (tip_x, tip_y) = line.curves[-1][2:]
        if (x, y) == (tip_x, tip_y):
            x, y = line.curves[-1][0]
        angle = math.atan2(tip_y - y, tip_x - x)
        end = tip_x - 5 * math.cos(angle), tip_y - 5 * math.sin(angle)
        self._stroke([*(p for p in points if math.dist(p, points[-1]) > 5), end], LINE, line.dashed)
        wings = [
            (
                tip_x - 10 * math.cos(angle) + side * 4 * math.sin(angle),
                tip_y - 10 * math.sin(angle) - side * 4 * math.cos(angle),
            )
            for side in (1, -1)
        ]
        self._canvas.polygon([self._at(point) for point in ((tip_x, tip_y), *wings)], fill=LINE)

    def _stroke(self, points: list[Point], colour: str, dashed: bool = False) -> None:
        for part in _dashes(points, 6.0, 4.0) if dashed else [points]:
            self._canvas.line([self._at(point) for point in part], colour, self._width, joint='curve')

    def _text(self, text: Text) -> None:
        font = _font(round(text.size * self._factor), text.text.isascii() or _is_latin(text.text))
        self._canvas.text(
            self._at((text.x, text.y)),
            text.text,
            fill=text.colour,
            font=font,
            anchor='ms' if text.centred else 'ls',
            stroke_width=max(1, round(self._factor * 0.22)) if text.bold else 0,
        )

    def _at(self, point: Point) -> Point:
        return point[0] * self._factor, point[1] * self._factor


@cache
def _font(size: int, latin: bool) -> Any:
    from PIL import ImageFont  # noqa: PLC0415 - optional

    for name in () if latin else _OTHER_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _is_latin(text: str) -> bool:
    return all(ord(character) < 0x180 or character in '…×→' for character in text)


def _flat(start: Point, first: Point, second: Point, end: Point) -> list[Point]:
    """Returns points on a cubic curve."""
    if start == first or start[0] == end[0] or start[1] == end[1]:
        return [start, end]
    points = []
    for step in range(33):
        t = step / 32
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        points.append(
            (
                a * start[0] + b * first[0] + c * second[0] + d * end[0],
                a * start[1] + b * first[1] + c * second[1] + d * end[1],
            )
        )
    return points


def _outline(box: Box) -> list[Point]:
    """Returns points around a rectangle with round corners."""
    left, top, right, bottom = box.left, box.top, box.left + box.width, box.top + box.height
    radius = box.radius
    corners = [
        (right - radius, top + radius, -90),
        (right - radius, bottom - radius, 0),
        (left + radius, bottom - radius, 90),
        (left + radius, top + radius, 180),
    ]
    points = [
        (x + radius * math.cos(math.radians(start + turn)), y + radius * math.sin(math.radians(start + turn)))
        for x, y, start in corners
        for turn in range(0, 91, 15)
    ]
    return [*points, points[0]]


def _dashes(points: list[Point], on: float, off: float) -> list[list[Point]]:
    """Cuts a line into dashes."""
    parts: list[list[Point]] = []
    current, left, drawing = [points[0]], on, True
    for start, end in itertools.pairwise(points):
        length = math.dist(start, end)
        done = 0.0
        while length - done > left:
            done += left
            point = (start[0] + (end[0] - start[0]) * done / length, start[1] + (end[1] - start[1]) * done / length)
            if drawing:
                parts.append([*current, point])
            drawing = not drawing
            current, left = [point], on if drawing else off
        left -= length - done
        current.append(end)
    if drawing and len(current) > 1:
        parts.append(current)
    return parts
