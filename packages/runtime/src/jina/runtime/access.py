"""Who may call a server: the keys that it takes, and the origins of pages in browsers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from secrets import token_bytes
from typing import Any, Final, TypeAlias

from jina.core.calls import StatusCode
from jina.core.config import PodOptions, api_keys_of
from jina.core.errors import AccessError
from jina.runtime.methods import CallDetails, Context, Method
from jina.runtime.service import count_refusal

Headers: TypeAlias = 'Iterable[tuple[str | bytes, str | bytes]]'

BEARER_PROTOCOL: Final = 'bearer.'
"""Start of the WebSocket subprotocol in which a browser, which can't set headers, sends its key as base64url."""
_BEARER: Final = b'bearer '
_MISSING: Final = 'a key is needed'
_WRONG: Final = 'the key is wrong'
_HINT: Final = "send the header 'authorization: Bearer KEY', or give api_key to the Client"


class Access:
    """The keys of a server. Only digests are kept, and every one is compared in constant time.

    Args:
        keys: The keys.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._salt = token_bytes(16)
        self._digests = [self._digest(key.encode()) for key in keys]

    def _digest(self, key: bytes) -> bytes:
        return blake2b(key, key=self._salt).digest()

    def allows_key(self, key: bytes) -> bool:
        """Tells whether a key is one of those of the server."""
        digest = self._digest(key)
        found = False
        for known in self._digests:
            found |= compare_digest(digest, known)
        return found

    def refusal(self, headers: Headers) -> AccessError | None:
        """Returns why a call with these headers, or this gRPC metadata, is refused; None if it isn't.

        Args:
            headers: Names in lower case, and values.
        """
        seen = False
        for name, value in headers:
            if name in _AUTHORIZATION:
                raw = _bytes(value)
                if raw[:7].lower() != _BEARER:
                    continue
                key = raw[7:].strip()
            elif name in _API_KEY:
                key = _bytes(value).strip()
            else:
                continue
            seen = True
            if self.allows_key(key):
                return None
        return AccessError(_WRONG if seen else _MISSING, hint=_HINT)

    def allows_protocols(self, protocols: Sequence[str]) -> bool:
        """Tells whether one of the WebSocket subprotocols that a client offers carries a key."""
        return any(
            protocol.startswith(BEARER_PROTOCOL) and self.allows_key(_decoded(protocol[len(BEARER_PROTOCOL) :]))
            for protocol in protocols
        )


_AUTHORIZATION: Final = ('authorization', b'authorization')
_API_KEY: Final = ('x-api-key', b'x-api-key')


@dataclass(frozen=True)
class Protection:
    """How the gRPC server is protected.

    Attributes:
        access: Who may call it; None for everybody.
        pair: Key and certificates as PEM; None without TLS.
        request_bytes: Bytes that a request may have; None for what gRPC allows.
    """

    access: Access | None = None
    pair: tuple[bytes, bytes] | None = None
    request_bytes: int | None = None

    @classmethod
    def of(cls, options: PodOptions) -> Protection:
        """Returns what the options ask for.

        Raises:
            ConfigError: A file can't be read or holds something else, or certificate and key don't belong together.
        """
        keys = api_keys_of(options)
        pair = None
        if options.ssl_certfile is not None and options.ssl_keyfile is not None:
            from jina.core.tls import server_pair  # noqa: PLC0415 - most servers need no ssl module

            pair = server_pair(options.ssl_certfile, options.ssl_keyfile)
        return cls(Access(keys) if keys else None, pair, options.max_request_bytes)

    @property
    def is_open(self) -> bool:
        """Whether everybody may call, and nothing is encrypted."""
        return self.access is None and self.pair is None


OPEN: Final = Protection()
"""No protection."""


class AccessHandler:
    """Refuses gRPC calls without a key, before anything of them is read. Health and reflection stay open.

    A fast lane is one call: its key comes with its beginning.

    Args:
        access: Knows the keys.
        served: What is called; counts those who may not.
    """

    def __init__(self, access: Access, served: Any = None) -> None:
        self._access = access
        self._served = served

    def find(self, details: CallDetails) -> Method | None:
        """Returns what refuses a call; None if it may go on to the methods behind."""
        if not details.method.startswith('/jina.'):
            return None
        error = self._access.refusal(details.invocation_metadata or ())
        if error is None:
            return None
        count_refusal(self._served, 'access')
        return Method(_refusing(error), request_streaming=True, response_streaming=True)


def _refusing(error: AccessError) -> Callable[..., Any]:
    async def refuse(_: Any, context: Context) -> None:
        await context.abort(StatusCode.UNAUTHENTICATED, str(error))

    return refuse


def _bytes(value: str | bytes) -> bytes:
    return value.encode('utf-8', 'surrogateescape') if isinstance(value, str) else bytes(value)


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b''
