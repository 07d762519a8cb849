"""What is recorded of one request that a process answers: its span, times, sizes and the outcome."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, get_args

from jina.core.errors import JinaError
from jina.core.measures import BYTES, Distribution, Ledger, Measures
from jina.core.payloads import Payload
from jina.core.request import DataRequest
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


class Spot:
    """Where the requests to one endpoint are recorded.

    Args:
        place: Where their spans are begun; None without traces.
        sizes: Their sizes; None without metrics.
    """

    __slots__ = ('place', 'record', 'sizes')

    def __init__(self, place: Place | None, sizes: Sizes | None) -> None:
        self.place = place
        self.sizes = sizes
        self.record = None if sizes is None else sizes.answered.record


class Spots:
    """The spots of a service, by the names of spans and by endpoints.

    Args:
        spans: Begins spans; None without traces.
        figures: The metrics; None without metrics.
    """

    def __init__(self, spans: Spans | None, figures: Figures | None) -> None:
        self._spans = spans
        self._figures = figures
        self._kept = 0
        self._found: dict[str, dict[str, Spot]] = {}

    def named(self, name: str) -> dict[str, Spot]:
        """Returns those with a name that were asked for so far, by endpoint; it grows."""
        return self._found.setdefault(name, {})

    def at(self, name: str, endpoint: str) -> Spot:
        """Returns the one with a name at an endpoint."""
        known = self._found.get(name)
        spot = None if known is None else known.get(endpoint)
        return self._make(name, endpoint) if spot is None else spot

    def _make(self, name: str, endpoint: str) -> Spot:
        place = None
        if self._spans is not None:
            place = self._spans.place(name, SpanKind.SERVER, {'jina.endpoint': endpoint} if endpoint else None)
        spot = Spot(place, None if self._figures is None else self._figures.sizes(endpoint))
        if self._kept < _KEPT_ENDPOINTS:
            self._kept += 1
            self.named(name)[endpoint] = spot
        return spot


class Visit:
    """One request under way; calling it finishes a serialised one.

    Args:
        figures: The metrics; None without metrics.
        spot: Where it is recorded.
        trace: Its metadata.
        size: Its bytes; None if they are recorded elsewhere.
    """

    __slots__ = ('_began', '_figures', '_size', '_span', '_spot', '_waiting', 'cancel', 'finish', 'over', 'trace')
    finish: Finish
    """Takes the serialised response."""

    def __init__(self, figures: Figures | None, spot: Spot, trace: Trace, size: int | None = None) -> None:
        self._figures = figures
        self._spot = spot
        self._size = size
        self._waiting = True
        self.over = False
        """Whether its outcome was recorded."""
        self.cancel: Callable[[], object] | None = None
        """Ends the work. It refers to all that belongs to the request, this visit too: so it goes when the request is over."""
        self.trace = trace
        """Metadata for those who are called on its behalf."""
        self._span: Any = None
        if spot.place is not None:
            self._span, self.trace = spot.place.begin(trace)
        if figures is not None:
            figures.pending.alone += 1
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
        if self.over:
            return
        self.over = True
        self.cancel = None
        ended = perf_counter()
        figures, spot = self._figures, self._spot
        if figures is not None:
            figures.pending.alone -= 1
            if sent and count and self._size is not None and spot.record is not None:
                spot.record((self._size, ended - self._began, sent))
            else:
                self._record(figures, sent, ended, count=count)
        if self._span is not None and spot.place is not None:
            spot.place.end(self._span, self._began, ended, failure or ('the Executor failed' if sent is None else ''))

    def _record(self, figures: Figures, sent: int | None, ended: float, *, count: bool) -> None:
        """Records a request of which there isn't everything to record."""
        sizes = self._spot.sizes
        if sizes is not None and self._size is not None:
            sizes.received.record(self._size)
        if sent is not None or figures.is_worker:
            figures.seconds.record(ended - self._began)
        if sizes is not None and sent:
            sizes.sent.record(sent)
        if count:
            (figures.failed if sent is None else figures.successful).add()
