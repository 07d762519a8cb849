from __future__ import annotations

import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from jina.client.results import ReturnShape, error_of, read_document
from jina.core.errors import RemoteError, SchemaError, ServerError
from jina.core.request import Response, SingleDocumentRequest
from jina.core.wire import StatusProto


class Number(BaseDoc):
    number: int


def response_of(*texts: str) -> Response:
    response = Response()
    response.exec_endpoint = '/index'
    response.docs = DocList[TextDoc]([TextDoc(text=text) for text in texts])
    return Response.from_bytes(response.to_bytes())


def joined(return_type: object, *responses: Response) -> object:
    shape = ReturnShape.of(return_type)  # type: ignore[arg-type]
    for response in responses:
        shape.prepare(response)
    return shape.join([shape.read(response) for response in responses])


def test_documents_of_all_responses_are_one_list() -> None:
    docs = joined(DocList[TextDoc], response_of('a', 'b'), response_of('c'))
    assert docs.text == ['a', 'b', 'c']  # type: ignore[attr-defined]
    assert docs.doc_type is TextDoc  # type: ignore[attr-defined]


def test_no_response_is_an_empty_list() -> None:
    assert len(joined(DocList[TextDoc])) == 0  # type: ignore[arg-type]


def test_a_document_type_unwraps_a_single_document() -> None:
    assert joined(TextDoc, response_of('a')).text == 'a'  # type: ignore[attr-defined]
    assert joined(TextDoc, response_of('a', 'b')).text == ['a', 'b']  # type: ignore[attr-defined]


def test_without_a_type_documents_are_untyped() -> None:
    assert [doc.text for doc in joined(None, response_of('a'))] == ['a']  # type: ignore[attr-defined]


@pytest.mark.parametrize('wrong', [list, int, 'TextDoc', list[TextDoc]])
def test_what_is_no_document_type_is_refused(wrong: object) -> None:
    with pytest.raises(SchemaError, match='return_type is'):
        ReturnShape.of(wrong)  # type: ignore[arg-type]


def test_a_wrong_type_names_endpoint_and_field() -> None:
    with pytest.raises(
        SchemaError, match=r"(?s)came back from '/index' does not fit return_type=DocList\[Number\].*number"
    ):
        joined(DocList[Number], response_of('a'))


def test_a_wrong_type_of_a_streamed_document() -> None:
    request = SingleDocumentRequest()
    request.document = TextDoc(text='a')
    response = SingleDocumentRequest.from_bytes(request.to_bytes())
    with pytest.raises(SchemaError, match="'/generate' does not fit return_type=Number"):
        read_document(response, ReturnShape.of(Number).doc_list_type, '/generate')


def test_the_error_of_an_executor_carries_its_fields() -> None:
    response = Response()
    response.add_exception(ValueError('boom', 3), 'MyExecutor')
    error = error_of(response)
    assert isinstance(error, RemoteError)
    assert (error.name, error.executor, error.remote_args) == ('ValueError', 'MyExecutor', ('boom', '3'))
    assert error.request_id == response.request_id
    assert "ValueError('boom', 3)" in str(error)


def test_an_error_without_exception_is_the_server_s() -> None:
    response = Response()
    response.status.code = StatusProto.ERROR
    response.status.description = 'no such thing'
    assert type(error_of(response)) is ServerError
