"""Pictures of Flows: SVG and PNG, drawn here, or the text of a Mermaid flowchart."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jina.core.errors import NotSupportedError
from jina.export.graph import FlowGraph
from jina.export.mermaid import mermaid
from jina.export.png import png
from jina.export.scene import Scene, draw
from jina.export.svg import svg

__all__ = ['SUFFIXES', 'Picture', 'export_flowchart', 'picture']

_MERMAID = ('.mmd', '.mermaid', '.txt', '.md')
SUFFIXES = ('.svg', '.png', *_MERMAID)
"""Kinds of files that can be written; ``.md`` puts the text of the Mermaid flowchart into a fenced block."""


@dataclass(frozen=True)
class Picture:
    """The picture of a Flow.

    Args:
        graph: The Flow.
        vertical_layout: It runs from top to bottom instead of from left to right.
        ends: It shows the way back to the gateway.
    """

    graph: FlowGraph
    vertical_layout: bool = False
    ends: bool = True

    @cached_property
    def scene(self) -> Scene:
        """Shapes and their places."""
        return draw(self.graph, vertical_layout=self.vertical_layout, ends=self.ends)

    @property
    def svg(self) -> str:
        """The picture as SVG."""
        return svg(self.scene)

    @property
    def mermaid(self) -> str:
        """The text of a Mermaid flowchart."""
        return mermaid(self.graph, vertical_layout=self.vertical_layout, ends=self.ends)

    def png(self, scale: float = 2.0) -> bytes:
        """The picture as PNG.

        Args:
            scale: Pixels for each unit of the SVG; a very large picture gets fewer.

        Raises:
            MissingExtraError: Pillow isn't installed.
        """
        return png(self.scene, scale)

    def show(self) -> None:
        """Shows the picture below the cell of a notebook.

        Raises:
            NotSupportedError: This is no notebook.
        """
        notebook = sys.modules.get('IPython')
        if notebook is None or notebook.get_ipython() is None:
            raise NotSupportedError('a picture can be shown in a notebook only', hint='give output, the name of a file')
        importlib.import_module('IPython.display').display(self)

    def _repr_svg_(self) -> str:
        return self.svg


def picture(
    flow: FlowGraph | Mapping[str, Any] | str | os.PathLike[str], *, vertical_layout: bool = False, build: bool = True
) -> Picture:
    """Draws a Flow.

    Args:
        flow: The Flow, or its YAML in any form: path, URL, text or dict.
        vertical_layout: From top to bottom instead of from left to right.
        build: Draw the way back to the gateway.

    Raises:
        ConfigError: The YAML isn't that of a Flow.
        TopologyError: The Executors don't form a graph.
    """
    graph = flow if isinstance(flow, FlowGraph) else FlowGraph.from_yaml(flow)
    return Picture(graph, vertical_layout, build)


def export_flowchart(
    flow: FlowGraph | Mapping[str, Any] | str | os.PathLike[str],
    outpath: str | os.PathLike[str],
    *,
    vertical_layout: bool = False,
    build: bool = True,
) -> Path:
    """Writes the picture of a Flow.

    Args:
        flow: The Flow, or its YAML in any form: path, URL, text or dict.
        outpath: File to write; its suffix is one of ``SUFFIXES``.
        vertical_layout: Draw from top to bottom instead of from left to right.
        build: Draw the way back to the gateway.

    Returns:
        The written file.

    Raises:
        NotSupportedError: The suffix is none of these.
        MissingExtraError: The PNG needs Pillow, which isn't installed.
        ConfigError: The YAML isn't that of a Flow.
        TopologyError: The Executors don't form a graph.
    """
    target = Path(outpath).expanduser()
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise NotSupportedError(
            f'a flowchart can not be written as {target.name!r}',
            hint=f'choose a name that ends with {", ".join(SUFFIXES)}',
        )
    drawn = picture(flow, vertical_layout=vertical_layout, build=build)
    if suffix == '.png':
        target.write_bytes(drawn.png())
    elif suffix == '.svg':
        target.write_text(drawn.svg, encoding='utf-8')
    else:
        text = drawn.mermaid
        target.write_text(f'```mermaid\n{text}```\n' if suffix == '.md' else text, encoding='utf-8')
    return target
