"""The status of requests and checks: what went wrong, if anything."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from jina.core.errors import RequestTypeError
from jina.core.wire import StatusProto

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ['StatusMessage', 'fill_status']


class StatusMessage:
    """The outcome of a check, for example of a dry run.

    Args:
        proto: A status to wrap; it is used, not copied. None makes a new one with code SUCCESS.
    """

    __slots__ = ('proto',)

    def __init__(self, proto: StatusProto | None = None) -> None:
        self.proto = StatusProto() if proto is None else proto

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Parses a serialised ``StatusProto``.

        Raises:
            RequestTypeError: The bytes are no status.
        """
        try:
            return cls(StatusProto.FromString(raw))
        except DecodeError as error:
            raise RequestTypeError(f'{len(raw)} bytes are no status: {error}') from error

    def to_bytes(self) -> bytes:
        """Serialises the status."""
        return self.proto.SerializeToString()

    def is_ok(self) -> bool:
        """Returns True unless the code is ERROR."""
        return self.proto.code != StatusProto.ERROR

    def set_exception(self, error: BaseException, executor: str = '') -> None:
        """Makes this the status of a failure."""
        fill_status(self.proto, error, executor)

    def to_dict(self) -> dict[str, Any]:
        """Returns code (a number), description, and exception (a dict, or None), as HTTP servers answer."""
        status = self.proto
        exception = None
        if status.HasField('exception'):
            cause = status.exception
            exception = {
                'name': cause.name,
                'args': list(cause.args),
                'stacks': list(cause.stacks),
                'executor': cause.executor,
            }
        return {'code': int(status.code), 'description': status.description, 'exception': exception}

    def __repr__(self) -> str:
        return f'<StatusMessage {StatusProto.StatusCode.Name(self.proto.code)} {self.proto.description!r}>'


def fill_status(status: StatusProto, error: BaseException, executor: str = '') -> None:
    """Sets a status to ERROR with everything about an exception: repr, name, arguments and formatted traceback."""
    status.code = StatusProto.ERROR
    status.description = _sendable(repr(error))
    exception = status.exception
    exception.Clear()
    exception.name = type(error).__name__
    exception.args.extend(_sendable(str(argument)) for argument in error.args)
    exception.stacks.extend(
        _sendable(line) for line in traceback.format_exception(type(error), error, error.__traceback__)
    )
    exception.executor = executor


def _sendable(text: str) -> str:
    """Escapes what UTF-8 can't express: file names and broken input may carry lone surrogates into an exception."""
    return text.encode('utf-8', 'backslashreplace').decode('utf-8')
