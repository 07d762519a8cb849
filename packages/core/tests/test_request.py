from __future__ import annotations

import copy
import json
import mmap
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docarray import BaseDoc, DocList, DocVec
from docarray.base_doc import AnyDoc
from docarray.documents import TextDoc
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.core import codec
from jina.core.errors import InputError, RequestTypeError, SchemaError
from jina.core.request import DataRequest, Response, SingleDocumentRequest
from jina.core.wire import DataRequestProto, StatusProto
from pydantic import BaseModel


class Item(BaseDoc):
    text: str = ''
    size: int = 0


class Other(BaseDoc):
    text: str = ''


def sent(request: DataRequest, docs_type: Any = DocList[Item]) -> DataRequest:
    """The request as the other side gets it."""
    received = DataRequest.from_bytes(request.to_bytes())
    received.document_array_cls = docs_type
    return received


def fail(message: str) -> ValueError:
    try:
        raise ValueError(message, 3)
    except ValueError as error:
        return error


TEXTS = st.text(max_size=10)


@settings(deadline=None, max_examples=60)
@given(
    docs=st.lists(st.builds(Item, text=TEXTS, size=st.integers(-(2**31), 2**31 - 1)), max_size=5),
    parameters=st.dictionaries(TEXTS, st.none() | st.booleans() | TEXTS | st.floats(allow_nan=False), max_size=4),
    endpoint=TEXTS,
    routes=st.lists(TEXTS, max_size=3),
)
def test_round_trip(docs: list[Item], parameters: dict[str, Any], endpoint: str, routes: list[str]) -> None:
    request = DataRequest()
    request.docs = DocList[Item](docs)
    request.parameters = parameters
    request.exec_endpoint = endpoint
    for name in routes:
        request.add_route(name)
    raw = request.to_bytes()
    received = sent(request)
    assert received.request_id == request.request_id
    assert received.exec_endpoint == endpoint
    assert [route.executor for route in received.routes] == routes
    assert received.parameters == parameters
    assert list(received.docs) == docs
    assert DataRequestProto.FromString(DataRequest.from_bytes(raw).to_bytes()) == DataRequestProto.FromString(raw)


def test_fresh_requests_have_ids_of_their_own() -> None:
    first, second = DataRequest(), DataRequest()
    assert first.request_id != second.request_id
    assert len(first.request_id) == 32
    assert int(first.request_id, 16)


def test_untouched_documents_pass_through_even_if_they_are_no_documents() -> None:
    request = DataRequest()
    request.raw_content = b'\x0a\x03not documents'
    raw = request.to_bytes()
    received = DataRequest.from_bytes(raw)
    received.target_executor = ''
    received.add_route('gateway')
    assert DataRequest.from_bytes(received.to_bytes()).raw_content == b'\x0a\x03not documents'
    assert received.request_id == request.request_id


def test_documents_are_decoded_once() -> None:
    request = DataRequest()
    request.docs = [Item(text='a')]
    received = sent(request)
    assert received.docs is received.docs


def test_changes_in_place_are_sent() -> None:
    request = DataRequest()
    request.docs = [Item(text='a')]
    request.parameters = {'a': {'b': 1}}
    received = sent(request)
    received.docs[0].text = 'changed'
    received.docs.append(Item(text='new'))
    received.parameters['a']['c'] = 'x'
    again = sent(received)
    assert [doc.text for doc in again.docs] == ['changed', 'new']
    assert again.parameters == {'a': {'b': 1.0, 'c': 'x'}}
    assert again.proto.parameters.fields['a'].struct_value.fields['c'].string_value == 'x'


def test_documents_of_both_kinds_of_lists() -> None:
    request = DataRequest()
    request.docs = DocVec[Item]([Item(text='a'), Item(text='b')])
    assert [doc.text for doc in sent(request).docs] == ['a', 'b']
    received = sent(request, DocVec[Item])
    assert isinstance(received.docs, DocVec)
    assert list(received.docs.text) == ['a', 'b']
    assert [doc.text for doc in sent(received).docs] == ['a', 'b']


@pytest.mark.parametrize('empty', [None, [], DocList[Item]()])
def test_no_documents(empty: Any) -> None:
    request = DataRequest()
    request.docs = empty
    received = sent(request)
    assert len(received.docs) == 0
    assert isinstance(received.docs, DocList)


