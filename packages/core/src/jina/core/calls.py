"""How a call ends, in words of our own: the statuses, the errors and the end of a stream that gRPC has, without grpcio.

A server needs no more of it. Who does import grpcio translates at that place, see ``jina.core.grpc_stream``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from jina.core.errors import JinaError

if TYPE_CHECKING:
    import grpc

__all__ = ['EOF', 'BrokenCallError', 'CallError', 'StatusCode']

EOF: Final[Any] = type('EndOfStream', (), {'__repr__': lambda _: '<EOF>'})()
"""What reading a stream gives after the last message."""


class StatusCode(IntEnum):
    """The statuses of gRPC, with its names and numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    def to_grpc(self) -> grpc.StatusCode:
        """Returns grpcio's constant."""
        import grpc  # noqa: PLC0415 - servers do without

        return grpc.StatusCode[self.name]


class CallError(JinaError):
    """A call failed on the way. It has the methods of gRPC's own error, and like that one it never reaches users.

    Attributes:
        status: The status of the call.
    """

    def __init__(self, status: StatusCode, details: str) -> None:
        super().__init__(f'{status.name}: {details}')
        self.status = status
        self._details = details

    def code(self) -> grpc.StatusCode:
        """The status, as grpcio has it."""
        return self.status.to_grpc()

    def details(self) -> str:
        """What happened."""
        return self._details


class BrokenCallError(JinaError):
    """Nothing can be sent any more: the client is gone."""
