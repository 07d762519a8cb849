"""The program ``jina``: finds the command, reads its options, runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from jina.core.cli import discovery
from jina.core.cli.command import CommandGroup
from jina.core.environment import environment_facts, full_cli, system_facts
from jina.core.errors import ConfigError, JinaError
from jina.core.version import __version__

_INTERRUPTED = 130
_CLOSED_PIPE = 141
"""What shells report of programs that write to a reader who is gone."""
_USAGE = 2
"""Exit status of a command line without the command that it needs."""
_OWN_PROGRAMS = frozenset({'jina', 'jina-serve'})
_OWN_OPTIONS = ('--help', '--version', '--version-full')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``jina`` program.

    Args:
        argv: Arguments without the program's name; the default is those of the process.

    Returns:
        The exit status: that of the command, or 1 if the arguments are wrong or the command fails with a ``JinaError``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    program = os.path.basename(sys.argv[0])
    prog = program if program in _OWN_PROGRAMS else 'jina'
    try:
        status = _dispatch(arguments, prog)
        sys.stdout.flush()
    except JinaError as error:
        _print_error(f'error: {error}')
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _leave_reader()
        return _CLOSED_PIPE
    return status


def _dispatch(arguments: list[str], prog: str) -> int:
    first = arguments[0] if arguments else '--help'
    if first in ('-h', '--help'):
        _print(_help(prog))
        return 0
    if first in ('-v', '--version'):
        _print(__version__)
        return 0
    if first in ('-vf', '--version-full'):
        _print(_full_version())
        return 0
    if first in ('commands', 'completions'):
        # What completion scripts call at each press of the Tab key: the words as they are, not as options.
        from jina.core.cli import completion  # noqa: PLC0415

        _print('\n'.join(completion.answer(arguments[1:] if first == 'completions' else [''])))
        return 0
    if first == 'help' and len(arguments) == 1:
        _print(_help(prog))
        return 0
    return _run(discovery.SAME_AS.get(first, first), arguments[1:], prog)


def _run(name: str, arguments: list[str], prog: str) -> int:
    commands = discovery.installed()
    entry = commands.get(name)
    if entry is None:
        return _run_foreign(name, arguments, prog, list(commands))
    # The parser needs pydantic, which the help and the version don't.
    from jina.core.cli import parser  # noqa: PLC0415

    command = discovery.load(entry)
    if isinstance(command, CommandGroup):
        if not arguments or arguments[0] in ('-h', '--help'):
            _print(_group_help(command, prog))
            return 0 if arguments else _USAGE
        group, prog = command, f'{prog} {command.name}'
        found = group.find(arguments[0])
        if found is None:
            raise discovery.absent(f'{group.name} {arguments[0]}') or _unknown(
                arguments[0], [child.name for child in group.commands], prog
            )
        command, arguments = found, arguments[1:]
    parsed = parser.read(command, arguments, prog=prog)
    for line in parser.unknown_warnings(command, parsed.unknown, prog=prog):
        _print_error(line)
    return command.run(parser.options_of(command, parsed, prog=prog))


def _run_foreign(name: str, arguments: list[str], prog: str, commands: list[str]) -> int:
    """Run the program ``jina-<name>`` from the search path, as git does, or say what is wrong with the name."""
    error = discovery.absent(name)
    if error is not None:
        raise error
    program = f'jina-{name}'
    path = None if program in _OWN_PROGRAMS or name.startswith('-') else shutil.which(program)
    if path is not None:
        return subprocess.run([path, *arguments], check=False).returncode
    raise _unknown(name, [*commands, *discovery.KNOWN, *discovery.SAME_AS, *_OWN_OPTIONS], prog)


def _unknown(name: str, known: Sequence[str], prog: str) -> ConfigError:
    # difflib costs some milliseconds that a valid command needn't pay.
    import difflib  # noqa: PLC0415

    matches = difflib.get_close_matches(name, known, n=1)
    what = 'option' if name.startswith('-') else 'command'
    hint = f'did you mean {matches[0]!r}?' if matches else f'`{prog} --help` lists the commands'
    return ConfigError(f'{prog} has no {what} {name!r}', hint=hint)


def _help(prog: str) -> str:
    everything = full_cli()
    rows: list[tuple[str, str]] = []
    installed = discovery.installed()
    for name, entry in installed.items():
        text, hidden = discovery.summary(name, entry)
        if everything or not hidden:
            rows.append((name, text))
    commands = _table(rows)
    if installed.keys() == discovery.OWN.keys():
        commands += '\n  to serve an Executor, install jina-runtime'
    return (
        f'usage: {prog} [-h] [-v] [-vf] COMMAND ...\n\n'
        'Serve Python classes over gRPC and HTTP.\n\n'
        f'commands:\n{commands}\n\n'
        'options:\n'
        '  -h, --help           show this text and exit\n'
        '  -v, --version        print the version and exit\n'
        '  -vf, --version-full  print the versions of everything that matters and the JINA_ variables, and exit\n\n'
        f'`{prog} COMMAND --help` shows the options of a command. With JINA_FULL_CLI=1 in the environment, help shows everything.'
    )


def _group_help(group: CommandGroup, prog: str) -> str:
    rows = [(command.name, command.help) for command in group.commands]
    return (
        f'usage: {prog} {group.name} [-h] COMMAND ...\n\n{group.help.rstrip(".")}.\n\ncommands:\n{_table(rows)}\n\n'
        f'`{prog} {group.name} COMMAND --help` shows the arguments of a command.'
    )


def _table(rows: Sequence[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    return '\n'.join(f'  {name:<{width}}  {text}' for name, text in rows)


def _full_version() -> str:
    rows = [f'- {name:30s} {value}' for name, value in system_facts().items()]
    rows += [f'* {name:30s} {value}' for name, value in environment_facts().items()]
    return '\n'.join(rows)


def _print(text: str) -> None:
    try:
        sys.stdout.write(f'{text}\n')
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_reader()


def _leave_reader() -> None:
    """The reader (head, less) has seen enough; Python must not complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_error(text: str) -> None:
    sys.stderr.write(f'{text}\n')
