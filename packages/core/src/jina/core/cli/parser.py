"""Command-line parsers made from the option models."""

from __future__ import annotations

import argparse
import textwrap
import types
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from jina.core.cli import discovery
from jina.core.cli.command import Command
from jina.core.config import OptionInfo, Options, build, default_of, option_info
from jina.core.config.arguments import flag
from jina.core.config.build import nearest
from jina.core.environment import full_cli
from jina.core.version import __version__

_OWN_GROUP = 'options'


class Parsed(NamedTuple):
    """A read command line."""

    values: dict[str, Any]
    """Values of the options that were given."""
    unknown: list[str]
    """Arguments that the command doesn't know."""


def add_options(parser: argparse.ArgumentParser, model: type[Options]) -> None:
    """Add the options of ``model`` to a parser: positional arguments, and flags in groups by theme."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for title, name, field in sorted(_themes(model), key=lambda item: item[0] != _OWN_GROUP):
        info = option_info(field)
        if not info.cli:
            continue
        if info.positional:
            parser.add_argument(name, help=_help(model, name, field, info), **_positional(field.annotation))
            continue
        group = groups.get(title)
        if group is None:
            group = groups[title] = parser.add_argument_group(title)
        names = [flag(name), *map(flag, info.aliases)]
        group.add_argument(
            *names,
            dest=name,
            default=argparse.SUPPRESS,
            help=_help(model, name, field, info),
            **_action(field.annotation),
        )


def command_parser(command: Command, *, prog: str = 'jina') -> argparse.ArgumentParser:
    """The parser of one command."""
    parser = argparse.ArgumentParser(
        prog=f'{prog} {command.name}', description=command.help, allow_abbrev=False, formatter_class=_HelpFormatter
    )
    add_options(parser, command.options)
    return parser


def main_parser() -> argparse.ArgumentParser:
    """One parser with all installed commands, for the generated reference and for shell completion."""
    parser = argparse.ArgumentParser(prog='jina', allow_abbrev=False, formatter_class=_HelpFormatter)
    parser.add_argument('-v', '--version', action='version', version=__version__, help='print the version')
    commands = parser.add_subparsers(dest='cli', title='commands', metavar='COMMAND')
    for name, entry in discovery.installed().items():
        command = discovery.load(entry)
        child = commands.add_parser(
            name, help=command.help, description=command.help, allow_abbrev=False, formatter_class=_HelpFormatter
        )
        add_options(child, command.options)
    return parser


def read(command: Command, arguments: Sequence[str], *, prog: str = 'jina') -> Parsed:
    """Read the arguments behind the name of a command. Flags may be spelled with underscores too."""
    values, unknown = command_parser(command, prog=prog).parse_known_args([_dashes(text) for text in arguments])
    return Parsed(vars(values), unknown)


def options_of(command: Command, parsed: Parsed, *, prog: str = 'jina') -> Options:
    """Make the command's options from a read command line.

    Raises:
        ConfigError: A value is wrong, or an option is not available in this version.
    """
    positional = {name for name, field in command.options.model_fields.items() if option_info(field).positional}

    def spell(name: str) -> str:
        return name if name in positional else flag(name)

    return build(command.options, parsed.values, where=f'{prog} {command.name}:', spell=spell)


def unknown_warnings(command: Command, unknown: Sequence[str], *, prog: str = 'jina') -> list[str]:
    """One line for each argument that the command doesn't know; the values of unknown flags go with their flags."""
    flags = [flag(name) for name in (*command.options.model_fields, *command.options.aliases())]
    lines: list[str] = []
    after_flag = False
    for text in unknown:
        is_flag = text.startswith('-')
        if is_flag or not after_flag:
            match = nearest(text.split('=')[0], flags) if is_flag else None
            suggestion = f'; did you mean {match!r}?' if match else ''
            lines.append(f'warning: {prog} {command.name}: {text!r} is not known and ignored{suggestion}')
        after_flag = is_flag
    return lines


class _HelpFormatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


def _dashes(text: str) -> str:
    if not text.startswith('--'):
        return text
    name, equals, value = text.partition('=')
    return name.replace('_', '-') + equals + value


def _themes(model: type[Options]) -> Iterator[tuple[str, str, FieldInfo]]:
    """Title of the group, name and field of each option. The group is the class that declares the option."""
    for name, field in model.model_fields.items():
        owner = next(base for base in model.__mro__ if name in vars(base).get('__annotations__', {}))
        own = owner is model or not owner.__doc__
        yield _OWN_GROUP if own else (owner.__doc__ or '').splitlines()[0].rstrip('.'), name, field


def _help(model: type[Options], name: str, field: FieldInfo, info: OptionInfo) -> str:
    if (info.hidden or info.planned or info.unsupported) and not full_cli():
        return argparse.SUPPRESS
    text = ' '.join(textwrap.dedent(field.description or '').split()).replace('``', '')
    default = default_of(model, name)
    if default not in (..., None, False, [], {}, ''):
        text += f' (default: {_default_text(default)})'
    if info.planned:
        text += f' [not available in this version; comes with {info.planned}]'
    elif info.unsupported:
        text += f' [not available: {info.unsupported}]'
    return text.replace('%', '%%')


def _default_text(value: object) -> str:
    if isinstance(value, list):
        return ' '.join(map(_default_text, value))
    return value.name if isinstance(value, Enum) else str(value)


def _positional(annotation: Any) -> dict[str, Any]:
    kind = _bare(annotation)
    if get_origin(kind) is Literal:
        return {'metavar': '|'.join(map(str, get_args(kind)))}
    return {}


def _action(annotation: Any) -> dict[str, Any]:
    """How argparse reads an option. All texts stay texts: the model converts them, as it does for YAML."""
    kind = _bare(annotation)
    origin = get_origin(kind) or kind
    if kind is bool:
        return {'action': 'store_true'}
    if origin is dict:
        return {'action': 'extend', 'nargs': '+', 'metavar': 'KEY: VALUE'}
    if origin is list:
        (item,) = get_args(kind)
        return {'action': 'extend', 'nargs': '+', 'metavar': _metavar(_bare(item))}
    return {'metavar': _metavar(kind)}


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return '|'.join(map(str, get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return '|'.join(kind.__members__)
    return 'INT' if kind is int else 'TEXT'


def _bare(annotation: Any) -> Any:
    """The type without ``Annotated`` and ``None``; the first member of what remains of a union."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _bare(get_args(annotation)[0])
    if origin is Union or isinstance(annotation, types.UnionType):
        return _bare(next(part for part in get_args(annotation) if part is not type(None)))
    return annotation


def get_main_parser() -> argparse.ArgumentParser:
    """The name that the original gives :func:`main_parser`."""
    return main_parser()
