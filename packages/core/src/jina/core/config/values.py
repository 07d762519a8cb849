"""Reading of option values: one place for Python objects, YAML nodes and command-line strings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from jina.core.conditions import Condition
from jina.core.enums import (
    DeploymentRoleType,
    DockerNetworkMode,
    FlowInspectType,
    NamedEnum,
    PodRoleType,
    PollingType,
    ProtocolType,
    ProviderType,
)

EnumT = TypeVar('EnumT', bound=NamedEnum)

_PAIR = re.compile(r'^\s*([^:=\s][^:=]*?)\s*[:=]\s*(.*)$', re.DOTALL)
_WORDS = {'true': True, 'false': False, 'none': None, 'null': None}


def parse_scalar(text: str) -> Any:
    """Read one value of a ``KEY: VALUE`` pair: JSON if it is JSON, ``True``, ``False`` and ``None`` in any case, else text.

    >>> [parse_scalar(text) for text in ('1', '1.5', 'true', '[1, 2]', 'red')]
    [1, 1.5, True, [1, 2], 'red']
    """
    stripped = text.strip()
    if stripped.lower() in _WORDS:
        return _WORDS[stripped.lower()]
    try:
        return json.loads(stripped)
    except ValueError:
        return stripped


def parse_mapping(value: object) -> object:
    """Read a mapping from a mapping, JSON text, one ``KEY: VALUE`` or ``KEY=VALUE`` text, or a list of these.

    Anything else is returned as it is, so that the field's own type check reports it.

    Raises:
        ValueError: A text is none of these forms.
    """
    if isinstance(value, str):
        return _mapping_of_text(value)
    if isinstance(value, Iterable) and not isinstance(value, (Mapping, bytes)):
        merged: dict[Any, Any] = {}
        for item in _rejoin_pairs(value):
            part = parse_mapping(item)
            if not isinstance(part, Mapping):
                raise ValueError(f'expected KEY: VALUE pairs or a JSON object, got {item!r}')
            merged.update(part)
        return merged
    return value


def _rejoin_pairs(items: Iterable[object]) -> list[object]:
    """Undo what a shell does to an unquoted ``KEY: VALUE``: two words instead of one."""
    joined: list[object] = []
    for item in items:
        last = joined[-1] if joined else None
        if isinstance(item, str) and isinstance(last, str) and last.endswith(':') and not last.startswith('{'):
            joined[-1] = f'{last} {item}'
        else:
            joined.append(item)
    return joined


def _mapping_of_text(text: str) -> dict[str, Any]:
    stripped = text.strip()
    if not stripped:
        return {}
    if stripped.startswith('{'):
        try:
            loaded = json.loads(stripped)
        except ValueError as error:
            raise ValueError(f'{text!r} is not a JSON object: {error}') from None
        return dict(loaded)
    match = _PAIR.match(stripped)
    if match is None:
        raise ValueError(f'expected KEY: VALUE, KEY=VALUE or a JSON object, got {text!r}')
    return {match[1]: parse_scalar(match[2])}


def parse_list(value: object) -> object:
    """Make a list of one text, or of any iterable; a text that is a JSON list is read as one.

    Raises:
        ValueError: A text starts like a JSON list but isn't one.
    """
    if isinstance(value, str):
        return _json_list(value) if value.strip().startswith('[') else [value]
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) and value[0].strip().startswith('['):
        return _json_list(value[0])
    return value


def _json_list(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f'{text!r} is not a JSON list: {error}') from None


def parse_comma_list(value: object) -> object:
    """Make a list of one value, a list of values, or texts with commas in them: ``'1,2'`` gives ``['1', '2']``."""
    items = parse_list(value)
    if not isinstance(items, list):
        items = [items]
    flat: list[object] = []
    for item in items:
        if isinstance(item, str):
            flat.extend(part.strip() for part in item.split(',') if part.strip())
        else:
            flat.append(item)
    return flat


def parse_enum(kind: type[EnumT]) -> BeforeValidator:
    """Read a member of ``kind`` from the member, its name in any case, or its number."""

    def read(value: object) -> object:
        if isinstance(value, str):
            return kind.from_string(value)
        return value

    return BeforeValidator(read)


def _parse_compression(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = {'nocompression': 'NoCompression', 'deflate': 'Deflate', 'gzip': 'Gzip'}
    found = names.get(value.strip().lower())
    if found is None:
        raise ValueError(f'{value!r} is not one of {", ".join(names.values())}')
    return found


def _parse_polling(value: object) -> object:
    if isinstance(value, (list, dict)) or (isinstance(value, str) and re.search('[{:=]', value)):
        modes = parse_mapping(value)
        if isinstance(modes, Mapping):
            return {str(key): _polling_type(mode) for key, mode in modes.items()}
    return _polling_type(value)


def _polling_type(value: object) -> object:
    return PollingType.from_string(value) if isinstance(value, str) else value


def _text_values(value: object) -> object:
    value = parse_mapping(value)
    if isinstance(value, Mapping):
        return {
            str(key): item if isinstance(item, str) else '' if item is None else str(item)
            for key, item in value.items()
        }
    return value


def _check_query(query: dict[str, Any]) -> dict[str, Any]:
    Condition(query)
    return query


_BY_NAME = PlainSerializer(lambda member: member.name, return_type=str)

Values = Annotated[dict[str, Any], BeforeValidator(parse_mapping)]
TextMapping = Annotated[dict[str, str], BeforeValidator(_text_values)]
TextList = Annotated[list[str], BeforeValidator(parse_list)]
HostList = Annotated[list[str], BeforeValidator(parse_comma_list)]
PortNumber = Annotated[int, Field(ge=0, le=65535)]
PortList = Annotated[list[PortNumber], BeforeValidator(parse_comma_list)]
Graph = Annotated[dict[str, TextList], BeforeValidator(parse_mapping)]
Query = Annotated[dict[str, Any], BeforeValidator(parse_mapping), AfterValidator(_check_query)]
Conditions = Annotated[dict[str, Query], BeforeValidator(parse_mapping)]
Addresses = Annotated[dict[str, HostList], BeforeValidator(parse_mapping)]
Metadata = Annotated[dict[str, TextMapping], BeforeValidator(parse_mapping)]
Compression = Annotated[Literal['NoCompression', 'Deflate', 'Gzip'], BeforeValidator(_parse_compression)]

Protocol = Annotated[ProtocolType, parse_enum(ProtocolType), _BY_NAME]
Protocols = Annotated[list[Protocol], BeforeValidator(parse_comma_list)]
Provider = Annotated[ProviderType, parse_enum(ProviderType), _BY_NAME]
PodRole = Annotated[PodRoleType, parse_enum(PodRoleType), _BY_NAME]
DeploymentRole = Annotated[DeploymentRoleType, parse_enum(DeploymentRoleType), _BY_NAME]
NetworkMode = Annotated[DockerNetworkMode, parse_enum(DockerNetworkMode), _BY_NAME]
Inspect = Annotated[FlowInspectType, parse_enum(FlowInspectType), _BY_NAME]
_PollingName = Annotated[PollingType, parse_enum(PollingType), _BY_NAME]
Polling = Annotated[_PollingName | dict[str, _PollingName], BeforeValidator(_parse_polling)]
