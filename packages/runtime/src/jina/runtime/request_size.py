"""How many bytes a request may have over gRPC: a limit below gRPC's own, so that what is refused can be counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from jina.core.calls import StatusCode
from jina.core.errors import TransportError
from jina.core.payloads import Payload
from jina.core.wire import MESSAGE_BYTES
from jina.runtime.fast_lane import Begin, Finish
from jina.runtime.methods import Context
from jina.runtime.service import Cancel, count_refusal

RECEIVE_OPTION: Final = 'grpc.max_receive_message_length'
_LEAST_MORE: Final = 64 << 10
"""What a client may send in any case, before gRPC's flow control holds it up."""
_MOST_MORE: Final = 64 << 20


class RequestSize:
    """Refuses requests that are too long.

    gRPC refuses a message when it has read its length, and tells nobody. Therefore its own limit is higher: it bounds the memory
    that such messages take, and those up to it are refused and counted here.

    Args:
        most: Bytes that a request may have.
        served: What is called; counts those that have more.
    """

    def __init__(self, most: int, served: Any) -> None:
        self.most = most
        self._served = served

    @property
    def received(self) -> int:
        """Bytes of a message that gRPC takes: twice as many in most cases."""
        return min(self.most + min(max(self.most, _LEAST_MORE), _MOST_MORE), MESSAGE_BYTES)

    def check(self, size: int) -> None:
        """Counts a request that is too long.

        Raises:
            TransportError: It is.
        """
        if size > self.most:
            count_refusal(self._served, 'size')
            raise TransportError(
                f'the request is longer than the {self.most} bytes that max_request_bytes allows: it has {size}',
                hint='send fewer documents in a request',
                code='RESOURCE_EXHAUSTED',
            )

    def checked(self, answer: Callable[[bytes, Any], Awaitable[Any]]) -> Callable[[bytes, Any], Awaitable[Any]]:
        """Returns what answers a gRPC call with one request, if that isn't too long."""

        async def answer_checked(raw: bytes, context: Context) -> Any:
            try:
                self.check(len(raw))
            except TransportError as error:
                await context.abort(StatusCode[error.code], str(error))
            return await answer(raw, context)

        return answer_checked

    def beginning(self, begin: Begin) -> Begin:
        """Returns what starts the work on a request, if that isn't too long."""

        def begin_checked(
            raw: Payload,
            finish: Finish,
            *,
            many: bool = False,
            metadata: Sequence[tuple[str, str]] = (),
            timeout: float | None = None,
        ) -> Cancel | None:
            try:
                self.check(len(raw))
            except TransportError as error:
                finish(b'', True, error)
                return None
            return begin(raw, finish, many=many, metadata=metadata, timeout=timeout)

        return begin_checked
