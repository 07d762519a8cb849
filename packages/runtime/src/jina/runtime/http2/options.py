"""gRPC options of users, as the settings of servers and channels read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from jina.core.errors import ConfigError

_NEVER: Final = (1 << 31) - 1
"""Milliseconds that stand for no limit."""


def check_numbers(options: Mapping[str, Any], names: Iterable[str], option: str) -> None:
    """Check that values are whole numbers.

    Args:
        options: By their full names.
        names: Those that have to be, if they are there.
        option: What users give them in, for messages.

    Raises:
        ConfigError: One isn't.
    """
    for name in options.keys() & names:
        if not isinstance(options[name], int):
            raise ConfigError(f'{option}: {name} is {options[name]!r}', hint='give a whole number')


def seconds_of(options: Mapping[str, Any], name: str, default: float | None) -> float | None:
    """Returns a time in seconds; None for no limit.

    Args:
        options: By their full names.
        name: The name without ``grpc.`` and ``_ms``.
        default: Seconds if it isn't there.
    """
    value = options.get(f'grpc.{name}_ms')
    if value is None:
        return default
    return None if value < 0 or value >= _NEVER else value / 1000
