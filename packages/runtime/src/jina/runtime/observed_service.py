"""A worker or a gateway that is watched: a span, times, sizes and outcomes of each request that it answers.

The servers get it in the place of the service itself, and only where something is recorded, so that the others pay nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from jina.core.envelope import read_endpoint
from jina.core.errors import JinaError
from jina.core.measures import BYTES, Distribution, Measures
from jina.core.payloads import Payload
from jina.core.request import DataRequest, Request, SingleDocumentRequest
from jina.core.wire import CALL, PROCESS_DATA, PROCESS_SINGLE_DATA, STREAM_DOC, EndpointsProto
from jina.runtime.answers import read_many
from jina.runtime.fast_lane import Finish
from jina.runtime.observation import Observation
from jina.runtime.service import Cancel, Finished, RefusalReason, waiting
from jina.runtime.stream_items import Render, StreamItem, wire_item
from jina.runtime.trace_context import Trace, end_span
from opentelemetry.trace import SpanKind

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Entry: TypeAlias = Literal['grpc', 'http', 'websocket']
_CANCELLED: Final = 'the caller is gone'
_KEPT_ENDPOINTS: Final = 1000
"""Names of endpoints that are remembered: clients choose them."""


class ObservedService:
    """A gateway that is watched.

    Args:
        service: What answers requests.
        observation: Where to record.
        entry: The protocol that it is served with, for the names of spans.
    """

    is_worker = False
    is_inner = False
    """Whether gateways call it, for the names of its spans."""

    def __init__(self, service: Any, observation: Observation, entry: Entry) -> None:
        self.name: str = service.name
        self._service = service
        self._observation = observation
        self._spans = observation.spans
        self._entry = entry
        self._figures = None if observation.measures is None else _Figures(observation.measures, self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    @property
    def metrics_port(self) -> int | None:
        """Port where Prometheus finds the metrics of the process; None if they aren't served."""
        port: int | None = self._observation.telemetry.prometheus_port
        return port

    def waiting(self) -> ObservedService:
        """Returns the same service for requests that wait where Executors behind it would refuse them."""
        return type(self)(waiting(self._service), self._observation, self._entry)

    @property
    def class_name(self) -> str:
        """The class of the Executor."""
        return type(self._service.executor).__name__

    def begin(
        self,
        raw: Payload,
        finish: Finish,
        *,
        many: bool = False,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> Callable[[], object] | None:
        """Starts to answer a serialised request."""
        endpoint = _endpoint_of(raw, many=many) if self.is_worker else ''
        visit = _Visit(self, '' if self._spans is None else self._span_name(many=many), endpoint, metadata)
        visit.received(len(raw))
        visit.finish = finish
        cancel = self._service.begin(raw, visit, many=many, metadata=visit.trace, timeout=timeout)
        if cancel is None:
            return None
        visit.cancel = cancel
        return visit.abandon

    def begin_request(self, request: DataRequest, finished: Finished, *, with_routes: bool = True) -> Cancel | None:
        """Starts to answer a request."""
        visit = _Visit(self, self._span_name(request), request.exec_endpoint, request.trace)
        request.trace = visit.trace

        def done(response: DataRequest | None, error: Exception | None) -> None:
            visit.end_with(response, error)
            finished(response, error)

        cancel = self._service.begin_request(request, done, with_routes=with_routes)
        if cancel is None:
            return None
        visit.cancel = cancel
        return visit.abandon

    async def process(
        self, request: DataRequest, *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers one request of a ``Call``."""
        visit = _Visit(self, CALL, request.exec_endpoint, metadata)
        if self._figures is not None:
            visit.received(request.nbytes)
        response: DataRequest | None = None
        error: BaseException | None = None
        try:
            response = await self._service.process(request, metadata=visit.trace, timeout=timeout)
            return response
        except BaseException as raised:
            error = raised
            raise
        finally:
            visit.end_with(response, error, measured=True)

    async def stream(
        self, request: SingleDocumentRequest, *, timeout: float | None = None, render: Render = wire_item
    ) -> AsyncGenerator[StreamItem, None]:
        """Answers one document with many."""
        visit = _Visit(self, self._span_name(request), request.exec_endpoint, request.trace)
        request.trace = visit.trace
        failure, over = _CANCELLED, False
        try:
            async with contextlib.aclosing(self._service.stream(request, timeout=timeout, render=render)) as items:
                async for item in items:
                    visit.first_item()
                    if item.is_error:
                        failure, over = item.status.description, True
                    yield item
            if not over:
                failure = ''
        except Exception as error:
            failure = repr(error)
            raise
        finally:
            visit.end(None if failure else 0, failure, count=failure is not _CANCELLED)

    async def endpoints(self) -> EndpointsProto:
        """Names and schemas of all endpoints."""
        return await self._service.endpoints()  # type: ignore[no-any-return]

    async def dry_run(self) -> None:
        """Returns when a request could be answered."""
        await self._service.dry_run()

    async def close(self) -> None:
        """Closes the service."""
        await self._service.close()

    def exchanged(self, endpoint: str, received: int, sent: int | None) -> None:
        """Records the sizes of a request and its answer where only the server knows them: JSON.

        Args:
            endpoint: The endpoint.
            received: Bytes of the request.
            sent: Bytes of the answer, None if it was an error.
        """
        if self._figures is not None:
            self._figures.received(endpoint).record(received)
            if sent is not None:
                self._figures.sent(endpoint).record(sent)

    def refused(self, reason: RefusalReason) -> None:
        """Counts a request that a server refused, and that is no failure of the service therefore."""
        if self._figures is not None:
            self._figures.refused[reason].add()

    def _span_name(self, request: Request | None = None, *, many: bool = False) -> str:
        if self._entry == 'http':
            method = 'GET' if isinstance(request, SingleDocumentRequest) else 'POST'
            return f'{method} /{request.exec_endpoint.lstrip("/")}' if request is not None else method
        if self._entry == 'websocket':
            return '/'
        if isinstance(request, SingleDocumentRequest):
            return STREAM_DOC
        if not self.is_inner:
            return CALL
        return PROCESS_DATA if many else PROCESS_SINGLE_DATA


class ObservedHead(ObservedService):
    """A head that is watched: unlike a gateway it takes lists of requests."""

    is_inner = True

    async def process_many(
        self, requests: Sequence[DataRequest], *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers the requests of several branches with one response."""
        endpoint = requests[0].exec_endpoint if requests else ''
        visit = _Visit(self, PROCESS_DATA, endpoint, metadata)
        response: DataRequest | None = None
        error: BaseException | None = None
        try:
            response = await self._service.process_many(requests, metadata=visit.trace, timeout=timeout)
            return response
        except BaseException as raised:
            error = raised
            raise
        finally:
            visit.end_with(response, error, measured=True)


class ObservedWorker(ObservedHead):
    """A worker that is watched."""

    is_worker = True


class _Figures:
    """The metrics of a service."""

    def __init__(self, measures: Measures, service: ObservedService) -> None:
        self._measures = measures
        self._service = service
        self.seconds = measures.distribution(
            'jina_receiving_request_seconds', 'Time from receiving a request to its answer', unit='s'
        )
        self.successful = measures.counter('jina_successful_requests', 'Requests that were answered')
        self.failed = measures.counter('jina_failed_requests', 'Requests that failed')
        self.refused = {
            reason: measures.counter('jina_refused_requests', 'Requests that were refused', {'reason': reason})
            for reason in get_args(RefusalReason)
        }
        self.pending = None
        if not service.is_worker:
            self.pending = measures.gauge('jina_number_of_pending_requests', 'Requests under way')
        self.first_item = measures.distribution(
            'jina_stream_first_item_seconds', 'Time from a request for a stream to its first item', unit='s'
        )
        self._received: dict[str, Distribution] = {}
        self._sent: dict[str, Distribution] = {}

    def received(self, endpoint: str) -> Distribution:
        """Sizes of requests."""
        found = self._received.get(endpoint)
        if found is None:
            found = self._size('jina_received_request_bytes', 'Size of a request', endpoint, self._received)
        return found

    def sent(self, endpoint: str) -> Distribution:
        """Sizes of answers."""
        found = self._sent.get(endpoint)
        if found is None:
            found = self._size('jina_sent_response_bytes', 'Size of an answer', endpoint, self._sent)
        return found

    def _size(self, name: str, description: str, endpoint: str, kept: dict[str, Distribution]) -> Distribution:
        attributes = {}
        if self._service.is_worker:
            # clients choose the names of endpoints: those that aren't there must not fill the memory
            known = endpoint if endpoint in self._service.endpoint_schemas else 'unknown'
            attributes = {'executor': self._service.class_name, 'executor_endpoint': known}
        found = self._measures.distribution(name, description, attributes, unit='By', bounds=BYTES)
        if len(kept) < _KEPT_ENDPOINTS:
            kept[endpoint] = found
        return found


class _Visit:
    """One request under way; calling it finishes a serialised one.

    Args:
        service: Where it is.
        span_name: Name of its span.
        endpoint: Its endpoint, needed by workers only.
        trace: Its metadata.
    """

    __slots__ = (
        '_began',
        '_endpoint',
        '_figures',
        '_is_worker',
        '_over',
        '_span',
        '_waiting',
        'cancel',
        'finish',
        'trace',
    )
    finish: Finish
    """Takes the serialised response."""
    cancel: Callable[[], object]
    """Ends the work."""

    def __init__(self, service: ObservedService, span_name: str, endpoint: str, trace: Trace) -> None:
        self._figures = service._figures
        self._is_worker = service.is_worker
        self._endpoint = endpoint
        self._over = False
        self._waiting = True
        self._span: Span | None = None
        self.trace = trace
        """Metadata for those who are called on its behalf."""
        self._began = perf_counter()
        if service._spans is not None:
            attributes = {'jina.endpoint': endpoint} if endpoint else None
            self._span, self.trace = service._spans.begin(span_name, SpanKind.SERVER, trace, attributes)
        if self._figures is not None and self._figures.pending is not None:
            self._figures.pending.add(1)

    def received(self, size: int) -> None:
        """Records its size."""
        if self._figures is not None:
            self._figures.received(self._endpoint).record(size)

    def first_item(self) -> None:
        """Records that a stream has given an item."""
        if self._waiting and self._figures is not None:
            self._figures.first_item.record(perf_counter() - self._began)
        self._waiting = False

    def abandon(self) -> object:
        """Ends the work; the caller is gone."""
        self.end(None, _CANCELLED, count=False)
        return self.cancel()

    def __call__(self, answer: Payload, failed: bool, error: JinaError | None = None) -> None:
        self.end(None if failed or error is not None else len(answer), '' if error is None else repr(error))
        self.finish(answer, failed, error)

    def end_with(self, response: DataRequest | None, error: BaseException | None, *, measured: bool = False) -> None:
        """Records the outcome.

        Args:
            response: The response, if there is one.
            error: Why there is none.
            measured: Record its size too.
        """
        if response is None:
            self.end(None, repr(error), count=isinstance(error, Exception))
        elif response.is_error:
            self.end(None, response.status.description)
        else:
            self.end(response.nbytes if measured and self._figures is not None else 0)

    def end(self, sent: int | None, failure: str = '', *, count: bool = True) -> None:
        """Records the outcome, once.

        Args:
            sent: Bytes of the answer, 0 if its size isn't known here; None if it failed.
            failure: What went wrong.
            count: It is a success or a failure; a request that was cancelled is neither.
        """
        if self._over:
            return
        self._over = True
        if self._figures is not None:
            self._record(self._figures, sent, count=count)
        if self._span is not None:
            end_span(self._span, failure or ('the Executor failed' if sent is None else ''))

    def _record(self, figures: _Figures, sent: int | None, *, count: bool) -> None:
        if figures.pending is not None:
            figures.pending.add(-1)
        if sent is not None or self._is_worker:
            figures.seconds.record(perf_counter() - self._began)
        if sent:
            figures.sent(self._endpoint).record(sent)
        if count:
            (figures.failed if sent is None else figures.successful).add()


def _endpoint_of(raw: Payload, *, many: bool) -> str:
    """Returns the endpoint of a serialised request, empty if it is none: the service finds that out itself."""
    try:
        if not many:
            found = read_endpoint(raw)  # type: ignore[arg-type]  # a message in two pieces can't be indexed
            return DataRequest.from_bytes(raw).exec_endpoint if found is None else found
        requests = read_many(raw)
    except JinaError:
        return ''
    return requests[0].exec_endpoint if requests else ''
