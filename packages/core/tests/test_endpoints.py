from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.documents.legacy import LegacyDocument
from jina.core.endpoints import (
    EndpointTable,
    bindings_of,
    dynamic_batching,
    monitor,
    replace_bindings,
    requests,
    write,
)
from jina.core.errors import ConfigError, SchemaError
from jina.core.executor import Executor
from pydantic import BaseModel, ValidationError


class Question(BaseDoc):
    text: str = ''


class Answer(BaseDoc):
    text: str = ''
    score: float | None = None


class Options(BaseModel):
    top_k: int = 3
    name: str


def test_the_name_of_the_argument_chooses_the_mode() -> None:
    class Modes(Executor):
        @requests(on='/many')
        def many(self, docs: DocList[Question], **kwargs: Any) -> DocList[Answer]: ...

        @requests(on='/one')
        async def one(self, doc: Question, **kwargs: Any) -> Answer: ...

        @requests(on='/stream')
        async def stream(self, doc: Question, **kwargs: Any) -> Answer:
            yield Answer()

        @requests
        def anything(self, **kwargs: Any): ...

    table = Modes().endpoints
    many, one, stream, anything = (table.lookup(name) for name in ('/many', '/one', '/stream', '/else'))
    assert (many.mode, many.is_async, many.is_generator) == ('docs', False, False)
    assert (one.mode, one.is_async, one.is_generator) == ('doc', True, False)
    assert (stream.mode, stream.is_async, stream.is_generator) == ('doc', True, True)
    assert (many.schema.input_model, many.schema.output_model) == (Question, Answer)
    assert (one.schema.input_model, one.schema.output_model) == (Question, Answer)
    assert stream.schema.output_model is Answer
    assert anything.name == '/default'
    assert anything.schema.input_model is LegacyDocument
    assert many.schema.input_list is DocList[Question]


def test_types_that_only_the_surrounding_function_knows() -> None:
    class Local(BaseDoc):
        value: int = 0

    class LocalOptions(BaseModel):
        limit: int = 1

    class Uses(Executor):
        class Nested(BaseDoc):
            text: str = ''

        @requests(on='/local')
        def local(self, docs: DocList[Local], parameters: LocalOptions, **kwargs: Any) -> DocList[Uses.Nested]: ...

    with pytest.raises(SchemaError, match=r"'DocList\[Uses.Nested\]' of the return of Uses.local can not be evaluated"):
        _ = Uses().endpoints

    class Reads(Executor):
        class Nested(BaseDoc):
            text: str = ''

        @requests(on='/local')
        def local(self, docs: DocList[Local], parameters: LocalOptions, **kwargs: Any) -> DocList[Nested]: ...

    schema = Reads().endpoints.lookup('/local').schema
    assert (schema.input_model, schema.output_model, schema.parameters_model) == (Local, Reads.Nested, LocalOptions)


def test_request_schema_and_response_schema_win() -> None:
    class Declared(Executor):
        @requests(on='/a', request_schema=DocList[Question], response_schema=DocList[Answer])
        def a(self, docs: Missing, **kwargs: Any) -> DocList[TextDoc]: ...  # noqa: F821

        @requests(on='/b', request_schema=Question, response_schema=Answer)
        def b(self, doc, **kwargs: Any): ...

    table = Declared().endpoints
    for name in ('/a', '/b'):
        schema = table.lookup(name).schema
        assert (schema.input_model, schema.output_model) == (Question, Answer)


@pytest.mark.parametrize(
    'annotation',
    [DocList[Answer] | dict | None, list[Answer], 'DocList["Answer"]', 'DocList[Answer] | dict | None'],
)
def test_forms_of_a_return_annotation(annotation: Any) -> None:
    def method(self, docs, **kwargs): ...

    method.__annotations__ = {'docs': DocList['Question'], 'return': annotation}
    executor_class = type('Forms', (Executor,), {'method': requests(on='/x')(method)})
    schema = executor_class().endpoints.lookup('/x').schema
    assert (schema.input_model, schema.output_model) == (Question, Answer)


def test_untyped_documents_are_legacy_documents() -> None:
    class Untyped(Executor):
        @requests(on='/dict')
        def a(self, docs: DocList, **kwargs: Any) -> dict: ...

        @requests(on='/base')
        def b(self, docs: DocList[BaseDoc], **kwargs: Any) -> None: ...

        @requests(on='/branches')
        def c(self, docs_matrix: list[DocList[Question]] | None, **kwargs: Any) -> None: ...

    table = Untyped().endpoints
    assert table.lookup('/branches').schema.input_model is Question
    assert table.lookup('/dict').schema.input_model is LegacyDocument
    assert table.lookup('/dict').schema.output_model is LegacyDocument
    assert table.lookup('/base').schema.input_model is BaseDoc


