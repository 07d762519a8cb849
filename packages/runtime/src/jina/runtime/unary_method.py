"""A gRPC method with one message each way that is answered by a callback: a task per call costs more than a small request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from jina.core.calls import StatusCode
from jina.core.errors import JinaError, TransportError
from jina.core.payloads import Payload, as_bytes

if TYPE_CHECKING:
    from jina.runtime.methods import Context
    from jina.runtime.service import Cancel


class Reply(Protocol):
    """Takes the outcome of a call, once: a serialised response, or what failed instead, and trailing metadata."""

    def __call__(
        self, raw: Payload, error: JinaError | None = None, metadata: Sequence[tuple[str, str]] = (), /
    ) -> None: ...


class BeginUnary(Protocol):
    """Starts to work on a serialised request; returns what cancels it, None if it is finished already."""

    def __call__(
        self, raw: bytes, reply: Reply, *, metadata: Sequence[tuple[str, Any]], timeout: float | None
    ) -> Cancel | None: ...


class UnaryMethod:
    """What our own server calls by ``begin``, and others as a ``Method``.

    Args:
        begin: Starts the work on a request.
    """

    request_streaming: Final = False
    response_streaming: Final = False

    def __init__(self, begin: BeginUnary) -> None:
        self.begin = begin

    async def answer(self, raw: bytes, context: Context) -> bytes:
        """Answers one call; cancels the work with it."""
        future: asyncio.Future[tuple[Payload, JinaError | None]] = asyncio.get_running_loop().create_future()

        def reply(answer: Payload, error: JinaError | None = None, metadata: Sequence[tuple[str, str]] = ()) -> None:
            if not future.done():
                if metadata:
                    context.set_trailing_metadata(metadata)
                future.set_result((answer, error))

        metadata = context.invocation_metadata() or ()
        cancel: Callable[[], object] | None = self.begin(
            raw, reply, metadata=metadata, timeout=context.time_remaining()
        )
        try:
            answer, error = await future
        except asyncio.CancelledError:
            if cancel is not None:
                cancel()
            raise
        if error is not None:
            await abort(context, error)
        return as_bytes(answer)


async def abort(context: Context, error: JinaError) -> NoReturn:
    """Ends an RPC with the status that belongs to an error of ours."""
    await context.abort(StatusCode[code_of(error)], str(error))


def code_of(error: JinaError) -> str:
    """Returns the name of the gRPC status that belongs to an error of ours."""
    return error.code if isinstance(error, TransportError) else error.grpc_code
