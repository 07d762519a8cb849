"""``jina new``: the files of a new project, which runs as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jina.core.errors import ConfigError

if TYPE_CHECKING:
    from jina.core.config import NewOptions

_EXECUTOR = """\
from jina import Executor, requests
from docarray import DocList
from docarray.documents.legacy import LegacyDocument

WORDS = ['hello, world!', 'goodbye, world!']


class MyExecutor(Executor):
    @requests
    def greet(self, docs: DocList[LegacyDocument], **kwargs) -> DocList[LegacyDocument]:
        for number, doc in enumerate(docs):
            doc.text = WORDS[number % len(WORDS)]
        return docs
"""
_CONFIG = """\
jtype: MyExecutor
py_modules:
  - executor.py
metas:
  name: executor1
  description: Greets everyone and says goodbye
"""
_REQUIREMENTS = (
    '# What executor.py imports beside jina. `install_requirements: true` in {file} installs it at the start.\n'
)
_CLIENT = """\
from jina import Client
from docarray import DocList
from docarray.documents.legacy import LegacyDocument

if __name__ == '__main__':
    client = Client(port=54321)
    docs = client.post('/', DocList[LegacyDocument]([LegacyDocument(), LegacyDocument()]), return_type=DocList[LegacyDocument])
    print(docs.text)
"""
_MAIN = {
    'deployment': """\
jtype: Deployment
version: '1'
with:
  name: executor1
  uses: executor1/config.yml
  protocol: [grpc, http]
  port: [54321, 54322]
""",
    'flow': """\
jtype: Flow
version: '1'
gateway:
  protocol: [grpc, http, websocket]
  port: [54321, 54322, 54323]
executors:
  - name: executor1
    uses: executor1/config.yml
""",
}
_README = """\
# {name}

Start the server, which answers until Ctrl-C:

```bash
jina {kind} --uses {kind}.yml
```

and call it from another terminal:

```bash
python client.py
```

It prints `['hello, world!', 'goodbye, world!']`. The server also speaks HTTP; its API documentation is at
<http://localhost:54322/docs>.

| file | what it is |
| --- | --- |
| `{kind}.yml` | the {title}: what is served, on which ports |
| `executor1/executor.py` | the Executor: your code |
| `executor1/config.yml` | its configuration |
| `executor1/requirements.txt` | what it imports |
| `client.py` | a client |

`jina check {kind}.yml` checks the YAML files without starting anything.
"""


def make_project(folder: Path, kind: str) -> list[Path]:
    """Write the files of a project.

    Args:
        folder: Folder that is made; its name is that of the project.
        kind: ``deployment`` or ``flow``.

    Returns:
        The files.

    Raises:
        ConfigError: The folder exists, or can't be made.
    """
    files = {
        f'{kind}.yml': _MAIN[kind],
        'client.py': _CLIENT,
        'README.md': _README.format(name=folder.name, kind=kind, title=kind.capitalize()),
        'executor1/config.yml': _CONFIG,
        'executor1/executor.py': _EXECUTOR,
        'executor1/requirements.txt': _REQUIREMENTS.format(file=f'{kind}.yml'),
    }
    return write_files(folder, files)


def write_files(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write files into a new folder.

    Args:
        folder: The folder, which is made.
        files: Their paths in it, and their texts.

    Returns:
        The files.

    Raises:
        ConfigError: The folder exists, or can't be made.
    """
    try:
        folder.mkdir(parents=True)
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding='utf-8')
    except FileExistsError:
        raise ConfigError(f'{str(folder)!r} exists already', hint='choose another name, or remove it') from None
    except OSError as error:
        raise ConfigError(f'the folder {str(folder)!r} can not be made: {error}') from error
    return [folder / name for name in files]


def run_new(options: NewOptions) -> int:
    """Make a project in the working directory and say how to run it."""
    folder = Path(options.name).expanduser()
    for path in make_project(folder, options.type):
        print(f'wrote {path}')  # noqa: T201 - the command's result
    print(f'\ncd {folder}\njina {options.type} --uses {options.type}.yml')  # noqa: T201
    print('and in another terminal: python client.py')  # noqa: T201
    return 0
