"""From ``uses`` to an Executor: finds the class, reads its YAML, applies overrides, makes the object."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jina.core.errors import ConfigError, ConfigSourceError, NotSupportedError
from jina.core.modules import import_py_modules
from jina.core.registry import EXECUTORS
from jina.core.yaml import load_yaml

if TYPE_CHECKING:
    from jina.core.config import ExecutorOptions
    from jina.core.executor import BaseExecutor

_CLASS_NAME = re.compile(r'[^\W\d]\w*(\.[^\W\d]\w*)*')
_YAML_SUFFIXES: Final = ('.yml', '.yaml', '.jaml')
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
_INJECTED: Final = ('metas', 'requests', 'runtime_args')


@dataclass(frozen=True)
class SourceOptions:
    """How an Executor's definition is looked for.

    Attributes:
        py_modules: Python files or packages to import first.
        search_paths: More folders to find files in.
        context: Values for variables in YAML.
        substitute: Replace variables in YAML.
        allow_py_modules: Import the ``py_modules`` that YAML names.
    """

    py_modules: tuple[str, ...] = ()
    search_paths: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    substitute: bool = True
    allow_py_modules: bool = True


@dataclass(frozen=True)
class Definition:
    """An Executor that can be made: its class and what its configuration says.

    Attributes:
        executor_class: The class.
        arguments: Arguments of its ``__init__``.
        metas: Its ``metas``.
        requests: Endpoint to method name; replaces decorators.
        py_modules: Python files that were imported for it.
    """

    executor_class: type[BaseExecutor]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    metas: Mapping[str, Any] = field(default_factory=dict)
    requests: Mapping[str, str] = field(default_factory=dict)
    py_modules: tuple[str, ...] = ()

    def override(
        self,
        *,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, str] | None = None,
    ) -> Definition:
        """Returns the definition with some values replaced."""
        return replace(
            self,
            arguments={**self.arguments, **(uses_with or {})},
            metas={**self.metas, **(uses_metas or {})},
            requests={**self.requests, **(uses_requests or {})},
        )


def load_executor(options: ExecutorOptions, *, runtime_name: str) -> BaseExecutor:
    """Makes the Executor that the options describe, with its endpoints checked.

    Args:
        options: Options of the process.
        runtime_name: Name of the process, for example ``encoder/rep-0``.

    Raises:
        ConfigError: ``uses`` or the YAML behind it is wrong.
        ConfigSourceError: ``uses`` can't be found.
        SchemaError: An endpoint declares something that is no document type.
        NotSupportedError: The Executor needs something that this version doesn't provide.
        Exception: Whatever the Executor's ``__init__`` raises.
    """
    source_options = SourceOptions(
        py_modules=as_list(options.py_modules), search_paths=tuple(options.extra_search_paths)
    )
    definition = find_definition(options.uses, source_options).override(
        uses_with=options.uses_with, uses_metas=options.uses_metas, uses_requests=options.uses_requests
    )
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
    }
    executor = instantiate(definition, runtime_args=runtime_args)
    try:
        _ = executor.endpoints
    except BaseException:
        executor.close()
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
    """
    return find_definition(uses, SourceOptions(as_list(py_modules), tuple(search_paths))).executor_class


def find_definition(uses: Any, options: SourceOptions) -> Definition:
    """Finds the class and the configuration that ``uses`` stands for.

    Raises:
        ConfigError: ``uses`` is no Executor, or its YAML is wrong.
        ConfigSourceError: It can't be found.
        NotSupportedError: It names a container image or an Executor of the hub.
    """
    if isinstance(uses, type):
        _import(options.py_modules, options.search_paths)
        return Definition(_checked(uses, repr(uses)), py_modules=options.py_modules)
    if isinstance(uses, str):
        _refuse_remote(uses)
        if _CLASS_NAME.fullmatch(uses) and not uses.endswith(_YAML_SUFFIXES):
            _import(options.py_modules, options.search_paths)
            return Definition(_class_by_name(uses), py_modules=options.py_modules)
    elif not isinstance(uses, (Mapping, os.PathLike)) and not hasattr(uses, 'read'):
        raise ConfigError(
            f'uses={uses!r} is no Executor', hint='give a class, its name, package.module.Class, or a YAML file or text'
        )
    return _definition_from_yaml(uses, options)


def _refuse_remote(uses: str) -> None:
    scheme, separator, _ = uses.partition('://')
    if not separator:
        return
    if scheme in ('docker', 'jinaai+docker', 'jinahub+docker'):
        raise NotSupportedError(
            f'uses={uses!r} is a container image, which this version can not start',
            hint='start the image yourself and add it with external=True, host and port',
        )
    if scheme in ('jinaai', 'jinahub', 'jinahub+sandbox', 'jinaai+sandbox'):
        raise NotSupportedError(
            f'uses={uses!r} is an Executor of the hub, which this version can not fetch',
            hint="download its source and give uses='<folder>/config.yml'",
        )


