"""The client against real Flows and Deployments, the same for every protocol, from blocking and from asynchronous code."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import ClientError, NotSupportedError, RemoteError
from jina.core.request import DataRequest
from pydantic import BaseModel

PROTOCOLS = ['grpc', 'http', 'websocket']
Texts = DocList[TextDoc]


class Number(BaseDoc):
    number: int


class Front(Executor):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.active = self.most = 0

    @requests(on='/mark')
    def mark(self, docs: DocList[TextDoc], parameters: dict[str, Any], **kwargs: Any) -> DocList[TextDoc]:
        own = sorted(key for key in parameters if not key.startswith('__'))
        for doc in docs:
            doc.text = f'{doc.text}|front{own}'

    @requests(on='/number')
    def number(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[Number]:
        return DocList[Number]([Number(number=len(doc.text or '')) for doc in docs])

    @requests(on='/fail')
    def fail(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        if any(doc.text == 'bad' for doc in docs):
            raise ValueError('boom')
        return docs

    @requests(on='/count')
    async def count(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        self.active += 1
        self.most = max(self.most, self.active)
        await asyncio.sleep(0.01)
        self.active -= 1
        return docs

    @requests(on='/most')
    def tell_most(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        most, self.most = self.most, 0
        return Texts([TextDoc(text=str(most))])

    @requests(on='/words')
    def words(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        for word in (doc.text or '').split():
            yield TextDoc(text=word)


class Back(Executor):
    @requests(on='/mark')
    def mark(self, docs: DocList[TextDoc], parameters: dict[str, Any], **kwargs: Any) -> DocList[TextDoc]:
        own = sorted(key for key in parameters if not key.startswith('__'))
        for doc in docs:
            doc.text = f'{doc.text}|back{own}'


@pytest.fixture(scope='module')
def flow() -> Iterator[Flow]:
    with (
        Flow(protocol=PROTOCOLS, port=[0, 0, 0], prefetch=6)
        .add(uses=Front, name='front')
        .add(uses=Back, name='back') as flow
    ):
        yield flow


def texts(*words: Any) -> DocList[TextDoc]:
    return Texts([TextDoc(text=str(word)) for word in words])


class Calls:
    """A client whose calls give the same, whether it is asynchronous or not."""

    def __init__(self, options: dict[str, Any], colour: str) -> None:
        self.is_async = colour == 'async'
        self.options = {**options, 'asyncio': self.is_async}
        self.client: Any = Client(**self.options)

    def post(self, *args: Any, **kwargs: Any) -> list[Any]:
        """All documents, or responses, that come back, as a list."""
        if not self.is_async:
            result = self.client.post(*args, **kwargs)
            return result if isinstance(result, list) else [result]
        return asyncio.run(self._gather(self.client.post(*args, **kwargs)))

    def stream(self, *args: Any, **kwargs: Any) -> list[Any]:
        if not self.is_async:
            return list(self.client.stream_doc(*args, **kwargs))
        return asyncio.run(self._gather(self.client.stream_doc(*args, **kwargs)))

    def value(self, name: str, **kwargs: Any) -> Any:
        method = getattr(self.client, name)
        return asyncio.run(self._await(method, kwargs)) if self.is_async else method(**kwargs)

    async def _await(self, method: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
        return await method(**kwargs)

    async def _gather(self, items: Any) -> list[Any]:
        gathered: list[Any] = []
        async for item in items:
            gathered.extend(item if isinstance(item, list) else [item])
        return gathered


@pytest.fixture(params=[(protocol, colour) for protocol in PROTOCOLS for colour in ('sync', 'async')], ids='-'.join)
def calls(request: pytest.FixtureRequest, flow: Flow) -> Calls:
    protocol, colour = request.param
    return Calls({'protocol': protocol, 'port': flow.port[PROTOCOLS.index(protocol)]}, colour)


def test_parameters_and_targets(calls: Calls) -> None:
    class Limits(BaseModel):
        top: int = 3

    def mark(**kwargs: Any) -> str:
        (doc,) = calls.post('/mark', TextDoc(text='a'), return_type=DocList[TextDoc], **kwargs)
        return doc.text

    assert mark() == 'a|front[]|back[]'
    assert mark(parameters={'x': 1}) == "a|front['x']|back['x']"
    assert mark(parameters=Limits()) == "a|front['top']|back['top']"
    assert mark(parameters={'front__x': 1, 'back__y': 2, 'z': 3}) == "a|front['x', 'z']|back['y', 'z']"
    assert mark(target_executor='front') == 'a|front[]'
    assert mark(target_executor='bac*') == 'a|back[]'
    assert mark(target_executor='nobody') == 'a'
    with pytest.raises(RemoteError, match='no regular expression'):
        mark(target_executor='(')
    assert calls.post('/mark', parameters={'x': 1}) == []


def test_types_of_results(calls: Calls) -> None:
    (one,) = calls.post('/number', TextDoc(text='abc'), return_type=Number)
    assert one.number == 3
    many = calls.post('/number', texts('a', 'bb'), return_type=Number)
    assert [doc.number for doc in many] == [1, 2] and type(many[0]) is Number
    (response,) = calls.post('/number', texts('a'), return_type=DocList[Number], return_responses=True)
    assert isinstance(response, DataRequest) and response.docs[0].number == 1
    assert len(response.request_id) == 32


def test_inputs_of_all_kinds(calls: Calls) -> None:
    async def later() -> Any:
        for word in 'ab':
            await asyncio.sleep(0)
            yield TextDoc(text=word)

    def function() -> Iterator[TextDoc]:
        yield from texts('a', 'b')

    kinds = [texts('a', 'b'), list(texts('a', 'b')), tuple(texts('a', 'b')), iter(texts('a', 'b'))]
    for inputs in (*kinds, function, function(), later, later()):
        docs = calls.post('/fail', inputs, request_size=1, results_in_order=True, return_type=DocList[TextDoc])
        assert [doc.text for doc in docs] == ['a', 'b'], inputs


def test_callbacks_and_failures(calls: Calls) -> None:
    seen: list[tuple[str, Any]] = []

    def note(name: str) -> Callable[[DataRequest], None]:
        return lambda response: seen.append((name, response.header.status))

    words = texts('good', 'bad', 'fine')
    calls.post('/fail', words, request_size=1, on_done=note('done'), on_error=note('error'), on_always=note('always'))
    assert sorted(name for name, _ in seen) == ['always'] * 3 + ['done'] * 2 + ['error']
    (status,) = [status for name, status in seen if name == 'error']
    assert status.description == "ValueError('boom')"
    assert status.exception.name == 'ValueError'
    if 'http' not in calls.options['protocol']:
        assert status.exception.executor == 'Front'
        assert status.exception.stacks[-1] == 'ValueError: boom\n'
    with pytest.raises(RemoteError, match='boom'):
        calls.post('/fail', words, request_size=1)
    calls.client.report = reports = []  # type: ignore[assignment]
    calls.client.report = reports.append
    docs = calls.post('/fail', words, request_size=1, continue_on_error=True, return_type=DocList[TextDoc])
    assert len(reports) == 1 and {doc.text for doc in docs} >= {'good', 'fine'}


@pytest.mark.parametrize('level', ['post', 'client', 'gateway'])
def test_prefetch_is_never_exceeded(calls: Calls, level: str) -> None:
    # To a gateway each request over HTTP is a client of its own.
    if level == 'gateway' and calls.options['protocol'] == 'http':
        pytest.skip('the prefetch of a gateway holds for each stream, and HTTP has none')
    calls.post('/most')
    limit = {'post': 3, 'client': 4, 'gateway': 6}[level]
    if level == 'client':
        calls.client = Client(**calls.options, prefetch=limit)
    kwargs = {'prefetch': limit} if level == 'post' else {}
    calls.post('/count', texts(*range(60)), request_size=1, **kwargs)
    (most,) = calls.post('/most', return_type=DocList[TextDoc])
    assert int(most.text) == limit


def test_streams_and_readiness(calls: Calls) -> None:
    docs = calls.stream('/words', TextDoc(text='a b c'), return_type=TextDoc)
    assert [doc.text for doc in docs] == ['a', 'b', 'c']
    assert calls.value('is_flow_ready') is True
    assert calls.value('is_deployment_ready') is True
    profile = calls.value('profiling', show_table=False)
    assert profile.roundtrip_ms > 0
    assert list(profile.executors_ms) == ([] if calls.options['protocol'] == 'http' else ['front', 'back'])


def test_endpoints_that_are_not_there(calls: Calls) -> None:
    with pytest.raises((RemoteError, NotSupportedError, ClientError), match=r"/word'.*did you mean '/words'"):
        calls.stream('/word', TextDoc(text='a'))
    with pytest.raises((RemoteError, NotSupportedError), match="'/mark' does not stream; call it with post"):
        calls.stream('/mark', TextDoc(text='a'))
    if calls.options['protocol'] == 'http':
        with pytest.raises(ClientError, match="has no endpoint '/marc'; did you mean '/mark'"):
            calls.post('/marc', texts('a'))
    else:
        remarks: list[str] = []
        calls.client.remark = remarks.append
        (doc,) = calls.post('/marc', texts('a'), return_type=DocList[TextDoc])
        assert doc.text == 'a'
        assert remarks == ["no Executor serves endpoint '/marc', so documents pass unchanged; did you mean '/mark'?"]


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_many_threads_share_one_client(flow: Flow, protocol: str) -> None:
    client = Client(protocol=protocol, port=flow.port[PROTOCOLS.index(protocol)])
    wrong: list[Any] = []

    def work(thread: int) -> None:
        for number in range(10):
            docs = client.post('/fail', texts(f'{thread}/{number}', 'x'), request_size=1, return_type=DocList[TextDoc])
            if sorted(docs.text) != sorted([f'{thread}/{number}', 'x']):
                wrong.append(docs.text)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    client.close()


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_long_inputs_are_never_in_memory_as_a_whole(flow: Flow, protocol: str) -> None:
    """30 MB of documents pass; those under way are 20 requests and what is read ahead, which is less than 3 MB."""
    made = answered = ahead = 0

    def documents() -> Iterator[TextDoc]:
        nonlocal made
        for number in range(1_500):
            made += 1
            yield TextDoc(text=f'{number:020000}')

    def count(response: DataRequest) -> None:
        nonlocal answered, ahead
        answered += len(response.docs)
        ahead = max(ahead, made - answered)

    client = Client(protocol=protocol, port=flow.port[PROTOCOLS.index(protocol)], prefetch=20)
    tracemalloc.start()
    try:
        client.post('/fail', documents, request_size=5, on_done=count, return_type=DocList[TextDoc])
        peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
        client.close()
    assert (made, answered) == (1_500, 1_500)
    assert ahead <= 300
    assert peak_mb < 15


def test_the_client_of_a_flow_is_the_same(flow: Flow) -> None:
    async def inside_of_a_running_loop() -> str:
        return flow.post('/mark', TextDoc(text='a'), return_type=TextDoc).text

    assert asyncio.run(inside_of_a_running_loop(), debug=True) == 'a|front[]|back[]'
    assert [doc.text for doc in flow.stream_doc('/words', TextDoc(text='a b'), return_type=TextDoc)] == ['a', 'b']
    assert list(flow.profiling(show_table=False).executors_ms) == ['front', 'back']


def test_a_flow_hands_its_log_config_on() -> None:
    flow = Flow(log_config='json', port=1)
    assert flow.client.options.log_config == 'json'
    assert Deployment(log_config='plain', port=1).client.options.log_config == 'plain'


class Pid(Executor):
    @requests
    def pid(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return Texts([TextDoc(text=str(os.getpid())) for _ in docs])


def test_a_lost_executor_is_no_matter_for_callbacks() -> None:
    called: list[Any] = []
    callbacks = {'on_done': called.append, 'on_error': called.append, 'on_always': called.append}
    with Flow(protocol=PROTOCOLS, port=[0, 0, 0], retries=0).add(uses=Pid, name='lost') as flow:
        os.kill(int(flow.post('/', TextDoc(), return_type=TextDoc).text), signal.SIGKILL)
        for protocol, port in zip(PROTOCOLS, flow.port, strict=True):
            client = Client(protocol=protocol, port=port)
            with pytest.raises(ConnectionError, match=r"deployment '?lost"):
                client.post('/', texts('a', 'b'), request_size=1, continue_on_error=True, **callbacks)
            assert client.is_flow_ready() is False
            client.close()
    assert not called
