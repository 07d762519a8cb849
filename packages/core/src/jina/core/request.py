"""Requests and responses: the objects that callbacks, gateways and servers work with.

Envelope (header, parameters, routes), documents and parameters of a received request are decoded when they are first
asked for, and kept; from then on they belong to the caller, who may change them in place, so ``to_bytes`` serialises them
again. What was never asked for is sent on as the bytes that came in.
"""

from __future__ import annotations

import json
import marshal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast, get_origin
from uuid import uuid4

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from pydantic import BaseModel

from jina.core import codec
from jina.core.envelope import Envelope, fingerprint, read_envelope, route_bytes
from jina.core.errors import InputError, RequestTypeError
from jina.core.payloads import Payload, Spliced, as_bytes
from jina.core.protobuf_bytes import field_head, find_last_field
from jina.core.status import StatusMessage, fill_status
from jina.core.structs import dict_to_struct, struct_to_dict
from jina.core.views import DataView, DocumentView, as_doc_list
from jina.core.wire import (
    MESSAGE_BYTES,
    DataRequestProto,
    HeaderProto,
    RouteProto,
    SingleDocumentRequestProto,
    StatusProto,
)

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
    from typing_extensions import Self

__all__ = ['DataRequest', 'DataView', 'DocumentView', 'Request', 'Response', 'SingleDocumentRequest', 'StatusMessage']

_DATA: Final = 4
"""Number of the field with the documents."""

_ENVELOPE_BYTES: Final = 1 << 20
"""Left free for everything but the document in a request that holds one."""

_SEND_LESS: Final = (
    'send fewer documents in a request (a smaller request_size), or put large ones into a store and send their URL'
)

_LARGE: Final = 1 << 16
"""Bytes from which on a copy costs more than to keep documents apart from their envelope."""


