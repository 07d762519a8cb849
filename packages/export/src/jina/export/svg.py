"""A scene as SVG: one self-contained file, with the texts as texts."""

from __future__ import annotations

from html import escape
from typing import Final

from jina.export.scene import LINE, Box, Line, Scene, Text

__all__ = ['svg']

_FONTS: Final = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


def svg(scene: Scene) -> str:
    """Returns a scene as SVG, ending with a newline."""
    width, height = _number(scene.width), _number(scene.height)
    label = escape(f'The Flow {scene.title}' if scene.title else 'A Flow', quote=True)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{_FONTS}" role="img" aria-label="{label}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        '<defs><marker id="arrow" viewBox="0 0 10 8" refX="9.5" refY="4" markerWidth="10" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L10 4L0 8Z" fill="{LINE}"/></marker></defs>',
        *(_shape(shape) for shape in scene.shapes),
        '</svg>',
    ]
    return '\n'.join(lines) + '\n'


def _shape(shape: Box | Line | Text) -> str:
    if isinstance(shape, Box):
        return (
            f'<rect x="{_number(shape.left)}" y="{_number(shape.top)}" width="{_number(shape.width)}" '
            f'height="{_number(shape.height)}" rx="{_number(shape.radius)}" fill="{shape.fill}" stroke="{shape.stroke}" '
            f'stroke-width="1.5"{_dashes(shape.dashed)}/>'
        )
    if isinstance(shape, Line):
        start = shape.curves[0][0]
        path = f'M{_number(start[0])} {_number(start[1])}' + ''.join(map(_curve, shape.curves))
        return (
            f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="1.5"{_dashes(shape.dashed)} '
            'marker-end="url(#arrow)"/>'
        )
    style = (' font-weight="bold"' if shape.bold else '') + (' text-anchor="middle"' if shape.centred else '')
    title = f'<title>{escape(shape.full)}</title>' if shape.full else ''
    return (
        f'<text x="{_number(shape.x)}" y="{_number(shape.y)}" font-size="{_number(shape.size)}" '
        f'fill="{shape.colour}"{style}>{title}{escape(shape.text)}</text>'
    )


def _curve(curve: tuple[tuple[float, float], ...]) -> str:
    start, first, second, end = curve
    if start[0] == end[0] or start[1] == end[1] or start == first:
        return f'L{_number(end[0])} {_number(end[1])}'
    return 'C' + ' '.join(f'{_number(x)} {_number(y)}' for x, y in (first, second, end))


def _dashes(dashed: bool) -> str:
    return ' stroke-dasharray="6 4"' if dashed else ''


def _number(value: float) -> str:
    return f'{value:.1f}'.removesuffix('.0')
