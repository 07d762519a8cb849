"""Command-line parsers made from the option models."""

from __future__ import annotations

import argparse
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from jina.core.cli import discovery
from jina.core.cli.command import Command, CommandGroup
from jina.core.config import OptionInfo, Options, build, default_of, description_of, option_info
from jina.core.config.arguments import flag
from jina.core.config.build import nearest
from jina.core.environment import full_cli
from jina.core.version import __version__


class _HelpFormatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if action.option_strings and action.dest != 'help':
            first = action.option_strings[0]
            return first if action.nargs == 0 else f'{first} {self._format_args(action, action.dest.upper())}'
        return super()._format_action_invocation(action)


_PARSER_SETTINGS: dict[str, Any] = {'allow_abbrev': False, 'add_help': False, 'formatter_class': _HelpFormatter}


class Parsed(NamedTuple):
    """A read command line."""

    values: dict[str, Any]
    """Values of the options that were given."""
    unknown: list[str]
    """Arguments that the command doesn't know."""


def add_options(parser: argparse.ArgumentParser, model: type[Options]) -> None:
    """Add the options of ``model`` to a parser: positional arguments, and flags in groups by theme."""
    for title, names in _themes(model).items():
        group = parser.add_argument_group(title)
        for name in names:
            field = model.model_fields[name]
            info = option_info(field)
            group.add_argument(
                *(flag(spelling) for spelling in (name, *info.aliases)),
                dest=name,
                default=argparse.SUPPRESS,
                help=_help(model, name, info),
                **_action(field.annotation),
            )
    for name in _positional_names(model):
        field = model.model_fields[name]
        parser.add_argument(name, help=_help(model, name, option_info(field)), **_positional(field))
    parser.add_argument_group('help').add_argument('-h', '--help', action='help', help='show this text and exit')


def command_parser(command: Command, *, prog: str = 'jina') -> argparse.ArgumentParser:
    """The parser of one command."""
    positional = ''.join(f' {_usage(name, command.options)}' for name in _positional_names(command.options))
    parser = argparse.ArgumentParser(
        prog=f'{prog} {command.name}',
        usage=f'%(prog)s [OPTIONS]{positional}',
        description=_sentence(command.help),
        **_PARSER_SETTINGS,
    )
    add_options(parser, command.options)
    return parser


def get_main_parser() -> argparse.ArgumentParser:
    """One parser with all installed commands, for the generated reference and for shell completion."""
    parser = argparse.ArgumentParser(prog='jina', allow_abbrev=False)
    parser.add_argument('-v', '--version', action='version', version=__version__, help='print the version')
    commands = parser.add_subparsers(dest='cli', title='commands', metavar='COMMAND')
    for entry in discovery.installed().values():
        command = discovery.load(entry)
        if isinstance(command, CommandGroup):
            child = commands.add_parser(command.name, help=command.help, description=_sentence(command.help))
            kinds = child.add_subparsers(dest=command.name, title='commands', metavar='COMMAND')
            for kind in command.commands:
                _add_command(kinds, kind)
        else:
            _add_command(commands, command)
    return parser


def _add_command(commands: Any, command: Command) -> None:
    child = commands.add_parser(
        command.name, help=command.help, description=_sentence(command.help), **_PARSER_SETTINGS
    )
    add_options(child, command.options)


def read(command: Command, arguments: Sequence[str], *, prog: str = 'jina') -> Parsed:
    """Read the arguments behind the name of a command. Flags may be spelled with underscores too."""
    values, unknown = command_parser(command, prog=prog).parse_known_args([_dashes(text) for text in arguments])
    return Parsed(vars(values), unknown)


def options_of(command: Command, parsed: Parsed, *, prog: str = 'jina') -> Any:
    """Make what the command's ``run`` gets from a read command line: its options, or what its ``prepare`` makes of the values.

    Raises:
        ConfigError: A value is wrong, or an option is not available in this version.
    """
    positional = _positional_names(command.options)

    def spell(name: str) -> str:
        return name if name in positional else flag(name)

    where = f'{prog} {command.name}:'

    def check(values: Mapping[str, Any], locate: Callable[[str], str | None] | None = None) -> Options:
        if locate is None:
            return build(command.options, values, where=where, spell=spell)
        return build(command.options, values, where=where, locate=lambda name: locate(name) or f'{where} {spell(name)}')

    return command.prepare(parsed.values, check) if command.prepare else check(parsed.values)


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
        after_flag = (is_flag and '=' not in text) or (after_flag and not is_flag)
    return lines


