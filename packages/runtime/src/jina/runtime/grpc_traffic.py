"""Bytes of the requests that the gRPC servers of this process took, and of their answers: ``JINA_GRPC_RECV_BYTES`` and ``_SEND_BYTES``.

To write a variable costs as much as to read a small request, and the C library never frees what was written. So one is written when its
total has grown by a hundredth, and when the process reports its variables.
"""

from __future__ import annotations

import math
import os
from typing import Final

__all__ = ['ByteCount', 'begin', 'publish', 'received', 'sent']

_STEP: Final = 100


class ByteCount:
    """A running total of bytes; it is counted from the start, and shown as soon as it was published once.

    Args:
        variable: Environment variable that shows it.

    Attributes:
        total: The bytes so far.
    """

    __slots__ = ('_due', 'total', 'variable')

    def __init__(self, variable: str) -> None:
        self.variable = variable
        self.total = 0
        self._due = math.inf

    def add(self, size: int) -> None:
        """Adds to it.

        Args:
            size: Bytes of one message.
        """
        self.total += size
        if self.total >= self._due:
            self.publish()

    @property
    def is_shown(self) -> bool:
        """Whether the variable is kept up to date."""
        return self._due != math.inf

    def publish(self) -> None:
        """Writes the variable."""
        os.environ[self.variable] = str(self.total)
        self._due = self.total + self.total // _STEP + 1

    def hide(self) -> None:
        """Removes the variable, which may be the parent's."""
        os.environ.pop(self.variable, None)
        self._due = math.inf


received: Final = ByteCount('JINA_GRPC_RECV_BYTES')
sent: Final = ByteCount('JINA_GRPC_SEND_BYTES')


def begin(*, served: bool) -> None:
    """Sets the variables as the process starts, before its threads do.

    Args:
        served: It is to have a gRPC server. Without one, there are no such variables, whatever its parent has.
    """
    for count in (received, sent):
        if served:
            count.publish()
        else:
            count.hide()


def publish() -> None:
    """Brings the variables up to date, if there are any."""
    for count in (received, sent):
        if count.is_shown:
            count.publish()
