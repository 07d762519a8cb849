"""``jina help QUERY``: looks up commands and options by name, or by words of their descriptions."""

from __future__ import annotations

import difflib
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jina.core.cli import discovery, parser
from jina.core.cli.command import Command, CommandGroup
from jina.core.config import description_of, option_info
from jina.core.config.arguments import flag

if TYPE_CHECKING:
    from jina.core.config import HelpOptions, Options

_NEAR = 0.7
_MOST = 12
"""Descriptions of so many entries are shown at most."""


@dataclass
class Entry:
    """A command, or an option with the commands that have it."""

    title: str
    names: tuple[str, ...]
    text: str
    commands: list[str] = field(default_factory=list)


def run_help(options: HelpOptions) -> int:
    """Print what fits a query; the exit status is 1 if nothing does."""
    query = ' '.join(options.query)
    found, exact = look_up(query, list(entries()))
    if not found:
        sys.stderr.write(f'nothing is called {query!r} or described so; `jina --help` lists the commands\n')
        return 1
    if not exact:
        print(f'nothing is called {query!r}; near to it:\n')  # noqa: T201 - the command's result
    print('\n\n'.join(_shown(entry) for entry in found[:_MOST]))  # noqa: T201
    if len(found) > _MOST:
        print(f'\nand {len(found) - _MOST} more: {", ".join(entry.title for entry in found[_MOST:])}')  # noqa: T201
    return 0


def entries() -> Iterator[Entry]:
    """All installed commands, then all their options; an option of several commands with one meaning comes once."""
    commands: list[tuple[str, Command]] = []
    for name, entry in discovery.installed().items():
        loaded = discovery.load(entry)
        yield Entry(f'jina {name}', (name,), loaded.help)
        if isinstance(loaded, CommandGroup):
            for child in loaded.commands:
                yield Entry(f'jina {name} {child.name}', (child.name, f'{name} {child.name}'), child.help)
                commands.append((f'{name} {child.name}', child))
        else:
            commands.append((name, loaded))
    options: dict[tuple[str, str], Entry] = {}
    for name, command in commands:
        for option, text in _options(command.options):
            aliases = option_info(command.options.model_fields[option]).aliases
            title = parser.synopsis(command.options, option)
            entry_of = options.setdefault((title, text), Entry(title, (option, *aliases), text))
            entry_of.commands.append(name)
    yield from options.values()


def _options(model: type[Options]) -> Iterator[tuple[str, str]]:
    for name, declared in model.model_fields.items():
        info = option_info(declared)
        if info.cli and not info.positional:
            text = parser.meaning(model, name)
            yield name, text or description_of(model, name)


def look_up(query: str, known: Sequence[Entry]) -> tuple[list[Entry], bool]:
    """Find entries: those of this name, else those whose name or description has all the words, else those with a similar name.

    Returns:
        The entries, and whether the query itself was found.
    """
    wanted = _plain(query)
    named = [entry for entry in known if wanted in map(_plain, entry.names)]
    if named:
        return named, True
    words = wanted.split()
    inside = [entry for entry in known if words and all(_has(entry, word) for word in words)]
    if inside:
        inside.sort(key=lambda entry: not any(word in _plain(name) for word in words for name in entry.names))
        return inside, True
    some = [(sum(_has(entry, word) for word in words if len(word) > 3), entry) for entry in known]
    most = max((count for count, _ in some), default=0)
    if most and len(words) > 1:
        return [entry for count, entry in some if count == most], False
    scored = [(max(_likeness(wanted, _plain(name)) for name in entry.names), entry) for entry in known]
    near = sorted((pair for pair in scored if pair[0] >= _NEAR), key=lambda pair: -pair[0])
    return [entry for _, entry in near], False


def _likeness(left: str, right: str) -> float:
    return difflib.SequenceMatcher(None, left, right).ratio()


def _has(entry: Entry, word: str) -> bool:
    return any(word in _plain(text) for text in (*entry.names, entry.text))


def _plain(text: str) -> str:
    return text.lower().removeprefix('jina ').strip().removeprefix('--').replace('-', ' ').replace('_', ' ')


def _shown(entry: Entry) -> str:
    where = f'  (jina {", ".join(entry.commands)})' if entry.commands else ''
    also = [flag(name) for name in entry.names[1:]] if entry.commands else []
    text = f'{entry.text.rstrip(".")}.' + (f' Also {", ".join(also)}.' if also else '')
    return f'{entry.title}{where}\n' + textwrap.fill(text, 100, initial_indent='    ', subsequent_indent='    ')
