"""Documents of a caller in this process, cut into one list per request, and documents that come back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from jina.core.codec import decode_doc
from jina.core.errors import ConfigError, InputError, SchemaError
from jina.runtime.stream_items import StreamItem

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList

__all__ = ['Documents', 'batches_of', 'check_call', 'document_of', 'whole_batch']

Documents: TypeAlias = 'DocList[Any] | Iterable[BaseDoc] | BaseDoc | None'
"""A list of documents, any other iterable of them, one document, or none."""


def check_call(endpoint: object, target: object, size: Any, prefetch: Any) -> None:
    """Checks the arguments of a call beside its documents.

    Args:
        endpoint: The endpoint.
        target: Regular expression for the names of Executors; None for all.
        size: Documents per request.
        prefetch: Requests that may be under way at the same time; None for the default.

    Raises:
        InputError: Endpoint or target is no text.
        ConfigError: A number is none.
    """
    if not isinstance(endpoint, str):
        raise InputError(
            f'the endpoint is of type {type(endpoint).__name__}: {endpoint!r}', hint="give '/index', or so"
        )
    if target is not None and not isinstance(target, str):
        raise InputError(
            f'target_executor is of type {type(target).__name__}: {target!r}',
            hint='give a regular expression for the names of Executors',
        )
    for name, value in (('request_size', size), ('prefetch', 0 if prefetch is None else prefetch)):
        if not hasattr(value, '__index__') or isinstance(value, bool) or (name == 'prefetch' and value < 0):
            raise ConfigError(f'{name} is {value!r}', hint='give a whole number; 0 for no limit')


def whole_batch(docs: Documents, size: int) -> DocList[Any] | None:
    """Returns all documents as one list, if they fit into one request; None if they have to be cut.

    Args:
        docs: The documents.
        size: Documents per request; 0 or less puts all into one.

    Raises:
        InputError: ``docs`` hold something that is no document.
    """
    from docarray import BaseDoc, DocList  # noqa: PLC0415 - heavy, and not every gateway looks at documents

    if isinstance(docs, DocList):
        return docs if len(docs) <= size or size <= 0 else None
    if docs is None or isinstance(docs, BaseDoc):
        return _doc_list([] if docs is None else [docs])
    if isinstance(docs, str | bytes | Mapping | type) or not isinstance(docs, Iterable):
        raise InputError(
            f'docs are of type {type(docs).__name__}: {docs!r:.100}', hint='give a DocList, or one document'
        )
    return _doc_list(docs) if isinstance(docs, Sized) and (size <= 0 or len(docs) <= size) else None


def batches_of(docs: Documents, size: int) -> Iterator[DocList[Any]]:
    """Yields the documents of each request; an iterable is read as requests are made of it.

    Args:
        docs: Documents that ``whole_batch`` did not put into one request. Without any, there is one request without documents.
        size: Documents per request; 0 or less puts all into one.

    Raises:
        InputError: ``docs`` hold something that is no document.
    """
    from docarray import DocList  # noqa: PLC0415

    rest = iter(cast('Iterable[BaseDoc]', docs))
    first = True
    while chunk := list(islice(rest, size if size > 0 else None)):
        first = False
        # docarray's own constructor looks at each document again
        yield type(docs).construct(chunk) if isinstance(docs, DocList) else _doc_list(chunk)
    if first:
        yield DocList([])


def document_of(item: StreamItem, kind: type[DocList[Any]], endpoint: str) -> BaseDoc:
    """Returns the document of a stream's response.

    Args:
        item: The response.
        kind: The type of a list of such documents.
        endpoint: The endpoint, for messages.

    Raises:
        SchemaError: It doesn't fit the type.
    """
    doc_type = cast('type[BaseDoc]', kind.doc_type)
    try:
        return decode_doc(item.raw_document, doc_type)
    except SchemaError as error:
        raise SchemaError(
            f'what came back from {endpoint!r} does not fit return_type={doc_type.__name__}: {error.__cause__ or error}',
            hint='pass the type that the endpoint returns as return_type',
        ) from error


def _doc_list(docs: Any) -> DocList[Any]:
    """Makes a DocList, typed if all documents have the same type."""
    from docarray import BaseDoc, DocList, DocVec  # noqa: PLC0415

    if isinstance(docs, DocList):
        return docs
    if isinstance(docs, DocVec):
        return docs.to_doc_list()
    kinds = {type(doc) for doc in docs}
    wrong = next((doc for doc in docs if not isinstance(doc, BaseDoc)), None)
    if wrong is not None:
        raise InputError(
            f'docs hold something of type {type(wrong).__name__}: {wrong!r:.100}',
            hint='give documents, as TextDoc(text=...)',
        )
    if len(kinds) == 1:
        typed: Any = DocList[kinds.pop()]  # type: ignore[misc]
        return cast('DocList[Any]', typed(docs))
    return DocList(docs)
