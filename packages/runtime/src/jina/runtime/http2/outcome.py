"""How a call ends for its client: statuses from trailers, from HTTP and from resets of streams."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from jina.core.calls import StatusCode
from jina.runtime.http2 import frame

_CONTENT_TYPE: Final = b'application/grpc'
_OF_HTTP: Final = {
    400: StatusCode.INTERNAL,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.UNIMPLEMENTED,
    429: StatusCode.UNAVAILABLE,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.UNAVAILABLE,
}
"""gRPC over HTTP/2: statuses for responses that aren't those of gRPC."""
_OF_RESET: Final = {
    frame.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    frame.CANCEL: StatusCode.CANCELLED,
    frame.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    frame.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}


class ResponseHead:
    """Headers of a response, before or behind its messages.

    Attributes:
        encoding: How messages are compressed that say they are.
        is_interim: They only announce others.
        failure: Status and message if what answers doesn't speak gRPC; None if it does.
        status: Status and message of the call; None if there is none among them.
    """

    __slots__ = ('encoding', 'failure', 'is_interim', 'status')

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        found = dict(headers)
        http, kind, status = found.get(b':status'), found.get(b'content-type', b''), found.get(b'grpc-status')
        self.encoding = found.get(b'grpc-encoding', b'identity').decode('latin-1')
        self.is_interim = http is not None and http.startswith(b'1')
        self.failure: tuple[StatusCode, str] | None = None
        self.status: tuple[StatusCode, str] | None = None
        if status is not None:
            details = unquote_to_bytes(found.get(b'grpc-message', b'')).decode(errors='replace')
            self.status = _status(status), details
        elif http is not None and http != b'200':
            said = http.decode('latin-1')
            code = _OF_HTTP.get(int(http), StatusCode.UNKNOWN) if http.isdigit() else StatusCode.UNKNOWN
            self.failure = code, f'the server answers with HTTP status {said}'
        elif http is not None and not kind.startswith(_CONTENT_TYPE):
            self.failure = StatusCode.UNKNOWN, f'the server answers with {kind.decode("latin-1")!r}, which is not gRPC'


def reset_outcome(code: int) -> tuple[StatusCode, str]:
    """Returns how a call ends whose stream is reset.

    Args:
        code: Error code of HTTP/2.
    """
    return _OF_RESET.get(code, StatusCode.INTERNAL), f'the server reset the stream with error code {code}'


def _status(raw: bytes) -> StatusCode:
    try:
        return StatusCode(int(raw))
    except ValueError:
        return StatusCode.UNKNOWN
