"""The files that an Executor is made of, and loading them afresh."""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from jina.core.config import ExecutorOptions
from jina.core.errors import ConfigError
from jina.core.executor import BaseExecutor
from jina.core.modules import import_py_modules
from jina.core.yaml import forgotten_classes, load_yaml

_LIBRARIES: Final = frozenset({'site-packages', 'dist-packages', 'node_modules', '__pycache__', 'venv'})


@dataclass(frozen=True)
class Sources:
    """Where an Executor comes from.

    Attributes:
        yaml: Its configuration file, None if it has none.
        folders: Folders whose Python files belong to it, those in sub-folders too.
        files: Single Python files, of modules that lie in a folder with many others' files.
    """

    yaml: Path | None
    folders: tuple[Path, ...]
    files: tuple[Path, ...]

    @property
    def has_code(self) -> bool:
        """Whether there are Python files."""
        return bool(self.folders or self.files)

    @property
    def watched(self) -> tuple[Path, ...]:
        """What to watch. Of single files the folder too: editors replace files."""
        paths = {*self.folders, *self.files, *([self.yaml.parent] if self.yaml else [])}
        return tuple(sorted(path for path in paths if not any(other in path.parents for other in paths)))

    def concerns(self, path: str) -> bool:
        """Whether a changed file belongs to the Executor."""
        changed = Path(path)
        return changed == self.yaml or (changed.suffix == '.py' and self.holds(changed))

    def holds(self, file: Path) -> bool:
        """Whether a Python file belongs to the Executor."""
        if file in self.files:
            return True
        return any(
            file.is_relative_to(folder) and not any(map(_is_foreign, file.relative_to(folder).parts[:-1]))
            for folder in self.folders
        )

    def changed_since(self, when_ns: int) -> list[str]:
        """Returns the files that were written after a time.

        Args:
            when_ns: The time, as ``time.time_ns`` gives it.
        """
        files = [*self.files, *([self.yaml] if self.yaml else [])]
        for folder in self.folders:
            for root, folders, names in os.walk(folder):
                folders[:] = [name for name in folders if not _is_foreign(name)]
                files += [Path(root, name) for name in names if name.endswith('.py')]
        return sorted(str(file) for file in files if _written_ns(file) > when_ns)


def sources_of(options: ExecutorOptions, executor: BaseExecutor) -> Sources:
    """Finds the files of a loaded Executor; there are none if its class is defined in a script or a notebook."""
    yaml = _yaml_of(options)
    folders = [*([yaml.parent] if yaml else []), *map(Path, options.extra_search_paths)]
    names = getattr(executor.runtime_args, 'py_modules', None) or ()
    modules = [*import_py_modules(names, folders), *_modules_of(type(executor))]
    own_folders: set[Path] = set()
    files: set[Path] = set()
    for module in modules:
        file = _file_of(module)
        if file is None:
            continue
        folder = file.parent
        while (folder / '__init__.py').is_file() and (folder.parent / '__init__.py').is_file():
            folder = folder.parent
        (files if _is_foreign(folder.name) else own_folders).add(file if _is_foreign(folder.name) else folder)
    return Sources(yaml, tuple(sorted(own_folders)), tuple(sorted(files)))


@contextmanager
def loaded_afresh(sources: Sources) -> Iterator[None]:
    """Inside, imports of the Executor's modules read their files again; an exception brings the old modules back."""
    before = {
        name: module for name, module in sys.modules.items() if (file := _file_of(module)) and sources.holds(file)
    }
    for name, module in before.items():
        del sys.modules[name]
        # A cache is told from its source by whole seconds and size only; two saves may agree in both.
        with suppress(OSError):  # in a folder that can't be written to, nobody saves either
            Path(importlib.util.cache_from_source(str(_file_of(module)))).unlink()
    importlib.invalidate_caches()
    linecache.checkcache()
    with forgotten_classes(before):
        try:
            yield
        except BaseException:
            for name, found in list(sys.modules.items()):
                file = _file_of(found)
                if file and sources.holds(file):
                    del sys.modules[name]
            sys.modules.update(before)
            raise


def class_afresh(executor_class: type) -> type:
    """Imports a class again by its name.

    Raises:
        ConfigError: Its module doesn't have it any more.
    """
    found: Any = importlib.import_module(executor_class.__module__)
    for part in executor_class.__qualname__.split('.'):
        if not hasattr(found, part):
            raise ConfigError(
                f'module {executor_class.__module__!r} has no {executor_class.__qualname__!r} any more',
                hint='restart, to serve another class',
            )
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


def _yaml_of(options: ExecutorOptions) -> Path | None:
    if not isinstance(options.uses, (str, os.PathLike)):
        return None
    path = load_yaml(options.uses, substitute=False, extra_search_paths=options.extra_search_paths).path
    return None if path is None else path.resolve()


def _modules_of(executor_class: type) -> Iterator[ModuleType]:
    """Yields the modules of the class and of its bases that are the user's."""
    for base in executor_class.__mro__:
        module = sys.modules.get(base.__module__)
        if (
            module is not None
            and base.__module__ != '__main__'
            and not base.__module__.startswith(('jina.', 'builtins'))
        ):
            yield module


def _file_of(module: ModuleType | None) -> Path | None:
    """The Python file of a module that could be imported again."""
    file = getattr(module, '__file__', None)
    name = getattr(module, '__name__', '')
    if not isinstance(file, str) or not file.endswith('.py') or name == '__main__' or name.partition('.')[0] == 'jina':
        return None
    return Path(file).resolve()


def _written_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:  # it is being replaced: its change will be noticed
        return 0


def _is_foreign(folder: str) -> bool:
    """Whether a folder of this name holds what others wrote, or no sources."""
    return folder in _LIBRARIES or folder.startswith('.')
