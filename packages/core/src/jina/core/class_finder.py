"""From the name in a YAML document to the class: imports the Python files that the document names and looks there."""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from jina.core.errors import ConfigError, ConfigSourceError
from jina.core.modules import folder_of, import_py_modules
from jina.core.yaml import CLASS_NAME, LoadedYaml, LoadOverrides, registered_class

__all__ = [
    'ClassFinder',
    'import_modules',
    'install_beside',
    'mapping_of',
    'placed_import',
    'py_modules_of',
    'refuse_remote_code',
]

T = TypeVar('T')


class ClassFinder(Generic[T]):
    """Finds the classes of one kind.

    Args:
        kind: What messages call them, for example ``Executor``.
        base: Gives the class that they are derived from.
        derive: What to derive a class from, for messages.
    """

    def __init__(self, kind: str, base: Callable[[], type[T]], *, derive: str) -> None:
        self._kind = kind
        self._base = base
        self._derive = derive

    def find(self, loaded: LoadedYaml, modules: Sequence[ModuleType], default: type[T] | None = None) -> type[T]:
        """Returns the class that a document's ``jtype`` names.

        Args:
            loaded: The document.
            modules: What was imported for it.
            default: The class of a document without ``jtype``.

        Raises:
            ConfigError: It is of another kind.
            ConfigSourceError: It can't be found.
        """
        name = loaded.data.get('jtype')
        if name is None and default is not None:
            return default
        if not name or not isinstance(name, str):
            raise ConfigError(
                f'{loaded.where()}: jtype is {name!r}',
                hint=f'name the {self._kind} class: jtype: My{self._kind.capitalize()}',
            )
        where = f'uses={name!r}' if loaded.label == CLASS_NAME else loaded.where('jtype')
        found = [vars(module)[name] for module in modules if name in vars(module)]
        # Of two classes of this name in the process, the one of the document's own files is meant.
        known = next(filter(self._fits, reversed(found)), None) or registered_class(name) or next(iter(found), None)
        if known is not None:
            return self.checked(known, f'{where}: {name!r}')
        module_name, _, class_name = name.rpartition('.')
        if module_name:
            return self.checked(_import_attribute(module_name, class_name, where), f'{where}: {name!r}')
        near = difflib.get_close_matches(name, [known.__name__ for known in self._known()], 1)
        raise ConfigSourceError(
            f'{where}: there is no {self._kind} class {name!r}',
            hint=f'did you mean {near[0]!r}?'
            if near
            else 'name the file that defines it in py_modules, or write package.module.Class',
        )

    def checked(self, candidate: Any, what: str) -> type[T]:
        """Returns a class that is of this kind.

        Raises:
            ConfigError: It isn't.
        """
        if not self._fits(candidate):
            raise ConfigError(f'{what} is no {self._kind}', hint=f'derive the class from {self._derive}')
        return cast('type[T]', candidate)

    def _fits(self, candidate: Any) -> bool:
        return isinstance(candidate, type) and issubclass(candidate, self._base())

    def _known(self) -> Iterator[type]:
        """Yields all classes of this kind in the process."""
        waiting: list[type] = [self._base()]
        while waiting:
            found = waiting.pop()
            yield found
            waiting.extend(found.__subclasses__())


def import_modules(own: tuple[str, ...], overrides: LoadOverrides, loaded: LoadedYaml) -> list[ModuleType]:
    """Imports the Python files that a document names, then those of the caller, after what they require is installed.

    Args:
        own: Those of the document.
        overrides: What the caller sets beside it.
        loaded: The document.

    Raises:
        ConfigError: A file can't be imported, or would come from a URL; the message names its place in the document.
        ConfigSourceError: A file can't be found.
    """
    folders: list[str | os.PathLike[str]] = [*([loaded.directory] if loaded.directory else [])]
    folders += overrides.extra_search_paths
    if not overrides.allow_py_modules:
        own = ()
    refuse_remote_code(own, loaded, overrides.extra_search_paths, lambda: loaded.where('py_modules'))
    if overrides.install_requirements:
        beside = (folder_of(name, folders) for name in (*own, *overrides.py_modules))
        install_beside(loaded.directory or next(filter(None, beside), None))
    modules = placed_import(own, folders, lambda: loaded.where('py_modules'))
    return modules + placed_import(overrides.py_modules, folders)


