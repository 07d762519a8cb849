"""Completion of command lines: the scripts for shells, and the words that they ask for.

A script is short and knows no words. At each press of the Tab key it runs ``jina completions WORD ...`` with the words behind the
program's name, the last of which is being typed, and gets what it may become, one per line. So it fits every version and every
installed distribution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from jina.core.cli import discovery
from jina.core.cli.command import Command, CommandGroup
from jina.core.environment import full_cli
from jina.core.errors import JinaError

if TYPE_CHECKING:
    from jina.core.config import CompletionOptions, Options

Candidate = tuple[str, str]
"""A word and what it means."""

_OWN_OPTIONS: tuple[Candidate, ...] = (
    ('--help', 'show the commands'),
    ('--version', 'print the version'),
    ('--version-full', 'print the versions of everything that matters'),
)
_HELP: Candidate = ('--help', 'show this command')
_SCRIPTS = {
    'bash': r"""
_jina() {
    local IFS=$'\n' program=${COMP_WORDS[0]/#\~/$HOME}
    COMPREPLY=($("$program" completions "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o bashdefault -o default -F _jina jina jina-serve
""",
    'zsh': r"""
#compdef jina jina-serve
_jina() {
    local -a found
    local line
    for line in "${(@f)$(${~words[1]} completions --described "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -n $line ]] && found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    if (( $#found )); then _describe jina found; else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
if [[ $funcstack[1] == _jina ]]; then _jina "$@"; else compdef _jina jina jina-serve; fi
""",
    'fish': r"""
function __jina_complete
    set -l typed (commandline -ct)
    set -l words (commandline -opc) "$typed"
    set -l program (string replace -r '^~' $HOME $words[1])
    set -l found ($program completions --described $words[2..] 2>/dev/null | string match -v '')
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c jina -f -a '(__jina_complete)'
complete -c jina-serve -f -a '(__jina_complete)'
""",
}


def script(shell: str) -> str:
    """The completion script of a shell.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.
    """
    return _SCRIPTS[shell].strip()


def answer(words: Sequence[str]) -> list[str]:
    """What ``jina completions WORD ...`` prints: one candidate per line, with ``--described`` in front its meaning behind a tab.

    Args:
        words: The words behind the program's name; the last one is being typed.
    """
    described = bool(words) and words[0] == '--described'
    given = [word for word in (words[1:] if described else words) if word != '=']  # bash splits --flag=value in three
    try:
        found = candidates(given or [''])
    except (JinaError, ImportError):
        return []  # a broken distribution must not print into a command line that is being typed
    return [f'{word}\t{meaning}' if described else word for word, meaning in found]


def candidates(words: Sequence[str]) -> list[Candidate]:
    """What the last word may become; nothing if it is a file or free text.

    Args:
        words: The words behind the program's name.
    """
    *before, typed = words
    return [found for found in _candidates(before, typed) if found[0].startswith(typed)]


def _candidates(before: Sequence[str], typed: str) -> Iterable[Candidate]:
    if not before:
        return _OWN_OPTIONS if typed.startswith('-') else _commands()
    entry = discovery.installed().get(discovery.SAME_AS.get(before[0], before[0]))
    if entry is None:
        return []
    command, rest = discovery.load(entry), before[1:]
    if isinstance(command, CommandGroup):
        if not rest:
            return [_HELP] if typed.startswith('-') else [(kind.name, kind.help) for kind in command.commands]
        found = command.find(rest[0])
        if found is None:
            return []
        command, rest = found, rest[1:]
    return _of_command(command, rest, typed)


def _commands() -> list[Candidate]:
    everything = full_cli()
    rows = [(name, *discovery.summary(name, entry)) for name, entry in discovery.installed().items()]
    return [(name, text) for name, text, hidden in rows if everything or not hidden]


def _of_command(command: Command, before: Sequence[str], typed: str) -> Iterable[Candidate]:
    from jina.core.cli import parser  # noqa: PLC0415 - it brings pydantic, which names of commands don't need
    from jina.core.config import option_info  # noqa: PLC0415
    from jina.core.config.arguments import flag  # noqa: PLC0415

    model = command.options
    fields = {flag(name): name for name in model.model_fields if not option_info(model.model_fields[name]).positional}
    fields |= {flag(alias): name for alias, name in model.aliases().items()}
    if typed.startswith('-'):
        return [*_flags(model), _HELP]
    last = before[-1].replace('_', '-') if before else ''
    if last in fields:
        kind = parser.value_kind(model.model_fields[fields[last]].annotation)
        if kind is not bool:
            return [(choice, '') for choice in _choices(kind)]
    positional = [name for name in model.model_fields if option_info(model.model_fields[name]).positional]
    place = sum(not word.startswith('-') for word in before)
    if place < len(positional):
        choices = _choices(parser.value_kind(model.model_fields[positional[place]].annotation))
        return [(choice, '') for choice in choices]
    return []


def _flags(model: type[Options]) -> list[Candidate]:
    from jina.core.config import description_of, option_info  # noqa: PLC0415
    from jina.core.config.arguments import flag  # noqa: PLC0415

    found = []
    for name, field in model.model_fields.items():
        info = option_info(field)
        offered = full_cli() or not (info.hidden or info.planned or info.unsupported)
        if info.cli and not info.positional and offered:
            found.append((flag(name), first_sentence(description_of(model, name))))
    return found


def first_sentence(text: str) -> str:
    """The first sentence of a description, on one line and without its full stop."""
    return ' '.join(text.split()).replace('``', '').split('. ')[0].rstrip('.')


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind.__members__)
    return []


def run_completion(options: CompletionOptions) -> int:
    """Print the script of a shell."""
    print(script(options.shell))  # noqa: T201 - the command's result
    return 0
