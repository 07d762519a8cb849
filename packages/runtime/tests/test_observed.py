"""What is noted of a request goes with it: at once, and not when the interpreter searches for garbage."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina.core.config import ExecutorOptions
from jina.core.endpoints import requests
from jina.core.executor import Executor
from jina.core.measures import Measures
from jina.core.request import DataRequest
from jina.core.span_recording import SpanNote
from jina.core.trace_headers import CHECKED_PARENT
from jina.runtime.connections import ConnectionSettings
from jina.runtime.observation import Observation
from jina.runtime.observed_peer import ObservedPeer
from jina.runtime.observed_service import ObservedWorker
from jina.runtime.trace_context import Spans
from jina.runtime.worker import WorkerService
from opentelemetry.trace import NoOpTracer, SpanKind

TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
UNARY = '/jina.JinaSingleDataRequestRPC/process_single_data'


class Note(BaseDoc):
    text: str = ''


class Notes(Executor):
    @requests(on='/note')
    def note(self, docs: DocList[Note], **kwargs: Any) -> DocList[Note]:
        return docs


class Recorder(NoOpTracer):
    """Keeps the notes of spans."""

    def __init__(self) -> None:
        self.notes: list[SpanNote] = []

    def form(self, name: str, kind: SpanKind, attributes: Mapping[str, str]) -> Any:
        return name, kind, dict(attributes)

    def header(self, parent: str) -> str:
        return f'00-{TRACE}-00f067aa0ba902b7-01'

    def keep(self, note: SpanNote) -> None:
        self.notes.append(note)

    def begin_inside(self, form: Any, context: Any) -> tuple[None, Any]:
        return None, context


class Telemetry:
    follows_callers = True

    def meter(self) -> None:
        return None


class Kept:
    """Takes outcomes."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.arguments: tuple[Any, ...] = ()

    def __call__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.came.set()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def observation(recorder: Recorder) -> Observation:
    return Observation('name', recorder, Spans(recorder, follows_callers=True), Measures(), Telemetry())


@pytest.fixture
def no_search() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def request_bytes() -> bytes:
    request = DataRequest()
    request.header.exec_endpoint = '/note'
    request.docs = DocList[Note]([Note(text='a')])
    return request.to_bytes()


async def watched(observation: Observation) -> ObservedWorker:
    options = ExecutorOptions(uses=Notes, name='notes', log_config='plain')
    return ObservedWorker(WorkerService(options, instruments=observation.instruments), observation, 'grpc')


def metric(observation: Observation, name: str) -> Any:
    (family,) = (family for family in observation.measures or () if family.name == name)
    (series,) = family.series.values()
    return series


async def test_a_worker_keeps_nothing_of_a_request(
    observation: Observation, recorder: Recorder, no_search: None
) -> None:
    worker = await watched(observation)
    finish = Kept()
    assert worker.begin(request_bytes(), finish) is not None
    await asyncio.wait_for(finish.came.wait(), 10)
    raw, failed, *_ = finish.arguments
    assert not failed and DataRequest.from_bytes(raw).exec_endpoint == '/note'
    gone = weakref.ref(finish)
    del finish
    await asyncio.sleep(0)
    assert gone() is None
    assert metric(observation, 'jina_successful_requests').value == 1
    assert metric(observation, 'jina_sent_response_bytes').read()[1] == len(raw)
    assert [note[0] for note in recorder.notes] == [(UNARY, SpanKind.SERVER, {'jina.endpoint': '/note'})]
    await worker.close()


async def test_a_request_that_nobody_waits_for_is_ended_once(observation: Observation, recorder: Recorder) -> None:
    worker = await watched(observation)
    finish = Kept()
    abandon = worker.begin(request_bytes(), finish)
    assert abandon is not None
    abandon()
    abandon()
    await worker.run(lambda: None)  # behind it in the thread
    assert not finish.came.is_set()
    assert [note[-1] for note in recorder.notes] == ['the caller is gone']
    assert metric(observation, 'jina_successful_requests').value == 0
    await worker.close()


class Lane:
    """Takes requests and answers them on demand."""

    missing = False

    def __init__(self) -> None:
        self.done: Callable[..., object] | None = None
        self.metadata: Any = ()
        self.cancelled = 0

    def begin(self, raw: bytes, done: Any, *, timeout: float | None, metadata: Any) -> Callable[[], None]:
        self.done, self.metadata = done, metadata

        def cancel() -> None:
            assert done is not None  # as the real one, it refers to who waits
            self.cancelled += 1

        return cancel

    async def close(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize('outcome', ['answer', 'cancel'])
async def test_a_gateway_keeps_nothing_of_a_call(
    observation: Observation, recorder: Recorder, no_search: None, outcome: str
) -> None:
    peer = ObservedPeer('127.0.0.1:9', ConnectionSettings(), lambda: None, deployment='d', observation=observation)
    lane: Any = Lane()
    peer._lane = lane
    done = Kept()
    cancel = peer.begin(b'1234', done, more=())
    assert cancel is not None
    ((key, sent),) = lane.metadata
    assert key is CHECKED_PARENT
    if outcome == 'answer':
        lane.done(b'123', None)
        assert done.arguments == (b'123', None)
    cancel()
    assert lane.cancelled == (outcome == 'cancel')
    gone = weakref.ref(done)
    lane.done = None
    del done, cancel
    assert gone() is None
    ((form, header, parent, began, ended, failure),) = recorder.notes
    assert form == (UNARY, SpanKind.CLIENT, {'deployment': 'd', 'address': '127.0.0.1:9'})
    assert (header, parent, failure) == (sent, '', '' if outcome == 'answer' else 'cancelled')
    assert began <= ended
    await peer.close()