def refuse_remote_code(
    names: Sequence[str], loaded: LoadedYaml, folders: Iterable[str | os.PathLike[str]], place: Callable[[], str]
) -> None:
    """Checks that a document which comes from a URL names no Python file beside itself: code is never loaded from a URL.

    Args:
        names: Python files or modules that it names.
        loaded: The document.
        folders: Where the caller has Python files.
        place: Says where in the document they are named.

    Raises:
        ConfigError: It does.
    """
    if loaded.url is None:
        return
    for name in names:
        wanted = Path(name).expanduser()
        is_file = wanted.suffix == '.py' or len(wanted.parts) > 1
        if is_file and not wanted.is_absolute() and not any((Path(folder) / wanted).exists() for folder in folders):
            raise ConfigError(
                f'{place()}: {name!r} lies beside the document, and code is not loaded from a URL',
                hint='download it, and give its folder in extra_search_paths; or name an installed module',
            )


def placed_import(
    names: Sequence[str], folders: Sequence[str | os.PathLike[str]], place: Callable[[], str] = lambda: 'py_modules'
) -> list[ModuleType]:
    """Imports Python files; errors begin with the place where they were named."""
    try:
        return import_py_modules(names, folders)
    except ConfigError as error:
        raise type(error)(f'{place()}: {error}') from error.__cause__


def install_beside(folder: Path | None) -> None:
    """Installs the ``requirements.txt`` of a folder, by default that of the working directory."""
    from jina.core.requirements import install_requirements  # noqa: PLC0415 - few Executors need it

    install_requirements(folder or Path.cwd())


def py_modules_of(loaded: LoadedYaml) -> tuple[str, ...]:
    """Returns the Python files that a document names, as a path or a list, at its top or in ``metas``.

    Raises:
        ConfigError: They are something else.
    """
    found: list[str] = []
    metas = mapping_of(loaded, 'metas')
    for path, value in (
        (('py_modules',), loaded.data.get('py_modules')),
        (('metas', 'py_modules'), metas.get('py_modules')),
    ):
        names = [value] if isinstance(value, str) else list(value or ())
        if not all(isinstance(name, str) for name in names):
            raise ConfigError(f'{loaded.where(*path)} is {value!r}', hint='give a path or a list of paths')
        found.extend(name for name in names if name)
    return tuple(found)


def mapping_of(loaded: LoadedYaml, key: str) -> Mapping[str, Any]:
    """Returns a section of a document; empty if it isn't there.

    Raises:
        ConfigError: It is no mapping.
    """
    value = loaded.data.get(key) or {}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f'{loaded.where(key)}: {key} is {value!r}', hint=f'write {key} as a mapping of names to values'
        )
    return value


def _import_attribute(module_name: str, class_name: str, where: str) -> Any:
    try:
        module = _import_also_from_here(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f'{module_name}.'.startswith(f'{error.name}.'):
            raise
        raise ConfigSourceError(
            f'{where}: there is no module {module_name!r}', hint='install it, or name its file in py_modules'
        ) from error
    if not hasattr(module, class_name):
        near = difflib.get_close_matches(class_name, dir(module), 1)
        raise ConfigSourceError(
            f'{where}: module {module_name!r} has no {class_name!r}', hint=f'did you mean {near[0]!r}?' if near else ''
        )
    return getattr(module, class_name)


def _import_also_from_here(module_name: str) -> ModuleType:
    """Imports a module, if need be from the working directory, which the ``jina`` command doesn't search by itself."""
    here, top = os.getcwd(), module_name.partition('.')[0]
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != top or here in sys.path or not importlib.machinery.PathFinder.find_spec(top, [here]):
            raise
    sys.path.append(here)
    return importlib.import_module(module_name)
