"""Pictures of a Flow, drawn by ``jina-export``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jina.core.errors import JinaError
from jina.orchestrate.export import run_exporter

if TYPE_CHECKING:
    from jina.orchestrate.deployment import Deployment
    from typing_extensions import Self


class PictureMixin:
    """``plot``, and what a notebook shows."""

    if TYPE_CHECKING:  # what a Flow has

        @property
        def deployments(self) -> list[Deployment]: ...

        def to_config(self) -> dict[str, Any]: ...

        def _copy(self) -> Self: ...

    def plot(
        self,
        output: str | os.PathLike[str] | None = None,
        vertical_layout: bool = False,
        inline_display: bool = False,
        build: bool = True,
        copy_flow: bool = True,
    ) -> Self:
        """Draw the Executors and their connections. Nothing is started, and no web service is asked.

        Args:
            output: File that is written; its suffix says how: ``.svg``, ``.png``, or ``.mmd`` for the text of a Mermaid
                flowchart. Default: ``flow.svg``, or no file with ``inline_display``.
            vertical_layout: Draw from top to bottom instead of from left to right.
            inline_display: Show the picture in the notebook.
            build: Draw the way back to the gateway too, as it is when the Flow starts. Without it the ends are left open.
            copy_flow: Return a copy instead of this Flow.

        Returns:
            A Flow; in a notebook it shows itself.

        Raises:
            NotSupportedError: No exporter is installed, or it can't write this kind of file.
            MissingExtraError: The PNG needs a package that isn't installed.
            TopologyError: The graph is invalid.
        """
        document, how = self._picture_document(), {'vertical_layout': vertical_layout, 'build': build}
        if output is not None or not inline_display:
            run_exporter('flowchart', document, output or 'flow.svg', **how)
        if inline_display:
            run_exporter('picture', document, **how).show()
        return self._copy() if copy_flow else self

    def _repr_svg_(self) -> str | None:
        """The picture that a notebook shows; None if it can't be drawn."""
        try:
            return str(run_exporter('picture', self._picture_document()).svg)
        except JinaError:
            return None

    def _picture_document(self) -> dict[str, Any]:
        """The YAML of the Flow, with the names that a person gave the Executors."""
        document = self.to_config()
        for entry, deployment in zip(document['executors'], self.deployments, strict=True):
            entry['uses'] = deployment.uses
        return document
