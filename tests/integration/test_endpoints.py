"""Endpoints of an Executor in a process of its own: binding, arguments, document types, parameters and results."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Dict, Optional, Union  # noqa: UP035 - spellings that users have

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import AnyTensor
from jina import Deployment, Executor, Flow, requests
from jina.core.errors import RemoteError
from pydantic import BaseModel, Field


class Text(BaseDoc):
    text: str = ''


class Vector(BaseDoc):
    text: str = ''
    embedding: Optional[AnyTensor] = None  # noqa: UP045


class Options(BaseModel):
    """How to answer."""

    word: str
    times: int = Field(default=2, description='How often the word comes')


class Everything(Executor):
    """One method for each way to write an endpoint."""

    @requests
    def fallback(self, **kwargs: Any) -> dict[str, Any]:
        return {'fallback': sorted(kwargs)}

    @requests(on=['/index', '/search'])
    def two(self) -> dict[str, Any]:
        return {'two': True}

    @requests(on='/other')
    async def other(self, tracing_context: Any) -> dict[str, Any]:
        return {'other': tracing_context}

    @requests(on='/some')
    def some(self, parameters: dict[str, Any], docs: Any, extra: int = 7) -> dict[str, Any]:
        return {'parameters': parameters, 'docs': len(docs), 'extra': extra}

    @requests(on='/joined')
    def joined(self, docs_matrix: Any, docs_map: Any) -> dict[str, Any]:
        return {'matrix': docs_matrix, 'map': docs_map}

    @requests(on='/untyped')
    def untyped(self, docs: Any, **kwargs: Any) -> None:
        for doc in docs:
            doc.text = type(doc).__name__

    @requests(on='/another')
    async def another_type(self, docs: DocList[Text], **kwargs: Any) -> DocList[Vector]:
        return DocList[Vector]([Vector(text=doc.text + '!', embedding=np.arange(3)) for doc in docs])

    @requests(on='/declared', request_schema=DocList[Text], response_schema=DocList[Vector])
    async def declared(self, docs, **kwargs: Any):  # type: ignore[no-untyped-def]
        return DocList[Vector]([Vector(text=type(doc).__name__, embedding=np.arange(3)) for doc in docs])

    @requests(on='/both', request_schema=DocList[Text], response_schema=DocList[Vector])
    def both(self, docs: DocList[Vector], **kwargs: Any) -> DocList[Text]:
        return DocList[Vector]([Vector(text=type(doc).__name__) for doc in docs])  # type: ignore[return-value]

    @requests(on='/columns')
    def columns(self, docs: DocList[Vector], **kwargs: Any) -> DocList[Vector]:  # type: ignore[return]
        docs.text = [text.upper() for text in docs.text]
        docs.embedding = np.ones((len(docs), 2))

    @requests(on='/list')
    def plain_list(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return [Text(text='one'), Text(text='two')]  # type: ignore[return-value]

    @requests(on='/single')
    def single_document(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return Text(text='alone')  # type: ignore[return-value]

    @requests(on='/nonsense')
    def nonsense(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return 'text'  # type: ignore[return-value]

    @requests(on='/unsendable')
    def unsendable(self, **kwargs: Any) -> dict[str, Any]:
        return {'when': {1}}

    @requests(on='/doc')
    async def one_at_a_time(self, doc: Text, **kwargs: Any) -> Union[Vector, Dict[str, Any], None]:  # noqa: UP006, UP007
        if doc.text == 'dict':
            return {'seen': doc.text}
        if doc.text == 'none':
            doc.text = 'changed'
            return None
        return Vector(text=doc.text * 2)

    @requests(on='/model')
    def model(self, docs: DocList[Text], parameters: Options, **kwargs: Any) -> DocList[Text]:
        return DocList[Text]([Text(text=f'{parameters.word} {parameters.times!r}')])

    @requests(on='/any-model')
    def any_model(self, docs: DocList[Text], parameters: Union[Dict, BaseModel], **kwargs: Any) -> DocList[Text]:  # type: ignore[type-arg]  # noqa: UP006, UP007
        return DocList[Text]([Text(text=type(parameters).__name__)])

    @requests(on='/either')
    def either(self, docs: DocList[Text], parameters: Union[Dict, Options], **kwargs: Any) -> DocList[Text]:  # type: ignore[type-arg]  # noqa: UP006, UP007
        return DocList[Text]([Text(text=type(parameters).__name__)])

    @requests(on='/perhaps')
    def perhaps(self, docs: DocList[Text], parameters: Optional[Options] = None, **kwargs: Any) -> DocList[Text]:  # noqa: UP045
        return DocList[Text]([Text(text=type(parameters).__name__)])

    def plain(self, docs: Any) -> int:
        return len(docs)


@pytest.fixture(scope='module')
def deployment() -> Iterator[Deployment]:
    about = {'description': 'Does everything'}
    with Deployment(
        uses=Everything, name='all', protocol=['grpc', 'http'], quiet_error=True, uses_metas=about
    ) as running:
        yield running


def result(deployment: Deployment, endpoint: str, inputs: Any = None, **parameters: Any) -> Any:
    (response,) = deployment.post(endpoint, inputs, parameters=parameters, return_responses=True)
    return response.to_dict()['parameters'].get('__results__')


def texts(deployment: Deployment, endpoint: str, *given: str, **parameters: Any) -> list[str]:
    inputs = DocList[Text]([Text(text=text) for text in given])
    return list(deployment.post(endpoint, inputs, parameters=parameters, return_type=DocList[Vector]).text)


def http(port: int, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(f'http://127.0.0.1:{port}{path}', data, {'content-type': 'application/json'})
    try:
        with urllib.request.urlopen(call, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize('inputs', [None, [], DocList[Text]([Text()])])
def test_endpoints_are_bound_and_the_rest_falls_back(deployment: Deployment, inputs: Any) -> None:
    names = ['docs', 'docs_map', 'docs_matrix', 'parameters', 'tracing_context']
    for endpoint in ('/', '/blah', '', '/Index'):
        assert result(deployment, endpoint, inputs) == {'all/rep-0': {'fallback': names}}
    for endpoint in ('/index', '/search'):
        assert result(deployment, endpoint, inputs) == {'all/rep-0': {'two': True}}


def test_an_executor_without_endpoints_passes_documents_on() -> None:
    class Nothing(Executor):
        def method(self) -> None: ...

    with Deployment(uses=Nothing) as running:
        (doc,) = running.post('/x', Vector(text='a', embedding=np.ones(2)), return_type=DocList[Vector])
    assert (doc.text, doc.embedding.tolist()) == ('a', [1, 1])


def test_a_method_gets_the_arguments_that_it_names(deployment: Deployment) -> None:
    assert result(deployment, '/other') == {'all/rep-0': {'other': None}}
    expected = {'parameters': {'a': 1.0, 'b': {'c': [True]}}, 'docs': 2.0, 'extra': 7.0}
    given = DocList[Text]([Text(), Text()])
    assert result(deployment, '/some', given, a=1, b={'c': [True]}) == {'all/rep-0': expected}
    assert result(deployment, '/joined', given) == {'all/rep-0': {'matrix': None, 'map': None}}


def test_results_are_keyed_by_the_process_and_numbers_are_floats() -> None:
    class Status(Executor):
        @requests(on='/status')
        def status(self, **kwargs: Any) -> dict[str, Any]:
            return {'internal_parameter': 20}

    with Flow().add(uses=Status, name='first').add(uses=Status) as flow:
        (response,) = flow.post('/status', return_responses=True)
    expected = {'internal_parameter': 20.0}
    assert response.to_dict()['parameters'] == {'__results__': {'first/rep-0': expected, 'executor1/rep-0': expected}}


def test_document_types(deployment: Deployment) -> None:
    assert texts(deployment, '/untyped', 'a') == ['LegacyDocument']
    for endpoint, expected in (('/another', 'a!'), ('/declared', 'Text')):
        (doc,) = deployment.post(endpoint, Text(text='a'), return_type=DocList[Vector])
        assert (doc.text, doc.embedding.tolist()) == (expected, [0, 1, 2])
    assert texts(deployment, '/both', 'a') == ['Text'], 'request_schema wins over the annotation'


def test_columns_are_assigned_and_need_no_return(deployment: Deployment) -> None:
    given = DocList[Vector]([Vector(text='a'), Vector(text='b')])
    found = deployment.post('/columns', given, return_type=DocList[Vector])
    assert [(doc.id, doc.text, doc.embedding.tolist()) for doc in found] == [
        (given[0].id, 'A', [1, 1]),
        (given[1].id, 'B', [1, 1]),
    ]


def test_what_a_method_returns(deployment: Deployment) -> None:
    assert texts(deployment, '/list', 'a') == ['one', 'two']
    assert texts(deployment, '/single', 'a', 'b') == ['alone']
    with pytest.raises(RemoteError, match=r"endpoint '/nonsense' .* returned 'text' \(str\); return a DocList"):
        texts(deployment, '/nonsense', 'a')
    with pytest.raises(
        RemoteError, match=r"parameters\['__results__'\]\['all/rep-0'\]\['when'\] has a value of type set"
    ) as caught:
        result(deployment, '/unsendable')
    assert caught.value.executor == 'Everything'


def test_one_document_at_a_time(deployment: Deployment) -> None:
    given = DocList[Text]([Text(text=text) for text in ('a', 'dict', 'none')])
    (response,) = deployment.post('/doc', given, return_responses=True)
    response.document_array_cls = DocList[Vector]
    assert list(response.docs.text) == ['aa', 'dict', 'changed']
    assert response.parameters['__results__'] == {'all/rep-0': {'seen': 'dict'}}


def test_parameters_become_a_model(deployment: Deployment) -> None:
    assert texts(deployment, '/model', 'a', word='w') == ['w 2']
    assert texts(deployment, '/model', 'a', word='w', times=3) == ['w 3'], 'a whole number again'
    with pytest.raises(RemoteError, match='Input should be a valid integer'):
        texts(deployment, '/model', 'a', word='w', times='many')
    assert texts(deployment, '/any-model', 'a', x=1) == ['dict']
    assert texts(deployment, '/either', 'a', word='w') == ['Options']
    assert texts(deployment, '/either', 'a', x=1) == ['dict']
    assert texts(deployment, '/perhaps', 'a') == ['NoneType']
    assert texts(deployment, '/perhaps', 'a', word='w') == ['Options']


@pytest.mark.parametrize(
    ('path', 'parameters', 'expected'),
    [
        ('/model', {'word': 'w'}, 'w 2'),
        ('/model', None, 422),
        ('/any-model', None, 'dict'),
        ('/either', None, 'dict'),
        ('/either', {'x': 1}, 'dict'),
        ('/perhaps', None, 'NoneType'),
        ('/perhaps', {'x': 1}, 422),
    ],
)
def test_parameters_over_http(deployment: Deployment, path: str, parameters: Any, expected: Any) -> None:
    body: dict[str, Any] = {'data': [{'text': 'a'}]}
    answer = http(deployment.port[1], path, body if parameters is None else {**body, 'parameters': parameters})
    assert (answer if isinstance(answer, int) else answer['data'][0]['text']) == expected


def test_openapi_says_what_each_endpoint_takes(deployment: Deployment) -> None:
    described = http(deployment.port[1], '/openapi.json')
    assert described['info']['description'] == 'Does everything'
    schemas = described['components']['schemas']

    def kinds(name: str, field: str) -> list[Any]:
        schema = schemas[f'{name}_input_model']['properties'][field]
        return [part.get('$ref', part.get('type')) for part in schema.get('anyOf', [schema])]

    text, options = '#/components/schemas/Text', '#/components/schemas/Options'
    assert kinds('another', 'data') == ['array', text], 'docs: a list first'
    assert kinds('doc', 'data') == [text, 'array'], 'doc: a document first'
    assert kinds('model', 'parameters') == [options]
    assert kinds('either', 'parameters') == [options, 'object', 'null']
    assert kinds('perhaps', 'parameters') == [options, 'null']
    required = {name: schemas[f'{name}_input_model']['required'] for name in ('model', 'either', 'perhaps')}
    assert required == {'model': ['data', 'parameters'], 'either': ['data'], 'perhaps': ['data']}
    assert schemas['Options']['properties']['times']['description'] == 'How often the word comes'
    assert schemas['Options']['description'] == 'How to answer.'


def test_uses_requests_replaces_the_endpoints_of_the_methods_that_it_names(deployment: Deployment) -> None:
    bindings = {'/plain': 'untyped', '/alias': 'two', '/alias-too': 'two'}
    with Deployment(uses=Everything, name='all', uses_requests=bindings) as running:
        assert result(running, '/alias') == result(running, '/alias-too') == {'all/rep-0': {'two': True}}
        assert texts(running, '/plain', 'a') == ['LegacyDocument']
        for endpoint in ('/index', '/search', '/untyped'):
            assert 'fallback' in result(running, endpoint)['all/rep-0']
        assert texts(running, '/single', 'a') == ['alone'], 'methods that it does not name keep theirs'


class Marker(Executor):
    def __init__(self, mark: str = '', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mark = mark

    @requests
    def mark_all(self, docs: DocList[Text], **kwargs: Any) -> None:
        for doc in docs:
            doc.text += self.mark


class Joiner(Executor):
    @requests
    def join(self, docs: DocList[Text], docs_matrix: Any, docs_map: Any, **kwargs: Any) -> DocList[Text]:
        columns = ['+'.join(doc.text for doc in row) for row in zip(*docs_matrix, strict=True)]
        named = {name: list(docs.text) for name, docs in docs_map.items()}
        return DocList[Text]([Text(text=f'{columns} {named} {len(docs)}')])


def test_branches_side_by_side() -> None:
    flow = (
        Flow()
        .add(uses=Marker, uses_with={'mark': '1'}, name='one')
        .add(uses=Marker, uses_with={'mark': '2'}, name='two', needs='gateway')
        .add(uses=Joiner, needs=['one', 'two'], no_reduce=True)
    )
    with flow:
        (doc,) = flow.post('/', DocList[Text]([Text(text='a'), Text(text='b')]), return_type=DocList[Text])
    assert doc.text == "['a1+a2', 'b1+b2'] {'one': ['a1', 'b1'], 'two': ['a2', 'b2']} 4"