def test_request_without_data_has_an_empty_list() -> None:
    assert len(DataRequest().docs) == 0
    assert sent(DataRequest()).docs.doc_type is Item


def test_documents_of_several_classes() -> None:
    request = DataRequest()
    request.docs = [Item(text='a'), Other(text='b')]
    assert [doc.text for doc in sent(request, DocList[Other]).docs] == ['a', 'b']


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ('text', "docs hold a str: 't'; all must be documents"),
        (7, 'docs are a int: 7; give a DocList or a list of documents'),
        ([Item(), 3], 'docs hold a int: 3; all must be documents'),
    ],
)
def test_what_is_no_list_of_documents_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        DataRequest().docs = value
    assert str(caught.value) == message


def test_single_document_is_refused_as_docs() -> None:
    with pytest.raises(InputError, match='give a DocList or a list of documents'):
        DataRequest().docs = Item()  # type: ignore[assignment]


def test_type_may_be_set_after_decoding() -> None:
    request = DataRequest()
    request.docs = [Item(text='a', size=3), Item()]
    received = sent(request, DocList)
    assert type(received.docs[0]) is AnyDoc
    received.docs.pop(1)
    received.document_array_cls = DocList[Item]
    assert list(received.docs) == [request.docs[0]]
    assert received.data.document_array_cls is DocList[Item]
    docs = received.docs
    received.document_array_cls = DocList[Item]
    assert received.docs is docs


def test_untyped_documents_lose_nothing() -> None:
    request = DataRequest()
    request.docs = [Item(text='a', size=3)]
    middle = sent(request, DocList)
    assert middle.docs[0].text == 'a'
    assert sent(middle).docs[0] == request.docs[0]


def test_documents_of_another_schema_are_refused() -> None:
    class Strict(BaseDoc):
        text: str
        wanted: int

    request = DataRequest()
    request.docs = [Item(text='a')]
    with pytest.raises(SchemaError, match=r'^the documents of the request do not fit DocList\[Strict\]'):
        _ = sent(request, DocList[Strict]).docs


def test_docs_bytes_are_read_as_documents_and_sent_as_they_are() -> None:
    docs = DocList[Item]([Item(text='a')])
    request = DataRequest()
    request.data.docs_bytes = docs.to_bytes()
    received = sent(request)
    assert received.raw_content == codec.content_of_docs_bytes(docs.to_bytes())
    assert received.data.docs_bytes == docs.to_bytes()
    assert list(received.data.docs) == list(docs)
    received.data.docs = docs
    assert DocList[Item].from_bytes(received.data.docs_bytes) == docs
    assert received.raw_content == codec.encode_docs(docs)


@pytest.mark.parametrize('raw', [b'\xff\xff', b'\x0a\x7f', b'\x22\x05ab'])
@pytest.mark.parametrize('kind', [DataRequest, Response, SingleDocumentRequest])
def test_bytes_that_are_no_request_are_refused(raw: bytes, kind: type[DataRequest]) -> None:
    with pytest.raises(RequestTypeError, match=rf'^{len(raw)} bytes are no {kind.__name__}: '):
        kind.from_bytes(raw)


def test_other_objects_are_refused() -> None:
    with pytest.raises(RequestTypeError) as caught:
        DataRequest({'docs': []})  # type: ignore[arg-type]
    assert str(caught.value) == (
        "DataRequest can not be made from dict {'docs': []}; use DataRequest.from_bytes for serialised requests"
    )


def test_envelope_is_wrapped_and_synchronised() -> None:
    proto = DataRequestProto()
    request = DataRequest(proto)
    request.header.request_id = 'mine'
    request.docs = [Item(id='1', text='a')]
    request.parameters['x'] = 1
    assert proto.header.request_id == 'mine'
    assert request.proto is proto
    assert proto.parameters.fields['x'].number_value == 1
    assert proto.data == codec.encode_docs(request.docs)
    assert request.nbytes == len(request.to_bytes())


class Parameters(BaseModel):
    top_k: int = 3
    names: tuple[str, ...] = ('a',)


def test_parameters_may_be_a_model() -> None:
    request = DataRequest()
    request.parameters = Parameters()  # type: ignore[assignment]
    assert request.parameters == {'top_k': 3, 'names': ['a']}
    assert sent(request).parameters == {'top_k': 3.0, 'names': ['a']}


