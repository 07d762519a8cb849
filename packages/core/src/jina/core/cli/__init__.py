"""The ``jina`` command: a shell around the commands that installed distributions bring."""

from jina.core.cli.command import Command, CommandGroup

__all__ = ['Command', 'CommandGroup']
