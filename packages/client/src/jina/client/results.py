"""Responses to what ``post`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_origin

from jina.client.misfit import describe_misfit
from jina.core.errors import RemoteError, SchemaError, ServerError
from jina.core.request import SingleDocumentRequest
from jina.core.schema import doc_list_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from docarray import BaseDoc, DocList
    from docarray.base_doc.doc import BaseDocWithoutId
    from jina.core.request import Request, Response

__all__ = ['ReturnShape', 'error_of', 'misfit', 'read_document']


@dataclass(frozen=True)
class ReturnShape:
    """The type of the documents that the user wants back."""

    doc_list_type: type[DocList[Any]]
    unwrap: bool
    """True if a single document is returned without its list."""

    @classmethod
    def of(cls, return_type: type[DocList[Any]] | type[BaseDoc] | None) -> ReturnShape:
        """Returns the shape for the argument ``return_type``; None means ``DocList``.

        Raises:
            SchemaError: It is no document type.
        """
        from docarray import BaseDoc, DocList  # noqa: PLC0415 - heavy, and `jina ping` must not need it

        if return_type is None:
            return cls(DocList, unwrap=False)
        kind = get_origin(return_type) or return_type  # DocList[MyDoc] is an alias of a class made for it
        if isinstance(kind, type):
            if issubclass(kind, DocList):
                if kind is not DocList:
                    doc_list_of(kind.doc_type)  # adds the columns that docarray leaves out
                return cls(kind, unwrap=False)
            if issubclass(kind, BaseDoc):
                typed: Any = DocList[kind]  # type: ignore[valid-type]
                return cls(get_origin(typed) or typed, unwrap=True)
        raise SchemaError(f'return_type is {return_type!r}', hint='give a document type: MyDoc or DocList[MyDoc]')

    def prepare(self, response: Response) -> None:
        """Makes the response decode its documents to this type."""
        response.document_array_cls = self.doc_list_type

    def read(self, response: Response) -> DocList[Any]:
        """Returns the documents of a response.

        Raises:
            SchemaError: They don't fit the type.
        """
        try:
            return response.docs
        except SchemaError as error:
            given = field_names(response)
            raise misfit(response.exec_endpoint, self.doc_list_type.doc_type, error, given, many=True) from error

    def join(self, parts: list[DocList[Any]]) -> DocList[Any] | BaseDoc:
        """Returns the documents of all responses."""
        if len(parts) == 1:
            return self.shape(parts[0])
        docs = self.doc_list_type([])
        for part in parts:
            if type(part) is self.doc_list_type:
                list.extend(docs, part)  # docarray's own looks at each document again
            else:
                docs.extend(part)
        return self.shape(docs)

    def shape(self, docs: DocList[Any]) -> DocList[Any] | BaseDoc:
        """Takes the only document out of its list if that was asked for."""
        return docs[0] if self.unwrap and len(docs) == 1 else docs


def error_of(request: Request) -> ServerError:
    """Returns the error that a response with an ERROR status stands for."""
    status = request.status
    cause = status.exception
    if not cause.name and not cause.executor:
        return ServerError(f'the server failed on request {request.request_id}: {status.description}')
    return RemoteError(
        status.description,
        name=cause.name,
        executor=cause.executor,
        request_id=request.request_id,
        remote_args=tuple(cause.args),
        stacks=tuple(cause.stacks),
    )


def read_document(response: SingleDocumentRequest, doc_list_type: type[DocList[Any]] | None, endpoint: str) -> BaseDoc:
    """Returns the document of one response of a stream.

    Raises:
        SchemaError: It doesn't fit the type.
    """
    if doc_list_type is not None:
        response.document_cls = cast('type[BaseDoc]', doc_list_type.doc_type)
    try:
        return response.document
    except SchemaError as error:
        raise misfit(endpoint, response.document_cls, error, field_names(response)) from error


def field_names(response: Response | SingleDocumentRequest) -> list[str]:
    """Returns the fields of the document, or of the first one, of a response from the wire."""
    from docarray import DocList  # noqa: PLC0415
    from docarray.base_doc import AnyDoc  # noqa: PLC0415

    if isinstance(response, SingleDocumentRequest):
        response.document_cls = AnyDoc
        return list(response.document.__dict__)
    response.document_array_cls = DocList
    return list(response.docs[0].__dict__) if response.docs else []


def misfit(
    endpoint: str, doc_type: type[BaseDocWithoutId], error: Exception, given: Iterable[str], *, many: bool = False
) -> SchemaError:
    """Returns the error for documents that aren't of the type that the user wants back.

    Args:
        endpoint: Where they came from.
        doc_type: The type of each.
        error: What making them raised.
        given: Fields of the first of them.
        many: True if the user wants a list.
    """
    wanted = f'DocList[{doc_type.__name__}]' if many else doc_type.__name__
    cause = error.__cause__ if isinstance(error, SchemaError) else error
    reason = describe_misfit(cause, doc_type, given) if isinstance(cause, Exception) else str(error)
    return SchemaError(
        f'what came back from {endpoint or "the server"!r} does not fit return_type={wanted}: {reason}',
        hint='pass the type that the endpoint returns as return_type',
    )
