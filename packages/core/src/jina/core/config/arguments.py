"""Options written out again: as the values that differ from their defaults, and as command-line arguments."""

from __future__ import annotations

import json
from typing import Any

from jina.core.config.base import Options, default_of, option_info
from jina.core.errors import ConfigError


def changed(options: Options) -> dict[str, Any]:
    """The options that differ from their defaults, as plain values that YAML can hold.

    Enum members become their names, and a list that may be written as a single value becomes that value. A class given as ``uses``
    stays a class.

    >>> from jina.core.config import DeploymentOptions
    >>> changed(DeploymentOptions(port=[12345], protocol=['http'], replicas=2))
    {'port': 12345, 'protocol': 'HTTP', 'replicas': 2}
    """
    plain = options.model_dump()
    result: dict[str, Any] = {}
    for name, field in type(options).model_fields.items():
        if getattr(options, name) == default_of(type(options), name):
            continue
        value = plain[name]
        if option_info(field).compact and isinstance(value, list) and len(value) == 1:
            value = value[0]
        result[name] = value
    return result


def to_arguments(options: Options) -> list[str]:
    """The options that differ from their defaults, as command-line arguments that give the same options again.

    Raises:
        ConfigError: One is secret, and arguments are seen by everybody.

    >>> from jina.core.config import ExecutorOptions
    >>> to_arguments(ExecutorOptions(name='enc', uses_with={'size': 3}, port=[8080]))
    ['--name', 'enc', '--port', '8080', '--uses-with', '{"size": 3}']
    """
    positional: list[str] = []
    flags: list[str] = []
    for name, value in changed(options).items():
        info = option_info(type(options).model_fields[name])
        if info.secret and value:
            raise ConfigError(
                f'{name} can not be an argument of a command, which everybody on the machine sees',
                hint='give it by JINA_API_KEY or api_key_file',
            )
        if info.positional:
            positional.append(_text(value))
        elif info.cli and value is not None:
            flags += _flag_and_values(flag(name), value)
    return [*positional, *flags]


def _flag_and_values(name: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [name]
    texts = [_text(item) for item in value] if isinstance(value, list) and value else [_text(value)]
    if any(text.startswith('-') for text in texts):
        return [f'{name}={text}' for text in texts]
    return [name, *texts]


def flag(name: str) -> str:
    """The command-line flag of an option: ``'uses_with'`` gives ``'--uses-with'``."""
    return '--' + name.replace('_', '-')


def _text(value: object) -> str:
    if isinstance(value, type):
        return f'{value.__module__}.{value.__qualname__}'
    return value if isinstance(value, str) else json.dumps(value)
