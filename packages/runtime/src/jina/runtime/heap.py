"""Memory for messages that is used again.

The C library gives freed memory back to the system so eagerly that a server of messages of some hundred kilobytes takes
it anew for each of them: the page faults cost as much as all copies of the message.
"""

from __future__ import annotations

import os
from typing import Final

_TRIM_THRESHOLD: Final = (-1, 16 << 20)
"""So much at the end of the heap may be free."""
_TOP_PAD: Final = (-2, 1 << 20)
"""The heap grows by so much more than is needed."""
_MMAP_THRESHOLD: Final = (-3, 1 << 20)
"""Larger pieces are the system's, and go back to it at once."""


def keep_freed_memory() -> bool:
    """Lets this process keep up to some megabytes of freed memory, unless its environment sets up the allocator.

    Returns:
        Whether the C library is one that can be told so (glibc).
    """
    if any(name.startswith('MALLOC_') or name == 'GLIBC_TUNABLES' for name in os.environ):
        return False
    try:
        import ctypes  # noqa: PLC0415 - not on every Python

        set_option = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError, TypeError):
        return False
    return all([set_option(*option) for option in (_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD)])