def _sentence(text: str) -> str:
    return f'{text.rstrip(".")}.'


def _dashes(text: str) -> str:
    if not text.startswith('--'):
        return text
    name, equals, value = text.partition('=')
    return name.replace('_', '-') + equals + value


def _positional_names(model: type[Options]) -> list[str]:
    return [name for name, field in model.model_fields.items() if option_info(field).positional]


def _themes(model: type[Options]) -> dict[str, list[str]]:
    """Titles of the groups and names of their options: the model's own first, then those of each group by its title."""
    positions: dict[type, list[str]] = {}
    for name, field in model.model_fields.items():
        info = option_info(field)
        if info.cli and not info.positional:
            declared = next(base for base in model.__mro__ if name in inspect.get_annotations(base))
            positions.setdefault(declared, []).append(name)
    themes: dict[str, list[str]] = {}
    for base in model.__mro__:
        if base in positions:
            # A model of a command is described by its owner, a group of options by the title in its docstring.
            title = vars(base).get('owner', '') or (base.__doc__ or '').split('.')[0].split('\n')[0]
            themes.setdefault('options' if base is model else title.replace('``', ''), []).extend(positions[base])
    return themes


def _help(model: type[Options], name: str, info: OptionInfo) -> str:
    if (info.hidden or info.planned or info.unsupported) and not full_cli():
        return argparse.SUPPRESS
    also = f'Also {", ".join(map(flag, info.aliases))}.' if info.aliases else ''
    return meaning(model, name, also).replace('%', '%%')


def meaning(model: type[Options], name: str, also: str = '') -> str:
    """What an option is, with its default and whether it is available.

    Args:
        model: Which options.
        name: Name of the option.
        also: A sentence to put behind its description.
    """
    info = option_info(model.model_fields[name])
    text = ' '.join(f'{description_of(model, name)} {also}'.split()).replace('``', '')
    default = default_of(model, name)
    if default not in (..., None, False, [], {}, ''):
        text += f' (default: {_default_text(default)})'
    if info.planned:
        text += f' [not available in this version; comes with {info.planned}]'
    elif info.unsupported:
        text += f' [not available: {info.unsupported}]'
    return text


def synopsis(model: type[Options], name: str) -> str:
    """An option as a command line has it: its flag and what the value is."""
    action = _action(model.model_fields[name].annotation)
    return f'{flag(name)} {action["metavar"]}' if 'metavar' in action else flag(name)


def _default_text(value: object) -> str:
    if isinstance(value, list):
        return ' '.join(map(_default_text, value))
    return value.name if isinstance(value, Enum) else str(value)


def _positional(field: FieldInfo) -> dict[str, Any]:
    kind = _bare(field.annotation)
    settings: dict[str, Any] = {}
    if get_origin(kind) is Literal:
        settings['metavar'] = '|'.join(map(str, get_args(kind)))
    if get_origin(kind) is list:
        settings['nargs'] = '+'
    elif not field.is_required():
        settings |= {'nargs': '?', 'default': argparse.SUPPRESS}
    return settings


def _usage(name: str, model: type[Options]) -> str:
    field = model.model_fields[name]
    if get_origin(_bare(field.annotation)) is list:
        return f'{name.upper()} ...'
    return name.upper() if field.is_required() else f'[{name.upper()}]'


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


def value_kind(annotation: Any) -> Any:
    """The type of one value of an option: of the items if it is a list."""
    kind = _bare(annotation)
    return _bare(get_args(kind)[0]) if get_origin(kind) is list else kind


def _bare(annotation: Any) -> Any:
    """The type without ``Annotated`` and ``None``; the first member of what remains of a union."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _bare(get_args(annotation)[0])
    if origin is Union or isinstance(annotation, types.UnionType):
        return _bare(next(part for part in get_args(annotation) if part is not type(None)))
    return annotation
