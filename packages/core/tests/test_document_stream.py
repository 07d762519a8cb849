from __future__ import annotations

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.document_stream import (
    END,
    MORE,
    STREAM_KEY,
    StreamWriter,
    asks_for_stream,
    stream_item,
    stream_message,
    stream_request,
)
from jina.core.errors import InputError, NotSupportedError, RequestTypeError
from jina.core.request import DataRequest, Response, SingleDocumentRequest
from jina.core.status import fill_status
from jina.core.wire import StatusProto


def asked(text: str = 'a') -> SingleDocumentRequest:
    request = SingleDocumentRequest()
    request.exec_endpoint = '/generate'
    request.parameters = {'top_k': 3.0}
    request.document = TextDoc(id='1', text=text)
    return request


def test_a_request_arrives_as_it_was() -> None:
    request = asked()
    raw = stream_message(request)
    assert asks_for_stream(raw)
    arrived = stream_request(DataRequest.from_bytes(raw))
    assert arrived.header == request.header
    assert arrived.parameters == {'top_k': 3.0}
    arrived.document_cls = TextDoc
    assert arrived.document == request.document


def test_other_requests_ask_for_no_stream() -> None:
    request = DataRequest()
    request.docs = DocList[TextDoc]([TextDoc(text=STREAM_KEY)])
    assert not asks_for_stream(request.to_bytes())
    request.parameters = {STREAM_KEY: False}
    assert not asks_for_stream(request.to_bytes())
    with pytest.raises(RequestTypeError):
        asks_for_stream(b'\xff' + STREAM_KEY.encode())


@pytest.mark.parametrize('count', [0, 2])
def test_a_stream_answers_one_document(count: int) -> None:
    request = DataRequest()
    request.docs = DocList[TextDoc]([TextDoc()] * count)
    with pytest.raises(InputError, match=f'the request has {count}; send one'):
        stream_request(request)


def test_messages_of_a_stream() -> None:
    request = asked()
    writer = StreamWriter(request.header)
    item = Response.from_bytes(writer.item(request.raw_document))
    assert item.request_id == request.request_id
    assert item.parameters == {STREAM_KEY: MORE}
    document = stream_item(item)
    assert document is not None
    document.document_cls = TextDoc
    assert document.document == request.document
    end = Response.from_bytes(writer.end())
    assert end.parameters == {STREAM_KEY: END}
    assert end.request_id == request.request_id
    assert stream_item(end) is None


def test_the_end_tells_what_failed() -> None:
    status = StatusProto()
    fill_status(status, ValueError('boom'))
    end = Response.from_bytes(StreamWriter(asked().header).end(status))
    assert end.is_error
    assert end.status.description == "ValueError('boom')"


def test_a_server_that_knows_no_streams() -> None:
    with pytest.raises(NotSupportedError, match='does not stream'):
        stream_item(Response.from_bytes(stream_message(asked())))