@pytest.mark.parametrize('value', [None, [1], 'text'])
def test_parameters_of_another_kind_are_refused(value: Any) -> None:
    with pytest.raises(InputError, match='give a dict or a pydantic model'):
        DataRequest().parameters = value


def test_assigned_parameters_are_a_copy() -> None:
    mine = {'a': 1}
    request = DataRequest()
    request.parameters = mine
    request.parameters['b'] = 2
    assert mine == {'a': 1}


def test_parameters_that_can_not_be_sent_are_reported() -> None:
    request = DataRequest()
    request.parameters['callback'] = print
    with pytest.raises(InputError, match=r"^parameters\['callback'\] has a value of type builtin_function"):
        request.to_bytes()


def test_error_is_recorded_with_everything_about_it() -> None:
    request = DataRequest()
    assert not request.is_error
    request.add_exception(fail('boom'), 'MyExecutor')
    received = sent(request)
    assert received.is_error
    status = received.status
    assert status == received.header.status
    assert status.code == StatusProto.ERROR
    assert status.description == "ValueError('boom', 3)"
    assert status.exception.name == 'ValueError'
    assert list(status.exception.args) == ['boom', '3']
    assert status.exception.executor == 'MyExecutor'
    stacks = list(status.exception.stacks)
    assert stacks[0] == 'Traceback (most recent call last):\n'
    assert 'raise ValueError(message, 3)' in stacks[1]
    assert stacks[-1] == "ValueError: ('boom', 3)\n"


def test_second_error_replaces_the_first() -> None:
    request = DataRequest()
    request.add_exception(fail('one'), 'A')
    request.add_exception(KeyError('two'))
    assert request.status.description == "KeyError('two')"
    assert list(request.status.exception.args) == ['two']
    assert request.status.exception.executor == ''


def test_error_with_text_that_is_no_unicode_can_be_sent() -> None:
    request = DataRequest()
    request.add_exception(fail('file \ud800'))
    assert list(sent(request).status.exception.args) == ['file \\ud800', '3']


def test_status_may_be_assigned() -> None:
    first, second = DataRequest(), DataRequest()
    first.add_exception(fail('boom'))
    second.status = first.status
    first.status.description = 'changed'
    assert second.status.description == "ValueError('boom', 3)"


def test_dict_has_the_documented_keys() -> None:
    request = DataRequest()
    request.header.request_id = 'mine'
    request.docs = [Item(id='1', text='a')]
    request.parameters = {'__results__': {'executor/rep-0': {'hits': 2}}}
    request.add_route('gateway').ClearField('start_time')
    received = sent(request)
    result = received.to_dict()
    assert result.pop('data') is received.docs
    assert result == {
        'header': {'request_id': 'mine'},
        'parameters': {'__results__': {'executor/rep-0': {'hits': 2.0}}},
        'routes': [{'executor': 'gateway'}],
    }


def test_dict_of_an_error_has_the_code_as_a_number() -> None:
    request = DataRequest()
    request.header.request_id = 'mine'
    request.exec_endpoint = '/foo'
    request.add_exception(ValueError('boom'), 'E')
    assert request.to_dict()['header'] == {
        'request_id': 'mine',
        'exec_endpoint': '/foo',
        'status': {
            'code': 1,
            'description': "ValueError('boom')",
            'exception': {'name': 'ValueError', 'args': ['boom'], 'stacks': ['ValueError: boom\n'], 'executor': 'E'},
        },
    }


@pytest.mark.parametrize('docs_type', [DocList[Item], DocList])
def test_json_has_the_documents(docs_type: Any) -> None:
    request = DataRequest()
    request.docs = [Item(id='1', text='a', size=2)]
    assert json.loads(sent(request, docs_type).to_json()) == {
        'header': {'request_id': request.request_id},
        'parameters': {},
        'routes': [],
        'data': [{'id': '1', 'text': 'a', 'size': 2}],
    }


def test_route_starts_now() -> None:
    request = DataRequest()
    route = request.add_route('gateway')
    assert request.routes[0] == route
    assert route.start_time.ToNanoseconds() > 0
    assert not route.HasField('end_time')


