"""Finding the commands that installed distributions bring, without importing them."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from importlib.metadata import EntryPoint

from jina.core.cli.command import Command, CommandGroup
from jina.core.errors import ConfigError, JinaError, MissingExtraError, NotSupportedError

GROUP = 'jina.commands'
"""Entry point group of the commands."""


@dataclass(frozen=True)
class KnownCommand:
    """What the shell knows about a command of the framework before its distribution is imported."""

    distribution: str
    help: str
    hidden: bool = False


KNOWN = {
    'executor': KnownCommand('jina-runtime', 'Serve an Executor'),
    'deployment': KnownCommand('jina-orchestrate', 'Serve a Deployment: an Executor with its replicas', hidden=True),
    'flow': KnownCommand('jina-orchestrate', 'Serve a Flow: several Executors behind a gateway'),
    'gateway': KnownCommand('jina-runtime', 'Serve a gateway', hidden=True),
    'client': KnownCommand('jina-client', 'Call an endpoint of a server', hidden=True),
    'ping': KnownCommand('jina-client', 'Check whether a server is ready'),
    'dashboard': KnownCommand('jina-client', 'Show a running Flow live on a web page'),
    'check': KnownCommand('jina-orchestrate', 'Check YAML files and show what they describe, without starting it'),
    'new': KnownCommand('jina-core', 'Make the files of a new project'),
    'hub': KnownCommand('jina-export', 'Make the files of a new Executor'),
    'export': KnownCommand(
        'jina-export', 'Write pictures, and files for Docker, Docker Compose, Kubernetes and editors'
    ),
    'help': KnownCommand('jina-core', 'Look up a command or an option'),
    'completion': KnownCommand('jina-core', 'Print the completion script of a shell'),
}
"""Commands of the framework, in the order of the help."""

OWN = {'new': 'NEW', 'help': 'HELP', 'completion': 'COMPLETION'}
"""Commands of the shell itself, and where they are in `jina.core.cli.own`."""

SAME_AS = {'pod': 'executor'}
"""Older names of commands."""

VENDOR = {
    'auth': 'logs in to the hosted services of the original',
    'cloud': 'runs Flows at the hosting service of the original',
    'hub push': 'sends Executors to the hosted registry of the original',
    'hub pull': 'gets Executors from the hosted registry of the original',
    'hub list': 'lists Executors that came from the hosted registry of the original',
    'hub status': 'asks the hosted registry of the original about an Executor',
}
"""Commands of the original that talk to its vendor's hosted services, and what they do there."""
_INSTEAD = {
    'auth': 'nothing here needs an account',
    'cloud': 'run it on your own machines: `jina flow --uses flow.yml`',
    'hub push': 'build an image from the Dockerfile that `jina export dockerfile` writes, and push it to a registry of your own',
    'hub pull': 'give Executors as Python files, YAML files or images; `jina hub new` makes the files of one',
    'hub list': 'give Executors as Python files, YAML files or images; `jina hub new` makes the files of one',
    'hub status': 'give Executors as Python files, YAML files or images; `jina hub new` makes the files of one',
}


def installed() -> dict[str, EntryPoint]:
    """The shell's commands and those that installed distributions bring, by name, not yet imported; those of the framework first."""
    found = {name: EntryPoint(name, f'jina.core.cli.own:{value}', GROUP) for name, value in OWN.items()}
    found |= {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}
    order = [*(name for name in KNOWN if name in found), *sorted(found.keys() - KNOWN.keys())]
    return {name: found[name] for name in order}


def load(entry: EntryPoint) -> Command | CommandGroup:
    """Import a command.

    Raises:
        ConfigError: The entry point doesn't lead to a :class:`Command` or a :class:`CommandGroup`.
    """
    command = entry.load()
    if not isinstance(command, (Command, CommandGroup)):
        raise ConfigError(
            f'the entry point {entry.name} = {entry.value} of group {GROUP} is a {type(command).__name__}',
            hint='it must be a jina.core.cli.Command',
        )
    return command


def summary(name: str, entry: EntryPoint) -> tuple[str, bool]:
    """Help text of a command and whether it is hidden; only foreign commands are imported for it."""
    known = KNOWN.get(name)
    if known is not None:
        return known.help, known.hidden
    command = load(entry)
    return command.help, command.hidden


def absent(name: str) -> JinaError | None:
    """The error for a command of the framework that isn't there, if ``name`` is one."""
    if name in VENDOR:
        return NotSupportedError(
            f'command {name!r} {VENDOR[name]}, which this framework does not use', hint=_INSTEAD[name]
        )
    known = KNOWN.get(name)
    if known is None:
        return None
    try:
        version = importlib.metadata.version(known.distribution)
    except importlib.metadata.PackageNotFoundError:
        return MissingExtraError(f'command {name!r}', install=known.distribution)
    return NotSupportedError(
        f'command {name!r} is not in {known.distribution} {version}', hint='it comes with a later version'
    )
