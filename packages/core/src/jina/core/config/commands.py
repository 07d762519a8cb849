"""The options of commands that serve nothing."""

from __future__ import annotations

from typing import ClassVar, Literal

from jina.core.config.base import Options, option
from jina.core.config.values import TextList, Values


class HelpOptions(Options):
    """Options of ``jina help``."""

    owner: ClassVar[str] = 'help'
    command: ClassVar[str] = 'help'

    query: TextList = option(positional=True)
    """A command, an option, or words from its description."""


class CompletionOptions(Options):
    """Options of ``jina completion``."""

    owner: ClassVar[str] = 'completion'
    command: ClassVar[str] = 'completion'

    shell: Literal['bash', 'zsh', 'fish'] = option(positional=True)
    """The shell that the script is for."""


class CheckOptions(Options):
    """Options of ``jina check``."""

    owner: ClassVar[str] = 'check'
    command: ClassVar[str] = 'check'

    paths: TextList = option(positional=True)
    """YAML files of Flows, Deployments, Executors or gateways."""
    context: Values | None = option(None)
    """Values of the variables ``${{ CONTEXT.name }}`` in them."""
    no_import: bool = option(False)
    """Don't import the Python files that they name, and so don't check their classes."""
