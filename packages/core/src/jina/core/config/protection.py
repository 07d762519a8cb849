"""Options that protect a server: encryption, keys, limits and time-outs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jina.core.config.base import Options, option
from jina.core.config.values import SecretList, TextList, parse_keys
from jina.core.errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_MAX_QUEUE: Final = 100
"""Requests that may wait where ``max_concurrency`` is given and ``max_queue`` is not."""


class TlsServerOptions(Options):
    """Encryption of the server."""

    ssl_certfile: str | None = option(None)
    """File with the certificate as PEM, and those of its issuers below it. With it and ``ssl_keyfile`` all protocols of the server are encrypted."""
    ssl_keyfile: str | None = option(None)
    """File with the private key of the certificate as PEM, without a password."""
    ssl_cafile: str | None = option(None)
    """File with the certificates as PEM that are trusted in calls to servers with TLS, instead of those that the system trusts."""

    @property
    def uses_tls(self) -> bool:
        """Whether the server encrypts."""
        return self.ssl_certfile is not None

    @model_validator(mode='after')
    def _check_pair(self) -> Self:
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            given, missing = ('ssl_keyfile', 'ssl_certfile') if self.ssl_keyfile else ('ssl_certfile', 'ssl_keyfile')
            context = {'given': given, 'missing': missing, 'path': getattr(self, given)}
            raise PydanticCustomError(
                'tls_pair', '{given} is {path} and {missing} is not given; TLS needs both, or leave out both', context
            )
        return self


class AccessOptions(Options):
    """Who may call the server."""

    api_key: SecretList | None = option(None, repr=False, secret=True)
    """Keys of which clients must send one; several during a change. Default: those of ``JINA_API_KEY``, separated by commas; without any, everybody may call. An empty list ignores the variable."""
    api_key_file: str | None = option(None)
    """File with further keys, one a line; it is read when the server starts."""
    allow_origins: TextList | None = option(None)
    """Origins whose pages may call the server from a browser, for example ``https://example.org``; ``*`` for all. Default: with ``cors`` all, else none over HTTP. Without it WebSockets ask for no origin."""


class LimitOptions(Options):
    """How much the server takes on at the same time, and from whom it parts."""

    max_concurrency: Annotated[int, Field(ge=1)] | None = option(None)
    """Requests that the process works on at the same time. Default: no limit."""
    max_queue: Annotated[int, Field(ge=0)] | None = option(None)
    """Requests that may wait while ``max_concurrency`` are worked on; more are refused. Default: 100."""
    max_request_bytes: Annotated[int, Field(ge=1)] | None = option(None)
    """Bytes that one request may have. Default: what the protocols allow, 2 GiB for gRPC and 1 GiB for a WebSocket."""
    max_header_bytes: Annotated[int, Field(ge=1024)] = option(65536)
    """Bytes that request line and headers of an HTTP request may have together."""
    timeout_headers: Annotated[int, Field(ge=-1)] = option(20000)
    """Milliseconds that a client has for the headers of an HTTP request, or for opening a WebSocket; -1 sets no limit."""
    timeout_body: Annotated[int, Field(ge=-1)] = option(20000)
    """Milliseconds that a client has for the body of an HTTP request, and one second more for every 500 bytes of it; -1 sets no limit."""

    @property
    def queue_limit(self) -> int:
        """Requests that may wait."""
        return DEFAULT_MAX_QUEUE if self.max_queue is None else self.max_queue

    @model_validator(mode='after')
    def _check_limits(self) -> Self:
        if self.max_queue is not None and self.max_concurrency is None:
            raise PydanticCustomError(
                'max_queue', 'max_queue says how many requests wait for max_concurrency; give max_concurrency too'
            )
        if 0 in (self.timeout_headers, self.timeout_body):
            raise PydanticCustomError(
                'timeouts', 'timeout_headers and timeout_body are milliseconds, 1 or more; -1 sets no limit'
            )
        return self


PUBLIC_OPTIONS: Final = (
    *(name for group in (TlsServerOptions, AccessOptions) for name in group.model_fields),
    'max_request_bytes',
    'max_header_bytes',
    'timeout_headers',
    'timeout_body',
)
"""Options of the server that clients reach; processes behind a gateway don't have them."""

API_KEY_VARIABLE: Final = 'JINA_API_KEY'
"""Environment variable with keys. It is never reported."""


def api_keys_of(options: AccessOptions, environ: Mapping[str, str] | None = None) -> list[str]:
    """Returns the keys of a server: those of its options, or of the environment, and those of its file.

    Args:
        options: Options of the server.
        environ: Its environment; by default that of this process.

    Raises:
        ConfigError: The file can't be read or holds no key, or the variable holds something that is none.
    """
    keys = options.api_key
    if keys is None:
        text = (os.environ if environ is None else environ).get(API_KEY_VARIABLE)
        keys = _checked(text, f'environment variable {API_KEY_VARIABLE}') if text else []
    if options.api_key_file is None:
        return keys
    where = f'api_key_file {options.api_key_file!r}'
    try:
        lines = Path(options.api_key_file).read_text().splitlines()
    except OSError as error:
        raise ConfigError(f'{where} can not be read: {error.strerror}', hint='check the path') from error
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise ConfigError(f'{where} holds no key', hint='write one key a line, or leave out api_key_file')
    return [*keys, *_checked(found, where)]


def _checked(keys: object, where: str) -> list[str]:
    try:
        return list(parse_keys(keys))  # type: ignore[call-overload, no-any-return]
    except ValueError as error:
        raise ConfigError(f'{where}: {error}', hint='use letters, digits and signs of ASCII') from None
