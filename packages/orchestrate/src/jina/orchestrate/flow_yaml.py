"""The YAML form of a Flow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from jina.core.class_finder import refuse_remote_code
from jina.core.config import (
    DeploymentOptions,
    FlowOptions,
    GatewayOptions,
    build,
    split_flow_values,
    unknown_option,
)
from jina.core.errors import ConfigError, TopologyError
from jina.core.yaml import LoadedYaml, LoadOverrides, load_yaml, locator
from jina.orchestrate import deployment_yaml
from jina.orchestrate.deployment import Deployment
from jina.orchestrate.deployment_yaml import VENDOR_KEYS, deployment_values, document_values
from jina.orchestrate.exposing import writable_routes
from jina.orchestrate.flow_graph import last_name

if TYPE_CHECKING:
    from jina.orchestrate.flow import Flow

FlowT = TypeVar('FlowT', bound='Flow')
_KEYS = ('jtype', 'version', 'with', 'executors', 'deployments', 'gateway', 'py_modules')
_METHODS = ('add', 'needs', 'needs_all', 'inspect', 'gather_inspect')


def read(kind: type[FlowT], loaded: LoadedYaml, overrides: LoadOverrides) -> FlowT:
    """Make a Flow from a document.

    Raises:
        ConfigError: A key doesn't exist or has a wrong value; the message has file, line and place.
    """
    data = loaded.data
    _check_keys(data, loaded)
    values = _mapping(data, 'with', loaded)
    deployment_yaml.locate_beside_url(values, loaded, overrides, 'with')
    deployment_yaml.put(values, overrides.arguments, _aliases())
    deployment_yaml.resolve_paths(values, overrides, loaded)
    modules = data.get('py_modules') or []
    defaults = [modules] if isinstance(modules, str) else list(modules)
    refuse_remote_code(defaults, loaded, overrides.extra_search_paths, lambda: loaded.where('py_modules'))
    values.setdefault('py_modules', [*defaults, *overrides.py_modules] or None)
    for name in ('uses_with', 'uses_metas', 'uses_requests', 'uses_dynamic_batching'):
        if getattr(overrides, name):
            values[name] = dict(getattr(overrides, name))
    if overrides.noblock_on_start:
        values['noblock_on_start'] = True
    values = {key: value for key, value in values.items() if value is not None}
    _check_values(values, loaded)
    flow = kind(**values)
    gateway = _mapping(data, 'gateway', loaded)
    if gateway:
        gateway = _gateway_values(gateway, loaded)
        deployment_yaml.locate_beside_url(gateway, loaded, overrides, 'gateway')
        deployment_yaml.beside_document(gateway, loaded)
        locate = locator(loaded, ('gateway', 'with'), ('gateway',), aliases=GatewayOptions.aliases())
        build(GatewayOptions, gateway, where=loaded.where('gateway'), locate=locate)
        flow = flow._with_gateway(gateway, where=loaded.where('gateway'))  # type: ignore[assignment]
    for number, item in enumerate(_items(data, loaded)):
        flow = _add(flow, item, loaded, overrides, number)
    try:
        flow.build()
    except TopologyError as error:
        raise type(error)(f'{loaded.where("executors")}: {error}') from None
    return flow


def write(flow: Flow) -> dict[str, Any]:
    """The document that describes a Flow: only what differs from the defaults."""
    document: dict[str, Any] = {'jtype': 'Flow', 'version': '1'}
    given = {**flow._values.executors, **flow._values.gateway, **flow._values.flow}
    if given:
        document['with'] = {name: _plain(value) for name, value in given.items()}
    document['executors'] = [_executor_document(flow, index) for index in range(len(list(flow)))]
    inherited = flow._values.gateway
    gateway = {name: value for name, value in document_values(flow.gateway_options).items() if name not in inherited}
    for name, value in flow._gateway_values.items():
        if name in inherited and inherited[name] != value:
            gateway[name] = _plain(value)
    if gateway:
        document['gateway'] = gateway
    for part in (document.get('with', {}), gateway):
        if isinstance(part.get('expose_endpoints'), Mapping):
            part['expose_endpoints'] = writable_routes(part['expose_endpoints'])
    return document


def deployment_arguments(source: Deployment | str | None) -> dict[str, Any]:
    """Options given to ``Flow.add`` by a Deployment or by the path of its YAML file."""
    if source is None:
        return {}
    if isinstance(source, Deployment):
        values = {name: getattr(source.options, name) for name in source.options.model_fields_set}
    else:
        values = deployment_yaml.read(load_yaml(source), LoadOverrides())
    return values


def _aliases() -> dict[str, str]:
    return {**DeploymentOptions.aliases(), **GatewayOptions.aliases(), **FlowOptions.aliases()}


def _check_values(values: Mapping[str, Any], loaded: LoadedYaml) -> None:
    """Check the options of ``with``, so that messages about them have their place."""
    locate = locator(loaded, ('with',), aliases=_aliases())
    where = loaded.where('with')
    parts = split_flow_values(values, where=where, locate=locate)
    build(FlowOptions, parts.flow, where=where, locate=locate)
    build(GatewayOptions, parts.gateway, where=where, locate=locate)
    build(DeploymentOptions, parts.executors, where=where, locate=locate)


def _check_keys(data: Mapping[str, Any], loaded: LoadedYaml) -> None:
    for key in data:
        if key not in _KEYS and key not in VENDOR_KEYS:
            raise unknown_option(str(key), _KEYS, place=loaded.where(key))


def _items(data: Mapping[str, Any], loaded: LoadedYaml) -> list[Any]:
    if 'executors' in data and 'deployments' in data:
        raise ConfigError(
            f'{loaded.where("deployments")}: executors and deployments are the same', hint='use executors'
        )
    key = 'deployments' if 'deployments' in data else 'executors'
    items = data.get(key) or []
    if not isinstance(items, list):
        raise ConfigError(f'{loaded.where(key)} is {items!r}', hint='give a list of Executors')
    return items


def _add(flow: FlowT, item: Any, loaded: LoadedYaml, overrides: LoadOverrides, number: int) -> FlowT:
    section = ('deployments' if 'deployments' in loaded.data else 'executors', number)
    where = loaded.where(*section)
    if isinstance(item, str):
        values, method = deployment_arguments(loaded.beside(item)), 'add'
    elif isinstance(item, Mapping):
        values = deployment_values(loaded, section) if 'jtype' in item else dict(item)
        values = {key: value for key, value in values.items() if key not in VENDOR_KEYS}
        method = str(values.pop('method', 'add'))
        deployment_yaml.locate_beside_url(values, loaded, overrides, *section)
        deployment_yaml.beside_document(values, loaded)
        deployment_yaml.check(values, loaded, section)
    else:
        raise ConfigError(f'{where} is {item!r}', hint='give a mapping of options or the path of a Deployment')
    if method not in _METHODS:
        raise ConfigError(
            f'{where}.method: {method!r} is not how an Executor is added', hint=f'use one of {", ".join(_METHODS)}'
        )
    if values.get('name') == 'gateway':
        return flow
    try:
        added: Any = flow._with_deployment(values, where=where) if method == 'add' else getattr(flow, method)(**values)
    except TopologyError as error:
        raise type(error)(f'{where}: {error}') from None
    return cast('FlowT', added)


def _executor_document(flow: Flow, index: int) -> dict[str, Any]:
    deployment = flow[index]
    inherited = flow._values.executors
    values = {name: value for name, value in document_values(deployment.options).items() if name not in inherited}
    for name, value in flow._own_values[deployment.name].items():
        if name in inherited and inherited[name] != value:
            values[name] = _plain(value)
    values.pop('needs', None)
    before = last_name(flow.deployments[:index])
    ordered: dict[str, Any] = {'name': deployment.name}
    ordered.update(values)
    if deployment.needs != [before]:
        ordered['needs'] = deployment.needs
    return ordered


def _mapping(data: Mapping[str, Any], key: str, loaded: LoadedYaml) -> dict[str, Any]:
    value = data.get(key) or {}
    if not isinstance(value, Mapping):
        raise ConfigError(f'{loaded.where(key)} is {value!r}', hint='give a mapping of options')
    return {name: item for name, item in value.items() if name not in VENDOR_KEYS}


def _gateway_values(section: dict[str, Any], loaded: LoadedYaml) -> dict[str, Any]:
    """The options in the section ``gateway``, in which ``with`` has the arguments of a custom gateway.

    Without one, ``with`` has options, as those of a Deployment.
    """
    kind = section.pop('jtype', None)
    if kind not in (None, 'Gateway'):
        section.setdefault('uses', kind)
    inner = section.pop('with', None) or {}
    if not isinstance(inner, Mapping):
        raise ConfigError(f'{loaded.where("gateway", "with")} is {inner!r}', hint='give a mapping')
    if section.get('uses') is None or not inner:
        return {**inner, **section}
    return {**section, 'uses_with': {**inner, **(section.get('uses_with') or {})}}


def _plain(value: Any) -> Any:
    if isinstance(value, type):
        return f'{value.__module__}.{value.__qualname__}'
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, os.PathLike) or hasattr(value, 'name') else value