def _definition_from_yaml(source: Any, options: SourceOptions) -> Definition:
    loaded = load_yaml(
        dict(source) if isinstance(source, Mapping) else source,
        context=options.context,
        substitute=options.substitute,
        extra_search_paths=options.search_paths,
    )
    where = str(loaded.path) if loaded.path else 'the Executor configuration'
    data = _checked_keys(loaded.data, where)
    metas = dict(_mapping(data, 'metas', where))
    own_modules = (*as_list(data.get('py_modules')), *as_list(metas.get('py_modules')))
    folders = (*([str(loaded.directory)] if loaded.directory else []), *options.search_paths)
    if own_modules and options.allow_py_modules:
        _import(own_modules, folders)
    _import(options.py_modules, folders)
    name = data.get('jtype')
    if not isinstance(name, str):
        raise ConfigError(f'{where} has no jtype', hint='name the Executor class: jtype: MyExecutor')
    return Definition(
        _class_by_name(name, where),
        arguments=_mapping(data, 'with', where),
        metas=metas,
        requests=_mapping(data, 'requests', where),
        py_modules=(*own_modules, *options.py_modules),
    )


def _checked_keys(data: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    for key in data:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, 1)
            hint = f'did you mean {near[0]!r}?' if near else f'known keys are {", ".join(_KEYS[:6])}'
            raise ConfigError(f'{where}: {key!r} is no key of an Executor', hint=hint)
    for key in ('dynamic_batching', 'uses_dynamic_batching'):
        if data.get(key):
            raise NotSupportedError(f'{where}: {key} is not available in this version', hint='remove it')
    return data


def _mapping(data: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = data.get(key) or {}
    if not isinstance(value, Mapping):
        raise ConfigError(f'{where}: {key} is {value!r}', hint=f'write {key} as a mapping of names to values')
    return value


def _class_by_name(name: str, where: str = '') -> type[BaseExecutor]:
    prefix = f'{where}: ' if where else ''
    if name in EXECUTORS:
        return EXECUTORS[name]
    module_name, _, class_name = name.rpartition('.')
    if module_name:
        return _checked(_import_attribute(module_name, class_name, prefix), repr(name))
    near = difflib.get_close_matches(name, [known for known in EXECUTORS if '.' not in known], 1)
    hint = (
        f'did you mean {near[0]!r}?'
        if near
        else 'name the file that defines it in py_modules, or write package.module.Class'
    )
    raise ConfigSourceError(f'{prefix}there is no Executor class {name!r}', hint=hint)


def _import_attribute(module_name: str, class_name: str, prefix: str) -> Any:
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f'{error.name}.')):
            raise
        raise ConfigSourceError(
            f'{prefix}there is no module {module_name!r}', hint='install it, or name its file in py_modules'
        ) from error
    if not hasattr(module, class_name):
        near = difflib.get_close_matches(class_name, dir(module), 1)
        raise ConfigSourceError(
            f'{prefix}module {module_name!r} has no {class_name!r}', hint=f'did you mean {near[0]!r}?' if near else ''
        )
    return getattr(module, class_name)


def _checked(candidate: Any, what: str) -> type[BaseExecutor]:
    if not (isinstance(candidate, type) and issubclass(candidate, EXECUTORS['BaseExecutor'])):
        raise ConfigError(f'{what} is no Executor', hint='derive the class from jina.Executor')
    return candidate


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
    for name in ('runtime_args', 'requests', 'metas'):
        if name in definition.arguments:
            raise ConfigError(
                f'{name} can not be an argument of {executor_class.__name__}',
                hint='it comes from the process' if name == 'runtime_args' else f'use uses_{name}, or {name} in YAML',
            )
    _check_init(executor_class, definition.arguments)
    executor = executor_class(
        **definition.arguments,
        metas=dict(definition.metas),
        requests=dict(definition.requests),
        runtime_args=dict(runtime_args),
    )
    if 'requests' not in vars(executor):
        raise ConfigError(
            f'{executor_class.__name__}.__init__ does not initialise its base class',
            hint='call super().__init__(**kwargs) in it',
        )
    return executor


def _check_init(executor_class: type[BaseExecutor], arguments: Mapping[str, Any]) -> None:
    """Turns a wrong signature into an error that says what to change, before Python's own."""
    name = f'{executor_class.__name__}.__init__'
    signature = inspect.signature(executor_class.__init__)
    parameters = list(signature.parameters.values())[1:]
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    if not takes_all and not set(_INJECTED) <= {parameter.name for parameter in parameters}:
        raise ConfigError(
            f'{name}{signature} takes no **kwargs',
            hint='add **kwargs to its parameters and call super().__init__(**kwargs)',
        )
    for parameter in parameters:
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if not variadic and parameter.default is parameter.empty and parameter.name not in (*arguments, *_INJECTED):
            raise ConfigError(
                f'{name} needs the argument {parameter.name!r}',
                hint=f"give it: uses_with={{'{parameter.name}': ...}}, or 'with' in YAML",
            )


def _import(paths: Sequence[str], folders: Sequence[str]) -> None:
    if paths:
        import_py_modules(paths, [*folders, str(Path.cwd())])


def as_list(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Returns a string or a sequence of strings as a tuple."""
    if not value:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
