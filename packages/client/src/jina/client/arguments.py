"""Arguments of calls, checked before anything is sent."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from typing import Any, Final

from jina.core.errors import ConfigError, InputError

__all__ = [
    'COMPRESSIONS',
    'check_document',
    'check_endpoint',
    'check_target',
    'compression_name',
    'metadata_of',
    'real_number',
    'whole_number',
]

COMPRESSIONS: Final = ('nocompression', 'deflate', 'gzip')
"""Names of compressions, in lower case."""
_KEY: Final = re.compile(r'[0-9a-z_.-]+')
_TEXT: Final = re.compile(r'[\x20-\x7e]*')
_OF_CONNECTIONS: Final = frozenset({'connection', 'content-length', 'transfer-encoding', 'upgrade'})
"""Headers that say how a message is transferred."""


def check_endpoint(on: object) -> None:
    """Checks what is called.

    Raises:
        InputError: It is no text.
    """
    if not isinstance(on, str):
        raise InputError(f'on is of type {type(on).__name__}: {on!r}', hint="give an endpoint, for example '/index'")


def check_target(target: object) -> None:
    """Checks ``target_executor``.

    Raises:
        InputError: It is no text.
    """
    if target is not None and not isinstance(target, str):
        raise InputError(
            f'target_executor is of type {type(target).__name__}: {target!r}',
            hint='give a regular expression for the names of Executors',
        )


def check_document(inputs: object) -> None:
    """Checks the input of ``stream_doc``.

    Raises:
        InputError: It is no document.
    """
    from docarray import BaseDoc  # noqa: PLC0415 - heavy, and loaded already wherever documents are

    if not isinstance(inputs, BaseDoc):
        raise InputError(
            f'inputs are of type {type(inputs).__name__}: {inputs!r:.100}',
            hint='stream_doc sends one document, for example TextDoc(text=...); call it for each of several',
        )


def whole_number(name: str, value: Any, least: int | None = None) -> int:
    """Returns a whole number, of numpy too, as one of Python.

    Args:
        name: Name of the argument.
        value: What was given.
        least: The smallest one that is right; None for any.

    Raises:
        ConfigError: It is no whole number, or too small.
    """
    wanted = 'a whole number' if least is None else f'a whole number from {least} on'
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f'{name} is {value!r}', hint=f'give {wanted}') from None
    if isinstance(value, bool) or (least is not None and number < least):
        raise ConfigError(f'{name} is {value!r}', hint=f'give {wanted}')
    return number


def compression_name(value: Any) -> str | None:
    """Returns the name of a compression in lower case; None stays None.

    Raises:
        ConfigError: There is no such compression.
    """
    if value is None:
        return None
    name = str(value).lower()
    if name not in COMPRESSIONS:
        raise ConfigError(f'compression is {value!r}', hint='use NoCompression, Deflate or Gzip')
    return name


def real_number(name: str, value: Any, hint: str) -> float:
    """Returns a positive number.

    Args:
        name: Name of the argument.
        value: What was given.
        hint: What to give.

    Raises:
        ConfigError: It is none.
    """
    try:
        number = float(value) if not isinstance(value, str | bytes | bool) else 0.0
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if not number > 0:
        raise ConfigError(f'{name} is {value!r}', hint=hint)
    return number


def metadata_of(name: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Returns metadata as pairs with lower case keys: gRPC allows no others, and for HTTP case is nothing.

    Args:
        name: Name of the argument.
        value: A mapping or pairs.

    Raises:
        ConfigError: It is neither, or holds what can't be sent.
    """
    if not value:
        return ()
    try:
        pairs = [(key, text) for key, text in (value.items() if isinstance(value, Mapping) else value)]
    except (TypeError, ValueError):
        raise ConfigError(
            f'{name} is of type {type(value).__name__}', hint='give a dict, or a list of pairs of texts'
        ) from None
    return tuple(_pair(name, key, text) for key, text in pairs)


def _pair(name: str, key: Any, text: Any) -> tuple[str, str]:
    lower = key.lower() if isinstance(key, str) else ''
    if not _KEY.fullmatch(lower):
        raise ConfigError(f'{name} has the key {key!r}', hint='keys have letters, digits, and the signs - _ .')
    if lower in _OF_CONNECTIONS:
        raise ConfigError(f'{name} has the key {key!r}', hint='leave it out: the connection says that by itself')
    if isinstance(text, int | float) and not isinstance(text, bool):
        text = str(text)
    if not isinstance(text, str) or not _TEXT.fullmatch(text):  # without the value, which may be a key
        what = 'a text with other signs' if isinstance(text, str) else f'of type {type(text).__name__}'
        raise ConfigError(
            f'{name}[{key!r}] is {what}', hint='values are texts of printable ASCII; write others as base64'
        )
    return lower, text
