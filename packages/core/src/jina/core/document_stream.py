"""Streams of documents over a protocol whose messages are ``DataRequestProto``: WebSocket.

Who wants a stream sends a request with one document and the parameter ``__stream__``: true. Each document of the stream is a
response with the id of the request and ``__stream__``: ``more``. The last response has ``__stream__``: ``end`` and no document;
its status tells whether something failed. Everything else about the messages is as in any other request, so that who never
asks for a stream never meets one, and a server that knows no streams gives itself away by sending the parameter back.
"""

from __future__ import annotations

from typing import Final

from jina.core.codec import iter_doc_bytes
from jina.core.errors import InputError, NotSupportedError
from jina.core.protobuf_bytes import field
from jina.core.request import DataRequest, Response, SingleDocumentRequest
from jina.core.wire import DataRequestProto, HeaderProto, SingleDocumentRequestProto, StatusProto

__all__ = [
    'END',
    'MORE',
    'STREAM_KEY',
    'StreamWriter',
    'asks_for_stream',
    'stream_item',
    'stream_message',
    'stream_request',
]

STREAM_KEY: Final = '__stream__'
"""Parameter of a request that wants a stream, and of each message of it."""
MORE: Final = 'more'
"""Its value in a message that others follow."""
END: Final = 'end'
"""Its value in the last message."""
_MARK: Final = STREAM_KEY.encode()
_DATA: Final = DataRequestProto.DATA_FIELD_NUMBER
_DOCS: Final = 1


def asks_for_stream(raw: bytes) -> bool:
    """Tells whether a serialised request wants a stream; costs next to nothing for those that don't.

    Raises:
        RequestTypeError: The bytes are no request.
    """
    return _MARK in raw and bool(DataRequest.from_bytes(raw).parameters.get(STREAM_KEY))


def stream_message(request: SingleDocumentRequest) -> bytes:
    """Returns the request for a stream as it travels."""
    message = DataRequest(DataRequestProto(header=request.header))
    message.parameters = {**request.parameters, STREAM_KEY: True}
    message.raw_content = _content(request.raw_document)
    return message.to_bytes()


def stream_request(message: DataRequest) -> SingleDocumentRequest:
    """Returns the request for a stream that a message is.

    Raises:
        InputError: It holds no document, or several.
    """
    documents = list(iter_doc_bytes(message.raw_content))
    if len(documents) != 1:
        raise InputError(
            f'a stream answers one document, and the request has {len(documents)}', hint='send one at a time'
        )
    request = SingleDocumentRequest(SingleDocumentRequestProto(header=message.header, document=documents[0]))
    request.parameters = {key: value for key, value in message.parameters.items() if key != STREAM_KEY}
    return request


class StreamWriter:
    """Writes the messages of one stream.

    Args:
        header: That of the request.
    """

    def __init__(self, header: HeaderProto) -> None:
        self._header = header
        more = DataRequest(DataRequestProto(header=header))
        more.parameters = {STREAM_KEY: MORE}
        self._head = more.to_bytes()

    def item(self, raw_document: bytes) -> bytes:
        """Returns a message with a document.

        Args:
            raw_document: A serialised ``DocProto``.
        """
        return self._head + field(_DATA, _content(raw_document))

    def end(self, status: StatusProto | None = None) -> bytes:
        """Returns the last message.

        Args:
            status: What went wrong; None if nothing did.
        """
        last = DataRequest(DataRequestProto(header=self._header))
        if status is not None:
            last.status = status
        last.parameters = {STREAM_KEY: END}
        return last.to_bytes()


def stream_item(response: Response) -> SingleDocumentRequest | None:
    """Returns the document in a response of a stream; None if it is the end.

    Raises:
        InputError: It says that more follows, and holds no document, or several.
        NotSupportedError: It belongs to no stream.
    """
    state = response.parameters.get(STREAM_KEY)
    if state == END:
        return None
    if state != MORE:
        raise NotSupportedError('the server does not stream over this protocol', hint='use the gRPC protocol')
    return stream_request(response)


def _content(raw_document: bytes) -> bytes:
    return field(_DOCS, field(_DOCS, raw_document))
