"""A call of grpc.aio with messages in both directions, as lanes use it: it ends and fails in the words of ``jina.core.calls``."""

from __future__ import annotations

from typing import Any, Final

import grpc.aio

from jina.core.calls import EOF, CallError, StatusCode

__all__ = ['GrpcStream', 'failure_of']

_EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined,unused-ignore]


def failure_of(error: grpc.aio.AioRpcError) -> CallError:
    """Returns our error for one of grpcio's."""
    return CallError(StatusCode[error.code().name], error.details() or '')


class GrpcStream:
    """One call.

    Args:
        call: The call of grpc.aio, just begun.
    """

    __slots__ = ('_call',)

    def __init__(self, call: Any) -> None:
        self._call = call

    async def read(self) -> Any:
        """Returns the next message, EOF after the last one.

        Raises:
            CallError: The call failed.
        """
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from error
        return EOF if message is _EOF else message

    async def write(self, message: bytes) -> None:
        """Sends a message.

        Raises:
            CallError: The call has failed.
            asyncio.InvalidStateError: It is over.
        """
        try:
            await self._call.write(message)
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from error

    async def done_writing(self) -> None:
        """Says that no message follows.

        Raises:
            CallError: The call has failed.
            asyncio.InvalidStateError: It is over.
        """
        try:
            await self._call.done_writing()
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from error

    def cancel(self) -> None:
        """Ends the call at once."""
        self._call.cancel()
