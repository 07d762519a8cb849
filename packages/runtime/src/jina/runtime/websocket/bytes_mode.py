"""The subprotocol ``bytes``: each message is a serialised ``DataRequestProto``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from jina.core.document_stream import StreamWriter, asks_for_stream, stream_request
from jina.core.errors import InputError, JinaError, RequestTypeError
from jina.core.payloads import Payload, as_bytes
from jina.core.request import DataRequest
from jina.core.wire import StatusProto
from jina.runtime.fast_lane import Begin
from jina.runtime.service import RequestService
from jina.runtime.stream_items import StreamItem
from jina.runtime.websocket.mode import Reply, begin_stream

_END: Final = b'\x00'


class BytesMode:
    """Answers serialised requests with serialised responses.

    Args:
        service: What answers.
        metadata: Headers of the connection; trace context in them travels on to Executors.
    """

    is_text = False

    def __init__(self, service: RequestService, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._service = service
        self._begin = cast('Begin', cast('Any', service).begin)
        self._metadata = metadata

    def is_end(self, message: bytes | str) -> bool:
        return message == _END

    def begin(self, message: bytes | str, reply: Reply) -> None:
        if isinstance(message, str):
            reply.refuse('the subprotocol bytes takes binary messages')
            return
        try:
            streams = asks_for_stream(message)
        except RequestTypeError as error:
            reply.refuse(str(error))
            return
        if streams:
            self._begin_stream(message, reply)
            return

        def finish(raw: Payload, failed: bool, error: JinaError | None = None) -> None:
            if error is None:
                reply.finish(as_bytes(raw))
            elif isinstance(error, RequestTypeError):
                reply.refuse(str(error))
            else:
                reply.fail(error)

        reply.cancel = self._begin(message, finish, metadata=self._metadata)

    def _begin_stream(self, raw: bytes, reply: Reply) -> None:
        message = DataRequest.from_bytes(raw)
        try:
            request = stream_request(message)
            request.trace = self._metadata
        except InputError as error:
            message.add_exception(error)
            reply.finish(StreamWriter(message.header).end(message.status))
            return
        begin_stream(self._service, request, _Messages(message), reply)

    def dry_run(self, status: StatusProto) -> bytes:
        return status.SerializeToString()


class _Messages:
    """The messages of one stream."""

    def __init__(self, request: DataRequest) -> None:
        self._writer = StreamWriter(request.header)

    def item(self, item: StreamItem) -> bytes:
        return self._writer.item(item.raw_document)

    def end(self, status: StatusProto | None = None) -> bytes:
        return self._writer.end(status)
