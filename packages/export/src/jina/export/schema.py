"""The JSON Schema of the YAML files, made from the option models: completion, descriptions and checks in editors."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from jina.core.config import (
    DeploymentOptions,
    DynamicBatchingOptions,
    FlowOptions,
    GatewayOptions,
    Options,
    RaftOptions,
    default_of,
    description_of,
    option_info,
)
from jina.core.config.flow import NOT_FOR_EXECUTORS, NOT_FOR_GATEWAY
from jina.core.config.values import parse_comma_list, parse_mapping
from jina.core.errors import ConfigError
from jina.core.version import __version__
from jina.core.yaml import dump_yaml
from pydantic import BeforeValidator

__all__ = ['export_schema', 'json_schema']

Schema = dict[str, Any]

_DRAFT = 'http://json-schema.org/draft-07/schema#'
_TEXT: Schema = {'type': ['string', 'number']}
_VARIABLE: Schema = {'$ref': '#/definitions/Jina::Variable'}
_EXECUTOR_NAMES = ('uses', 'uses_before', 'uses_after')
_VENDOR: Schema = {'description': 'Settings of a hosting service; they are ignored here.'}
_VERSION: Schema = {'enum': ['1', 1], 'description': 'Version of this format.'}
_TEXTS: Schema = {'anyOf': [_TEXT, {'type': 'array', 'items': _TEXT}]}
_METHODS = ['add', 'needs', 'needs_all', 'inspect', 'gather_inspect']


def json_schema() -> Schema:
    """The schema (draft 7) of a YAML file of a Flow, a Deployment, a gateway or an Executor, told apart by ``jtype``."""
    return {
        '$schema': _DRAFT,
        'title': f'YAML files of jina {__version__}',
        'type': 'object',
        'required': ['jtype'],
        'properties': {'jtype': {'type': 'string', 'description': 'Flow, Deployment, or the name of a class.'}},
        **_choice('Flow', _choice('Deployment', _choice_of_class())),
        'definitions': {
            'Jina::Variable': {
                'type': 'string',
                'pattern': r'\$',
                'description': '${{ ENV.NAME }}, ${{ CONTEXT.name }}, ${{root.path.to.value}} or ${{this.name}}',
            },
            'Jina::Flow': _flow(),
            'Jina::Deployment': _deployment(),
            'Jina::Executors::All': _executor_item(),
            'Jina::Gateway': _gateway(),
            'Jina::Executor': _executor(),
            'Jina::Metas': _metas(),
            'Jina::DynamicBatching': _object(_properties(DynamicBatchingOptions)),
            'Jina::Consensus': _object(_properties(RaftOptions)),
        },
    }


def export_schema(
    *, yaml_path: Sequence[str] = (), json_path: Sequence[str] = (), schema_path: Sequence[str] = ()
) -> list[str]:
    """Write the schema to files.

    Args:
        yaml_path: Files that get it as YAML; ``%s`` in a path stands for the version.
        json_path: Files that get it as JSON.
        schema_path: Files that get it as JSON, too.

    Returns:
        The files.

    Raises:
        ConfigError: A file can't be written.
    """
    schema = json_schema()
    texts = {path: dump_yaml(schema) for path in yaml_path}
    texts |= {path: json.dumps(schema, indent=2, ensure_ascii=False) + '\n' for path in (*json_path, *schema_path)}
    written = []
    for pattern, text in texts.items():
        path = Path(pattern.replace('%s', __version__)).expanduser()
        try:
            path.write_text(text, encoding='utf-8')
        except OSError as error:
            raise ConfigError(f'the schema can not be written to {str(path)!r}: {error}') from error
        written.append(str(path))
    return written


def _choice(kind: str, otherwise: Schema) -> Schema:
    return {
        'if': {'properties': {'jtype': {'const': kind}}},
        'then': {'$ref': f'#/definitions/Jina::{kind}'},
        'else': otherwise,
    }


def _choice_of_class() -> Schema:
    return {
        'if': {'properties': {'jtype': {'pattern': 'Gateway$'}}},
        'then': {'$ref': '#/definitions/Jina::Gateway'},
        'else': {'$ref': '#/definitions/Jina::Executor'},
    }


def _flow() -> Schema:
    of_executors = [name for name in DeploymentOptions.model_fields if name not in NOT_FOR_EXECUTORS]
    of_gateway = [name for name in GatewayOptions.model_fields if name not in NOT_FOR_GATEWAY]
    arguments = {
        **_properties(DeploymentOptions, of_executors),
        **_properties(GatewayOptions, of_gateway),
        **_properties(FlowOptions),
    }
    items: Schema = {'type': 'array', 'items': {'$ref': '#/definitions/Jina::Executors::All'}}
    return _object(
        {
            'jtype': {'const': 'Flow', 'description': 'What the file describes.'},
            'version': _VERSION,
            'with': {**_object(arguments), 'description': 'Options of the Flow, of its gateway and of all Executors.'},
            'executors': {**items, 'description': 'The Executors, in the order of Flow().add(...).'},
            'deployments': {**items, 'description': 'Older name of executors.'},
            'gateway': {'$ref': '#/definitions/Jina::Gateway', 'description': 'Options of the gateway.'},
            'py_modules': {**_TEXTS, 'description': 'Python files that are imported for all Executors.'},
            'jcloud': _VENDOR,
        },
        required=['jtype'],
    )


def _deployment() -> Schema:
    options = _properties(DeploymentOptions)
    return _object(
        {
            'jtype': {'const': 'Deployment', 'description': 'What the file describes.'},
            'version': _VERSION,
            'with': {**_object(options), 'description': 'Options of the Deployment.'},
            'jcloud': _VENDOR,
            **options,
        },
        required=['jtype'],
    )


def _executor_item() -> Schema:
    properties = {
        **_properties(DeploymentOptions),
        'method': {'enum': _METHODS, 'description': 'How it is added to the Flow.'},
        'jcloud': _VENDOR,
    }
    return {
        'anyOf': [
            {'type': 'string', 'description': 'YAML file of a Deployment.'},
            {'$ref': '#/definitions/Jina::Deployment'},
            _object(properties),
        ]
    }


def _gateway() -> Schema:
    return _object(
        {
            **_properties(GatewayOptions),
            'jtype': {'type': 'string', 'description': 'Class of the gateway.'},
            'version': _VERSION,
            'with': {'type': 'object', 'description': "Arguments of the gateway's `__init__`."},
            'jcloud': _VENDOR,
        }
    )


def _executor() -> Schema:
    batching = {'type': 'object', 'additionalProperties': {'$ref': '#/definitions/Jina::DynamicBatching'}}
    return _object(
        {
            'jtype': {'type': 'string', 'description': 'Class of the Executor.'},
            'version': _VERSION,
            'with': {'type': 'object', 'description': "Arguments of the Executor's `__init__`."},
            'metas': {'$ref': '#/definitions/Jina::Metas', 'description': 'Facts about the Executor.'},
            'requests': {
                'type': 'object',
                'additionalProperties': {'type': 'string'},
                'description': 'Endpoints and the methods that serve them; they override the decorators.',
            },
            'dynamic_batching': {**batching, 'description': 'Batching of endpoints.'},
            'uses_dynamic_batching': {**batching, 'description': 'Other name of dynamic_batching.'},
            'py_modules': {**_TEXTS, 'description': 'Python files that define the Executor.'},
        },
        required=['jtype'],
    )


def _metas() -> Schema:
    return {
        'type': 'object',
        'properties': {
            'name': {**_TEXT, 'description': 'Name of the Executor.'},
            'description': {**_TEXT, 'description': 'What it does; shown in the API documentation.'},
            'workspace': {**_TEXT, 'description': 'Folder for its files.'},
            'url': {**_TEXT, 'description': 'Where to find out more about it.'},
            'keywords': {**_TEXTS, 'description': 'Words to find it by.'},
            'py_modules': {**_TEXTS, 'description': 'Python files that define it.'},
        },
    }


def _object(properties: Schema, required: Sequence[str] = ()) -> Schema:
    schema: Schema = {'type': 'object', 'properties': properties, 'additionalProperties': False}
    return {**schema, 'required': list(required)} if required else schema


def _properties(model: type[Options], names: Sequence[str] | None = None) -> Schema:
    properties: Schema = {}
    for name in model.model_fields if names is None else names:
        schema = _property(model, name)
        for spelling in (name, *option_info(model.model_fields[name]).aliases):
            properties[spelling] = schema
    return properties


def _property(model: type[Options], name: str) -> Schema:
    field = model.model_fields[name]
    info = option_info(field)
    text = ' '.join(description_of(model, name).replace('``', '`').split())
    reason = f'it comes with {info.planned}' if info.planned else info.unsupported
    schema: Schema = {'description': f'{text} Not available in this version: {reason}.' if reason else text}
    default = _plain(default_of(model, name))
    if default not in (None, [], {}):
        schema['default'] = default
    if name in _EXECUTOR_NAMES and field.annotation is Any:
        return {**schema, 'anyOf': [{'type': 'string'}, {'type': 'object', 'required': ['jtype']}]}
    if name == 'uses_dynamic_batching':
        return {**schema, 'additionalProperties': {'$ref': '#/definitions/Jina::DynamicBatching'}}
    if name == 'raft_configuration':
        return {**schema, 'anyOf': [{'$ref': '#/definitions/Jina::Consensus'}, {'type': 'string'}, {'type': 'array'}]}
    return {**schema, **_of_type(field.annotation, field.metadata)}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _of_type(annotation: Any, metadata: Sequence[Any] = ()) -> Schema:
    """What YAML may hold for a value of a type: what the option's reader accepts, not only what it makes of it."""
    kind, facts = _unwrapped(annotation, metadata)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        parts = [part for part in get_args(kind) if part is not type(None)]
        return _any_of(_of_type(part, facts) for part in parts)
    readers = [fact.func for fact in facts if isinstance(fact, BeforeValidator)]
    if origin is list:
        item = _of_type(get_args(kind)[0])
        texts: list[Schema] = [{'type': 'string', 'pattern': ','}] if parse_comma_list in readers else []
        return _any_of([item, {'type': 'array', 'items': item}, *texts])
    if origin is dict:
        texts = [{'type': 'string'}, {'type': 'array'}] if parse_mapping in readers else [{'type': 'string'}]
        return _any_of([{'type': 'object'}, *texts])
    return _of_scalar(kind, facts)


