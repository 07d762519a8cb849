"""Import of the Python files that ``py_modules`` names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from jina.core.errors import ConfigError, ConfigSourceError

_MODULE_NAME = re.compile(r'[^\W\d]\w*(\.[^\W\d]\w*)*')
_lock = threading.RLock()


def absolute_py_modules(paths: Iterable[str], search_paths: Iterable[str | os.PathLike[str]] = ()) -> list[str]:
    """Returns the same modules in a form that doesn't depend on a directory; names of modules stay as they are.

    Args:
        paths: As for ``import_py_modules``.
        search_paths: Directories.
    """
    directories = [Path(path).expanduser() for path in search_paths]
    return [str(_locate(path, directories) or path) for path in paths]


def import_py_modules(
    paths: str | Iterable[str], search_paths: Iterable[str | os.PathLike[str]] = ()
) -> list[ModuleType]:
    """Imports Python files and packages.

    A file ``executor.py`` becomes the module ``executor``, and ``executor/__init__.py`` (or the directory) the package
    ``executor``, in which relative imports work. If something else has that name already, the name gets a suffix that
    depends on the path. What was imported before isn't imported again.

    Args:
        paths: Paths of ``.py`` files or packages, or names of importable modules. Relative ones are searched in
            ``search_paths``, then in the working directory.
        search_paths: Directories.

    Returns:
        The modules, in the order of ``paths``.

    Raises:
        ConfigSourceError: A file can't be found.
        ConfigError: A file can't be imported; the cause is what it raised.
    """
    directories = [Path(path).expanduser() for path in search_paths]
    wanted = [paths] if isinstance(paths, str) else list(paths)
    with _lock:
        return [_import_one(path, directories) for path in wanted]


def folder_of(path: str, search_paths: Iterable[str | os.PathLike[str]] = ()) -> Path | None:
    """Returns the folder that a path of ``py_modules`` lies in, that of a package for a package; None for a module by name."""
    found = _locate(path, [Path(folder).expanduser() for folder in search_paths])
    if found is None:
        return None
    return found.parent.parent if found.name == '__init__.py' else found.parent


def _import_one(path: str, directories: list[Path]) -> ModuleType:
    found = _locate(path, directories)
    if found is None:
        return _import_by_name(path, directories)
    loaded = _loaded_from(found)
    if loaded is not None:
        return loaded
    return _import_file(found)


def _locate(path: str, directories: list[Path]) -> Path | None:
    for directory in (*directories, Path.cwd()):
        candidate = directory / Path(path).expanduser()  # an absolute path stays itself
        if candidate.is_dir():
            candidate = candidate / '__init__.py'
        if candidate.is_file():
            return candidate.resolve()
    return None


def _import_by_name(name: str, directories: list[Path]) -> ModuleType:
    searched = ', '.join(dict.fromkeys(str(directory) for directory in (*directories, Path.cwd())))
    missing = ConfigSourceError(f'can not find {name!r}', hint=f'searched in {searched}')
    if not _MODULE_NAME.fullmatch(name) or name.endswith('.py'):
        raise missing
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise _failed(name, error) from error
        raise missing from None
    except Exception as error:
        raise _failed(name, error) from error


def _loaded_from(path: Path) -> ModuleType | None:
    for module in list(sys.modules.values()):
        file = getattr(module, '__file__', None)
        if isinstance(file, str) and Path(file).name == path.name and os.path.realpath(file) == str(path):
            return module
    return None


def _import_file(path: Path) -> ModuleType:
    is_package = path.name == '__init__.py'
    name = _free_name(path.parent.name if is_package else path.stem, path)
    locations = [str(path.parent)] if is_package else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=locations)
    if spec is None or spec.loader is None:
        raise ConfigError(f'{str(path)!r} is not a Python file', hint='name .py files and packages')
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        for loaded in [key for key in sys.modules if key == name or key.startswith(f'{name}.')]:
            del sys.modules[loaded]
        if isinstance(error, Exception):
            raise _failed(str(path), error) from error
        raise
    return module


def _free_name(name: str, path: Path) -> str:
    name = re.sub(r'\W', '_', name)
    if name not in sys.modules:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
        if spec is None or (spec.origin is not None and os.path.realpath(spec.origin) == str(path)):
            return name
    return f'{name}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}'


def _failed(path: str, error: Exception) -> ConfigError:
    hint = ''
    if isinstance(error, ModuleNotFoundError) and error.name:
        sibling = Path(path).parent / f'{error.name}.py'
        if sibling.is_file():
            hint = f'list {sibling.name!r} before it in py_modules, or make the folder a package with relative imports'
    return ConfigError(f'the import of {path!r} failed: {type(error).__name__}: {error}', hint=hint)
