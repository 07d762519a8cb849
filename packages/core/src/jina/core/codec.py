"""Documents to bytes and back: the only module that touches docarray's protobuf messages.

The unit is the *content* of a request: a serialised ``DataContentProto``, whose oneof holds either a ``DocListProto``
(field 1) or a list in docarray's binary serialisation (field 2). Functions that only need the boundaries or the ids
of documents scan the bytes and never decode a document.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from google.protobuf.message import DecodeError

from jina.core.errors import RequestTypeError, SchemaError

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList

_Doc = TypeVar('_Doc', bound='BaseDoc')

_DOCS = 1
_DOCS_BYTES = 2
_LENGTH_DELIMITED = 2
_FIXED_SIZES = {1: 8, 5: 4}
_ID_KEY = b'id'


def encode_docs(docs: DocList[Any]) -> bytes:
    """Serialises documents to the content of a request.

    Args:
        docs: A DocList; a DocVec is taken apart first.

    Raises:
        SchemaError: A field of a document holds something that has no wire form.
    """
    from docarray import DocVec  # noqa: PLC0415 - docarray is heavy, a gateway must not need it

    if isinstance(docs, DocVec):
        docs = docs.to_doc_list()
    try:
        raw = docs.to_protobuf().SerializeToString()
    except (ValueError, TypeError, RecursionError) as error:
        raise SchemaError(f'{docs!r} can not be serialised: {error}') from error
    return _field(_DOCS, raw)


def decode_docs(content: bytes, doc_list_type: type[DocList[Any]]) -> DocList[Any]:
    """Builds documents from the content of a request.

    Args:
        content: A serialised ``DataContentProto``; empty bytes are an empty list.
        doc_list_type: ``DocList[MyDoc]``, or ``DocList`` for untyped documents.

    Raises:
        RequestTypeError: The bytes are no documents at all.
        SchemaError: The documents don't fit the type.
    """
    from docarray import DocList, DocVec  # noqa: PLC0415
    from docarray.proto import DocListProto  # noqa: PLC0415
    from pydantic import ValidationError  # noqa: PLC0415

    if isinstance(doc_list_type, type) and issubclass(doc_list_type, DocVec):
        return decode_docs(content, DocList[doc_list_type.doc_type]).to_doc_vec()  # type: ignore[name-defined, no-any-return]
    kind, raw = split_content(content)
    try:
        if kind == _DOCS_BYTES:
            return doc_list_type.from_bytes(raw)
        return doc_list_type.from_protobuf(DocListProto.FromString(raw))
    except DecodeError as error:
        raise RequestTypeError(f'the data of the request is no list of documents: {error}') from error
    except (ValidationError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SchemaError(f'the documents of the request do not fit {doc_list_type.__name__}: {error}') from error


def encode_doc(doc: BaseDoc) -> bytes:
    """Serialises one document to a ``DocProto``.

    Raises:
        SchemaError: A field of the document holds something that has no wire form.
    """
    try:
        return doc.to_protobuf().SerializeToString()  # type: ignore[no-any-return]
    except (ValueError, TypeError, RecursionError) as error:
        raise SchemaError(f'{type(doc).__name__} {doc.id!r} can not be serialised: {error}') from error


def decode_doc(raw: bytes, doc_type: type[_Doc]) -> _Doc:
    """Builds one document from a serialised ``DocProto``.

    Raises:
        RequestTypeError: The bytes are no document at all.
        SchemaError: The document doesn't fit the type.
    """
    from docarray.proto import DocProto  # noqa: PLC0415
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        return doc_type.from_protobuf(DocProto.FromString(raw))
    except DecodeError as error:
        raise RequestTypeError(f'the data of the request is no document: {error}') from error
    except (ValidationError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SchemaError(f'the document of the request does not fit {doc_type.__name__}: {error}') from error


def doc_to_json(doc: BaseDoc) -> dict[str, Any]:
    """Returns a document as values that JSON can express; also for untyped documents, which pydantic dumps without fields."""
    from docarray.base_doc import AnyDoc  # noqa: PLC0415

    if not isinstance(doc, AnyDoc):
        return cast('dict[str, Any]', json.loads(doc.model_dump_json()))
    return {name: _json_value(value) for name, value in doc}


def _json_value(value: Any) -> Any:
    from docarray import BaseDoc  # noqa: PLC0415

    if isinstance(value, BaseDoc):
        return doc_to_json(value)
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if hasattr(value, 'tolist'):
        return value.tolist()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode('ascii')
    if value is None or isinstance(value, (str, int, float)):
        return value
    return [_json_value(item) for item in value]


def content_of_docs_bytes(raw: bytes) -> bytes:
    """Wraps the result of ``DocList.to_bytes()`` as the content of a request (the ``docs_bytes`` member)."""
    return _field(_DOCS_BYTES, raw)


def docs_bytes_of(content: bytes) -> bytes:
    """Returns the documents of a content in the form of ``DocList.to_bytes()``.

    That is docarray's default ``protobuf-array`` without compression, which is a bare ``DocListProto``; content that a
    peer sent as ``docs_bytes`` is handed out as it came.
    """
    return split_content(content)[1]


def merge_contents(contents: Sequence[bytes]) -> bytes:
    """Joins the documents of several contents into one content, without decoding them.

    Of documents with the same id, the first is kept; documents without an id are all kept. The order is that of the
    contents, and within a content that of its documents.
    """
    seen: set[bytes] = set()
    parts: list[bytes] = []
    for content in contents:
        for doc in iter_doc_bytes(content):
            key = _raw_id(doc)
            if key is not None:
                if key in seen:
                    continue
                seen.add(key)
            parts.append(_field(1, doc))
    return _field(_DOCS, b''.join(parts))


def count_docs(content: bytes) -> int:
    """Returns the number of documents in a content without decoding them."""
    return sum(1 for _ in iter_doc_bytes(content))


def iter_doc_bytes(content: bytes) -> Iterator[bytes]:
    """Yields each document of a content as a serialised ``DocProto``."""
    for number, value in _fields(split_content(content)[1]):
        if number == 1:
            yield value


def content_of_doc_bytes(docs: Iterable[bytes]) -> bytes:
    """Builds a content from serialised ``DocProto``s; the reverse of ``iter_doc_bytes``."""
    return _field(_DOCS, b''.join(_field(1, doc) for doc in docs))


def split_content(content: bytes) -> tuple[int, bytes]:
    """Returns the field number of the oneof member in a content (1 docs, 2 docs_bytes) and its bytes."""
    kind, raw = _DOCS, b''
    for number, value in _fields(content):
        if number == kind == _DOCS:
            raw += value  # protobuf merges repeated occurrences of a message
        elif number in (_DOCS, _DOCS_BYTES):
            kind, raw = number, value
    return kind, raw


def _field(number: int, value: bytes) -> bytes:
    """Returns a length-delimited field on the wire."""
    size = len(value)
    head = bytearray(((number << 3) | _LENGTH_DELIMITED,))
    while size > 0x7F:
        head.append((size & 0x7F) | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise RequestTypeError('the data of the request is no protobuf message: a number is too long')


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields number and value of each length-delimited field; other fields are skipped."""
    position, end = 0, len(data)
    try:
        while position < end:
            tag, position = _varint(data, position)
            kind = tag & 7
            if kind == _LENGTH_DELIMITED:
                size, position = _varint(data, position)
                if position + size > end:
                    raise RequestTypeError(f'the data of the request is cut off: {end} of {position + size} bytes')
                yield tag >> 3, data[position : position + size]
                position += size
            elif kind == 0:
                _, position = _varint(data, position)
            elif kind in _FIXED_SIZES:
                position += _FIXED_SIZES[kind]
            else:
                raise RequestTypeError(f'the data of the request is no protobuf message: wire type {kind}')
    except IndexError:
        raise RequestTypeError(f'the data of the request is cut off after {end} bytes') from None


def _raw_id(doc: bytes) -> bytes | None:
    """Returns the ``id`` of a serialised ``DocProto`` as UTF-8 bytes, or None."""
    for number, entry in _fields(doc):
        if number != 1:
            continue
        parts = dict(_fields(entry))
        if parts.get(1) == _ID_KEY:
            return dict(_fields(parts.get(2, b''))).get(1)
    return None
