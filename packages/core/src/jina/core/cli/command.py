"""What a distribution registers to add a command to ``jina``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jina.core.config import Options


@dataclass(frozen=True)
class Command:
    """One command of ``jina``, registered as an entry point of the group ``jina.commands``.

    The command's flags are the fields of ``options``; positional arguments are its fields declared with ``positional=True``.
    """

    name: str
    """Name on the command line."""
    help: str
    """One sentence on what it does."""
    options: type[Options]
    """Model of its options."""
    run: Callable[[Any], int]
    """Called with the options; returns the exit status."""
    hidden: bool = False
    """Left out of ``jina --help`` unless ``JINA_FULL_CLI`` is set."""
