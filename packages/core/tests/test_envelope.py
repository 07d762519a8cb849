from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from google.protobuf.message import DecodeError
from jina.core.envelope import read_endpoint, read_envelope
from jina.core.errors import RequestTypeError
from jina.core.request import DataRequest
from jina.core.wire import DataRequestProto, StatusProto


def request(**header: str) -> DataRequest:
    made = DataRequest()
    made.exec_endpoint = '/echo'
    made.parameters = {'top_k': 5, 'nested': {'list': [1.5, None, 'ü']}}
    made.docs = DocList[TextDoc]([TextDoc(text='hello')])
    for name, value in header.items():
        setattr(made, name, value)
    return made


def with_routes() -> DataRequest:
    made = request()
    for name in ('first', 'second'):
        made.add_route(name)
    return made


def failed() -> DataRequest:
    made = request()
    made.status.code = StatusProto.ERROR
    return made


def without(*names: str) -> DataRequest:
    made = DataRequest(DataRequestProto.FromString(request().to_bytes()))
    for name in names:
        made.proto.ClearField(name)
    return made


PLAIN = {
    'usual': request(),
    'target': request(target_executor='indexer'),
    'other id': request(request_id='7'),
    'no parameters': without('parameters'),
    'routes': with_routes(),
    'error': failed(),
}
UNUSUAL = {
    'empty': DataRequestProto().SerializeToString(),
    'no documents': without('data').to_bytes(),
    'no header': without('header').to_bytes(),
    'long header': request(target_executor='x' * 200).to_bytes(),
    'long parameters': DataRequest.to_bytes(request(parameters={'text': 'x' * 2000})),
    'two headers': request().to_bytes() + request(request_id='2').to_bytes(),
    'two contents': request().to_bytes() + without('header', 'parameters').to_bytes(),
    'two ids': b'\x0a\x08\x0a\x01a\x1a\x00\x0a\x01b' + b'\x22\x00',
    'routes first': b'\x0a\x03\x0a\x01a' + b'\x1a\x00' + b'\x12\x00' + b'\x22\x00',
    'id not in ASCII': request(request_id='ü').to_bytes(),
    'another field': request().to_bytes() + b'\x2a\x01x',
}


def parsed(raw: bytes) -> DataRequestProto | None:
    try:
        return DataRequestProto.FromString(raw)
    except DecodeError:
        return None


def damaged(raw: bytes) -> Iterator[bytes]:
    for position in range(len(raw)):
        yield raw[:position]
        for value in (0, 1, 0x0A, 0x12, 0x1A, 0x22, 0x7F, 0x80, 0xFF):
            yield raw[:position] + bytes([value]) + raw[position + 1 :]


@pytest.mark.parametrize('name', PLAIN)
def test_a_plain_envelope_is_read(name: str) -> None:
    raw = PLAIN[name].to_bytes()
    proto = DataRequestProto.FromString(raw)
    envelope = read_envelope(raw)
    assert envelope is not None
    assert envelope.endpoint == read_endpoint(raw) == proto.header.exec_endpoint
    assert envelope.target == proto.header.target_executor
    assert envelope.is_error == (proto.header.status.code == StatusProto.ERROR)
    assert raw[envelope.data_at :] == proto.data
    assert envelope.to_bytes() is raw


@pytest.mark.parametrize('name', UNUSUAL)
def test_protobuf_looks_at_the_others(name: str) -> None:
    raw = UNUSUAL[name]
    assert read_envelope(raw) is None
    assert DataRequest.from_bytes(raw).proto == DataRequestProto.FromString(raw)


@pytest.mark.parametrize('name', PLAIN)
def test_damaged_requests_are_read_as_by_protobuf(name: str) -> None:
    for raw in damaged(PLAIN[name].to_bytes()):
        expected = parsed(raw)
        if expected is None:
            with pytest.raises(RequestTypeError):
                DataRequest.from_bytes(raw)
            continue
        received = DataRequest.from_bytes(raw)
        assert received.is_error == (expected.header.status.code == StatusProto.ERROR)
        assert received.exec_endpoint == expected.header.exec_endpoint
        assert received.target_executor == expected.header.target_executor
        assert received.proto == expected


@pytest.mark.parametrize('name', PLAIN)
def test_the_endpoint_of_damaged_requests_is_a_text_or_none(name: str) -> None:
    for raw in damaged(PLAIN[name].to_bytes()):
        assert isinstance(read_endpoint(raw), str | None)


def change_parameters(request: Any) -> None:
    request.parameters['nested']['list'].append('more')


def change_documents(request: Any) -> None:
    request.document_array_cls = DocList[TextDoc]
    request.docs[0].text = 'changed'


def change_status(request: Any) -> None:
    request.add_exception(ValueError('boom'), 'Executor')


def replace_content(request: Any) -> None:
    request.raw_content = request.raw_content * 2


def visit(request: Any) -> None:
    request.add_visit('third')


def replace_routes(request: Any) -> None:
    routes = DataRequestProto()
    routes.routes.add(executor='only')
    request.replace_routes(routes.SerializeToString())


CHANGES = [change_parameters, change_documents, change_status, replace_content, visit, replace_routes]


@pytest.mark.parametrize('second', CHANGES)
@pytest.mark.parametrize('first', CHANGES)
def test_changes_are_those_of_a_parsed_request(first: Any, second: Any) -> None:
    raw = with_routes().to_bytes()
    received, known = DataRequest.from_bytes(raw), DataRequest(DataRequestProto.FromString(raw))
    for each in (received, known):
        first(each)
        second(each)
    result, expected = (DataRequestProto.FromString(each.to_bytes()) for each in (received, known))
    assert result == expected


def test_parameters_that_were_only_read_are_not_serialised_again() -> None:
    raw = request().to_bytes()
    received = DataRequest.from_bytes(raw)
    assert received.parameters == {'top_k': 5.0, 'nested': {'list': [1.5, None, 'ü']}}
    assert received.to_bytes() is raw


def test_requests_do_not_share_their_parameters() -> None:
    raw = request().to_bytes()
    change_parameters(DataRequest.from_bytes(raw))
    assert DataRequest.from_bytes(raw).parameters['nested'] == {'list': [1.5, None, 'ü']}
