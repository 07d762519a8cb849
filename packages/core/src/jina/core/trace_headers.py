"""Names of what tells a server which trace a request belongs to: those of W3C Trace Context, as metadata or headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ['PARENT', 'TRACE_KEYS', 'trace_of_headers']

PARENT: Final = 'traceparent'
"""What names the trace and the span that called."""
TRACE_KEYS: Final = frozenset({PARENT, 'tracestate', 'baggage'})
_HEADERS: Final = {key.encode(): key for key in TRACE_KEYS}


def trace_of_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Returns what the headers of an HTTP request say of the trace; their names are in lower case."""
    return tuple((_HEADERS[name], value.decode('latin-1')) for name, value in headers if name in _HEADERS)
