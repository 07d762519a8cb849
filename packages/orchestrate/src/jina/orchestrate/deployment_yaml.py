"""The YAML form of a Deployment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jina.core.class_finder import refuse_remote_code
from jina.core.config import (
    DeploymentOptions,
    GatewayOptions,
    build,
    changed,
    check_batching,
    merge_batching,
    unknown_option,
)
from jina.core.errors import ConfigError
from jina.core.yaml import LoadedYaml, LoadOverrides, locator
from jina.orchestrate.exposing import writable_routes

VENDOR_KEYS = frozenset({'jcloud'})
"""Sections for hosting services, which local runs leave alone."""
_DOCUMENT_KEYS = frozenset({'jtype', 'version', 'with', *VENDOR_KEYS})

Section = tuple[str | int, ...]


def read(loaded: LoadedYaml, overrides: LoadOverrides, *, checked: bool = True) -> dict[str, Any]:
    """Arguments of the Deployment that a document describes.

    Args:
        loaded: The document.
        overrides: What is set beside it.
        checked: Whether the values are checked; otherwise only the keys are.

    Raises:
        ConfigError: A key doesn't exist or has a wrong value; the message has file, line and place.
    """
    values = deployment_values(loaded)
    locate_beside_url(values, loaded, overrides)
    put(values, overrides.arguments, DeploymentOptions.aliases())
    apply_overrides(values, overrides, loaded)
    if checked:
        check(values, loaded)
    return {key: value for key, value in values.items() if value is not None}


def deployment_values(loaded: LoadedYaml, section: Section = ()) -> dict[str, Any]:
    """Options of a Deployment in a document: its top-level keys and those of ``with``.

    Args:
        loaded: The document.
        section: Where in it the Deployment stands.

    Raises:
        ConfigError: A key doesn't exist, stands in both places, or ``with`` isn't a mapping.
    """
    document: Any = loaded.data
    for step in section:
        document = document[step]
    inner = document.get('with') or {}
    if not isinstance(inner, Mapping):
        raise ConfigError(f'{loaded.where(*section, "with")} is {inner!r}', hint='give a mapping of options')
    outer = {key: value for key, value in document.items() if key not in _DOCUMENT_KEYS}
    aliases = DeploymentOptions.aliases()
    known = {*DeploymentOptions.model_fields, *aliases}
    for key in outer:
        if key not in known:
            raise unknown_option(str(key), known | {'with', 'jtype', 'version'}, place=loaded.where(*section, key))
        if any(aliases.get(key, key) == aliases.get(other, other) for other in inner):
            raise ConfigError(
                f'{loaded.where(*section, key)}: {key!r} stands at the top level and in with', hint='give it once'
            )
    return {**outer, **{key: value for key, value in inner.items() if key not in VENDOR_KEYS}}


def locate_beside_url(
    values: dict[str, Any], loaded: LoadedYaml, overrides: LoadOverrides, *section: str | int
) -> None:
    """Make relative paths to YAML files in a document that comes from a URL absolute ones, and refuse Python files.

    Args:
        values: Options that the document holds.
        loaded: The document.
        overrides: What the caller sets beside it.
        section: Where in the document they stand.

    Raises:
        ConfigError: They name a Python file beside the document.
    """
    if loaded.url is None:
        return
    folders, place = overrides.extra_search_paths, places(loaded, section)
    refuse_remote_code(_as_list(values.get('py_modules')), loaded, folders, lambda: place('py_modules'))
    for name in ('uses', 'uses_before', 'uses_after'):
        uses = values.get(name)
        if isinstance(uses, str):
            values[name] = loaded.beside(uses)
        elif isinstance(uses, Mapping):
            refuse_remote_code(
                _as_list(uses.get('py_modules')), loaded, folders, partial(_inner, place, name, 'py_modules')
            )
            metas = uses.get('metas')
            if isinstance(metas, Mapping):
                refuse_remote_code(
                    _as_list(metas.get('py_modules')), loaded, folders, partial(_inner, place, name, 'metas.py_modules')
                )


def _inner(place: Callable[[str], str], name: str, path: str) -> str:
    return f'{place(name)}.{path}'


def check(values: Mapping[str, Any], loaded: LoadedYaml, section: Section = ()) -> None:
    """Check options that a document holds.

    Raises:
        ConfigError: A value is wrong; the message has file, line and place.
    """
    build(DeploymentOptions, values, where=loaded.where(*section), locate=places(loaded, section))


def places(loaded: LoadedYaml, section: Section = ()) -> Callable[[str], str]:
    """Gives a function that tells the place of an option of a Deployment in a document."""
    return locator(loaded, (*section, 'with'), section, aliases=DeploymentOptions.aliases())


def put(values: dict[str, Any], arguments: Mapping[str, Any], aliases: Mapping[str, str]) -> None:
    """Put arguments on top of values; the same option under another of its names is replaced, too."""
    for name, value in arguments.items():
        own = aliases.get(name, name)
        for written in [key for key in values if aliases.get(key, key) == own]:
            del values[written]
        values[own] = value


def apply_overrides(values: dict[str, Any], overrides: LoadOverrides, loaded: LoadedYaml) -> None:
    """Put what the caller of ``load_config`` gave on top of what the document says."""
    for name in ('uses_with', 'uses_metas', 'uses_requests'):
        given = getattr(overrides, name)
        if given:
            values[name] = {**(values.get(name) or {}), **given}
    if overrides.uses_dynamic_batching:
        values['uses_dynamic_batching'] = merge_batching(
            check_batching(values.get('uses_dynamic_batching') or {}, 'uses_dynamic_batching'),
            check_batching(overrides.uses_dynamic_batching, 'uses_dynamic_batching'),
        )
    if overrides.py_modules:
        values['py_modules'] = [*_as_list(values.get('py_modules')), *overrides.py_modules]
    resolve_paths(values, overrides, loaded)
    if overrides.needs is not None:
        values['needs'] = list(overrides.needs)
    if overrides.noblock_on_start:
        values['noblock_on_start'] = True
    if not overrides.include_gateway:
        values['include_gateway'] = False


def resolve_paths(values: dict[str, Any], overrides: LoadOverrides, loaded: LoadedYaml) -> None:
    """Look for relative paths in the folder of the document too."""
    folders = [os.fspath(loaded.directory)] if loaded.directory else []
    paths = [*_as_list(values.get('extra_search_paths')), *overrides.extra_search_paths, *folders]
    if paths:
        values['extra_search_paths'] = list(dict.fromkeys(paths))
    beside_document(values, loaded)


def beside_document(values: dict[str, Any], loaded: LoadedYaml) -> None:
    """Make the path of a logging configuration that lies beside the document absolute."""
    given = values.get('log_config')
    if loaded.directory and isinstance(given, str) and not Path(given).is_file():
        beside = loaded.directory / given
        if beside.is_file():
            values['log_config'] = str(beside)


def document_values(options: DeploymentOptions | GatewayOptions) -> dict[str, Any]:
    """The options that differ from their defaults, as YAML can hold them: a class becomes its name or import path."""
    values = changed(options)
    for name in ('uses', 'uses_before', 'uses_after'):
        uses = values.get(name)
        if isinstance(uses, type):
            values[name] = uses.__name__ if uses.__module__ == '__main__' else f'{uses.__module__}.{uses.__qualname__}'
    if 'expose_endpoints' in values:
        values['expose_endpoints'] = writable_routes(values['expose_endpoints'])
    return values


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
