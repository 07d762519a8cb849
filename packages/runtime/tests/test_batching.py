"""Batches as a worker makes them, in the test's own event loop; nothing here depends on how fast it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import pytest
from docarray import BaseDoc, DocList
from jina import Executor, dynamic_batching, requests
from jina.core.config import ExecutorOptions
from jina.core.errors import ConfigError, DocumentErrors
from jina.core.request import DataRequest
from jina.runtime.process import PodServer
from jina.runtime.worker import WorkerService
from pydantic import BaseModel

Make = Callable[..., DataRequest]
NEVER = 600_000
"""A timeout in ms that no test waits for."""


class Text(BaseDoc):
    text: str = ''


class Limits(BaseModel):
    size: int = 1


class Recorder(Executor):
    """Notes its calls; ``gate`` holds them."""

    calls: ClassVar[list[Any]] = []
    gate = threading.Event()
    entered = threading.Event()

    def note(self, docs: DocList[Text]) -> None:
        self.calls.append([doc.text for doc in docs])

    @requests(on='/mark')
    @dynamic_batching(preferred_batch_size=4, timeout=NEVER)
    def mark(self, docs: DocList[Text], parameters: dict[str, Any], **kwargs: Any) -> None:
        self.note(docs)
        for doc in docs:
            doc.text += f'{parameters.get("sign", "!")}{len(docs)}'

    @dynamic_batching(preferred_batch_size=4, timeout=50)
    @requests(on='/new')
    async def new(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        self.note(docs)
        return DocList[Text]([Text(text=f'{doc.text} of {len(docs)}') for doc in docs])

    @requests(on='/blind')
    @dynamic_batching(preferred_batch_size=2, timeout=NEVER)
    def blind(self, docs: DocList[Text]) -> DocList[Text]:
        return docs

    @requests(on='/typed')
    @dynamic_batching(preferred_batch_size=2, timeout=NEVER)
    def typed(self, docs: DocList[Text], parameters: Limits, **kwargs: Any) -> None:
        for doc in docs:
            doc.text += str(parameters.size)

    @requests(on='/all')
    @dynamic_batching(preferred_batch_size=4, timeout=NEVER, flush_all=True)
    def flushed(self, docs: DocList[Text], **kwargs: Any) -> None:
        self.note(docs)

    @requests(on='/long')
    @dynamic_batching(
        preferred_batch_size=10, timeout=NEVER, use_custom_metric=True, custom_metric=lambda doc: len(doc.text)
    )
    def long(self, docs: DocList[Text], **kwargs: Any) -> None:
        self.note(docs)

    @requests(on='/fail')
    @dynamic_batching(preferred_batch_size=2, timeout=NEVER)
    def fail(self, docs: DocList[Text], **kwargs: Any) -> None:
        if any(doc.text == 'bad' for doc in docs):
            raise ValueError('boom')

    @requests(on='/each')
    @dynamic_batching(preferred_batch_size=4, timeout=NEVER)
    def each(self, docs: DocList[Text], parameters: dict[str, Any], **kwargs: Any) -> DocList[Text]:
        out = DocList[Text]([Text(text=doc.text.upper()) for doc in docs])
        errors = {i: ValueError(doc.text) for i, doc in enumerate(docs) if doc.text.startswith('bad')}
        if parameters.get('outside'):
            errors = {99: ValueError('nowhere')}
        if errors:
            raise DocumentErrors(errors, out)
        return out

    @requests(on='/short')
    @dynamic_batching(preferred_batch_size=2, timeout=NEVER)
    def short(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return docs[:1]

    @requests(on='/dict')
    @dynamic_batching(preferred_batch_size=2, timeout=NEVER)
    def counted(self, docs: DocList[Text], **kwargs: Any) -> dict[str, Any]:
        return {'size': len(docs)}

    @requests(on='/held')
    @dynamic_batching(preferred_batch_size=2, timeout=NEVER, run_when_idle=True, priority_parameter='rank')
    def held(self, docs: DocList[Text], **kwargs: Any) -> None:
        self.note(docs)
        self.entered.set()
        self.gate.wait(30)


@pytest.fixture(autouse=True)
def fresh() -> None:
    Recorder.calls.clear()
    Recorder.gate.clear()
    Recorder.entered.clear()


@pytest.fixture
async def make_worker() -> AsyncIterator[Callable[..., WorkerService]]:
    services = []

    def make(uses: Any = Recorder, **options: Any) -> WorkerService:
        service = WorkerService(ExecutorOptions(**{'uses': uses, 'name': 'exec', 'log_config': 'plain', **options}))
        services.append(service)
        return service

    yield make
    Recorder.gate.set()
    for service in services:
        await service.close()


@pytest.fixture
def worker(make_worker: Callable[..., WorkerService]) -> WorkerService:
    return make_worker()


def texts(response: DataRequest) -> list[str]:
    received = DataRequest.from_bytes(response.to_bytes())
    assert not received.is_error, received.status.description
    received.document_array_cls = DocList[Text]
    return [doc.text for doc in received.docs]


async def every(worker: WorkerService, *requests: DataRequest) -> list[DataRequest]:
    """Sends requests together."""
    return await asyncio.wait_for(asyncio.gather(*map(worker.process, requests)), 30)


async def test_requests_share_a_call_and_each_gets_its_own(worker: WorkerService, request_of: Make) -> None:
    responses = await every(worker, request_of('/mark', 'a'), request_of('/mark', 'b', 'c'), request_of('/mark', 'd'))
    assert [texts(response) for response in responses] == [['a!4'], ['b!4', 'c!4'], ['d!4']]
    assert [route.executor for route in responses[0].routes] == ['exec']


async def test_the_window_ends_a_wait_for_more(worker: WorkerService, request_of: Make) -> None:
    responses = await every(worker, request_of('/new', 'a'), request_of('/new', 'b'))
    assert [texts(response) for response in responses] == [['a of 2'], ['b of 2']]


async def test_a_big_request_is_split_and_its_rest_does_not_wait(worker: WorkerService, request_of: Make) -> None:
    (response,) = await every(worker, request_of('/mark', *'abcdefghij'))
    assert texts(response) == [*(f'{t}!4' for t in 'abcdefgh'), 'i!2', 'j!2']
    assert Recorder.calls == [['a', 'b', 'c', 'd'], ['e', 'f', 'g', 'h'], ['i', 'j']]


async def test_different_parameters_never_share_a_call(worker: WorkerService, request_of: Make) -> None:
    def sent(sign: str) -> list[DataRequest]:
        return [request_of('/mark', f'{i}', parameters={'sign': sign}) for i in range(4)]

    responses = await every(worker, *(r for pair in zip(sent('+'), sent('-'), strict=True) for r in pair))
    assert [texts(r)[0] for r in responses] == [f'{i}{sign}4' for i in range(4) for sign in '+-']


async def test_parameters_for_another_executor_do_not_part_requests(worker: WorkerService, request_of: Make) -> None:
    made = [request_of('/mark', 'a', parameters={'other__x': i, '__results__': {'y': {'z': i}}}) for i in range(4)]
    assert [texts(r) for r in await every(worker, *made)] == [['a!4']] * 4


async def test_parameters_that_the_method_does_not_take_do_not_part_requests(
    worker: WorkerService, request_of: Make
) -> None:
    made = [request_of('/blind', 'a', parameters={'x': i}) for i in range(2)]
    assert [texts(r) for r in await every(worker, *made)] == [['a']] * 2


async def test_parameters_that_do_not_fit_fail_their_request_alone(worker: WorkerService, request_of: Make) -> None:
    good = [request_of('/typed', 'a', parameters={'size': 7.0}) for _ in range(2)]
    wrong = request_of('/typed', 'a', parameters={'size': 'many'})
    first, failed, second = await every(worker, good[0], wrong, good[1])
    assert failed.status.exception.name == 'ValidationError'
    assert (texts(first), texts(second)) == (['a7'], ['a7'])


async def test_single_documents_make_full_batches_only(worker: WorkerService, request_of: Make) -> None:
    made = [request_of('/mark', str(i)) for i in range(19)]
    tasks = [asyncio.ensure_future(worker.process(one)) for one in made]
    await asyncio.wait_for(asyncio.gather(*tasks[:16]), 30)
    assert [len(call) for call in Recorder.calls] == [4] * 4
    assert not any(task.done() for task in tasks[16:])
    worker.flush()
    await asyncio.wait_for(asyncio.gather(*tasks), 30)
    assert [len(call) for call in Recorder.calls] == [4, 4, 4, 4, 3]


async def test_flush_all_passes_everything(worker: WorkerService, request_of: Make) -> None:
    await every(worker, request_of('/all', *'abc'), request_of('/all', *'def'))
    await every(worker, request_of('/all', *'0123456789'))
    assert Recorder.calls == [list('abcdef'), list('0123456789')]


async def test_a_custom_metric_measures_documents(worker: WorkerService, request_of: Make) -> None:
    sizes = (3, 4, 5, 20, 1, 1)
    (response,) = await every(worker, request_of('/long', *(f'{i}' * n for i, n in enumerate(sizes))))
    assert [len(text) for text in texts(response)] == list(sizes)
    assert [[len(text) for text in call] for call in Recorder.calls] == [[3, 4], [5], [20], [1, 1]]


async def test_only_the_requests_of_a_failed_batch_fail(worker: WorkerService, request_of: Make) -> None:
    responses = await every(worker, *(request_of('/fail', text) for text in ('a', 'bad', 'b', 'c')))
    assert [r.is_error for r in responses] == [True, True, False, False]
    status = responses[0].status
    assert (status.description, status.exception.executor) == ("ValueError('boom')", 'Recorder')
    stacks = [''.join(response.status.exception.stacks) for response in responses[:2]]
    assert stacks[0].count('\n') == stacks[1].count('\n')
    assert 'boom' in stacks[1]


async def test_a_split_request_fails_when_one_of_its_batches_does(worker: WorkerService, request_of: Make) -> None:
    (response,) = await every(worker, request_of('/fail', 'bad', 'b', 'c', 'd', 'e'))
    assert response.is_error
    assert [r.is_error for r in await every(worker, request_of('/fail', 'a'), request_of('/fail', 'b'))] == [False] * 2


async def test_a_bad_document_fails_alone(worker: WorkerService, request_of: Make) -> None:
    responses = await every(worker, request_of('/each', 'a'), request_of('/each', 'bad'), request_of('/each', 'b', 'c'))
    assert (texts(responses[0]), texts(responses[2])) == (['A'], ['B', 'C'])
    assert responses[1].status.description == "ValueError('bad')"


async def test_positions_of_bad_documents_are_those_of_the_request(worker: WorkerService, request_of: Make) -> None:
    fine, response = await every(worker, request_of('/each', 'a'), request_of('/each', 'x', 'bad1', 'bad2'))
    assert texts(fine) == ['A']
    assert response.status.exception.name == 'DocumentErrors'
    assert "1: ValueError('bad1'), 2: ValueError('bad2')" in response.status.description


async def test_an_error_for_no_document_fails_the_batch(worker: WorkerService, request_of: Make) -> None:
    responses = await every(worker, *(request_of('/each', t, parameters={'outside': True}) for t in 'abcd'))
    assert all('at 99; the batch has 4' in r.status.description for r in responses)


async def test_another_number_of_documents_is_an_error(worker: WorkerService, request_of: Make) -> None:
    responses = await every(worker, request_of('/short', 'a'), request_of('/short', 'b'))
    for response in responses:
        assert response.status.exception.name == 'SchemaError'
        assert 'returned 1 documents for a batch of 2' in response.status.description


async def test_a_dict_goes_to_every_request(worker: WorkerService, request_of: Make) -> None:
    for response in await every(worker, request_of('/dict', 'a'), request_of('/dict', 'b')):
        assert response.parameters['__results__'] == {'exec/rep-0': {'size': 2}}
        assert texts(response)


async def test_an_empty_request_is_answered(worker: WorkerService, request_of: Make) -> None:
    responses = await every(worker, request_of('/new'), request_of('/new', 'a'))
    assert [texts(response) for response in responses] == [[], ['a of 1']]


async def test_a_cancelled_request_leaves_the_line(worker: WorkerService, request_of: Make) -> None:
    waiting = asyncio.ensure_future(worker.process(request_of('/mark', 'gone', 'gone too')))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    responses = await every(worker, *(request_of('/mark', text) for text in 'abcd'))
    assert [texts(response) for response in responses] == [[f'{text}!4'] for text in 'abcd']
    assert Recorder.calls == [list('abcd')]


async def test_a_batch_that_nobody_waits_for_is_cancelled(
    make_worker: Callable[..., WorkerService], request_of: Make
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    class Slow(Executor):
        @requests(on='/slow')
        @dynamic_batching(preferred_batch_size=2, timeout=NEVER)
        async def slow(self, docs: DocList[Text], **kwargs: Any) -> None:
            began.set()
            try:
                await asyncio.sleep(600)
            finally:
                ended.set()

    service = make_worker(Slow)
    tasks = [asyncio.ensure_future(service.process(request_of('/slow', text))) for text in 'ab']
    await asyncio.wait_for(began.wait(), 10)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert not ended.is_set()
    tasks[1].cancel()
    await asyncio.wait_for(ended.wait(), 10)


async def test_an_idle_executor_does_not_wait_and_a_busy_one_collects(worker: WorkerService, request_of: Make) -> None:
    first = asyncio.ensure_future(worker.process(request_of('/held', '1')))
    await asyncio.to_thread(Recorder.entered.wait, 30)
    second = [asyncio.ensure_future(worker.process(request_of('/held', t))) for t in ('2', '3')]
    await asyncio.sleep(0)
    Recorder.gate.set()
    await asyncio.wait_for(asyncio.gather(first, *second), 30)
    assert Recorder.calls == [['1'], ['2', '3']]


async def test_higher_priority_goes_first(worker: WorkerService, request_of: Make) -> None:
    tasks = [asyncio.ensure_future(worker.process(request_of('/held', '1')))]
    await asyncio.to_thread(Recorder.entered.wait, 30)
    # the next full batch is handed over ahead: it is out of the race
    tasks += [asyncio.ensure_future(worker.process(request_of('/held', text))) for text in ('2', '3')]
    await asyncio.sleep(0)
    ranks = {'low': -1.0, 'plain': None, 'high': 5.0, 'higher': 7.5}
    for text, rank in ranks.items():
        parameters = None if rank is None else {'rank': rank}
        tasks.append(asyncio.ensure_future(worker.process(request_of('/held', text, parameters=parameters))))
    await asyncio.sleep(0)
    Recorder.gate.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 30)
    assert Recorder.calls == [['1'], ['2', '3'], ['higher', 'high'], ['plain', 'low']]


async def test_a_priority_that_is_no_number_is_an_error(worker: WorkerService, request_of: Make) -> None:
    response = await worker.process(request_of('/held', 'a', parameters={'rank': 'first'}))
    assert response.status.description == 'ValueError("rank is \'first\'; it must be a number")'


async def test_the_measured_cost_limits_size_and_wait(
    make_worker: Callable[..., WorkerService], request_of: Make
) -> None:
    sizes: list[int] = []

    class Costly(Executor):
        @requests(on='/cost')
        @dynamic_batching(preferred_batch_size=64, timeout=NEVER, max_latency_ms=400)
        def cost(self, docs: DocList[Text], **kwargs: Any) -> None:
            sizes.append(len(docs))
            threading.Event().wait(0.02 * len(docs))

    service = make_worker(Costly)
    for size in (1, 4, 2, 5):  # each waits only until the goal, not for 64 documents
        await every(service, *(request_of('/cost', f'{i}') for i in range(size)))
    del sizes[:]
    await every(service, request_of('/cost', *map(str, range(60))))
    # 400 ms are about 20 documents; a slow machine makes it fewer
    assert sum(sizes) == 60
    assert max(sizes) < 60


async def test_stopping_runs_what_waits(worker: WorkerService, request_of: Make) -> None:
    waiting = asyncio.ensure_future(worker.process(request_of('/mark', 'a')))
    await asyncio.sleep(0)
    worker.flush()
    assert texts(await asyncio.wait_for(waiting, 30)) == ['a!1']
    assert texts((await every(worker, request_of('/mark', 'b')))[0]) == ['b!1']


async def test_a_pod_that_stops_answers_what_waits(request_of: Make) -> None:
    import grpc.aio
    from jina.core import wire

    pod = PodServer(ExecutorOptions(uses=Recorder, host='127.0.0.1', log_config='plain'))
    address = (await pod.start())[0].target
    async with grpc.aio.insecure_channel(address, options=[('grpc.use_local_subchannel_pool', 1)]) as channel:
        call = channel.unary_unary(wire.PROCESS_SINGLE_DATA)
        # the answer to the second shows that the first has arrived
        waiting = asyncio.ensure_future(call(request_of('/mark', 'a').to_bytes(), timeout=30))
        await call(request_of('/new', 'b').to_bytes(), timeout=30)
        await pod.stop()
        assert texts(DataRequest.from_bytes(await waiting)) == ['a!1']


async def test_configuration_overrides_the_decorator_value_by_value(
    make_worker: Callable[..., WorkerService], request_of: Make
) -> None:
    service = make_worker(
        uses_dynamic_batching={
            '/mark': {'preferred_batch_size': 2},
            'mark': {'preferred_batch_size': 7, 'flush_all': True},
            '/dict': {'use_dynamic_batching': False},
        }
    )
    options = {e.name: e.batching and e.batching.options for e in service.executor.endpoints}
    assert (options['/mark'].preferred_batch_size, options['/mark'].flush_all, options['/mark'].timeout) == (
        2,
        True,
        NEVER,
    )
    assert options['/dict'] is None
    assert texts((await every(service, request_of('/dict', 'a')))[0]) == ['a']


async def test_sizes_and_waiting_times_are_measured(
    make_worker: Callable[..., WorkerService], request_of: Make
) -> None:
    recorded: list[tuple[str, float, dict[str, str]]] = []

    class Histogram:
        def __init__(self, name: str) -> None:
            self.name = name

        def record(self, value: float, attributes: dict[str, str]) -> None:
            recorded.append((self.name, value, attributes))

    class Meter:
        def create_histogram(self, name: str, unit: str, description: str) -> Histogram:
            return Histogram(name)

    class Measured(Recorder):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.meter = Meter()  # type: ignore[assignment]

    await every(make_worker(Measured), *(request_of('/mark', text) for text in 'abcd'))
    attributes = {'executor': 'Measured', 'executor_endpoint': '/mark', 'runtime_name': 'exec/rep-0'}
    assert [(name, value) for name, value, _ in recorded if name == 'jina_batch_size'] == [('jina_batch_size', 4)]
    waits = [value for name, value, _ in recorded if name == 'jina_batch_waiting_seconds']
    assert len(waits) == 4
    assert all(0 <= wait < 30 for wait in waits)
    assert all(given == attributes for _, _, given in recorded)


class OneByOne(Executor):
    @requests(on='/one')
    def one(self, doc: Text, **kwargs: Any) -> Text:
        return doc

    @requests(on='/list')
    def many(self, docs: DocList[Text], **kwargs: Any) -> None: ...

    @requests(on='/joined')
    def joined(self, docs: DocList[Text], docs_map: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'/one': {}}, 'OneByOne.one has dynamic batching and takes one doc per call; take docs, a DocList'),
        ({'/joined': {}}, 'OneByOne.joined has dynamic batching and takes docs_map, which belongs to one request'),
        ({'/lst': {}}, "dynamic batching of '/lst', which is no endpoint of OneByOne; did you mean '/list'?"),
        (
            {'/list': {'use_custom_metric': True}},
            'dynamic batching of OneByOne.many: use_custom_metric is on and custom_metric is None',
        ),
        (
            {'/list': {'use_custom_metric': True, 'custom_metric': 'no_such.thing'}},
            "custom_metric 'no_such.thing': there is no module 'no_such'",
        ),
    ],
)
def test_wrong_settings_end_the_start(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WorkerService(ExecutorOptions(uses=OneByOne, log_config='plain', uses_dynamic_batching=settings))
    assert message in str(caught.value)
