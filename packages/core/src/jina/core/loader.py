"""From ``uses`` to an Executor: finds the class, reads its YAML, applies overrides, makes the object."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from jina.core import constructors
from jina.core.class_finder import ClassFinder, import_modules, install_beside, mapping_of, placed_import, py_modules_of
from jina.core.closing import close_executor
from jina.core.constructors import check_constructor
from jina.core.errors import ConfigError
from jina.core.remote_executor import RemoteExecutor
from jina.core.stateful import check_stateful, warn_if_lone
from jina.core.yaml import LoadedYaml, LoadOverrides, load_yaml, registered_class

if TYPE_CHECKING:
    from jina.core.config import ExecutorOptions
    from jina.core.executor import BaseExecutor

_KEYS: Final = (
    'jtype',
    'version',
    'with',
    'metas',
    'requests',
    'py_modules',
    'dynamic_batching',
    'uses_dynamic_batching',
)
_ORCHESTRATORS: Final = ('Flow', 'Deployment')
_INJECTED: Final = ('runtime_args', 'requests', 'metas', 'dynamic_batching')


@dataclass(frozen=True)
class Definition:
    """An Executor that can be made: its class and what its configuration says.

    Attributes:
        executor_class: The class.
        arguments: Arguments of its ``__init__``.
        metas: Its ``metas``.
        requests: Endpoint to method name; replaces decorators.
        py_modules: Python files that are imported for it.
        dynamic_batching: Endpoint or method to its batching settings.
        loaded: Its YAML document, if it comes from one.
    """

    executor_class: type[BaseExecutor]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    metas: Mapping[str, Any] = field(default_factory=dict)
    requests: Mapping[str, str] = field(default_factory=dict)
    py_modules: tuple[str, ...] = ()
    dynamic_batching: Mapping[str, Any] = field(default_factory=dict)
    loaded: LoadedYaml | None = None

    def place(self, name: object, *keys: str) -> str:
        """Describes where a value was set, for messages: ``config.yml:4: with.size``, or ``uses_with['size']``.

        Args:
            name: Its name.
            keys: The keys of the document under which it may stand.
        """
        loaded = self.loaded or LoadedYaml({})
        for key in keys:
            section = loaded.data.get(key)
            if isinstance(section, Mapping) and name in section:
                return loaded.where(key, str(name))
        return f'uses_{keys[0]}[{name!r}]'


def load_executor(
    options: ExecutorOptions, *, runtime_name: str, instruments: Mapping[str, Any] | None = None
) -> BaseExecutor:
    """Makes the Executor that the options describe, with its endpoints checked.

    Args:
        options: Options of the process.
        runtime_name: Name of the process, for example ``encoder/rep-0``.
        instruments: ``tracer``, ``meter`` and ``measures`` of the process, those that it has.

    Raises:
        ConfigError: ``uses`` or the YAML behind it is wrong.
        ConfigSourceError: ``uses`` can't be found.
        SchemaError: An endpoint declares something that is no document type.
        Exception: Whatever the Executor's ``__init__`` raises.
    """
    overrides = LoadOverrides(
        uses_with=options.uses_with,
        uses_metas=options.uses_metas,
        uses_requests=options.uses_requests,
        uses_dynamic_batching=options.uses_dynamic_batching,
        py_modules=tuple(options.py_modules or ()),
        extra_search_paths=tuple(options.extra_search_paths),
        install_requirements=options.install_requirements,
    )
    definition = find_definition(options.uses, overrides)
    runtime_args = {
        'name': runtime_name,
        'replicas': options.replicas,
        'shards': options.shards,
        'shard_id': options.shard_id,
        'replica_id': options.replica_id,
        'workspace': options.workspace,
        'py_modules': list(definition.py_modules) or None,
        'log_config': options.log_config,
        'quiet': options.quiet,
        'quiet_error': options.quiet_error,
        **({'stateful': True} if options.stateful else {}),
        **(instruments or {}),
    }
    executor = instantiate(definition, runtime_args=runtime_args)
    try:
        if options.stateful:
            check_stateful(executor)
        elif options.replica_id == options.shard_id == 0:  # the same for all of them
            warn_if_lone(executor, executor.endpoints, options.replicas)
        else:
            _ = executor.endpoints
    except BaseException:
        try:
            close_executor(executor)
        except Exception as error:  # it must not hide what is wrong
            executor.logger.error(f'{executor!r} failed to close: {error!r}', exc_info=error)
        raise
    return executor


def resolve_executor_class(
    uses: Any, py_modules: str | Sequence[str] | None = None, search_paths: Iterable[str] = ()
) -> type[BaseExecutor]:
    """Returns the Executor class that ``uses`` stands for.

    Args:
        uses: A class, its name, ``package.module.Class``, or YAML in any form.
        py_modules: Python files to import first.
        search_paths: More folders to find files in.

    Raises:
        ConfigError: ``uses`` is no Executor.
        ConfigSourceError: It can't be found.
        NotSupportedError: It names a container image or an Executor of the hub.
    """
    modules = (py_modules,) if isinstance(py_modules, str) else tuple(py_modules or ())
    overrides = LoadOverrides(py_modules=modules, extra_search_paths=tuple(search_paths))
    return find_definition(uses, overrides).executor_class


def find_definition(uses: Any, overrides: LoadOverrides) -> Definition:
    """Finds the class and the configuration that ``uses`` stands for.

    Args:
        uses: A class, its name, ``package.module.Class``, or YAML in any form.
        overrides: What the caller sets beside it.

    Raises:
        ConfigError: ``uses`` is no Executor, its URI is none, or its YAML is wrong.
        ConfigSourceError: It can't be found.
        NotSupportedError: It names a container image or an Executor of the hub.
    """
    if isinstance(uses, type):
        executor_class = _EXECUTORS.checked(uses, f'uses={uses!r}')
        if overrides.install_requirements:
            file = getattr(sys.modules.get(executor_class.__module__), '__file__', None)
            install_beside(Path(file).parent if file else None)
        placed_import(overrides.py_modules, overrides.extra_search_paths)
        return _override(Definition(executor_class), overrides)
    if isinstance(uses, str):
        remote = RemoteExecutor.parse(uses)
        if remote is not None:
            raise remote.refusal()
    elif not isinstance(uses, (Mapping, os.PathLike)) and not hasattr(uses, 'read'):
        raise ConfigError(
            f'uses={uses!r} is no Executor', hint='give a class, its name, package.module.Class, or a YAML file or text'
        )
    source = dict(uses) if isinstance(uses, Mapping) else uses
    loaded = load_yaml(source, extra_search_paths=overrides.extra_search_paths)
    return definition_of(loaded, overrides)


def definition_of(
    loaded: LoadedYaml, overrides: LoadOverrides, default: type[BaseExecutor] | None = None
) -> Definition:
    """Reads an Executor's YAML document, importing the Python files that it names.

    Args:
        loaded: The document.
        overrides: What the caller sets beside it.
        default: The class of a document without ``jtype``.

    Raises:
        ConfigError: The document has an unknown key or a value of the wrong kind.
        ConfigSourceError: A Python file or the class can't be found.
        NotSupportedError: It uses something that this version doesn't provide.
    """
    kind = loaded.data.get('jtype')
    if kind in _ORCHESTRATORS:
        raise ConfigError(
            f'{loaded.where("jtype")}: this describes a {kind}, not an Executor',
            hint=f'run: jina {kind.lower()} --uses FILE, or call {kind}.load_config(FILE)',
        )
    for key in loaded.data:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, 1)
            hint = f'did you mean {near[0]!r}?' if near else f'known keys are {", ".join(_KEYS[:6])}'
            raise ConfigError(f'{loaded.where(key)}: {key!r} is no key of an Executor', hint=hint)
    own_modules = py_modules_of(loaded)
    modules = import_modules(own_modules, overrides, loaded)
    definition = Definition(
        _EXECUTORS.find(loaded, modules, default),
        arguments=mapping_of(loaded, 'with'),
        metas=mapping_of(loaded, 'metas'),
        requests=mapping_of(loaded, 'requests'),
        py_modules=own_modules,
        dynamic_batching=_batching(loaded),
        loaded=loaded,
    )
    return _override(definition, overrides)


def _batching(loaded: LoadedYaml) -> Mapping[str, Any]:
    """Reads ``dynamic_batching``, which the original's documentation also calls ``uses_dynamic_batching``."""
    found: Mapping[str, Any] = {}
    for key in ('dynamic_batching', 'uses_dynamic_batching'):
        found = _merged_batching(found, mapping_of(loaded, key), loaded.where(key))
    return found


