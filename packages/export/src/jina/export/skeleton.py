"""``jina hub new``: the files of a new Executor, from flags or from answers to questions."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from jina.core.cli import Command, CommandGroup
from jina.core.cli.project import write_files
from jina.core.config import HubNewOptions, build
from jina.core.errors import ConfigError
from jina.core.yaml import dump_yaml
from jina.export.dockerfile import dockerfile

__all__ = ['HUB', 'make_executor']

_TAKEN: Final = frozenset({'Executor', 'BaseExecutor', 'Gateway', 'Deployment', 'Flow', 'Client', 'DocList', 'BaseDoc'})
"""Names that mean something else in ``executor.py`` and in YAML."""
_FRAMEWORKS: Final = {'tf-gpu': 'tensorflow[and-cuda]', 'torch-gpu': 'torch', 'jax-gpu': 'jax[cuda12]'}
"""What a template for a GPU installs; these wheels bring CUDA with them."""
_EXECUTOR: Final = """\
from jina import Executor, requests
from docarray import DocList, BaseDoc


class {name}(Executor):
    @requests
    def foo(self, docs: DocList[BaseDoc], **kwargs) -> DocList[BaseDoc]:
        pass
"""
_REQUIREMENTS: Final = (
    '# What executor.py imports beside jina. The option `install_requirements` installs it at the start.\n'
)
_README: Final = """\
# {name}

{description}

## Use it

In Python:

```python
from jina import Deployment

with Deployment(uses='config.yml', port=12345) as deployment:
    deployment.block()
```

or in a terminal:

```bash
jina executor --uses config.yml --port 12345
```

| file | what it is |
| --- | --- |
| `executor.py` | the Executor: your code |
| `config.yml` | its configuration: arguments of `__init__` below `with`, facts about it below `metas` |
| `requirements.txt` | what it imports |
"""
_IMAGE: Final = """\
| `Dockerfile` | builds its image |

## In a container

```bash
docker build -t {image} .
docker run --rm {gpus}-p 12345:12345 {image} --port 12345
```
"""


def make_executor(options: HubNewOptions) -> list[Path]:
    """Write the files of an Executor.

    Args:
        options: Its name and facts about it.

    Returns:
        The files.

    Raises:
        ConfigError: The name is none of a class, or the folder exists or can't be made.
    """
    name = _checked(options.name or '')
    template = options.dockerfile
    keywords = [word.strip() for text in options.keywords or () for word in text.split(',') if word.strip()]
    metas = {'name': name, 'description': options.description, 'url': options.url, 'keywords': keywords}
    readme = _README.format(name=name, description=options.description or 'What it does.')
    files = {
        'executor.py': _EXECUTOR.format(name=name),
        'config.yml': dump_yaml(
            {'jtype': name, 'py_modules': ['executor.py'], 'metas': {key: fact for key, fact in metas.items() if fact}}
        ),
        'README.md': readme,
        'requirements.txt': _REQUIREMENTS,
    }
    if template is not None:
        framework = _FRAMEWORKS.get(template)
        files['requirements.txt'] += f'{framework}\n' if framework else ''
        files['README.md'] += _IMAGE.format(image=_image_name(name), gpus='--gpus all ' if framework else '')
        files['Dockerfile'] = dockerfile('executor')
    return write_files(Path(options.path or name).expanduser(), files)


def _checked(name: str) -> str:
    if not name:
        raise ConfigError('the Executor has no name', hint='give one: jina hub new --name MyExecutor')
    if not name.isidentifier() or keyword.iskeyword(name) or name in _TAKEN:
        words = [word[:1].upper() + word[1:] for word in re.split(r'\W+|_', name) if word]
        near = f'My{"".join(words)}' if name in _TAKEN or not words or words[0][0].isdigit() else ''.join(words)
        raise ConfigError(
            f'{name!r} can not be the name of an Executor class', hint=f'take a name such as {near or "MyExecutor"!r}'
        )
    return name


def _image_name(name: str) -> str:
    return re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '-', name).lower()


def _asked(options: HubNewOptions, ask: Callable[[str, str], str]) -> HubNewOptions:
    """Ask for what no flag gives."""
    found: dict[str, Any] = {}
    if options.name is None:
        found['name'] = _checked(ask('Name of your Executor', ''))
        if options.path is None:
            found['path'] = ask('Folder to save it in', f'./{found["name"]}')
    if options.advance_configuration or (found and _yes(ask('Advanced configuration? (y/n)', 'n'))):
        for field, question in (
            ('description', 'What does it do, in a sentence'),
            ('keywords', 'Keywords, with commas between them'),
            ('url', 'URL to read more about it'),
        ):
            if not getattr(options, field):
                found[field] = ask(question, '') or None
        if options.dockerfile is None and _yes(ask('A Dockerfile? (y/n)', 'y')):
            found['dockerfile'] = ask('For which hardware and framework? (cpu, tf-gpu, torch-gpu, jax-gpu)', 'cpu')
    return build(HubNewOptions, {**options.model_dump(exclude_none=True), **found}, where='jina hub new:')


def _yes(answer: str) -> bool:
    if answer.lower() not in ('y', 'yes', 'n', 'no'):
        raise ConfigError(f'{answer!r} is no answer', hint='answer y or n')
    return answer.lower().startswith('y')


def _ask(question: str, default: str) -> str:
    try:
        answer = input(f'{question} [{default}]: ' if default else f'{question}: ')
    except EOFError:  # nobody is there: what has a default takes it
        print()  # noqa: T201 - ends the line of the question
        answer = ''
    return answer.strip() or default


def run_hub_new(options: HubNewOptions) -> int:
    """Make an Executor's files and say how to serve it.

    Args:
        options: What the flags give; without a name, the rest is asked for.
    """
    if options.name is None or options.advance_configuration:
        options = _asked(options, _ask)
    files = make_executor(options)
    for path in files:
        print(f'wrote {path}')  # noqa: T201 - the command's result
    print(f'\ncd {files[0].parent}\njina executor --uses config.yml --port 12345')  # noqa: T201
    return 0


HUB = CommandGroup(
    'hub',
    'Make the files of a new Executor',
    (
        Command(
            'new', 'Make the files of a new Executor, which asks for what no flag gives', HubNewOptions, run_hub_new
        ),
    ),
)
