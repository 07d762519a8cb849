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


class HubNewOptions(Options):
    """Options of ``jina hub new``."""

    owner: ClassVar[str] = 'hub new'
    command: ClassVar[str] = 'hub new'

    name: str | None = option(None)
    """Name of the Executor's class. Without it, the command asks for whatever no flag gives."""
    path: str | None = option(None)
    """Folder that is made. Default: one with the name of the Executor, in the working directory."""
    advance_configuration: bool = option(False)
    """Ask for a description, keywords, a URL and a Dockerfile too."""
    description: str | None = option(None)
    """What the Executor does, for its ``metas``."""
    keywords: TextList | None = option(None)
    """Words that help to find it, for its ``metas``."""
    url: str | None = option(None)
    """Where to read more about it, for its ``metas``."""
    dockerfile: Literal['cpu', 'tf-gpu', 'torch-gpu', 'jax-gpu'] | None = option(None)
    """Write a Dockerfile too. With one for a GPU, ``requirements.txt`` names TensorFlow, PyTorch or JAX with CUDA."""
