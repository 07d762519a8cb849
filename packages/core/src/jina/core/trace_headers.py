"""Names of what tells a server which trace a request belongs to: those of W3C Trace Context, as metadata or headers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ['CHECKED_PARENT', 'PARENT', 'PARENT_FORM', 'TRACE_KEYS', 'trace_of_headers']

PARENT: Final = 'traceparent'
"""What names the trace and the span that called."""
CHECKED_PARENT: Final = str(PARENT.encode(), 'ascii')
"""The same text as an object of its own. Under this key goes on, inside of a process, what is known to have the form of
``PARENT_FORM``: so each request is checked once, and not at each place that it comes to."""
PARENT_FORM: Final = re.compile(r'00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})')
"""The form of a ``traceparent``, as W3C Trace Context says."""
TRACE_KEYS: Final = frozenset({PARENT, 'tracestate', 'baggage'})
_HEADERS: Final = {key.encode(): key for key in TRACE_KEYS}


def trace_of_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Returns what the headers of an HTTP request say of the trace; their names are in lower case."""
    return tuple((_HEADERS[name], value.decode('latin-1')) for name, value in headers if name in _HEADERS)
