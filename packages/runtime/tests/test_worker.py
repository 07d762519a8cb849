from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core.config import ExecutorOptions
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.runtime.worker import QUIET_ERROR_HINT, WorkerService
from pydantic import BaseModel

Make = Callable[..., DataRequest]


class Text(BaseDoc):
    text: str = ''


class Limits(BaseModel):
    size: int = 3


class Many(Executor):
    """One endpoint of each kind."""

    @requests
    def upper(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        for doc in docs:
            doc.text = doc.text.upper()

    @requests(on='/async')
    async def slow(self, docs: DocList[Text], parameters: dict[str, Any]) -> DocList[Text]:
        return DocList[Text]([Text(text=f'{doc.text}{parameters}') for doc in docs])

    @requests(on='/one')
    def one(self, doc: Text, **kwargs: Any) -> Text:
        return Text(id=doc.id, text=doc.text * 2)

    @requests(on='/one-async')
    async def one_async(self, doc: Text) -> Text:
        doc.text += '!'
        return doc

    @requests(on='/dict')
    def facts(self, docs: DocList[Text]) -> DocList[Text]:
        return {'count': len(docs)}  # type: ignore[return-value]

    @requests(on='/limits')
    def limits(self, docs: DocList[Text], parameters: Limits) -> DocList[Text]:
        return docs[: parameters.size]

    @requests(on='/fail')
    def fail(self, docs: DocList[Text]) -> DocList[Text]:
        raise ValueError('boom')

    @requests(on='/exit')
    def leave(self, docs: DocList[Text]) -> DocList[Text]:
        raise SystemExit(1)

    @requests(on='/matrix')
    def matrix(self, docs: DocList[Text], docs_matrix: Any, docs_map: Any) -> DocList[Text]:
        seen = None if docs_matrix is None else [[doc.text for doc in part] for part in docs_matrix]
        names = None if docs_map is None else list(docs_map)
        return DocList[Text]([Text(text=f'{seen} {names} {[doc.text for doc in docs]}')])

    @requests(on='/stream')
    async def stream(self, doc: Text, parameters: dict[str, Any]) -> AsyncIterator[Text]:
        for number in range(int(parameters.get('count', 3))):
            yield Text(text=f'{doc.text}{number}')

    @requests(on='/stream-sync')
    def stream_sync(self, doc: Text) -> Iterator[Text]:
        yield Text(text=f'{doc.text}0')
        yield Text(text=f'{doc.text}1')

    @requests(on='/stream-wrong')
    def stream_wrong(self, doc: Text) -> Iterator[Text]:
        yield Text(text='fine')
        yield 7  # type: ignore[misc]


@pytest.fixture
async def make_worker() -> AsyncIterator[Callable[..., WorkerService]]:
    services = []

    def make(uses: Any = Many, **options: Any) -> WorkerService:
        service = WorkerService(ExecutorOptions(**{'uses': uses, 'name': 'exec', 'log_config': 'plain', **options}))
        services.append(service)
        return service

    yield make
    for service in services:
        await service.close()


@pytest.fixture
def worker(make_worker: Callable[..., WorkerService]) -> WorkerService:
    return make_worker()


def texts(response: DataRequest) -> list[str]:
    received = DataRequest.from_bytes(response.to_bytes())
    received.document_array_cls = DocList[Text]
    return [doc.text for doc in received.docs]


async def test_documents_changed_in_place_are_the_response(worker: WorkerService, request_of: Make) -> None:
    response = await worker.process(request_of('/', 'a', 'b'))
    assert texts(response) == ['A', 'B']
    assert [route.executor for route in response.routes] == ['exec']
    assert not response.routes[0].HasField('start_time')


async def test_async_method_gets_its_parameters_only(worker: WorkerService, request_of: Make) -> None:
    parameters = {'exec__k': 1, 'k': 2, 'other__k': 3, '__results__': {}}
    assert texts(await worker.process(request_of('/async', 'a', parameters=parameters))) == ["a{'k': 1}"]


@pytest.mark.parametrize(('endpoint', 'expected'), [('/one', ['aa', 'bb']), ('/one-async', ['a!', 'b!'])])
async def test_doc_mode_calls_once_per_document(
    worker: WorkerService, request_of: Make, endpoint: str, expected: list[str]
) -> None:
    assert texts(await worker.process(request_of(endpoint, 'a', 'b'))) == expected


async def test_dict_result_stands_beside_the_documents(worker: WorkerService, request_of: Make) -> None:
    request = request_of('/dict', 'a', parameters={'__results__': {'before/rep-0': {'x': 1}}})
    response = DataRequest.from_bytes((await worker.process(request)).to_bytes())
    assert response.parameters == {'__results__': {'before/rep-0': {'x': 1.0}, 'exec/rep-0': {'count': 1.0}}}
    assert texts(response) == ['a']


async def test_parameters_become_the_annotated_model(worker: WorkerService, request_of: Make) -> None:
    assert texts(await worker.process(request_of('/limits', 'a', 'b', parameters={'size': 1.0}))) == ['a']
    wrong = await worker.process(request_of('/limits', 'a', parameters={'size': 'many'}))
    assert wrong.status.exception.name == 'ValidationError'
    assert texts(wrong) == ['a']


async def test_exception_becomes_the_status_and_is_logged(
    worker: WorkerService, request_of: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    response = await worker.process(request_of('/fail', 'a'))
    status = response.status
    assert (status.description, status.exception.name, list(status.exception.args), status.exception.executor) == (
        "ValueError('boom')",
        'ValueError',
        ['boom'],
        'Many',
    )
    assert 'ValueError: boom' in ''.join(status.exception.stacks)
    assert texts(response) == ['a']
    assert not response.routes
    logged = ''.join(capfd.readouterr())
    assert f"ValueError('boom')\n{QUIET_ERROR_HINT}" in logged
    assert 'Traceback' in logged


async def test_a_result_that_can_not_be_sent_is_logged(
    make_worker: Callable[..., WorkerService], request_of: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    class Unsendable(Executor):
        @requests
        def give(self, **kwargs: Any) -> dict[str, Any]:
            return {'x': {1}}

    answered: asyncio.Future[tuple[Any, bool]] = asyncio.get_running_loop().create_future()
    service = make_worker(Unsendable)
    service.begin(request_of('/', 'a').to_bytes(), lambda raw, failed, _=None: answered.set_result((raw, failed)))
    raw, failed = await asyncio.wait_for(answered, 30)
    assert failed
    status = DataRequest.from_bytes(raw).status
    assert (status.exception.name, status.exception.executor) == ('InputError', 'Unsendable')
    assert "['x'] has a value of type set: {1}" in ''.join(capfd.readouterr())


async def test_quiet_error_leaves_out_the_details(
    make_worker: Callable[..., WorkerService], request_of: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    await make_worker(quiet_error=True).process(request_of('/fail', 'a'))
    logged = ''.join(capfd.readouterr())
    assert "ValueError('boom')" in logged
    assert 'Traceback' not in logged
    assert QUIET_ERROR_HINT not in logged


async def test_system_exit_of_a_method_fails_its_request_only(worker: WorkerService, request_of: Make) -> None:
    assert (await worker.process(request_of('/exit', 'a'))).is_error
    assert texts(await worker.process(request_of('/', 'a'))) == ['A']


async def test_documents_that_do_not_fit_fail_the_request(worker: WorkerService) -> None:
    request = DataRequest()
    request.exec_endpoint = '/'
    request.raw_content = b'\x0a\x04nope'
    response = await worker.process(request)
    assert response.is_error


async def test_executor_without_the_endpoint_passes_documents_on(
    make_worker: Callable[..., WorkerService], request_of: Make
) -> None:
    service = make_worker('BaseExecutor')
    request = request_of('/nothing', 'a')
    content = request.raw_content
    assert (await service.process(request)).raw_content == content
    assert list(service.endpoint_schemas) == ['/default']
    await service.dry_run()


async def test_empty_request_still_calls_the_method(worker: WorkerService, request_of: Make) -> None:
    assert texts(await worker.process(request_of('/matrix'))) == ['None None []']


async def test_synchronous_calls_do_not_overlap_unless_allowed(
    make_worker: Callable[..., WorkerService], request_of: Make
) -> None:
    class Meeting(Executor):
        barrier = threading.Barrier(2)

        @requests
        def meet(self, **kwargs: Any) -> None:
            self.barrier.wait(0.3)

    alone = make_worker(Meeting)
    responses = await asyncio.gather(*(alone.process(request_of('/')) for _ in range(2)))
    assert all(response.status.exception.name == 'BrokenBarrierError' for response in responses)
    Meeting.barrier = threading.Barrier(2)
    together = make_worker(Meeting, allow_concurrent=True)
    responses = await asyncio.gather(*(together.process(request_of('/')) for _ in range(2)))
    assert not any(response.is_error for response in responses)


async def test_branches_are_merged_by_id(worker: WorkerService, request_of: Make) -> None:
    first, second = request_of('/matrix', 'a', 'b'), request_of('/matrix', 'b', 'c')
    second.parameters = {'__results__': {'x/rep-0': {'n': 1}}}
    response = await worker.process_many([first, second])
    assert texts(response) == ["None None ['a', 'b', 'c']"]
    assert response.parameters['__results__'] == {'x/rep-0': {'n': 1}}


async def test_no_reduce_gives_matrix_and_map(make_worker: Callable[..., WorkerService], request_of: Make) -> None:
    first, second = request_of('/matrix', 'a'), request_of('/matrix', 'a')
    first.routes.add(executor='left')
    second.routes.add(executor='right')
    response = await make_worker(no_reduce=True).process_many([first, second])
    assert texts(response) == ["[['a'], ['a']] ['left', 'right'] ['a', 'a']"]


async def test_single_request_is_no_join(make_worker: Callable[..., WorkerService], request_of: Make) -> None:
    service = make_worker(no_reduce=True)
    assert texts(await service.process_many([request_of('/matrix', 'a')])) == ["None None ['a']"]
    assert not (await service.process_many([])).is_error


async def collect(worker: WorkerService, endpoint: str, **parameters: Any) -> list[SingleDocumentRequest]:
    request = SingleDocumentRequest()
    request.exec_endpoint = endpoint
    request.document = Text(text='x')
    request.parameters = parameters
    received = []
    async for response in worker.stream(request):
        parsed = SingleDocumentRequest.from_bytes(response.to_bytes())
        parsed.document_cls = Text
        received.append(parsed)
    return received


@pytest.mark.parametrize(('endpoint', 'expected'), [('/stream', ['x0', 'x1', 'x2']), ('/stream-sync', ['x0', 'x1'])])
async def test_generators_stream_documents(worker: WorkerService, endpoint: str, expected: list[str]) -> None:
    assert [response.document.text for response in await collect(worker, endpoint)] == expected  # type: ignore[attr-defined]


async def test_stream_takes_parameters(worker: WorkerService) -> None:
    assert len(await collect(worker, '/stream', exec__count=5)) == 5


async def test_endpoint_that_is_no_generator_is_an_error_in_the_stream(worker: WorkerService) -> None:
    (response,) = await collect(worker, '/async')
    assert response.status.description == (
        'ValueError("endpoint must be generator: \'/async\' does not stream; call it with post")'
    )
    assert response.status.exception.executor == 'Many'


async def test_wrong_yielded_type_ends_the_stream_with_an_error(worker: WorkerService) -> None:
    fine, wrong = await collect(worker, '/stream-wrong')
    assert not fine.is_error
    assert wrong.status.exception.name == 'SchemaError'


async def test_generator_called_as_a_method_says_how_to_call_it(worker: WorkerService, request_of: Make) -> None:
    response = await worker.process(request_of('/stream', 'a'))
    assert 'stream_doc' in response.status.description


async def test_leaving_a_stream_closes_the_generator(make_worker: Callable[..., WorkerService]) -> None:
    closed = threading.Event()

    class Endless(Executor):
        @requests(on='/endless')
        def endless(self, doc: Text) -> Iterator[Text]:
            try:
                while True:
                    yield Text()
            finally:
                closed.set()

    request = SingleDocumentRequest()
    request.exec_endpoint = '/endless'
    request.document = Text()
    stream: Any = make_worker(Endless).stream(request)
    await stream.__anext__()
    await stream.aclose()
    assert await asyncio.to_thread(closed.wait, 5)


async def test_exit_on_exceptions_matches_the_class_and_its_bases(
    make_worker: Callable[..., WorkerService], request_of: Make
) -> None:
    for names, expected in ((['ValueError'], 1), (['Exception'], 1), (['KeyError'], 0)):
        fatal: list[BaseException] = []
        service = make_worker(exit_on_exceptions=names)
        service.on_fatal = fatal.append
        await service.process(request_of('/fail', 'a'))
        assert len(fatal) == expected


async def test_discovery_names_all_endpoints(worker: WorkerService) -> None:
    endpoints = (await worker.endpoints()).endpoints
    assert {'/default', '/async', '/one', '_jina_dry_run_'} <= set(endpoints)


async def test_close_closes_the_executor_even_if_it_is_a_coroutine(make_worker: Callable[..., WorkerService]) -> None:
    closed = []

    class Closing(Executor):
        async def close(self) -> None:
            closed.append(True)

    await make_worker(Closing).close()
    assert closed == [True]
