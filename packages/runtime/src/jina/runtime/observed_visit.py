"""What is recorded of one request that a process answers: its span, times, sizes and the outcome."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, get_args

from jina.core.errors import JinaError
from jina.core.measures import BYTES, Distribution, Ledger, Measures
from jina.core.payloads import Payload
from jina.core.request import DataRequest
from jina.core.span_recording import OpenSpan
from jina.runtime.fast_lane import Finish
from jina.runtime.service import RefusalReason
from jina.runtime.trace_context import Place, Spans, Trace
from opentelemetry.trace import SpanKind

CANCELLED: Final = 'the caller is gone'
_KEPT_ENDPOINTS: Final = 1000
"""Names of endpoints that are remembered: clients choose them."""


class Sizes:
    """Sizes of the requests to one endpoint, and of their answers.

    Args:
        received: Sizes of requests.
        sent: Sizes of answers.
        figures: The metrics of the service.
    """

    def __init__(self, received: Distribution, sent: Distribution, figures: Figures) -> None:
        self.received = received
        self.sent = sent
        self.answered = Ledger(received, figures.seconds, sent, rows=figures.successful)
        """Requests of which all is recorded at once: their size, the seconds, and the size of the answer."""


class Figures:
    """The metrics of a service.

    Args:
        measures: Those of the process.
        service: A worker or a gateway.
        is_worker: It is a worker: there are sizes for each of its endpoints.
    """

    def __init__(self, measures: Measures, service: Any, *, is_worker: bool) -> None:
        self._measures = measures
        self._service = service
        self.is_worker = is_worker
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
        if not is_worker:
            self.pending = measures.gauge('jina_number_of_pending_requests', 'Requests under way')
        self.first_item = measures.distribution(
            'jina_stream_first_item_seconds', 'Time from a request for a stream to its first item', unit='s'
        )
        self._sizes: dict[str, Sizes] = {}
        self._by_label: dict[str, Sizes] = {}

    def sizes(self, endpoint: str) -> Sizes:
        """Sizes of the requests to an endpoint; a gateway has one endpoint only, whatever clients say."""
        found = self._sizes.get(endpoint)
        if found is None:
            label = ''
            if self.is_worker:
                # clients choose the names of endpoints: those that aren't there must not fill the memory
                label = endpoint if endpoint in self._service.endpoint_schemas else 'unknown'
            found = self._by_label.get(label)
            if found is None:
                found = self._by_label[label] = self._make_sizes(label)
            if len(self._sizes) < _KEPT_ENDPOINTS:
                self._sizes[endpoint] = found
        return found

    def _make_sizes(self, label: str) -> Sizes:
        attributes = {}
        if self.is_worker:
            attributes = {'executor': type(self._service.executor).__name__, 'executor_endpoint': label}
        received, sent = (
            self._measures.distribution(name, description, attributes, unit='By', bounds=BYTES)
            for name, description in (
                ('jina_received_request_bytes', 'Size of a request'),
                ('jina_sent_response_bytes', 'Size of an answer'),
            )
        )
        return Sizes(received, sent, self)


class Places:
    """Where the spans of a service are begun, by their names and endpoints.

    Args:
        spans: Begins them.
    """

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._places: dict[tuple[str, str], Place] = {}

    def begin(self, name: str, endpoint: str, trace: Trace) -> tuple[OpenSpan | None, Trace]:
        """Starts a span, see ``Spans.begin``."""
        place = self._places.get((name, endpoint))
        if place is None:
            place = self._spans.place(name, SpanKind.SERVER, {'jina.endpoint': endpoint} if endpoint else None)
            if len(self._places) < _KEPT_ENDPOINTS:
                self._places[name, endpoint] = place
        return self._spans.begin(place, trace)


class Visit:
    """One request under way; calling it finishes a serialised one.

    Args:
        figures: The metrics; None without metrics.
        places: Begin its span; None without traces.
        span_name: Name of its span.
        endpoint: Its endpoint.
        trace: Its metadata.
        size: Its bytes; None if they are recorded elsewhere.
    """

    __slots__ = (
        '_began',
        '_endpoint',
        '_figures',
        '_over',
        '_size',
        '_span',
        '_waiting',
        'cancel',
        'finish',
        'trace',
    )
    finish: Finish
    """Takes the serialised response."""
    cancel: Callable[[], object] | None
    """Ends the work."""

    def __init__(
        self,
        figures: Figures | None,
        places: Places | None,
        span_name: str,
        endpoint: str,
        trace: Trace,
        size: int | None = None,
    ) -> None:
        self._figures = figures
        self._endpoint = endpoint
        self._size = size
        self._over = False
        self.cancel = None
        self._waiting = True
        self._span: OpenSpan | None = None
        self.trace = trace
        """Metadata for those who are called on its behalf."""
        if places is not None:
            self._span, self.trace = places.begin(span_name, endpoint, trace)
        if figures is not None and figures.pending is not None:
            figures.pending.add(1)
        self._began = perf_counter()

    def first_item(self) -> None:
        """Records that a stream has given an item."""
        if self._waiting and self._figures is not None:
            self._figures.first_item.record(perf_counter() - self._began)
        self._waiting = False

    def abandon(self) -> object:
        """Ends the work; the caller is gone."""
        cancel = self.cancel
        self.end(None, CANCELLED, count=False)
        return None if cancel is None else cancel()

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
        self.cancel = None
        figures = self._figures
        if figures is not None:
            if figures.pending is not None:
                figures.pending.add(-1)
            if sent and count and self._size is not None:
                row = (self._size, perf_counter() - self._began, sent)
                figures.sizes(self._endpoint).answered.record(row)
            else:
                self._record(figures, sent, count=count)
        if self._span is not None:
            self._span.end(failure or ('the Executor failed' if sent is None else ''))

    def _record(self, figures: Figures, sent: int | None, *, count: bool) -> None:
        """Records a request of which there isn't everything to record."""
        if self._size is not None:
            figures.sizes(self._endpoint).received.record(self._size)
        if sent is not None or figures.is_worker:
            figures.seconds.record(perf_counter() - self._began)
        if sent:
            figures.sizes(self._endpoint).sent.record(sent)
        if count:
            (figures.failed if sent is None else figures.successful).add()
