"""Objects that a YAML document describes: Deployment and Flow."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from jina.core.errors import ConfigError, ConfigSourceError, NotSupportedError, YamlVersionError
from jina.core.yaml.dumping import dump_yaml
from jina.core.yaml.loading import LoadedYaml, load_yaml
from jina.core.yaml.sources import Source

_REGISTRY: dict[str, type[YamlObject]] = {}

Self = TypeVar('Self', bound='YamlObject')


def registered_class(name: str) -> type[YamlObject] | None:
    """Returns the class that documents call ``name``: the one of this name that was defined last.

    Args:
        name: Name without module.
    """
    return _REGISTRY.get(name)


@contextmanager
def forgotten_classes(modules: Collection[str]) -> Iterator[None]:
    """Inside, documents can't name the classes of some modules until they are defined again; an exception brings them back.

    Args:
        modules: Names of the modules.
    """
    before = {name: known for name, known in _REGISTRY.items() if known.__module__ in modules}
    for name in before:
        del _REGISTRY[name]
    try:
        yield
    except BaseException:
        _REGISTRY.update(before)
        raise


@dataclass(frozen=True)
class LoadOverrides:
    """What the caller of ``load_config`` sets beside the document; None and empty mean "as in the document".

    Args:
        allow_py_modules: Whether Python files that the document names may be imported.
        uses_with: Constructor arguments of the Executor.
        uses_metas: Meta information of the Executor.
        uses_requests: Endpoints of the Executor and the methods that serve them.
        uses_dynamic_batching: Batching of endpoints.
        py_modules: Python files to import.
        extra_search_paths: Directories for relative paths.
        install_requirements: Whether the ``requirements.txt`` beside the Executor is installed before its import.
        runtime_args: What the runtime tells the Executor.
        needs: Names of the Deployments in front of this one.
        include_gateway: Whether a Deployment is reachable by its own port.
        noblock_on_start: Whether ``start`` returns before everything is ready.
        arguments: Further constructor arguments.
    """

    allow_py_modules: bool = True
    uses_with: Mapping[str, Any] | None = None
    uses_metas: Mapping[str, Any] | None = None
    uses_requests: Mapping[str, Any] | None = None
    uses_dynamic_batching: Mapping[str, Any] | None = None
    py_modules: tuple[str, ...] = ()
    extra_search_paths: tuple[str, ...] = ()
    install_requirements: bool = False
    runtime_args: Mapping[str, Any] | None = None
    needs: tuple[str, ...] | None = None
    include_gateway: bool = True
    noblock_on_start: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


class YamlObject:
    """Base of the classes that can be read from and written to YAML.

    Each subclass is known by its name, so that ``jtype: Name`` (or ``!Name``) finds it. A subclass overrides
    ``from_config`` and ``to_config``.
    """

    config_path: Path | None = None
    """File that the object was loaded from."""
    load_again: Callable[[], Any] | None = None
    """Loads an object from that file as it is now, with the same arguments; None if it wasn't loaded from a file."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _REGISTRY[cls.__name__] = cls

    @classmethod
    def load_config(  # noqa: PLR0913 (the documented signature)
        cls: type[Self],
        source: Source,
        *,
        allow_py_modules: bool = True,
        substitute: bool = True,
        context: Mapping[str, Any] | None = None,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, Any] | None = None,
        extra_search_paths: Sequence[str] | None = None,
        py_modules: str | Sequence[str] | None = None,
        runtime_args: Mapping[str, Any] | None = None,
        uses_dynamic_batching: Mapping[str, Any] | None = None,
        needs: str | Iterable[str] | None = None,
        include_gateway: bool = True,
        noblock_on_start: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Makes an object from a document.

        Args:
            source: Path, ``http(s)`` URL, stream, YAML or JSON text, class name, or dict.
            allow_py_modules: Whether to import the Python files that the document names in ``py_modules``.
            substitute: Whether to replace variables such as ``${{ ENV.NAME }}``.
            context: Values for ``${{ CONTEXT.name }}``.
            uses_with: Constructor arguments that replace those in the document, key by key.
            uses_metas: Metas that replace those in the document, key by key.
            uses_requests: Endpoint bindings that replace those in the document, key by key.
            extra_search_paths: Directories in which relative paths are searched, too.
            py_modules: Python files to import beside those of the document.
            runtime_args: What the runtime tells an Executor.
            uses_dynamic_batching: Batching that replaces that of the document.
            needs: Names of the Deployments in front of this one.
            include_gateway: Whether a Deployment is reachable by its own port.
            noblock_on_start: Whether ``start`` returns before everything is ready.
            kwargs: Further constructor arguments.

        Returns:
            The object.

        Raises:
            ConfigSourceError: The document or its class can't be found.
            ConfigError: The document is invalid, or describes an object of another kind.
            YamlVersionError: The document has another ``version`` than 1.
        """
        paths = tuple(os.fspath(path) for path in extra_search_paths or ())
        loaded = load_yaml(source, context=context, substitute=substitute, extra_search_paths=paths)
        overrides = LoadOverrides(
            allow_py_modules=allow_py_modules,
            uses_with=uses_with,
            uses_metas=uses_metas,
            uses_requests=uses_requests,
            uses_dynamic_batching=uses_dynamic_batching,
            py_modules=(py_modules,) if isinstance(py_modules, str) else tuple(py_modules or ()),
            extra_search_paths=paths,
            runtime_args=runtime_args,
            needs=(needs,) if isinstance(needs, str) else None if needs is None else tuple(needs),
            include_gateway=include_gateway,
            noblock_on_start=noblock_on_start,
            arguments=kwargs,
        )
        target = cls.class_of(loaded)
        _check_version(loaded)
        loaded_object = target.from_config(loaded, overrides)
        loaded_object.config_path = loaded.path
        if loaded.path is not None:
            loaded_object.load_again = partial(
                cls._load, loaded.path, overrides, context=context, substitute=substitute, label=loaded.label
            )
        return loaded_object

    @classmethod
    def _load(
        cls: type[Self],
        path: Path,
        overrides: LoadOverrides,
        *,
        context: Mapping[str, Any] | None,
        substitute: bool,
        label: str,
    ) -> Self:
        """Makes an object from a file that was loaded before."""
        loaded = replace(load_yaml(path, context=context, substitute=substitute), label=label)
        _check_version(loaded)
        return cls.class_of(loaded).from_config(loaded, overrides)

    @classmethod
    def class_of(cls: type[Self], loaded: LoadedYaml) -> type[Self]:
        """Finds the class that a document's ``jtype`` names.

        Args:
            loaded: The document.

        Returns:
            The class; this one if the document has no ``jtype``.

        Raises:
            ConfigSourceError: There is no such class.
            ConfigError: It isn't a subclass of this one.
        """
        name = loaded.data.get('jtype', cls.__name__)
        if not isinstance(name, str):
            raise ConfigError(f'{loaded.where("jtype")}: {name!r} is not the name of a class')
        found = cls if name == cls.__name__ else registered_class(name)
        if found is None:
            close = difflib.get_close_matches(
                name, [known for known, kind in _REGISTRY.items() if issubclass(kind, cls)], 1
            )
            raise ConfigSourceError(
                f'{loaded.where("jtype")}: there is no class {name!r} that is a {cls.__name__}'
                + (f' (did you mean {close[0]!r}?)' if close else ''),
                hint=f'write jtype: {cls.__name__}',
            )
        if not issubclass(found, cls):
            raise ConfigError(
                f'{loaded.where("jtype")}: {name!r} is not a kind of {cls.__name__}',
                hint=f'call {name}.load_config, or give a document with jtype: {cls.__name__}',
            )
        return found

    @classmethod
    def from_config(cls: type[Self], loaded: LoadedYaml, overrides: LoadOverrides) -> Self:
        """Makes an object of this class.

        Args:
            loaded: The document, whose ``jtype`` is this class.
            overrides: What the caller sets beside it.

        Raises:
            NotSupportedError: The class doesn't say how.
        """
        raise NotSupportedError(f'{loaded.label} can not be loaded', hint=f'define {cls.__name__}.from_config()')

    def to_config(self) -> dict[str, Any]:
        """Returns the document that describes this object.

        Raises:
            NotSupportedError: The class doesn't say how.
        """
        raise NotSupportedError(
            f'{type(self).__name__} has no YAML form', hint=f'define {type(self).__name__}.to_config()'
        )

    @staticmethod
    def is_valid_jaml(obj: Mapping[str, Any]) -> bool:
        """Tells whether a document can be written as YAML and read again.

        Args:
            obj: The document.
        """
        try:
            return load_yaml(dump_yaml(obj), substitute=False).data == obj
        except ConfigError:
            return False

    def save_config(self, filename: str | os.PathLike[str] | None = None) -> None:
        """Writes the object to a YAML file that ``load_config`` can read.

        Args:
            filename: The file; by default the one that the object was loaded from.

        Raises:
            ConfigError: No file is given and the object wasn't loaded from one.
        """
        target = filename or self.config_path
        if target is None:
            raise ConfigError(
                f'{type(self).__name__}.save_config() does not know where to write', hint='give it a filename'
            )
        Path(target).expanduser().write_text(dump_yaml(self.to_config()), encoding='utf-8')


def _check_version(loaded: LoadedYaml) -> None:
    version = str(loaded.data.get('version', '1'))
    if not re.fullmatch(r'1(\.\d+)*', version):
        raise YamlVersionError(f'{loaded.where("version")}: {version!r} is no known version', hint="write version: '1'")
    if version != '1':
        warnings.warn(f'{loaded.where("version")}: {version!r} is read as version 1', stacklevel=3)