@pytest.mark.parametrize(
    ('annotations', 'message'),
    [
        ({'docs': Question}, r'docs of Wrong.method is a single document; declare DocList\[Question\]'),
        ({'docs': int}, "docs of Wrong.method is <class 'int'>, which is no document type"),
        ({'docs': DocList[Question], 'return': str}, "the return of Wrong.method is <class 'str'>"),
        ({'parameters': int}, 'parameters of Wrong.method is .* neither a dict nor one pydantic model'),
        ({'docs': 'Nowhere'}, "annotation 'Nowhere' of docs of Wrong.method can not be evaluated"),
    ],
)
def test_annotations_that_are_no_documents(annotations: dict[str, Any], message: str) -> None:
    def method(self, docs, parameters, **kwargs): ...

    method.__annotations__ = annotations
    executor_class = type('Wrong', (Executor,), {'method': requests(on='/x')(method)})
    with pytest.raises(SchemaError, match=message):
        _ = executor_class().endpoints


def test_a_list_for_a_single_document_is_refused() -> None:
    class Wrong(Executor):
        @requests
        def method(self, doc: DocList[Question], **kwargs: Any): ...

    with pytest.raises(SchemaError, match=r'doc of Wrong.method is a DocList; declare a single document'):
        _ = Wrong().endpoints


def test_only_arguments_that_the_method_takes_are_given() -> None:
    class Takes(Executor):
        @requests(on='/two')
        def two(self, docs, parameters): ...

        @requests(on='/all')
        def everything(self, **kwargs: Any): ...

        @requests(on='/own')
        def own(self, docs, extra: int = 1): ...

    available = {'docs': 1, 'parameters': 2, 'tracing_context': None}
    table = Takes().endpoints
    assert table.lookup('/two').arguments(available) == {'docs': 1, 'parameters': 2}
    assert table.lookup('/all').arguments(available) == available
    assert table.lookup('/own').arguments(available) == {'docs': 1}


def test_an_argument_that_nobody_gives_is_refused() -> None:
    class Asks(Executor):
        @requests
        def method(self, docs, threshold): ...

    with pytest.raises(ConfigError, match=r"Asks.method takes 'threshold', which the framework does not give"):
        _ = Asks().endpoints


def test_parameters_become_the_annotated_model() -> None:
    class WithParameters(Executor):
        @requests(on='/model')
        def model(self, parameters: Options, **kwargs: Any): ...

        @requests(on='/either')
        def either(self, parameters: dict | Options, **kwargs: Any): ...

        @requests(on='/maybe')
        def maybe(self, parameters: Options | None = None, **kwargs: Any): ...

        @requests(on='/plain')
        def plain(self, parameters: dict, **kwargs: Any): ...

    table = WithParameters().endpoints
    bound = table.lookup('/model').bind_parameters({'top_k': 5.0, 'name': 'x'})
    assert bound == Options(top_k=5, name='x')
    assert isinstance(bound.top_k, int)
    with pytest.raises(ValidationError):
        table.lookup('/model').bind_parameters({})
    assert table.lookup('/either').bind_parameters({'other': 1.0}) == {'other': 1.0}
    assert table.lookup('/maybe').bind_parameters({}) is None
    with pytest.raises(ValidationError):
        table.lookup('/maybe').bind_parameters({'top_k': 1.0})
    assert table.lookup('/plain').bind_parameters({'a': 1.0}) == {'a': 1.0}


def test_what_a_method_may_return() -> None:
    class Returns(Executor):
        @requests(on='/many')
        def many(self, docs: DocList[Question], **kwargs: Any) -> DocList[Answer]: ...

    endpoint = Returns().endpoints.lookup('/many')
    docs = DocList[Question]([Question(text='a')])
    assert endpoint.collect(None, docs) == (docs, None)
    assert endpoint.collect({'a': 1}, docs) == (docs, {'a': 1})
    answer = Answer(text='b')
    for returned in (answer, [answer], DocList[Answer]([answer])):
        collected, results = endpoint.collect(returned, docs)
        assert (list(collected), collected.doc_type, results) == ([answer], Answer, None)
    with pytest.raises(SchemaError, match=r"endpoint '/many' \(.*Returns.many\) returned 3 \(int\); return a DocList"):
        endpoint.collect(3, docs)

    async def later() -> AsyncIterator[Answer]:
        yield answer

    with pytest.raises(SchemaError, match=r'returned <async_generator .*; gather it by `async for docs in'):
        endpoint.collect(later(), docs)


