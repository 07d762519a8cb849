"""What a distribution registers to add a command to ``jina``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from jina.core.config import Options


class Check(Protocol):
    """Makes options of values."""

    def __call__(self, values: Mapping[str, Any], locate: Callable[[str], str | None] | None = None) -> Options:
        """Make the options.

        Args:
            values: Names and values.
            locate: Gives the place of an option that doesn't stand on the command line; without a place it is a flag.

        Raises:
            ConfigError: An option doesn't exist, or a value is wrong.
        """


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
    prepare: Callable[[dict[str, Any], Check], Any] | None = None
    """Called with the values of the command line and what checks them; ``run`` then gets what it returns instead of the options.

    For a command whose options may stand in a file that one of them names: they are right or wrong only together.
    """


@dataclass(frozen=True)
class CommandGroup:
    """Several commands under one name, as in ``jina export flowchart``, registered like a :class:`Command`."""

    name: str
    """Name on the command line."""
    help: str
    """One sentence on what they do."""
    commands: tuple[Command, ...]
    """The commands."""
    hidden: bool = False
    """Left out of ``jina --help`` unless ``JINA_FULL_CLI`` is set."""

    def find(self, name: str) -> Command | None:
        """Returns the command of a name."""
        return next((command for command in self.commands if command.name == name), None)
