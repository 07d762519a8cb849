"""What a call of gRPC begins with: the headers of its request, read once for all calls that have the same ones."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Final, TypeAlias

Metadata: TypeAlias = 'tuple[tuple[str, str | bytes], ...]'

_CONTENT_TYPE: Final = b'application/grpc'
_OF_TRANSPORT: Final = frozenset((b'te', b'content-type', b'grpc-accept-encoding', b'content-length'))
"""Headers that are no metadata."""
_UNITS: Final = {'H': 3600.0, 'M': 60.0, 'S': 1.0, 'm': 1e-3, 'u': 1e-6, 'n': 1e-9}
_MOST_DIGITS: Final = 8


class Head:
    """The beginning of a call, with its ``CallDetails``.

    Attributes:
        method: Full name of the method, as in ``/jina.JinaRPC/Call``.
        invocation_metadata: What the client says besides; values of names that end with ``-bin`` are bytes.
        timeout: Seconds that the call may take; None for any time.
        encoding: How messages are compressed that say they are.
        is_ours: Whether the client is ``http2.channel``.
        refusal: HTTP status for a request that isn't one of gRPC; None if it is.
    """

    __slots__ = ('encoding', 'invocation_metadata', 'is_ours', 'method', 'refusal', 'timeout')

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.method = ''
        self.timeout: float | None = None
        self.encoding = 'identity'
        self.is_ours = False
        self.refusal: int | None = 415
        verb = b''
        metadata: list[tuple[str, str | bytes]] = []
        for name, value in headers:
            if name[:1] == b':':
                if name == b':path':
                    self.method = _text(value)
                elif name == b':method':
                    verb = value
            elif name == b'content-type':
                if value.startswith(_CONTENT_TYPE):
                    self.refusal = None
            elif name == b'grpc-timeout':
                self.timeout = seconds(_text(value))
            elif name == b'grpc-encoding':
                self.encoding = _text(value)
            elif name not in _OF_TRANSPORT:
                if name == b'user-agent' and value.startswith(b'jina-serve/'):
                    self.is_ours = True
                metadata += _entries(name, value)
        self.invocation_metadata: Metadata = tuple(metadata)
        if verb != b'POST':
            self.refusal = 405


def seconds(text: str) -> float | None:
    """Returns what a header ``grpc-timeout`` says, in seconds; None for nonsense, which limits nothing."""
    unit = _UNITS.get(text[-1:])
    digits = text[:-1]
    if unit is None or not digits.isascii() or not digits.isdigit() or len(digits) > _MOST_DIGITS:
        return None
    return int(digits) * unit


def encoded_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[bytes, bytes]]:
    """Returns metadata as headers."""
    headers = []
    for key, value in metadata:
        raw = value.encode() if isinstance(value, str) else bytes(value)
        headers.append((key.lower().encode(), base64.b64encode(raw).rstrip(b'=') if key.endswith('-bin') else raw))
    return headers


def _entries(name: bytes, value: bytes) -> list[tuple[str, str | bytes]]:
    key = _text(name)
    if not key.endswith('-bin'):
        return [(key, _text(value))]
    try:
        return [(key, base64.b64decode(part + b'=' * (-len(part) % 4))) for part in value.split(b',')]
    except binascii.Error:
        return []


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode('latin-1')
