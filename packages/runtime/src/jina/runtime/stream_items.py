"""What travels in a stream: one document per item, kept in the form in which it came until another one is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from jina.core.codec import decode_doc, encode_doc
from jina.core.errors import RequestTypeError
from jina.core.protobuf_bytes import field, fields
from jina.core.request import SingleDocumentRequest
from jina.core.wire import MESSAGE_BYTES, SingleDocumentRequestProto, StatusProto

if TYPE_CHECKING:
    from docarray import BaseDoc

_DOCUMENT: Final = 4
"""Number of the field with the document in a ``SingleDocumentRequestProto``."""
_DOCUMENT_TAG: Final = _DOCUMENT << 3 | 2


Render: TypeAlias = 'Callable[[StreamItem], StreamItem]'
"""Turns a document into what a server sends, at the moment when it is yielded: its Executor may change it for the next."""


class StreamItem(Protocol):
    """One response of a stream: a document, or the error that ends it."""

    @property
    def is_error(self) -> bool:
        """True for the error; ``status`` says what happened."""
        ...

    @property
    def status(self) -> StatusProto:
        """What happened."""
        ...

    @property
    def document(self) -> BaseDoc:
        """The document; untyped if it came from another process."""
        ...

    @property
    def raw_document(self) -> bytes:
        """The serialised document.

        Raises:
            JinaError: The document has no form on the wire.
        """
        ...

    def to_bytes(self) -> bytes:
        """Returns what is sent: a serialised ``SingleDocumentRequestProto``, or what ``Render`` has made of it.

        Raises:
            JinaError: The document has no form on the wire.
        """
        ...


class DocumentItem:
    """A document of an Executor in this process. It is serialised without an envelope, which would hold nothing else.

    Args:
        document: The document.
    """

    __slots__ = ('document',)
    is_error: Final = False
    status: Final = StatusProto()

    def __init__(self, document: BaseDoc) -> None:
        self.document = document

    @property
    def raw_document(self) -> bytes:
        """The serialised document.

        Raises:
            JinaError: The document has no form on the wire.
        """
        return encode_doc(self.document)

    def to_bytes(self) -> bytes:
        """Returns the serialised ``SingleDocumentRequestProto``.

        Raises:
            JinaError: The document has no form on the wire, or is too long for it.
        """
        raw = field(_DOCUMENT, self.raw_document)
        if len(raw) > MESSAGE_BYTES:
            raise RequestTypeError(
                f'a document of {len(raw) / 1e9:.2f} GB is longer than protobuf allows', hint='yield smaller documents'
            )
        return raw


class WireItem:
    """A document that another process sent and that is only passed on.

    Args:
        raw: A serialised ``SingleDocumentRequestProto`` with nothing but a document.
    """

    __slots__ = ('_raw',)
    is_error: Final = False
    status: Final = StatusProto()

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    @property
    def document(self) -> BaseDoc:
        """The document, untyped."""
        from docarray.base_doc import AnyDoc  # noqa: PLC0415 - a gateway over gRPC must not need docarray

        return decode_doc(self.raw_document, AnyDoc)

    @property
    def raw_document(self) -> bytes:
        """The serialised document."""
        documents: list[Any] = [value for number, value in fields(self._raw) if number == _DOCUMENT]
        return bytes(documents[-1])

    def to_bytes(self) -> bytes:
        """Returns the bytes as they came."""
        return self._raw


def wire_item(item: StreamItem) -> StreamItem:
    """Returns an item as it is sent over gRPC: its document may change afterwards.

    Args:
        item: A document.

    Raises:
        JinaError: It has no form on the wire.
    """
    return WireItem(item.to_bytes()) if type(item) is DocumentItem else item


def received_item(raw: bytes) -> StreamItem:
    """Returns a response that another process sent.

    Args:
        raw: A serialised ``SingleDocumentRequestProto``.

    Raises:
        RequestTypeError: It is something else.
    """
    # Fields are written in the order of their numbers: what begins with the document has no header, and so no error.
    return WireItem(raw) if raw and raw[0] == _DOCUMENT_TAG else SingleDocumentRequest.from_bytes(raw)


def failed_item(request: SingleDocumentRequest, error: Exception, executor: str = '') -> SingleDocumentRequest:
    """Returns the response that ends a stream with an error.

    Args:
        request: The request, whose header it gets.
        error: What happened.
        executor: Name of the class that raised it.
    """
    failure = SingleDocumentRequest(SingleDocumentRequestProto())
    failure.header.CopyFrom(request.header)
    failure.add_exception(error, executor)
    return failure