def _merged_batching(settings: Mapping[str, Any], overrides: Mapping[str, Any] | None, where: str) -> Mapping[str, Any]:
    if not overrides:
        return settings
    from jina.core.config.batching import check_batching, merge_batching  # noqa: PLC0415 - loads all options

    return merge_batching(settings, check_batching(overrides, where))


def _override(definition: Definition, overrides: LoadOverrides) -> Definition:
    return replace(
        definition,
        arguments={**definition.arguments, **(overrides.uses_with or {}), **overrides.arguments},
        metas={**definition.metas, **(overrides.uses_metas or {})},
        requests={**definition.requests, **(overrides.uses_requests or {})},
        py_modules=(*definition.py_modules, *overrides.py_modules),
        dynamic_batching=_merged_batching(
            definition.dynamic_batching, overrides.uses_dynamic_batching, 'uses_dynamic_batching'
        ),
    )


def instantiate(definition: Definition, *, runtime_args: Mapping[str, Any]) -> BaseExecutor:
    """Makes the Executor.

    Args:
        definition: What to make.
        runtime_args: Values of its ``runtime_args``.

    Raises:
        ConfigError: Its ``__init__`` doesn't take what the framework gives, or doesn't call ``super().__init__``.
        Exception: Whatever its ``__init__`` raises.
    """
    executor_class = definition.executor_class
    for name in _INJECTED:
        if name in definition.arguments:
            raise ConfigError(
                f'{name} can not be an argument of {executor_class.__name__}',
                hint='it comes from the process' if name == 'runtime_args' else f'use uses_{name}, or {name} in YAML',
            )
    injected: dict[str, Any] = {
        'metas': dict(definition.metas),
        'requests': dict(definition.requests),
        'runtime_args': dict(runtime_args),
        # An __init__ that names its arguments one by one was written without this one: it gets it only when it is needed.
        **({'dynamic_batching': definition.dynamic_batching} if definition.dynamic_batching else {}),
    }
    _check_init(definition, injected)
    arguments = {**definition.arguments, **injected}
    executor = executor_class.__new__(executor_class, **arguments)
    executor._definition = definition  # before __init__, whose messages name the place of what is wrong
    executor.__init__(**arguments)  # type: ignore[misc]
    if 'requests' not in vars(executor):
        raise ConfigError(
            f'{executor_class.__name__}.__init__ does not initialise its base class',
            hint='call super().__init__(**kwargs) in it',
        )
    return executor