class Request(ABC):
    """What all requests have: header, parameters, routes and status.

    Args:
        proto: An envelope to wrap; it is used, not copied. None makes a fresh request with an id of its own.

    Raises:
        RequestTypeError: ``proto`` is something else.
    """

    _proto_class: ClassVar[type[DataRequestProto | SingleDocumentRequestProto]]
    __slots__ = ('_envelope', '_message', '_parameters', '_received_parameters', 'trace')

    def __init__(self, proto: Any = None) -> None:
        if proto is None:
            proto = self._proto_class()
            proto.header.request_id = uuid4().hex
        elif not isinstance(proto, self._proto_class):
            raise RequestTypeError(
                f'{type(self).__name__} can not be made from {type(proto).__name__} {proto!r}',
                hint=f'use {type(self).__name__}.from_bytes for serialised requests',
            )
        self._message: Any = proto
        self._envelope: Envelope | None = None
        self._parameters: dict[str, Any] | None = None
        self._received_parameters: bytes | None = None
        self.trace: Sequence[tuple[str, str]] = ()
        """Trace context that came with the request, as metadata (``traceparent``); it is no part of the message."""

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Parses the envelope of a serialised request; documents stay bytes.

        Raises:
            RequestTypeError: The bytes are no request.
        """
        if len(raw) > MESSAGE_BYTES:
            raise RequestTypeError(_too_long(len(raw)), hint=_SEND_LESS)
        try:
            proto = cls._proto_class.FromString(raw)
        except DecodeError as error:
            raise RequestTypeError(f'{len(raw)} bytes are no {cls.__name__}: {error}') from error
        return cls(proto)

    @property
    def _proto(self) -> Any:
        """The envelope, parsed now if it was not needed before."""
        if self._envelope is not None:
            self._message = self._proto_class.FromString(self._envelope.head)
            self._envelope = None
        return self._message

    def to_bytes(self) -> bytes:
        """Serialises the request; documents that were not touched pass through as they came.

        Raises:
            InputError: It is longer than protobuf allows.
        """
        self._synchronise()
        return cast('bytes', self._proto.SerializeToString())

    def _synchronise(self) -> None:
        """Brings the envelope up to date with what was handed out."""
        if self._parameters is not None:
            received = self._received_parameters
            if received is None or received != fingerprint(self._parameters):
                self._proto.parameters.CopyFrom(dict_to_struct(self._parameters))
                self._received_parameters = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_bytes, (self.to_bytes(),)

    @property
    def header(self) -> HeaderProto:
        """The header: request id, endpoint, target Executor, status. Change it in place."""
        return cast('HeaderProto', self._proto.header)

    @property
    def status(self) -> StatusProto:
        """The status in the header. Change it in place, or assign one to copy it."""
        return self.header.status

    @status.setter
    def status(self, value: StatusProto) -> None:
        self.header.status.CopyFrom(value)

    @property
    def is_error(self) -> bool:
        """True if the status is ERROR."""
        if self._envelope is not None:
            return self._envelope.is_error
        return self.header.status.code == StatusProto.ERROR

    @property
    def note(self) -> str:
        """What the server remarks about a request that it did not fail on; mostly empty."""
        if self._envelope is not None:
            return self._envelope.note
        return '' if self.is_error else self.header.status.description

    @property
    def request_id(self) -> str:
        """Unique id of the request."""
        return self.header.request_id if self._envelope is None else self._envelope.request_id

    @request_id.setter
    def request_id(self, value: str) -> None:
        self.header.request_id = value

    @property
    def exec_endpoint(self) -> str:
        """The endpoint that the request is for, for example ``/index``."""
        return self.header.exec_endpoint if self._envelope is None else self._envelope.endpoint

    @exec_endpoint.setter
    def exec_endpoint(self, value: str) -> None:
        self.header.exec_endpoint = value

    @property
    def target_executor(self) -> str:
        """Regular expression for the names of the Executors that handle the request; empty means all."""
        return self.header.target_executor if self._envelope is None else self._envelope.target

    @target_executor.setter
    def target_executor(self, value: str) -> None:
        self.header.target_executor = value

    @property
    def routes(self) -> RepeatedCompositeFieldContainer[RouteProto]:
        """The Executors that the request visited, in order."""
        return cast('RepeatedCompositeFieldContainer[RouteProto]', self._proto.routes)

    @property
    def parameters(self) -> dict[str, Any]:
        """Arguments for Executors. A plain dict that may be changed in place.

        Numbers that came over the wire are floats. Assign a dict or a pydantic model to replace all.

        Raises:
            InputError: On assignment of something else. Values that can't be sent are reported by ``to_bytes``.
        """
        if self._parameters is None:
            if self._envelope is not None and self._envelope.parameters is not None:
                self._received_parameters = self._envelope.parameters
                self._parameters = marshal.loads(self._received_parameters)
            else:
                received = self._proto.HasField('parameters')
                self._parameters = struct_to_dict(self._proto.parameters) if received else {}
                self._received_parameters = fingerprint(self._parameters)
        return self._parameters

    @parameters.setter
    def parameters(self, value: Mapping[str, Any] | BaseModel) -> None:
        self._received_parameters = None
        if isinstance(value, BaseModel):
            self._parameters = value.model_dump(mode='json')
        elif isinstance(value, Mapping):
            self._parameters = dict(value)
        else:
            raise InputError(
                f'parameters are a {type(value).__name__}: {value!r}', hint='give a dict or a pydantic model'
            )

    def add_route(self, executor: str) -> RouteProto:
        """Appends a route for a Deployment and returns it, with the start time set to now."""
        route: RouteProto = self._proto.routes.add()
        route.executor = executor
        route.start_time.seconds, route.start_time.nanos = divmod(time.time_ns(), 1_000_000_000)
        return route

    def add_visit(self, executor: str) -> None:
        """Appends a route without times."""
        if self._envelope is not None:
            self._envelope.added += route_bytes(executor)
        else:
            self._proto.routes.add(executor=executor)

    def replace_routes(self, routes: bytes) -> None:
        """Replaces all routes by those of a serialised envelope that has nothing else."""
        if self._envelope is not None:
            self._envelope.replace_routes(routes)
        else:
            self._proto.ClearField('routes')
            self._proto.MergeFromString(routes)

    def add_exception(self, error: BaseException, executor: str = '') -> None:
        """Records an exception as the status of the request.

        Args:
            error: What was raised.
            executor: Class name of the Executor that raised it.
        """
        fill_status(self.header.status, error, executor)

    def to_dict(self) -> dict[str, Any]:
        """Returns the request as a dict with ``header``, ``parameters``, ``routes`` and the documents.

        Enums are numbers and times are ISO strings. Documents are the objects themselves, not dicts.
        """
        envelope = self.proto
        return {
            'header': message_to_dict(envelope.header),
            'parameters': self.parameters,
            'routes': [message_to_dict(route) for route in envelope.routes],
        }

    @property
    def proto(self) -> Any:
        """The envelope, up to date with documents and parameters."""
        self._synchronise()
        return self._proto

    @property
    def nbytes(self) -> int:
        """Size of the serialised request in bytes."""
        return cast('int', self.proto.ByteSize())

    def __repr__(self) -> str:
        header = self.header
        status = StatusProto.StatusCode.Name(header.status.code)
        return (
            f'<{type(self).__name__} request_id={header.request_id!r} exec_endpoint={header.exec_endpoint!r} '
            f'status={status} {self._describe_data()}>'
        )

    @abstractmethod
    def _describe_data(self) -> str:
        """Returns what ``repr`` says about the documents."""


class DataRequest(Request):
    """A request, or a response, with a list of documents.

    Args:
        proto: An envelope to wrap; it is used, not copied. None makes a fresh request with an id of its own.
    """

    _proto_class = DataRequestProto
    __slots__ = ('_content', '_docs', '_document_array_cls')

    def __init__(self, proto: DataRequestProto | None = None) -> None:
        super().__init__(proto)
        self._docs: DocList[Any] | None = None
        self._document_array_cls: type[DocList[Any]] | None = None
        # A content that was received stays out of the envelope, and so does a large one, which it would copy: bytes that end
        # with the content, and where it begins.
        self._content: tuple[bytes, int] | None = None

    @classmethod
    def from_bytes(cls, raw: Payload) -> Self:
        if isinstance(raw, Spliced):
            head = field_head(_DATA, len(raw.owner) - raw.start)
            if not raw.front.endswith(head) or len(raw) > MESSAGE_BYTES:
                return cls.from_bytes(bytes(raw))
            request = super().from_bytes(raw.front[: -len(head)])
            request._content = (raw.owner, raw.start)
            return request
        # An envelope keeps its bytes: a large request has to let go of them when its documents are decoded.
        envelope = read_envelope(raw) if len(raw) < _LARGE else None
        if envelope is not None:
            request = cls.__new__(cls)
            request._message = request._parameters = request._received_parameters = None
            request.trace = ()
            request._docs = request._document_array_cls = None
            request._envelope = envelope
            request._content = (raw, envelope.data_at)
            return request
        start = find_last_field(raw, _DATA) if _LARGE <= len(raw) <= MESSAGE_BYTES else None
        if start is None:
            return super().from_bytes(raw)
        head = field_head(_DATA, len(raw) - start)
        request = super().from_bytes(raw[: start - len(head)])
        request._content = (raw, start)
        return request

    def to_bytes(self) -> bytes:
        """Serialises the request; documents that were not touched pass through as they came.

        Raises:
            InputError: It is longer than protobuf allows.
        """
        return as_bytes(self._serialise(codec.append_docs))

    def to_payload(self) -> Payload:
        """The same as ``to_bytes`` for the fast lane, which needs no single ``bytes`` object: untouched documents aren't copied.

        Raises:
            InputError: It is longer than protobuf allows.
        """
        return self._serialise(codec.append_docs_payload)

    def _serialise(self, append_docs: Callable[[bytes, int, DocList[Any]], Payload]) -> Payload:
        super()._synchronise()
        if self._docs is not None:
            if self._envelope is not None:
                head = self._envelope.head
            else:
                self._proto.ClearField('data')
                self._content = None
                head = self._proto.SerializeToString()
            serialised = append_docs(head, _DATA, self._docs)
            _check_size(len(serialised))
            return serialised
        if self._envelope is not None:
            return self._envelope.to_bytes()
        envelope = cast('bytes', self._proto.SerializeToString())
        if self._content is None:
            return envelope
        raw, start = self._content
        front = envelope + field_head(_DATA, len(raw) - start)
        _check_size(len(front) + len(raw) - start)
        if len(front) == start and raw.startswith(front):
            return raw  # nothing has changed
        return Spliced(front, raw, start)

    def _synchronise(self) -> None:
        super()._synchronise()
        if self._docs is not None or self._content is not None:
            self._proto.data = self.raw_content
            self._content = None

    @property
    def proto(self) -> DataRequestProto:
        """The envelope. Documents and parameters that were handed out are serialised at each access."""
        self._synchronise()
        return cast('DataRequestProto', self._proto)

    @property
    def docs(self) -> DocList[Any]:
        """The documents, as ``document_array_cls``. They may be changed in place.

        Assign a DocList or a list of documents to replace them; None means no documents.

        Raises:
            SchemaError: The documents don't fit ``document_array_cls``.
            RequestTypeError: The request holds something that is no list of documents.
        """
        if self._docs is None:
            raw, start = self._content or (self._proto.data, 0)
            self._docs = codec.decode_docs(raw, self.document_array_cls, start)
            self._content = None
        return self._docs

    @docs.setter
    def docs(self, value: DocList[Any] | Sequence[BaseDoc] | None) -> None:
        self._docs = as_doc_list(value)
        self._content = None
        if self._docs:
            self._document_array_cls = type(self._docs)

    @property
    def document_array_cls(self) -> type[DocList[Any]]:
        """The type that ``docs`` are decoded to, for example ``DocList[MyDoc]``. Default: ``DocList``, untyped.

        When documents were decoded before as another type, they are converted at the next access to ``docs``.
        """
        if self._document_array_cls is None:
            from docarray import DocList  # noqa: PLC0415 - docarray is heavy, a gateway must not need it

            self._document_array_cls = DocList
        return self._document_array_cls

    @document_array_cls.setter
    def document_array_cls(self, value: type[DocList[Any]]) -> None:
        if self._docs is not None and type(self._docs) is not (get_origin(value) or value):
            self.raw_content = codec.encode_docs(self._docs)
        self._document_array_cls = value

    @property
    def raw_content(self) -> bytes:
        """The serialised ``DataContentProto`` with the documents. Assign bytes to replace the documents."""
        if self._docs is not None:
            return codec.encode_docs(self._docs)
        if self._content is not None:
            raw, start = self._content
            return raw[start:]
        return cast('bytes', self._proto.data)

    @raw_content.setter
    def raw_content(self, value: bytes) -> None:
        large = len(value) >= _LARGE
        self._proto.data = b'' if large else value
        self._content = (value, 0) if large else None
        self._docs = None

    @property
    def data(self) -> DataView:
        """The documents as an object with ``docs`` and ``docs_bytes``."""
        return DataView(self)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), 'data': self.docs}

    def to_json(self) -> str:
        """Returns the request as JSON, with the documents as a list of objects in ``data``."""
        return json.dumps({**super().to_dict(), 'data': [codec.doc_to_json(doc) for doc in self.docs]})

    def _describe_data(self) -> str:
        if self._docs is not None:
            return f'docs={len(self._docs)}'
        return f'data={len(self.raw_content)} bytes'


class Response(DataRequest):
    """What a server answers: a ``DataRequest`` with results, routes and status."""

    __slots__ = ()

    @property
    def header(self) -> HeaderProto:
        """The header: request id, endpoint, target Executor, status. An empty target is there too, so that it is shown."""
        header = super().header
        if not header.HasField('target_executor'):
            header.target_executor = ''
        return header


class SingleDocumentRequest(Request):
    """A request, or one response of a stream, with exactly one document.

    Args:
        proto: An envelope to wrap; it is used, not copied. None makes a fresh request with an id of its own.
    """

    _proto_class = SingleDocumentRequestProto
    __slots__ = ('_document', '_document_cls')

    def __init__(self, proto: SingleDocumentRequestProto | None = None) -> None:
        super().__init__(proto)
        self._document: BaseDoc | None = None
        self._document_cls: type[BaseDoc] | None = None

    def _synchronise(self) -> None:
        super()._synchronise()
        if self._document is not None:
            raw = codec.encode_doc(self._document)
            _check_size(len(raw) + _ENVELOPE_BYTES)
            self._proto.document = raw

    @property
    def proto(self) -> SingleDocumentRequestProto:
        """The envelope. Document and parameters that were handed out are serialised at each access."""
        self._synchronise()
        return cast('SingleDocumentRequestProto', self._proto)

    @property
    def document(self) -> BaseDoc:
        """The document, as ``document_cls``. It may be changed in place, or assigned.

        Raises:
            SchemaError: The document doesn't fit ``document_cls``.
            RequestTypeError: The request holds something that is no document.
            InputError: On assignment of something that is no document.
        """
        if self._document is None:
            self._document = codec.decode_doc(self._proto.document, self.document_cls)
        return self._document

    @document.setter
    def document(self, value: BaseDoc) -> None:
        from docarray import BaseDoc  # noqa: PLC0415

        if not isinstance(value, BaseDoc):
            raise InputError(f'a document is needed, not {type(value).__name__} {value!r}')
        self._document = value
        self._document_cls = type(value)

    @property
    def document_cls(self) -> type[BaseDoc]:
        """The type that ``document`` is decoded to. Default: ``AnyDoc``, untyped.

        When the document was decoded before as another type, it is converted at the next access to ``document``.
        """
        if self._document_cls is None:
            from docarray.base_doc import AnyDoc  # noqa: PLC0415

            self._document_cls = AnyDoc
        return self._document_cls

    @document_cls.setter
    def document_cls(self, value: type[BaseDoc]) -> None:
        if self._document is not None and type(self._document) is not value:
            self._proto.document = codec.encode_doc(self._document)
            self._document = None
        self._document_cls = value

    @property
    def raw_document(self) -> bytes:
        """The serialised ``DocProto``. Assign bytes to replace the document."""
        if self._document is not None:
            self._proto.document = codec.encode_doc(self._document)
        return cast('bytes', self._proto.document)

    @raw_document.setter
    def raw_document(self, value: bytes) -> None:
        _check_size(len(value) + _ENVELOPE_BYTES)
        self._proto.document = value
        self._document = None

    @property
    def data(self) -> DocumentView:
        """The document as an object with ``doc``."""
        return DocumentView(self)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), 'document': self.document}

    def to_json(self) -> str:
        """Returns the request as JSON, with the document as an object in ``document``."""
        return json.dumps({**super().to_dict(), 'document': codec.doc_to_json(self.document)})

    def _describe_data(self) -> str:
        if self._document is not None:
            return f'document={type(self._document).__name__}'
        return f'document={len(self._proto.document)} bytes'


def _check_size(size: int) -> None:
    if size > MESSAGE_BYTES:
        raise InputError(_too_long(size), hint=_SEND_LESS)


def _too_long(size: int) -> str:
    return f'a request or response of {size / 1e9:.2f} GB is longer than the {MESSAGE_BYTES / 1e9:.2f} GB of protobuf'


def message_to_dict(message: Any) -> dict[str, Any]:
    """Returns a protobuf message as a dict with the field names of the proto file and numbers for enums."""
    return MessageToDict(message, preserving_proto_field_name=True, use_integers_for_enums=True)
