"""The ``jina`` program, run as a process, with a command that a foreign distribution brings."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jina.core.cli import discovery
from jina.core.cli.main import main
from jina.core.errors import JinaError
from jina.core.version import __version__

JINA = Path(sys.executable).with_name('jina')
SHOP = '''
from __future__ import annotations
import signal
from typing import Annotated, Literal
from pydantic import Field
from jina.core.cli import Command
from jina.core.config import Options, option
from jina.core.config.values import TextList, Values
from jina.core.errors import StartupError

class Paying(Options):
    """Ways to pay."""
    cash: bool = option(False, aliases=('coins',))
    """Pay 100% with coins."""

class ShopOptions(Paying):
    owner = 'shop'
    command = 'shop'
    item: str = option(positional=True)
    """What is bought."""
    count: Annotated[int, Field(ge=1)] = option(1)
    """How many of ``item``."""
    bag_size: Literal['small', 'large'] = option('small')
    """Size of the bag."""
    notes: Values | None = option(None)
    """Remarks."""
    friends: TextList = option(list)
    """Who comes along."""
    secret: str | None = option(None, hidden=True)
    """Not for everyone."""
    drone: bool = option(False, planned='delivery')
    """Deliver by air."""

def run(options: ShopOptions) -> int:
    if options.item == 'fail':
        raise StartupError('the shop is closed', hint='come back tomorrow')
    if options.item == 'crash':
        raise RuntimeError('fire')
    if options.item == 'wait':
        print('waiting', flush=True)
        signal.pause()
    print(options.item, options.count, options.bag_size, options.notes, options.friends, options.cash)
    return options.count

SHOP = Command('shop', 'Buy something', ShopOptions, run)
'''
HELP = """\
usage: jina shop [OPTIONS] ITEM

Buy something.

positional arguments:
  item                        What is bought.

options:
  --count INT                 How many of item. (default: 1)
  --bag-size small|large      Size of the bag. (default: small)
  --notes KEY: VALUE [KEY: VALUE ...]
                              Remarks.
  --friends TEXT [TEXT ...]   Who comes along.

Ways to pay:
  --cash                      Pay 100% with coins. Also --coins.

help:
  -h, --help                  show this text and exit
"""
FULL_HELP = HELP.replace(
    '\nWays to pay',
    """\
  --secret TEXT               Not for everyone.
  --drone                     Deliver by air. [not available in this version;
                              comes with delivery]

Ways to pay""",
)
MAIN_HELP = """\
usage: jina [-h] [-v] [-vf] COMMAND ...

Serve Python classes over gRPC and HTTP.

commands:
COMMANDS

options:
  -h, --help           show this text and exit
  -v, --version        print the version and exit
  -vf, --version-full  print the versions of everything that matters and the JINA_ variables, and exit

