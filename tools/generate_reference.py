"""Writes the generated pages of the documentation: those of ``docs/reference/`` that ``PAGES`` names.

Run it in an environment with our distributions (``hatch run docs:reference``); ``--check`` writes nothing and fails if
a page differs from what it would write.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from jina.core import config, errors
from jina.core.aliases import ALIASES
from jina.core.cli import Command, CommandGroup, discovery, parser
from jina.core.config import Options, default_of, description_of, option_info
from jina.core.config.arguments import flag
from jina.export.schema import json_schema

FOLDER = Path(__file__).resolve().parent.parent / 'docs' / 'reference'
NOTICE = '<!-- Written by tools/generate_reference.py: edit the docstrings it reads, not this page. -->\n'
PAGE_MODELS = (
    ('Flow', config.FlowOptions, 'Arguments of `Flow(...)`, keys below `with:` in its YAML, and flags of `jina flow`.'),
    (
        'Deployment',
        config.DeploymentOptions,
        'Arguments of `Deployment(...)` and `Flow.add(...)`, keys in YAML, and flags of `jina deployment`.',
    ),
    ('Executor', config.ExecutorOptions, 'Flags of `jina executor`.'),
    (
        'Dynamic batching',
        config.DynamicBatchingOptions,
        'Values of an endpoint in `uses_dynamic_batching` and in `dynamic_batching` of YAML.',
    ),
    ('Consensus', config.RaftOptions, 'Values of `raft_configuration`.'),
    ('Gateway', config.GatewayOptions, 'Arguments of `Flow.config_gateway(...)` and flags of `jina gateway`.'),
    (
        'Exposed endpoints',
        config.RouteOptions,
        'Values of an endpoint in `expose_endpoints`, and arguments of `expose_endpoint(...)`.',
    ),
    ('Client', config.ClientOptions, 'Arguments of `Client(...)`.'),
    ('client', config.ClientCallOptions, 'Arguments of `jina client`: those of `Client(...)` and these.'),
)
LINKED = {
    'executor': 'options.md#executor',
    'deployment': 'options.md#deployment',
    'gateway': 'options.md#gateway',
    'flow': 'options.md#flow',
    'client': 'options.md#client',
}
"""Commands whose options have a table of their own already."""
TEMPLATES = Path(__file__).resolve().parent / 'reference'
VARIABLE = {'$ref': '#/definitions/Jina::Variable'}
SECTION = re.compile(r'^\{\{ *(?P<definition>[\w:]+)(?P<bare> without options)? *\}\}$', re.MULTILINE)


def errors_page() -> str:
    """The tree of errors, and for each what it means, its wire statuses and the names of the original."""
    lines = [
        NOTICE,
        '# Errors\n',
        'Every error of the framework is a `JinaError` from `jina.core.errors`. Its message says what happened and what to do;',
        'the latter is also in `hint`. A server answers with the gRPC code or the HTTP status of the error that ended a request.',
        'The names of the original are importable from `jina.excepts`.\n',
        '```text\n' + _drawn_tree() + '\n```\n',
        '| error | meaning | gRPC code | HTTP status | names in `jina.excepts` |',
        '| --- | --- | --- | --- | --- |',
    ]
    for error in error_classes():
        summary = _cell(inspect.cleandoc(error.__doc__ or '').split('\n\n')[0])
        names = ', '.join(f'`{name}`' for name in _former_names(error))
        lines.append(f'| `{error.__name__}` | {summary} | {error.grpc_code} | {error.http_status} | {names} |')
    return '\n'.join(lines) + '\n'


def options_page() -> str:
    """A table of the options of each object."""
    lines = [
        NOTICE,
        '# Options\n',
        'The same options, with the same names, types and defaults, in Python, in YAML and on the command line (there as',
        '`--name-with-dashes`). An unknown option is refused with the nearest valid name; so is, in this version, an option',
        'marked *later* with a value other than its default.\n',
    ]
    for title, model, text in PAGE_MODELS:
        lines += [f'## {title}\n', f'{text}\n', '| option | type | default | meaning |', '| --- | --- | --- | --- |']
        lines += [_option_row(model, name) for name in model.model_fields]
        lines.append('')
    return '\n'.join(lines)


def command_line_page() -> str:
    """Every command with its arguments."""
    text = (TEMPLATES / 'command-line.md').read_text()
    sections = []
    for name, entry in discovery.installed().items():
        loaded = discovery.load(entry)
        if isinstance(loaded, CommandGroup):
            sections += [_command_section(f'{name} {command.name}', command) for command in loaded.commands]
        else:
            sections.append(_command_section(name, loaded))
    return f'{NOTICE}\n{text}\n' + '\n'.join(sections)


def _command_section(path: str, command: Command) -> str:
    usage = ' '.join(parser.command_parser(command, prog='jina').format_usage().split()).removeprefix('usage: ')
    lines = [f'## jina {path}\n', f'{command.help.rstrip(".")}.\n', '```console']
    lines += [usage.replace(f'jina {command.name}', f'jina {path}', 1), '```\n']
    if path in LINKED:
        lines.append(f'Its flags are the [options of that name]({LINKED[path]}), each as `--name-with-dashes`.\n')
    else:
        model = command.options
        rows = [_argument_row(model, name) for name in model.model_fields if option_info(model.model_fields[name]).cli]
        lines += ['| argument | type | default | meaning |', '| --- | --- | --- | --- |', *rows, '']
    return '\n'.join(lines)


def _argument_row(model: type[Options], name: str) -> str:
    row = _option_row(model, name)
    positional = option_info(model.model_fields[name]).positional
    return row.replace(f'`{name}`', f'`{name.upper() if positional else flag(name)}`', 1)


def yaml_page() -> str:
    """What YAML files may hold, from the JSON Schema that editors get."""
    definitions = json_schema()['definitions']

    def table(match: re.Match[str]) -> str:
        properties = definitions[match['definition']]['properties']
        options = {
            *config.DeploymentOptions.model_fields,
            *config.DeploymentOptions.aliases(),
            *config.GatewayOptions.model_fields,
            *config.GatewayOptions.aliases(),
        }
        rows = ['| key | value | meaning |', '| --- | --- | --- |']
        for key, schema in properties.items():
            if not (match['bare'] and key in options):
                rows.append(f'| `{key}` | {_yaml_type(schema)} | {_cell(schema.get("description", ""))} |')
        return '\n'.join(rows)

    return f'{NOTICE}\n{SECTION.sub(table, (TEMPLATES / "yaml.md").read_text())}'


def _yaml_type(schema: dict[str, Any]) -> str:
    """A type of the schema as a reader would say it."""
    if 'const' in schema:
        return f'`{schema["const"]}`'
    if 'enum' in schema:
        return ' or '.join(dict.fromkeys(f'`{value}`' for value in schema['enum']))
    if '$ref' in schema:
        name = schema['$ref'].rpartition('::')[2]
        return 'Executor' if name == 'All' else name.lower()
    if 'anyOf' in schema:
        return ' or '.join(dict.fromkeys(_yaml_type(part) for part in schema['anyOf'] if part != VARIABLE))
    kind = schema.get('type', 'any')
    if kind == 'array':
        return f'list of {_yaml_type(schema.get("items", {}))}'
    names = {'object': 'mapping', 'string': 'text', 'boolean': 'true or false', 'integer': 'whole number'}
    return 'text' if isinstance(kind, list) else names.get(kind, kind)


def error_classes() -> list[type[errors.JinaError]]:
    """All errors of ``jina.core.errors`` in the order of their definition."""
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.JinaError) and value.__module__ == errors.__name__
    ]


def _drawn_tree() -> str:
    """The tree, with the built-in bases of each class in parentheses."""
    known = error_classes()

    def lines(error: type, prefix: str) -> Iterator[str]:
        children = [child for child in known if error in child.__bases__]
        for child in children:
            last = child is children[-1]
            builtin = ', '.join(base.__name__ for base in child.__bases__ if base.__module__ == 'builtins')
            yield f'{prefix}{"└── " if last else "├── "}{child.__name__}{f" ({builtin})" if builtin else ""}'
            yield from lines(child, prefix + ('    ' if last else '│   '))

    return '\n'.join([errors.JinaError.__name__, *lines(errors.JinaError, '')])


def _former_names(error: type) -> list[str]:
    path = f'{error.__module__}:{error.__name__}'
    return sorted(name for name, home in ALIASES['jina.excepts'].items() if home == path and name != error.__name__)


def _option_row(model: type[Options], name: str) -> str:
    field = model.model_fields[name]
    info = option_info(field)
    default = default_of(model, name)
    shown = '*required*' if default is ... else f'`{_shown(default)}`'
    also = f' Also: {", ".join(f"`{alias}`" for alias in info.aliases)}.' if info.aliases else ''
    later = f' *Later: comes with {info.planned}.*' if info.planned else ''
    never = f' *Not available: {info.unsupported}.*' if info.unsupported else ''
    meaning = _cell(f'{description_of(model, name)}{also}{later}{never}'.replace('``', '`'))
    return f'| `{name}` | {_cell(_type_name(field.annotation))} | {shown} | {meaning} |'


def _shown(value: object) -> str:
    if isinstance(value, list):
        return '[' + ', '.join(map(_shown, value)) + ']'
    if isinstance(value, Enum):
        return value.name
    return _cell(str(value) if isinstance(value, str) and value else repr(value))


def _type_name(annotation: Any) -> str:
    """A type as a reader would say it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type_name(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return ' or '.join(_type_name(part) for part in get_args(annotation) if part is not type(None))
    if origin is list:
        return f'list of {_type_name(get_args(annotation)[0])}'
    if origin in (dict, tuple):
        return 'mapping' if origin is dict else 'tuple'
    if origin is not None:
        return ' or '.join(f'`{part}`' for part in get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ' or '.join(f'`{name}`' for name in annotation.__members__)
    return 'any' if annotation is Any else str(getattr(annotation, '__name__', annotation))


def _cell(text: str) -> str:
    return ' '.join(text.replace('``', '`').split()).replace('|', '\\|')


PAGES: dict[str, Callable[[], str]] = {
    'errors.md': errors_page,
    'options.md': options_page,
    'command-line.md': command_line_page,
    'yaml.md': yaml_page,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes or checks the pages; returns 1 if a checked page is out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; fail if a page would change')
    options = parser.parse_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    stale = False
    for name, page in PAGES.items():
        file, text = FOLDER / name, page()
        present = file.read_text() if file.exists() else ''
        if present == text:
            continue
        stale = True
        if options.check:
            changes = difflib.unified_diff(
                present.splitlines(), text.splitlines(), str(file), 'generated', lineterm='', n=1
            )
            print('\n'.join(changes))
        else:
            file.write_text(text)
            print(f'wrote {file}')
    if stale and options.check:
        print('run: hatch run docs:reference', file=sys.stderr)
    return int(stale and options.check)


if __name__ == '__main__':
    sys.exit(main())
