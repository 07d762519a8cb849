"""The commands that ``jina`` has by itself, without any other distribution."""

from __future__ import annotations

from jina.core.cli.command import Command
from jina.core.cli.completion import run_completion
from jina.core.cli.lookup import run_help
from jina.core.cli.project import run_new
from jina.core.config import CompletionOptions, HelpOptions, NewOptions

HELP = Command('help', 'Look up a command or an option', HelpOptions, run_help)
COMPLETION = Command('completion', 'Print the completion script of a shell', CompletionOptions, run_completion)
NEW = Command('new', 'Make the files of a new project', NewOptions, run_new)
