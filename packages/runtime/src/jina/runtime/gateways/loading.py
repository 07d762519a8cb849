"""From ``uses`` to a gateway: finds the class, reads its YAML, applies overrides, makes the object."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

from jina.core import constructors
from jina.core.class_finder import ClassFinder, import_modules, mapping_of, placed_import, py_modules_of
from jina.core.config import CONTAINER_OPTIONS, GatewayOptions, build, nearest
from jina.core.errors import ConfigError, NotSupportedError
from jina.core.remote_executor import RemoteExecutor
from jina.core.yaml import LoadedYaml, LoadOverrides, load_yaml, registered_class

if TYPE_CHECKING:
    from jina.runtime.gateways.base import BaseGateway
    from jina.runtime.gateways.context import GatewayContext

BUILT_IN: Final = {
    'CompositeGateway': 'jina.runtime.gateways.built_in',
    'FastAPIBaseGateway': 'jina.runtime.gateways.fastapi',
    'GRPCGateway': 'jina.runtime.gateways.built_in',
    'HTTPGateway': 'jina.runtime.gateways.built_in',
    'WebSocketGateway': 'jina.runtime.gateways.built_in',
}
"""Gateways of the framework that ``uses`` may name, and their modules."""
_BASE: Final = 'jina.runtime.gateways.base'
_OWN_KEYS: Final = ('jtype', 'version', 'with', 'py_modules')
_RESERVED: Final = ('runtime_args',)
_NOT_IN_DOCUMENT: Final = frozenset(
    {
        'uses',
        'uses_with',
        *CONTAINER_OPTIONS,
        'env',
        'extra_search_paths',
        'floating',
        'noblock_on_start',
        'pod_role',
        'reload',
        'replica_id',
        'replicas',
        'runtime_cls',
        'shard_id',
        'timeout_ready',
    }
)
"""Options of who starts the gateway."""


@dataclass(frozen=True)
class GatewayDefinition:
    """A gateway that can be made: its class and what its configuration says.

    Attributes:
        gateway_class: The class.
        arguments: Arguments of its ``__init__``.
        options: Options of the gateway that stand at the top of its document.
        py_modules: Python files that are imported for it.
        loaded: Its YAML document, if it comes from one.
    """

    gateway_class: type[BaseGateway]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    py_modules: tuple[str, ...] = ()
    loaded: LoadedYaml | None = None

    def unknown_argument(self, name: str) -> ConfigError:
        """Returns the error about an argument that no ``__init__`` of the gateway takes."""
        loaded = self.loaded
        stands = loaded is not None and name in mapping_of(loaded, 'with')
        place = loaded.where('with', name) if loaded is not None and stands else f'uses_with[{name!r}]'
        return constructors.unknown_argument(self.gateway_class, _base(), name, place=place, reserved=_RESERVED)


def reads_rest(gateway_class: type[BaseGateway]) -> bool:
    """Tells whether a constructor does more with its ``**kwargs`` than to hand them on to that of its base."""
    return constructors.reads_rest(gateway_class, _base())


def find_gateway(options: GatewayOptions) -> tuple[GatewayDefinition, GatewayOptions]:
    """Finds the gateway that ``uses`` stands for.

    Args:
        options: Options of the gateway.

    Returns:
        The gateway, and the options with those of its document, where the first ones don't say otherwise.

    Raises:
        ConfigError: ``uses`` is no gateway, or its YAML is wrong.
        ConfigSourceError: It can't be found.
        NotSupportedError: It names a container image.
    """
    overrides = LoadOverrides(
        uses_with=options.uses_with,
        py_modules=tuple(options.py_modules or ()),
        extra_search_paths=tuple(options.extra_search_paths),
    )
    definition = _find(options.uses, overrides)
    return definition, _with_document(options, definition)


def _find(uses: Any, overrides: LoadOverrides) -> GatewayDefinition:
    if isinstance(uses, type):
        gateway_class = _GATEWAYS.checked(uses, f'uses={uses!r}')
        placed_import(overrides.py_modules, overrides.extra_search_paths)
        return _override(GatewayDefinition(gateway_class), overrides)
    if isinstance(uses, str):
        remote = RemoteExecutor.parse(uses)
        if remote is not None:
            raise _refusal(remote)
    elif not isinstance(uses, (Mapping, os.PathLike)) and not hasattr(uses, 'read'):
        raise ConfigError(
            f'uses={uses!r} is no gateway', hint='give a class, its name, package.module.Class, or a YAML file or text'
        )
    source = dict(uses) if isinstance(uses, Mapping) else uses
    return definition_of(load_yaml(source, extra_search_paths=overrides.extra_search_paths), overrides)


def _refusal(remote: RemoteExecutor) -> NotSupportedError:
    if remote.registry == 'docker':
        return NotSupportedError(
            f'uses={remote.uri!r} is a container image, and no gateway that a process could load',
            hint="a Flow starts it: Flow().config_gateway(uses='docker://<image>'), or `gateway: {uses: docker://<image>}` in its YAML",
        )
    return NotSupportedError(
        f'uses={remote.uri!r} is a gateway of the hub, which this version can not fetch',
        hint='give the class, the YAML file, or an image of the gateway',
    )


def definition_of(
    loaded: LoadedYaml, overrides: LoadOverrides, default: type[BaseGateway] | None = None
) -> GatewayDefinition:
    """Reads a gateway's YAML document, importing the Python files that it names.

    Args:
        loaded: The document.
        overrides: What the caller sets beside it.
        default: The class of a document without ``jtype``.

    Raises:
        ConfigError: The document has an unknown key or a value of the wrong kind.
        ConfigSourceError: A Python file or the class can't be found.
    """
    options = {key: value for key, value in loaded.data.items() if key not in _OWN_KEYS}
    _check_options(options, loaded)
    py_modules = py_modules_of(loaded)
    modules = import_modules(py_modules, overrides, loaded)
    name = loaded.data.get('jtype')
    if name in BUILT_IN and registered_class(name) is None:
        importlib.import_module(BUILT_IN[name])
    definition = GatewayDefinition(
        _GATEWAYS.find(loaded, modules, default),
        arguments=mapping_of(loaded, 'with'),
        options=options,
        py_modules=py_modules,
        loaded=loaded,
    )
    return _override(definition, overrides)


def _override(definition: GatewayDefinition, overrides: LoadOverrides) -> GatewayDefinition:
    return replace(
        definition,
        arguments={**definition.arguments, **(overrides.uses_with or {}), **overrides.arguments},
        py_modules=(*definition.py_modules, *overrides.py_modules),
    )


def _check_options(options: Mapping[str, Any], loaded: LoadedYaml) -> None:
    aliases = GatewayOptions.aliases()
    known = {*GatewayOptions.model_fields, *aliases} - _NOT_IN_DOCUMENT
    for key in options:
        if key in _NOT_IN_DOCUMENT:
            raise ConfigError(
                f'{loaded.where(key)}: {key} is an option of who starts the gateway',
                hint='give it to Flow.config_gateway, to the section gateway of the Flow, or to the command',
            )
        if key not in known:
            near = nearest(str(key), known | set(_OWN_KEYS))
            hint = f'did you mean {near!r}?' if near else 'arguments of the class stand under `with`'
            raise ConfigError(f'{loaded.where(key)}: {key!r} is no key of a gateway', hint=hint)
        if isinstance(options[key], list) and aliases.get(key, key) == 'port':
            continue  # their number has to be that of the protocols, which somebody else may give
        build(GatewayOptions, {key: options[key]}, where=_before(loaded, key))


def _before(loaded: LoadedYaml, key: str) -> str:
    """The place of a key without its name, which ``build`` adds."""
    return loaded.where(key).removesuffix(key).rstrip()


def _with_document(options: GatewayOptions, definition: GatewayDefinition) -> GatewayOptions:
    """Fills what nobody has set from the document, and the protocol from the class."""
    aliases = GatewayOptions.aliases()
    given = {name: getattr(options, name) for name in options.model_fields_set}
    found = {aliases.get(key, key): value for key, value in definition.options.items()}
    gateway_class = definition.gateway_class
    if 'protocol' not in {**found, **given} and gateway_class.default_protocol is not None:
        found['protocol'] = [gateway_class.default_protocol]
    where = definition.loaded.label if definition.loaded is not None else gateway_class.__name__
    complete = build(GatewayOptions, {**found, **given}, where=f'{where}:')
    for protocol in complete.protocol:
        if protocol not in gateway_class.serves:
            names = ' or '.join(str(known).lower() for known in gateway_class.serves)
            raise ConfigError(
                f'{gateway_class.__name__} speaks {names}, and its protocol is {str(protocol).lower()!r}',
                hint=f'give protocol={str(gateway_class.serves[0]).lower()!r}, or leave it out',
            )
    return complete


def instantiate(definition: GatewayDefinition, context: GatewayContext) -> BaseGateway:
    """Makes the gateway.

    Args:
        definition: What to make.
        context: Its surroundings.

    Raises:
        ConfigError: Its ``__init__`` doesn't take what the framework gives, or what its configuration gives.
        Exception: Whatever its ``__init__`` raises.
    """
    gateway_class = definition.gateway_class
    for name in _RESERVED:
        if name in definition.arguments:
            raise ConfigError(
                f'{name} can not be an argument of {gateway_class.__name__}', hint='it comes from the process'
            )
    injected = {'runtime_args': context.runtime_args()}
    section = '' if definition.loaded is None else definition.loaded.where('with')
    constructors.check_constructor(gateway_class, definition.arguments, injected, definition.unknown_argument, section)
    gateway = gateway_class.__new__(gateway_class)
    gateway._definition = definition
    gateway.attach(context)
    gateway.__init__(**definition.arguments, **injected)  # type: ignore[misc]
    return gateway


def _base() -> type[BaseGateway]:
    importlib.import_module(_BASE)  # which imports this module
    return cast('type[BaseGateway]', registered_class('BaseGateway'))


_GATEWAYS: Final = ClassFinder('gateway', _base, derive='jina.Gateway')
