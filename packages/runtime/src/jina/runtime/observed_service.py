"""A worker or a gateway that is watched: a span, times, sizes and outcomes of each request that it answers.

The servers get it in the place of the service itself, and only where something is recorded, so that the others pay nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Literal, TypeAlias

from jina.core.envelope import read_endpoint
from jina.core.errors import JinaError
from jina.core.payloads import Payload
from jina.core.request import DataRequest, Request, SingleDocumentRequest
from jina.core.wire import CALL, PROCESS_DATA, PROCESS_SINGLE_DATA, STREAM_DOC, EndpointsProto
from jina.runtime.answers import read_many
from jina.runtime.fast_lane import Finish
from jina.runtime.observation import Observation
from jina.runtime.observed_visit import CANCELLED, Figures, Spots, Visit
from jina.runtime.service import Cancel, Finished, RefusalReason, waiting
from jina.runtime.stream_items import Render, StreamItem, wire_item

Entry: TypeAlias = Literal['grpc', 'http', 'websocket']


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
        self._entry = entry
        self._figures = None
        if observation.measures is not None:
            self._figures = Figures(observation.measures, service, is_worker=self.is_worker)
        self._spots = Spots(observation.spans, self._figures)
        self._names = (self._span_name(), self._span_name(many=True))
        self._serialised = tuple(self._spots.named(name) for name in self._names)

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
        endpoint = ''
        if self.is_worker:
            # a message in two pieces can't be indexed: then this gives nothing, as for all that is unusual
            found = None if many else read_endpoint(raw)  # type: ignore[arg-type]
            endpoint = _endpoint_of(raw, many=many) if found is None else found
        spot = self._serialised[many].get(endpoint) or self._spots.at(self._names[many], endpoint)
        visit = Visit(self._figures, spot, metadata, len(raw))
        visit.finish = finish
        cancel = self._service.begin(raw, visit, many=many, metadata=visit.trace, timeout=timeout)
        if cancel is None or visit.over:
            return None
        visit.cancel = cancel
        return visit.abandon

    def begin_request(self, request: DataRequest, finished: Finished, *, with_routes: bool = True) -> Cancel | None:
        """Starts to answer a request."""
        visit = self._visit(self._span_name(request), request.exec_endpoint, request.trace)
        request.trace = visit.trace

        def done(response: DataRequest | None, error: Exception | None) -> None:
            visit.end_with(response, error)
            finished(response, error)

        cancel = self._service.begin_request(request, done, with_routes=with_routes)
        if cancel is None or visit.over:
            return None
        visit.cancel = cancel
        return visit.abandon

    async def process(
        self, request: DataRequest, *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers one request of a ``Call``."""
        visit = self._visit(CALL, request.exec_endpoint, metadata, None if self._figures is None else request.nbytes)
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
        visit = self._visit(self._span_name(request), request.exec_endpoint, request.trace)
        request.trace = visit.trace
        failure, over = CANCELLED, False
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
            visit.end(None if failure else 0, failure, count=failure is not CANCELLED)

    async def endpoints(self) -> EndpointsProto:
        """Names and schemas of all endpoints."""
        return await self._service.endpoints()  # type: ignore[no-any-return]

    async def dry_run(self) -> None:
        """Returns when a request could be answered."""
        await self._service.dry_run()

    async def close(self) -> None:
        """Closes the service."""
        await self._service.close()

    def _visit(self, span_name: str, endpoint: str, trace: Sequence[tuple[str, str]], size: int | None = None) -> Visit:
        return Visit(self._figures, self._spots.at(span_name, endpoint), trace, size)

    def exchanged(self, endpoint: str, received: int, sent: int | None) -> None:
        """Records the sizes of a request and its answer where only the server knows them: JSON.

        Args:
            endpoint: The endpoint.
            received: Bytes of the request.
            sent: Bytes of the answer, None if it was an error.
        """
        if self._figures is not None:
            self._figures.sizes(endpoint).received.record(received)
            if sent is not None:
                self._figures.sizes(endpoint).sent.record(sent)

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
        visit = self._visit(PROCESS_DATA, endpoint, metadata)
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


def _endpoint_of(raw: Payload, *, many: bool) -> str:
    """Returns the endpoint of a serialised request, empty if it is none: the service finds that out itself."""
    try:
        if not many:
            return DataRequest.from_bytes(raw).exec_endpoint
        requests = read_many(raw)
    except JinaError:
        return ''
    return requests[0].exec_endpoint if requests else ''
