"""The documents of a request as an object: ``request.data``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from jina.core import codec
from jina.core.errors import InputError

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList

    from jina.core.request import DataRequest, SingleDocumentRequest

__all__ = ['DataView', 'DocumentView', 'as_doc_list']


class DataView:
    """The documents of a request: ``request.data``."""

    __slots__ = ('_request',)

    def __init__(self, request: DataRequest) -> None:
        self._request = request

    @property
    def docs(self) -> DocList[Any]:
        """The same as ``DataRequest.docs``."""
        return self._request.docs

    @docs.setter
    def docs(self, value: DocList[Any] | Sequence[BaseDoc] | None) -> None:
        self._request.docs = value

    @property
    def docs_bytes(self) -> bytes:
        """The documents as ``DocList.to_bytes()`` gives them. Assigned bytes are sent as they are."""
        return codec.docs_bytes_of(self._request.raw_content)

    @docs_bytes.setter
    def docs_bytes(self, value: bytes) -> None:
        self._request.raw_content = codec.content_of_docs_bytes(value)

    @property
    def document_array_cls(self) -> type[DocList[Any]]:
        """The same as ``DataRequest.document_array_cls``."""
        return self._request.document_array_cls

    @document_array_cls.setter
    def document_array_cls(self, value: type[DocList[Any]]) -> None:
        self._request.document_array_cls = value

    def __repr__(self) -> str:
        return f'<DataView of {self._request!r}>'


class DocumentView:
    """The document of a request: ``request.data``."""

    __slots__ = ('_request',)

    def __init__(self, request: SingleDocumentRequest) -> None:
        self._request = request

    @property
    def doc(self) -> BaseDoc:
        """The same as ``SingleDocumentRequest.document``."""
        return self._request.document

    @doc.setter
    def doc(self, value: BaseDoc) -> None:
        self._request.document = value

    def __repr__(self) -> str:
        return f'<DocumentView of {self._request!r}>'


def as_doc_list(value: DocList[Any] | Sequence[BaseDoc] | None) -> DocList[Any]:
    """Returns what was assigned as documents, as a list of the type that all have.

    Raises:
        InputError: It is something else.
    """
    from docarray import BaseDoc, DocList, DocVec  # noqa: PLC0415 - heavy, and many processes need none

    if isinstance(value, DocList):
        return value
    if isinstance(value, DocVec):
        return value.to_doc_list()
    if value is None:
        return DocList()
    if isinstance(value, BaseDoc) or not isinstance(value, Sequence):
        raise InputError(f'docs are a {type(value).__name__}: {value!r}', hint='give a DocList or a list of documents')
    strangers = [item for item in value if not isinstance(item, BaseDoc)]
    if strangers:
        raise InputError(f'docs hold a {type(strangers[0]).__name__}: {strangers[0]!r}', hint='all must be documents')
    types = {type(item) for item in value}
    list_type: Any = DocList.__class_getitem__(types.pop()) if len(types) == 1 else DocList
    return cast('DocList[Any]', list_type(value))