def test_what_a_method_with_doc_may_return() -> None:
    class Returns(Executor):
        @requests(on='/one')
        def one(self, doc: Question, **kwargs: Any) -> Answer: ...

    endpoint = Returns().endpoints.lookup('/one')
    docs = DocList[Question]([Question(text='a'), Question(text='b')])
    answers = [Answer(text='x'), Answer(text='y')]
    assert list(endpoint.collect_single(answers, docs)[0]) == answers
    assert endpoint.collect_single([None, None], docs) == (docs, None)
    assert endpoint.collect_single([{'a': 1}, {'b': 2}], docs)[1] == {'a': 1, 'b': 2}
    mixed, results = endpoint.collect_single([answers[0], {'b': 2}], docs)
    assert (list(mixed), results) == ([answers[0], docs[1]], {'b': 2})
    with pytest.raises(SchemaError, match=r'returned'):
        endpoint.collect_single(['no', None], docs)


def test_a_generator_must_yield_what_it_declares() -> None:
    class Streams(Executor):
        @requests(on='/s')
        def stream(self, doc: Question, **kwargs: Any) -> Answer:
            yield 1

    endpoint = Streams().endpoints.lookup('/s')
    assert endpoint.check_yielded(Answer(text='a')).text == 'a'
    with pytest.raises(SchemaError, match=r"endpoint '/s' yielded .* and declares Answer"):
        endpoint.check_yielded(Question())
    with pytest.raises(SchemaError, match=r'is a generator and takes docs'):

        class Batches(Executor):
            @requests(on='/s')
            def stream(self, docs, **kwargs: Any):
                yield 1

        _ = Batches().endpoints


def test_decorated_methods_stay_plain_functions() -> None:
    class Plain(Executor):
        @requests(on=['/a', '/b'])
        def method(self, docs=None, **kwargs: Any):
            return docs, kwargs

    assert Plain().method('x', y=1) == ('x', {'y': 1})
    assert sorted(Plain().requests) == ['/a', '/b']
    assert Plain().requests['/a'](docs=1) == (1, {})


def test_endpoints_are_inherited_and_overridden() -> None:
    class Base(Executor):
        @requests(on='/foo')
        def foo(self, **kwargs: Any):
            return 'Base.foo'

        @requests(on='/bar')
        def bar(self, **kwargs: Any):
            return 'Base.bar'

    class Overrides(Base):
        def foo(self, **kwargs: Any):
            return 'Overrides.foo'

    class Rebinds(Base):
        @requests(on='/bar')
        def other(self, **kwargs: Any):
            return 'Rebinds.other'

    assert bindings_of(Rebinds) == {'/foo': 'foo', '/bar': 'other'}
    assert [method() for method in Overrides().requests.values()] == ['Overrides.foo', 'Base.bar']
    assert [method() for method in Rebinds().requests.values()] == ['Base.foo', 'Rebinds.other']


def test_uses_requests_replaces_the_bindings_of_the_methods_it_names() -> None:
    class MyExecutor(Executor):
        @requests
        def all_req(self, **kwargs: Any): ...

        @requests(on='/foo')
        def foo(self, **kwargs: Any): ...

        def bar(self, **kwargs: Any): ...

    executor = MyExecutor(requests={'/bar': 'bar', '/non_foo': 'foo', '/alias_foo': 'foo'})
    table = executor.endpoints
    called = {name: table.lookup(name).function.__name__ for name in ('/bar', '/non_foo', '/foo', '/alias_foo')}
    assert called == {'/bar': 'bar', '/non_foo': 'foo', '/foo': 'all_req', '/alias_foo': 'foo'}
    assert replace_bindings({'/a': 'a'}, None) == {'/a': 'a'}
    with pytest.raises(ConfigError, match=r"binds '/x' to 'nope', which is no method of MyExecutor"):
        MyExecutor(requests={'/x': 'nope'})


def test_look_up_prefers_the_specific_endpoint_and_hides_the_dry_run() -> None:
    class Bound(Executor):
        @requests
        def default(self, **kwargs: Any): ...

        @requests(on='/index')
        def index(self, **kwargs: Any): ...

    table = Bound().endpoints
    assert table.lookup('/index').name == '/index'
    assert table.lookup('').name == '/default'
    assert table.lookup('_jina_dry_run_') is None
    assert EndpointTable([]).lookup('/index') is None


@pytest.mark.parametrize('wrong', ['/index', ['/index']])
def test_a_positional_endpoint_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r'write @requests\(on='):
        requests(wrong)


@pytest.mark.parametrize('wrong', [3, [], ['/a', 1]])
def test_on_must_be_text(wrong: Any) -> None:
    with pytest.raises((ConfigError, TypeError)):
        requests(on=wrong)


@pytest.mark.parametrize('above', [True, False])
def test_write_is_declared_above_or_below_requests(above: bool) -> None:
    def method(self, docs, **kwargs): ...

    decorated = write(requests(method)) if above else requests(write(method))

    class Base(Executor):
        @requests(on='/read')
        def read(self, **kwargs): ...

    executor = type('Writing', (Base,), {'method': decorated})()
    assert {endpoint.name: endpoint.is_write for endpoint in executor.endpoints} == {'/read': False, '/default': True}