def _of_scalar(kind: Any, facts: Sequence[Any]) -> Schema:
    if get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, Enum)):
        names = list(get_args(kind) or kind.__members__)
        return _any_of([{'enum': [*names, *(name.lower() for name in names)]}, _VARIABLE])
    if kind is bool:
        return _any_of([{'type': 'boolean'}, _VARIABLE])
    if kind in (int, float):
        return _any_of([{'type': 'integer' if kind is int else 'number', **dict(_limits(facts))}, _VARIABLE])
    return dict(_TEXT) if kind is str else {}


def _limits(facts: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for fact in facts:
        if isinstance(fact, Ge):
            yield 'minimum', fact.ge
        elif isinstance(fact, Gt):
            yield 'exclusiveMinimum', fact.gt
        elif isinstance(fact, Le):
            yield 'maximum', fact.le
        else:
            yield from _limits(getattr(fact, 'metadata', ()))


def _unwrapped(annotation: Any, metadata: Sequence[Any]) -> tuple[Any, list[Any]]:
    facts = list(metadata)
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        facts += more
    return annotation, facts


def _any_of(schemas: Any) -> Schema:
    """One schema for several, without nesting and repetition."""
    flat: list[Schema] = []
    for schema in schemas:
        for part in schema['anyOf'] if set(schema) == {'anyOf'} else [schema]:
            if part not in flat:
                flat.append(part)
    if {} in flat:
        return {}
    return flat[0] if len(flat) == 1 else {'anyOf': flat}