`jina COMMAND --help` shows the options of a command. With JINA_FULL_CLI=1 in the environment, help shows everything.
"""
Run = Callable[..., 'subprocess.CompletedProcess[str]']


def install(folder: Path, name: str, entry_points: str) -> None:
    """Make the folder what an installer would leave: a distribution with entry points."""
    info = folder / f'{name}-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text(entry_points)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / 'shop.py').write_text(SHOP)
    install(tmp_path, 'shop', '[jina.commands]\nshop = shop:SHOP\n')
    kept = {name: value for name, value in os.environ.items() if not name.startswith('JINA_')}
    return {**kept, 'PYTHONPATH': str(tmp_path), 'COLUMNS': '80'}


@pytest.fixture
def jina(environment: dict[str, str]) -> Run:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [JINA, *arguments], env={**environment, **variables}, capture_output=True, text=True, timeout=60
        )

    return run


def outcome(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize('flag', ['-v', '--version'])
def test_version(jina: Run, flag: str) -> None:
    assert outcome(jina(flag)) == (0, f'{__version__}\n', '')


@pytest.mark.parametrize('flag', ['-vf', '--version-full'])
def test_full_version(jina: Run, flag: str) -> None:
    done = jina(flag, JINA_LOG_LEVEL='DEBUG')
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f'- {"jina":30s} {__version__}'
    assert f'* {"JINA_LOG_LEVEL":30s} DEBUG' in lines
    assert f'* {"JINA_FULL_CLI":30s} (unset)' in lines
    assert all(re.match(r'[-*] \S+ +', line) for line in lines)


@pytest.mark.parametrize('arguments', [(), ('-h',), ('--help',)])
def test_help(jina: Run, arguments: tuple[str, ...]) -> None:
    done = jina(*arguments)
    assert (done.returncode, done.stderr) == (0, '')
    before, after = MAIN_HELP.split('COMMANDS')
    assert done.stdout.startswith(before)
    assert done.stdout.endswith(after)
    rows = done.stdout.removeprefix(before).removesuffix(after).splitlines()
    assert rows[-1].split(maxsplit=1) == ['shop', 'Buy something']
    assert not {'gateway', 'deployment', 'client'} & {row.split()[0] for row in rows}


def test_help_without_pydantic(environment: dict[str, str]) -> None:
    code = (
        'import sys\nfrom jina.core.cli.main import main\n'
        "status = main(['-v'])\n"
        "print(status, sorted({'pydantic', 'grpc', 'docarray', 'numpy', 'rich', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f'{__version__}\n0 []\n'


def test_command_help(jina: Run) -> None:
    assert outcome(jina('shop', '--help')) == (0, HELP, '')


def test_full_command_help(jina: Run) -> None:
    assert outcome(jina('shop', '-h', JINA_FULL_CLI='1')) == (0, FULL_HELP, '')


@pytest.mark.parametrize(
    ('arguments', 'status', 'output'),
    [
        (['apple'], 1, 'apple 1 small None [] False'),
        (['apple', '--count', '3', '--coins'], 3, 'apple 3 small None [] True'),
        (['--bag_size=large', 'apple', '--cash'], 1, 'apple 1 large None [] True'),
        (['apple', '--notes', 'a: 1', 'b=x', '--notes', '{"c": [2]}'], 1, "{'a': 1, 'b': 'x', 'c': [2]}"),
        (['apple', '--notes', 'a:', '1', '--friends', 'x', 'y', '--friends', 'z'], 1, "{'a': 1} ['x', 'y', 'z']"),
    ],
)
def test_options_reach_the_command(jina: Run, arguments: list[str], status: int, output: str) -> None:
    done = jina('shop', *arguments)
    assert (done.returncode, done.stderr) == (status, '')
    assert output in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        (['apple', '--count', 'two'], "jina shop: --count: 'two' is not valid; give a whole number"),
        (['apple', '--count', '0'], "jina shop: --count: '0' is not valid; give 1 or more"),
        (['apple', '--bag-size', 'huge'], "jina shop: --bag-size: 'huge' is not valid; give one of 'small' or 'large'"),
        (
            ['apple', '--drone'],
            "jina shop: option 'drone' of shop is not available in this version (it comes with delivery); remove it",
        ),
        (['fail'], 'the shop is closed; come back tomorrow'),
    ],
)
def test_errors_have_no_traceback(jina: Run, arguments: list[str], error: str) -> None:

    assert outcome(jina('shop', *arguments)) == (1, '', f'error: {error}\n')


def test_defects_have_a_traceback(jina: Run) -> None:
    done = jina('shop', 'crash')
    assert done.returncode == 1
    assert done.stderr.startswith('Traceback')
    assert done.stderr.endswith('RuntimeError: fire\n')


def test_missing_argument(jina: Run) -> None:
    done = jina('shop')
    assert outcome(done) == (
        2,
        '',
        'usage: jina shop [OPTIONS] ITEM\njina shop: error: the following arguments are required: item\n',
    )


def test_unknown_flags_warn(jina: Run) -> None:
    done = jina('shop', 'apple', '--cuont', '3', '--xyz=1', '--cash', 'extra')
    assert done.stdout == 'apple 1 small None [] True\n'
    assert done.stderr.splitlines() == [
        "warning: jina shop: '--cuont' is not known and ignored; did you mean '--count'?",
        "warning: jina shop: '--xyz=1' is not known and ignored",
        "warning: jina shop: 'extra' is not known and ignored",
    ]


@pytest.mark.parametrize(
    ('name', 'error'),
    [
        ('shpo', "jina has no command 'shpo'; did you mean 'shop'?"),
        ('flwo', "jina has no command 'flwo'; did you mean 'flow'?"),
        ('zzz', "jina has no command 'zzz'; `jina --help` lists the commands"),
        ('serve', "jina has no command 'serve'; `jina --help` lists the commands"),
        ('--zzz', "jina has no option '--zzz'; `jina --help` lists the commands"),
        (
            'auth',
            "command 'auth' logs in to the hosted services of the original, which this framework does not use; "
            'nothing here needs an account',
        ),
    ],
)
def test_unknown_command(jina: Run, name: str, error: str) -> None:
    assert outcome(jina(name, '--flag')) == (1, '', f'error: {error}\n')


def test_program_on_the_path_is_a_command(jina: Run, tmp_path: Path) -> None:
    program = tmp_path / 'jina-dance'
    program.write_text('#!/bin/sh\necho dancing "$@"\nexit 7\n')
    program.chmod(0o755)
    done = jina('dance', '--fast', 'x y', PATH=f'{tmp_path}:{os.environ["PATH"]}')
    assert outcome(done) == (7, 'dancing --fast x y\n', '')


def test_interrupt(environment: dict[str, str]) -> None:
    with subprocess.Popen([JINA, 'shop', 'wait'], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'waiting\n'
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


@pytest.mark.parametrize(('words', 'status'), [(['--help'], 0), (['help', 'shop'], 141)])
def test_reader_that_goes_away(environment: dict[str, str], words: list[str], status: int) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, 'w') as pipe:
        done = subprocess.run([JINA, *words], env=environment, stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (status, '')


def test_entry_point_that_is_no_command(jina: Run, tmp_path: Path) -> None:
    install(tmp_path, 'broken', '[jina.commands]\nbroken = shop:Paying\n')
    error = 'the entry point broken = shop:Paying of group jina.commands is a ModelMetaclass; it must be a jina.core.cli.Command'
    assert outcome(jina('broken')) == (1, '', f'error: {error}\n')


def test_help_imports_no_command_of_the_framework(jina: Run, tmp_path: Path) -> None:
    install(tmp_path, 'fake-runtime', '[jina.commands]\nexecutor = no_such_module:EXECUTOR\n')
    done = jina('--help')
    assert done.returncode == 0
    assert re.search(r'^  executor +Serve an Executor$', done.stdout, re.MULTILINE)


def test_hidden_commands_show_with_full_cli(jina: Run, tmp_path: Path) -> None:
    install(tmp_path, 'fake-runtime', '[jina.commands]\ngateway = no_such_module:GATEWAY\n')
    assert '  gateway ' not in jina('--help').stdout
    assert re.search(r'^  gateway +Serve a gateway$', jina('--help', JINA_FULL_CLI='1').stdout, re.MULTILINE)


def test_missing_distribution(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(discovery.KNOWN, 'fly', discovery.KnownCommand('jina-fly', 'Fly'))
    assert main(['fly']) == 1
    assert capsys.readouterr().err == 'error: command \'fly\' is not installed; run: pip install "jina-fly"\n'


def test_command_of_a_later_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(discovery.KNOWN, 'fly', discovery.KnownCommand('jina-core', 'Fly'))
    error = discovery.absent('fly')
    assert isinstance(error, JinaError)
    assert str(error) == f"command 'fly' is not in jina-core {__version__}; it comes with a later version"


def test_pod_is_an_older_name_of_executor(jina: Run, tmp_path: Path) -> None:
    (tmp_path / 'fake.py').write_text(SHOP.replace("Command('shop'", "Command('executor'"))
    install(tmp_path, 'aaa', '[jina.commands]\nexecutor = fake:SHOP\n')
    for name in ('pod', 'executor'):
        done = jina(name, '--help')
        assert done.returncode == 0
        assert done.stdout.startswith('usage: jina executor ')


def test_main_parser_has_every_command(environment: dict[str, str]) -> None:
    code = (
        'from jina.core.cli.parser import get_main_parser\n'
        "print(vars(get_main_parser().parse_args(['shop', 'apple', '--count', '2'])))"
    )
    done = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "{'cli': 'shop', 'item': 'apple', 'count': '2'}\n"