@pytest.mark.parametrize('duplicate', [copy.copy, copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
def test_copies_are_independent(duplicate: Any) -> None:
    request = Response()
    request.docs = [Item(text='a')]
    request.parameters = {'a': 1}
    twin = duplicate(request)
    twin.document_array_cls = DocList[Item]
    twin.docs[0].text = 'b'
    twin.parameters['a'] = 2
    twin.header.request_id = 'other'
    assert type(twin) is Response
    assert request.docs[0].text == 'a'
    assert request.parameters == {'a': 1}
    assert request.request_id != 'other'


def test_representation_says_what_matters_and_decodes_nothing() -> None:
    request = DataRequest()
    request.header.request_id = 'mine'
    request.exec_endpoint = '/foo'
    request.raw_content = b'123'
    assert repr(request) == "<DataRequest request_id='mine' exec_endpoint='/foo' status=SUCCESS data=3 bytes>"
    request.docs = [Item()]
    request.add_exception(ValueError())
    assert repr(request) == "<DataRequest request_id='mine' exec_endpoint='/foo' status=ERROR docs=1>"


def test_single_document_round_trip() -> None:
    request = SingleDocumentRequest()
    request.exec_endpoint = '/stream'
    request.parameters = {'limit': 2}
    request.document = Item(id='1', text='a')
    raw = request.to_bytes()
    received = SingleDocumentRequest.from_bytes(raw)
    assert received.to_bytes() == raw
    assert received.raw_document == codec.encode_doc(request.document)
    assert type(received.document) is AnyDoc
    received.document_cls = Item
    assert received.document == Item(id='1', text='a')
    assert received.document is received.document
    received.data.doc.text = 'changed'
    again = SingleDocumentRequest.from_bytes(received.to_bytes())
    again.document_cls = Item
    assert again.data.doc == Item(id='1', text='changed')
    assert again.parameters == {'limit': 2.0}
    assert again.to_dict()['document'] == again.document
    assert json.loads(again.to_json())['document'] == {'id': '1', 'text': 'changed', 'size': 0}


def test_single_document_of_another_schema_is_refused() -> None:
    class Strict(BaseDoc):
        wanted: int

    request = SingleDocumentRequest()
    request.document = TextDoc(text='a')
    request.document_cls = Strict
    with pytest.raises(SchemaError, match=r'^the document of the request does not fit Strict: '):
        _ = request.document


def test_what_is_no_document_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        SingleDocumentRequest().document = 'text'  # type: ignore[assignment]
    assert str(caught.value) == "a document is needed, not str 'text'"


def test_raw_document_replaces_the_document() -> None:
    request = SingleDocumentRequest()
    request.document = Item(text='a')
    request.raw_document = codec.encode_doc(Item(id='2', text='b'))
    assert request.document == Item(id='2', text='b')


def with_content(size: int) -> DataRequest:
    request = DataRequest()
    request.exec_endpoint = '/x'
    request.parameters = {'a': 1, 'b': [True, None, {'c': 'd'}]}
    request.docs = DocList[Item]([Item(id='1', text='t' * size), Item(id='2', text='u')])
    return request


@pytest.mark.parametrize('size', [10, 60_000, 65_400, 65_536, 300_000])
def test_large_documents_are_sent_as_small_ones(size: int) -> None:
    raw = with_content(size).to_bytes()
    plain = DataRequestProto.FromString(raw)
    assert plain.data == codec.encode_docs(with_content(size).docs)
    untouched = DataRequest.from_bytes(raw)
    assert DataRequestProto.FromString(untouched.to_bytes()) == plain
    assert untouched.raw_content == plain.data
    assert f'data={len(plain.data)} bytes' in repr(untouched)
    assert untouched.nbytes == len(raw)
    assert untouched.proto == plain
    assert DataRequestProto.FromString(untouched.to_bytes()) == plain
    routed = DataRequest.from_bytes(raw)
    routed.add_route('gateway')
    again = DataRequestProto.FromString(routed.to_bytes())
    assert (again.data, again.routes[0].executor) == (plain.data, 'gateway')
    decoded = DataRequest.from_bytes(raw)
    decoded.document_array_cls = DocList[Item]
    assert [len(doc.text) for doc in decoded.docs] == [size, 1]
    assert decoded.raw_content == plain.data
    decoded.docs[0].text = 'short'
    assert DataRequest.from_bytes(decoded.to_bytes()).docs[0].text == 'short'
    assert pickle.loads(pickle.dumps(DataRequest.from_bytes(raw))).proto == plain
    decoded.document_array_cls = DocList
    assert type(decoded.docs[0]) is AnyDoc
    replaced = DataRequest.from_bytes(raw)
    for content in (b'small', b'large' * 30_000, b'small'):
        replaced.raw_content = content
        assert replaced.raw_content == content
        assert DataRequestProto.FromString(replaced.to_bytes()).data == content
        assert replaced.proto.data == content
    replaced.docs = None
    assert len(DataRequest.from_bytes(replaced.to_bytes()).docs) == 0


def test_unusual_messages_with_large_documents_are_read_by_protobuf() -> None:
    raw = with_content(100_000).to_bytes()
    late = raw + DataRequestProto(routes=[{'executor': 'late'}]).SerializeToString()
    request = DataRequest.from_bytes(late)
    assert [route.executor for route in request.routes] == ['late']
    assert [doc.id for doc in request.docs] == ['1', '2']
    twice = DataRequest.from_bytes(raw + DataRequestProto(data=b'\n\x00').SerializeToString())
    assert len(twice.docs) == 0
    with pytest.raises(RequestTypeError):
        DataRequest.from_bytes(raw[:-1])


def test_large_documents_pass_without_copies_of_them() -> None:
    import tracemalloc

    raw = with_content(4 << 20).to_bytes()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        request = DataRequest.from_bytes(raw)
        request.add_route('gateway')
        assert tracemalloc.get_traced_memory()[1] - before < 100_000
        sent = request.to_bytes()
        assert tracemalloc.get_traced_memory()[1] - before < 1.1 * len(sent)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    'change',
    [
        lambda parameters: None,
        lambda parameters: parameters.update(a=2.0),
        lambda parameters: parameters.update(a=True),
        lambda parameters: parameters['b'].append('x'),
        lambda parameters: parameters['b'][2].update(c='D'),
        lambda parameters: parameters.pop('a'),
        lambda parameters: parameters.clear(),
        lambda parameters: parameters.update(n=float('nan')),
    ],
)
def test_parameters_are_sent_as_they_are_at_last(change: Any) -> None:
    request = DataRequest.from_bytes(with_content(1).to_bytes())
    assert request.parameters == {'a': 1.0, 'b': [True, None, {'c': 'd'}]}
    expected = copy.deepcopy(request.parameters)
    change(expected)
    change(request.parameters)
    for _ in range(2):
        sent = DataRequest.from_bytes(request.to_bytes()).parameters
        assert {key: repr(value) for key, value in sent.items()} == {key: repr(expected[key]) for key in expected}
    # And back to what came in, after something else was sent.
    original = DataRequest.from_bytes(with_content(1).to_bytes()).parameters
    request.parameters.clear()
    request.parameters.update(original)
    assert DataRequest.from_bytes(request.to_bytes()).parameters == original


def test_untouched_parameters_keep_their_bytes() -> None:
    raw = with_content(1).to_bytes()
    request = DataRequest.from_bytes(raw)
    before = request.proto.parameters
    assert request.parameters
    assert request.proto.parameters is before
    assert DataRequestProto.FromString(request.to_bytes()) == DataRequestProto.FromString(raw)
    request.parameters['object'] = object()
    with pytest.raises(InputError):
        request.to_bytes()


@pytest.fixture
def huge(tmp_path: Path) -> Iterator[Any]:
    """Four gigabytes that nothing has allocated."""
    sparse = tmp_path / 'sparse'
    with sparse.open('wb') as file:
        file.truncate(4 << 30)
    with sparse.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def test_more_than_protobuf_can_read_is_refused_with_advice(huge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    advice = r'4\.29 GB is longer than the 2\.15 GB of protobuf; send fewer documents in a request'
    request = DataRequest()
    request.raw_content = huge
    with pytest.raises(InputError, match=advice):
        request.to_bytes()
    for kind in (DataRequest, SingleDocumentRequest):
        with pytest.raises(RequestTypeError, match=advice):
            kind.from_bytes(huge)
    with pytest.raises(InputError, match=r'4\.30 GB is longer'):
        SingleDocumentRequest().raw_document = huge
    monkeypatch.setattr(codec, 'append_docs', lambda *_: huge)
    request.docs = DocList[TextDoc]([TextDoc(text='a')])
    with pytest.raises(InputError, match=advice):
        request.to_bytes()