def blueprint(definition: Definition) -> BaseExecutor:
    """Makes an Executor whose own ``__init__`` doesn't run: it loads no model, and what it declares can be checked.

    Args:
        definition: What to make.

    Raises:
        ConfigError: Its ``__init__`` doesn't take what the framework gives, or ``requests`` names a method that isn't there.
    """
    executor_class = definition.executor_class
    injected: dict[str, Any] = {
        'metas': dict(definition.metas),
        'requests': dict(definition.requests),
        'runtime_args': {},
    }
    _check_init(definition, {**injected, **({'dynamic_batching': {}} if definition.dynamic_batching else {})})
    known = {*constructors.constructor_arguments(executor_class, _base_class())}
    for name in definition.arguments:
        if name not in known and not reads_rest(executor_class):
            raise unknown_argument(definition, name)
    executor = executor_class.__new__(executor_class)
    executor._definition = definition
    _base_class().__init__(executor, **injected, dynamic_batching=definition.dynamic_batching)
    return executor


def _check_init(definition: Definition, injected: Mapping[str, Any]) -> None:
    """Turns a wrong signature into an error that says what to change, before Python's own."""
    section = '' if definition.loaded is None else definition.loaded.where('with')
    check_constructor(
        definition.executor_class,
        definition.arguments,
        injected,
        lambda name: unknown_argument(definition, name),
        section,
    )


def unknown_argument(definition: Definition, argument: str) -> ConfigError:
    """Returns the error about an argument that no ``__init__`` of an Executor takes."""
    place = definition.place(argument, 'with')
    return constructors.unknown_argument(
        definition.executor_class, _base_class(), argument, place=place, reserved=_INJECTED
    )


def reads_rest(executor_class: type[BaseExecutor]) -> bool:
    """Tells whether a constructor does more with its ``**kwargs`` than to hand them on to that of its base."""
    return constructors.reads_rest(executor_class, _base_class())


def _base_class() -> type[BaseExecutor]:
    return cast('type[BaseExecutor]', registered_class('BaseExecutor'))


_EXECUTORS: Final = ClassFinder('Executor', _base_class, derive='jina.Executor')
