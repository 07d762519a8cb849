"""Documents to bytes and back, in docarray's protobuf messages.

``document_writer`` and ``document_reader`` do the work for everything that they know; the rest, and every error, is
left to docarray's own conversion, which is slower by far.

The unit is the *content* of a request: a serialised ``DataContentProto``, whose oneof holds either a ``DocListProto``
(field 1) or a list in docarray's binary serialisation (field 2). Functions that only need the boundaries or the ids
of documents scan the bytes and never decode a document.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from google.protobuf.message import DecodeError, EncodeError

from jina.core.errors import RequestTypeError, SchemaError
from jina.core.memory_file import AVAILABLE
from jina.core.payloads import HUGE, Payload, written
from jina.core.protobuf_bytes import field, field_head, fields, read_varint

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList

_Doc = TypeVar('_Doc', bound='BaseDoc')

_DOCS = 1
_DOCS_BYTES = 2
_CONTENT_TAGS = (0x0A, 0x12)
_ID_ENTRY = b'\n\x02id'
"""How a map entry with the key ``id`` begins."""

# Field numbers of docarray's NodeProto.
_NODE_TEXT = 1
_NODE_DOC = 7
_NODE_DOCS = 8
_NODE_DICT = 12
_NODE_TYPE = 13
_CONTAINER_NODES = frozenset((_NODE_TEXT, _NODE_DOCS, 9, 10, 11, _NODE_DICT))


def encode_docs(docs: DocList[Any]) -> bytes:
    """Serialises documents to the content of a request.

    Args:
        docs: A DocList; a DocVec is taken apart first.

    Raises:
        SchemaError: A field of a document holds something that has no wire form.
    """
    try:
        return cast('bytes', _writer().write_docs(docs, _content_head))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - docarray does it, or says what is wrong
        return _encode_as_docarray(docs)


def append_docs(message: bytes, number: int, docs: DocList[Any]) -> bytes:
    """Returns a message with documents as a further field: their content, which is not copied once more for it.

    Args:
        message: A serialised message.
        number: The number of the field, 15 at most.
        docs: A DocList; a DocVec is taken apart first.

    Raises:
        SchemaError: A field of a document holds something that has no wire form.
    """

    def head(size: int) -> bytes:
        inner = field_head(_DOCS, size)
        return message + field_head(number, len(inner) + size) + inner

    try:
        return cast('bytes', _writer().write_docs(docs, head))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - docarray does it, or says what is wrong
        return message + field(number, _encode_as_docarray(docs))


def append_docs_payload(message: bytes, number: int, docs: DocList[Any]) -> Payload:
    """The same as ``append_docs`` for the fast lane: a large message is written to a memory file, if there are such."""
    try:
        parts, size = _writer().docs_parts(docs)
        parts[0] = inner = field_head(_DOCS, size)
        front = message + field_head(number, len(inner) + size)
        payload = written(parts, front) if AVAILABLE and size >= HUGE else None
        if payload is None:
            parts[0] = front + inner
            return b''.join(parts)
        return payload
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - docarray does it, or says what is wrong
        return message + field(number, _encode_as_docarray(docs))


def _encode_as_docarray(docs: DocList[Any]) -> bytes:
    from docarray import DocVec  # noqa: PLC0415 - docarray is heavy, a gateway must not need it

    if isinstance(docs, DocVec):
        return encode_docs(docs.to_doc_list())
    try:
        raw = docs.to_protobuf().SerializeToString()
    except (ValueError, TypeError, RecursionError, EncodeError, DecodeError) as error:
        raise SchemaError(f'{docs!r} can not be serialised: {error}') from error
    return field(_DOCS, raw)


def _content_head(size: int) -> bytes:
    return field_head(_DOCS, size)


@cache
def _writer() -> ModuleType:
    from jina.core import document_writer  # noqa: PLC0415

    return document_writer


@cache
def _reader() -> ModuleType:
    from jina.core import document_reader  # noqa: PLC0415

    return document_reader


def decode_docs(content: bytes, doc_list_type: type[DocList[Any]], start: int = 0) -> DocList[Any]:
    """Builds documents from the content of a request.

    Args:
        content: A serialised ``DataContentProto``; empty bytes are an empty list.
        doc_list_type: ``DocList[MyDoc]``, or ``DocList`` for untyped documents.
        start: Where the content begins, if there is something else in front of it.

    Raises:
        RequestTypeError: The bytes are no documents at all.
        SchemaError: The documents don't fit the type.
    """
    # DocList[MyDoc] is an alias of a subclass that docarray makes for MyDoc.
    list_type = getattr(doc_list_type, '__origin__', doc_list_type)
    try:
        return cast('DocList[Any]', _read_docs(content, start, list_type))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - docarray does it, or says what is wrong
        return _decode_as_docarray(content[start:], doc_list_type, list_type)


def _decode_as_docarray(content: bytes, doc_list_type: Any, list_type: Any) -> DocList[Any]:
    from docarray import DocList, DocVec  # noqa: PLC0415
    from docarray.proto import DocListProto  # noqa: PLC0415
    from pydantic import ValidationError  # noqa: PLC0415

    if issubclass(list_type, DocVec):
        return cast('DocList[Any]', decode_docs(content, DocList[list_type.doc_type]).to_doc_vec())
    kind, raw = split_content(content)
    try:
        if kind == _DOCS_BYTES:
            return cast('DocList[Any]', doc_list_type.from_bytes(raw))
        return cast('DocList[Any]', doc_list_type.from_protobuf(DocListProto.FromString(raw)))
    except DecodeError as error:
        raise RequestTypeError(f'the data of the request is no list of documents: {error}') from error
    except (ValidationError, ValueError, TypeError, KeyError, AttributeError) as error:
        name = doc_list_type.doc_type.__name__
        raise SchemaError(f'the documents of the request do not fit DocList[{name}]: {error}') from error


def _read_docs(content: bytes, start: int, list_type: type[DocList[Any]]) -> Any:
    # docs_bytes are a list in the same form, unless the peer chose another; then it isn't readable as one.
    end = len(content)
    if start < end and content[start] in _CONTENT_TAGS:
        size, begin = read_varint(content, start + 1)
        if begin + size == end:
            return _reader().read_docs(content, begin, end, list_type)
    _, raw = split_content(content[start:])
    return _reader().read_docs(raw, 0, len(raw), list_type)


def encode_doc(doc: BaseDoc) -> bytes:
    """Serialises one document to a ``DocProto``.

    Raises:
        SchemaError: A field of the document holds something that has no wire form.
    """
    try:
        return cast('bytes', _writer().write_doc(doc))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - docarray does it, or says what is wrong
        return _encode_doc_as_docarray(doc)


def _encode_doc_as_docarray(doc: BaseDoc) -> bytes:
    try:
        return doc.to_protobuf().SerializeToString()  # type: ignore[no-any-return]
    except (ValueError, TypeError, RecursionError, EncodeError, DecodeError) as error:
        raise SchemaError(f'{type(doc).__name__} {doc.id!r} can not be serialised: {error}') from error


def decode_doc(raw: bytes, doc_type: type[_Doc]) -> _Doc:
    """Builds one document from a serialised ``DocProto``.

    Raises:
        RequestTypeError: The bytes are no document at all.
        SchemaError: The document doesn't fit the type.
    """
    try:
        return cast('_Doc', _reader().read_doc(raw, doc_type))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - docarray does it, or says what is wrong
        return _decode_doc_as_docarray(raw, doc_type)


def _decode_doc_as_docarray(raw: bytes, doc_type: type[_Doc]) -> _Doc:
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
        return cast('dict[str, Any]', json.loads(doc.model_dump_json(warnings=False)))
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
    return field(_DOCS_BYTES, raw)


def docs_bytes_of(content: bytes) -> bytes:
    """Returns the documents of a content in the form of ``DocList.to_bytes()``.

    That is docarray's default ``protobuf-array`` without compression, which is a bare ``DocListProto``; content that a
    peer sent as ``docs_bytes`` is handed out as it came.
    """
    return split_content(content)[1]


def merge_contents(contents: Sequence[bytes]) -> bytes:
    """Joins the documents of several contents into one content, without decoding them.

    Documents come in the order of the contents, and within a content in its own order. Documents with the same id become
    one, at the place of the first: its values stay, fields that are empty in it (None, an empty text, list, set, tuple or
    dict, or not there at all) are filled from the later ones, dicts get the keys that they lack, nested documents and
    document lists are joined in the same way. Documents without an id are all kept, and so are those with the same id
    within one content: the second of one content is joined with the second of the next.
    """
    if len(contents) == 1:
        return contents[0]
    return field(_DOCS, _merge_lists([split_content(content)[1] for content in contents]))


def count_docs(content: bytes) -> int:
    """Returns the number of documents in a content without decoding them."""
    return sum(1 for _ in iter_doc_bytes(content))


def iter_doc_bytes(content: bytes) -> Iterator[bytes]:
    """Yields each document of a content as a serialised ``DocProto``."""
    for number, value in fields(split_content(content)[1]):
        if number == 1:
            yield value


def content_of_doc_bytes(docs: Iterable[bytes]) -> bytes:
    """Builds a content from serialised ``DocProto``s; the reverse of ``iter_doc_bytes``."""
    return field(_DOCS, b''.join(field(1, doc) for doc in docs))


def split_content(content: bytes) -> tuple[int, bytes]:
    """Returns the field number of the oneof member in a content (1 docs, 2 docs_bytes) and its bytes."""
    kind, raw = _DOCS, b''
    for number, value in fields(content):
        if number == kind == _DOCS:
            raw += value  # protobuf merges repeated occurrences of a message
        elif number in (_DOCS, _DOCS_BYTES):
            kind, raw = number, value
    return kind, raw


def _raw_id(doc: bytes) -> bytes | None:
    """Returns the ``id`` of a serialised ``DocProto`` as UTF-8 bytes, or None."""
    for number, entry in fields(doc):
        # Every encoder writes the key of a map entry first; only then the prefix decides.
        if number != 1 or (entry[:1] == b'\n' and not entry.startswith(_ID_ENTRY)):
            continue
        parts = dict(fields(entry))
        if parts.get(1) == b'id':
            kind, value = _node_content(parts.get(2, b''))
            return value if kind == _NODE_TEXT else None
    return None


def _merge_lists(lists: Iterable[bytes]) -> bytes:
    """Joins serialised ``DocListProto``s."""
    merged: list[bytes] = []
    places: dict[tuple[bytes, int], int] = {}
    for raw in lists:
        met: dict[bytes, int] = {}
        for number, doc in fields(raw):
            if number != 1:
                continue
            key = _raw_id(doc)
            if key is None:
                merged.append(doc)
                continue
            met[key] = met.get(key, 0) + 1
            place = places.setdefault((key, met[key]), len(merged))
            if place == len(merged):
                merged.append(doc)
            elif merged[place] != doc:
                merged[place] = _merge_entries(merged[place], doc)
    return b''.join(field(1, doc) for doc in merged)


def _merge_entries(first: bytes, second: bytes) -> bytes:
    """Joins two serialised messages whose field 1 is a map of names to nodes (``DocProto``, ``DictOfAnyProto``)."""
    entries = _entries(first)
    for key, node in _entries(second).items():
        known = entries.get(key)
        entries[key] = node if known is None else _merge_nodes(known, node)
    return b''.join(field(1, field(1, key) + field(2, node)) for key, node in entries.items())


def _merge_nodes(first: bytes, second: bytes) -> bytes:
    """Returns the first of two serialised ``NodeProto``s, with what it lacks from the second."""
    kind, value = _node_content(first)
    other_kind, other = _node_content(second)
    if kind is None or (kind in _CONTAINER_NODES and not value):
        return second if other_kind is not None else first
    if kind != other_kind or value == other:
        return first
    if kind in (_NODE_DOC, _NODE_DICT):
        return field(kind, _merge_entries(value, other)) + _node_type(first)
    if kind == _NODE_DOCS:
        return field(kind, _merge_lists([value, other])) + _node_type(first)
    return first


def _entries(message: bytes) -> dict[bytes, bytes]:
    """Returns the map in field 1 of a message: raw key to raw value."""
    entries = {}
    for number, entry in fields(message):
        if number == 1:
            parts = dict(fields(entry))
            entries[parts.get(1, b'')] = parts.get(2, b'')
    return entries


def _node_content(node: bytes) -> tuple[int | None, bytes]:
    """Returns field number and bytes of the content of a serialised ``NodeProto``; None if it has none.

    Numbers and bools count as content with empty bytes.
    """
    kind, content = None, b''
    for number, value in fields(node, scalars=True):
        if number != _NODE_TYPE:
            kind, content = number, value
    return kind, content


def _node_type(node: bytes) -> bytes:
    """Returns the field with the type name of a serialised ``NodeProto``, or nothing."""
    return b''.join(field(number, value) for number, value in fields(node) if number == _NODE_TYPE)