@pytest.mark.parametrize('above', [True, False])
def test_batching_is_declared_above_or_below_requests(above: bool) -> None:
    def method(self, docs, **kwargs): ...

    decorator = dynamic_batching(preferred_batch_size=8, max_latency_ms=5)
    decorated = decorator(requests(method)) if above else requests(decorator(method))
    options = type('Batched', (Executor,), {'method': decorated})().endpoints.lookup('/').batching.options
    assert (options.preferred_batch_size, options.timeout, options.max_latency_ms) == (8, 10_000, 5)


def test_bare_batching_has_the_defaults_of_the_original() -> None:
    class Bare(Executor):
        @requests(on='/a')
        @dynamic_batching
        def a(self, docs, **kwargs): ...

        @requests(on='/b')
        def b(self, docs, **kwargs): ...

    table = Bare().endpoints
    options = table.lookup('/a').batching.options
    assert (options.preferred_batch_size, options.timeout, options.flush_all, options.run_when_idle) == (
        4,
        10_000,
        False,
        False,
    )
    assert table.lookup('/b').batching is None


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'preferred_batch_size': 0}, 'preferred_batch_size: 0 is not valid; give 1 or more'),
        ({'timeout': -1}, 'timeout: -1 is not valid; give 0.0 or more'),
        ({'custom_metric': 'nothing', 'use_custom_metric': True}, "custom_metric is 'nothing'; give a function"),
    ],
)
def test_wrong_values_of_batching_name_the_method(values: Any, message: str) -> None:
    class Wrong(Executor):
        @requests(on='/a')
        @dynamic_batching(**values)
        def a(self, docs, **kwargs): ...

    with pytest.raises(ConfigError) as caught:
        _ = Wrong().endpoints
    assert re.match(r'test_endpoints.py:\d+: dynamic batching of Wrong.a: ', str(caught.value))
    assert message in str(caught.value)


def test_a_metric_may_be_a_method_or_a_function_of_a_module() -> None:
    class Metrics(Executor):
        def words(self, doc) -> int:
            return len(doc.text.split())

        @requests(on='/a')
        @dynamic_batching(custom_metric='words', use_custom_metric=True)
        def a(self, docs, **kwargs): ...

        @requests(on='/b')
        @dynamic_batching(custom_metric='math.fabs', use_custom_metric=True)
        def b(self, docs, **kwargs): ...

    table = Metrics().endpoints
    assert table.lookup('/a').batching.metric(Question(text='a b c')) == 3
    assert table.lookup('/b').batching.metric(-2) == 2


def test_monitor_keeps_the_kind_of_the_method() -> None:
    class Histogram:
        values: list[tuple[float, dict[str, str]]] = []  # noqa: RUF012

        def record(self, value: float, attributes: dict[str, str]) -> None:
            self.values.append((value, attributes))

    class Meter:
        names: list[tuple[str, str, str]] = []  # noqa: RUF012

        def create_histogram(self, *args: str) -> Histogram:
            self.names.append(args)
            return Histogram()

    class Measured(Executor):
        @monitor()
        def plain(self, value: int) -> int:
            return value + 1

        @requests(on='/a')
        @monitor(name='own', documentation='mine')
        async def awaited(self, docs: DocList[Question], **kwargs: Any) -> DocList[Answer]:
            return docs

        @monitor()
        @requests(on='/s')
        async def streamed(self, doc: Question, **kwargs: Any) -> Answer:
            yield Answer(text='1')

    executor = Measured()
    assert executor.plain(1) == 2
    assert Histogram.values == []
    executor.meter = Meter()
    assert executor.plain(1) == 2
    assert asyncio.run(executor.awaited('x')) == 'x'
    assert Meter.names == [('jina_plain_seconds', 's', 'Time spent calling method plain'), ('jina_own', 's', 'mine')]
    assert [given for _, given in Histogram.values] == [{'executor': 'Measured', 'runtime_name': 'Measured'}] * 2
    endpoint = executor.endpoints.lookup('/s')
    assert (endpoint.is_async, endpoint.is_generator, endpoint.schema.output_model) == (True, True, Answer)
    assert executor.endpoints.lookup('/a').schema.input_model is Question


def test_discovery_lists_all_endpoints_and_the_hidden_one() -> None:
    class Shown(Executor):
        @requests(on='/a')
        def a(self, docs: DocList[Question], parameters: Options, **kwargs: Any) -> DocList[Answer]: ...

    proto = Shown().endpoints.discovery()
    assert list(proto.endpoints) == ['/a', '_jina_dry_run_']
    assert proto.schemas['/a']['input']['name'] == 'Question'
    assert proto.schemas['/a']['parameters']['name'] == 'Options'
    assert list(Executor().endpoints.discovery().endpoints) == ['/default', '_jina_dry_run_']
