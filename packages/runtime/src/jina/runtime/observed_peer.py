"""A replica whose calls are watched: a span, times and sizes of each call from a gateway, and how many are under way."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from jina.core.calls import EOF
from jina.core.lane import Done, LaneError
from jina.core.measures import BYTES, Ledger, Measures
from jina.core.payloads import Payload
from jina.core.wire import PROCESS_DATA, PROCESS_SINGLE_DATA, STREAM_DOC
from jina.runtime.connections import ConnectionSettings, Peer
from jina.runtime.group import Metadata
from jina.runtime.observation import Observation
from jina.runtime.trace_context import Place
from opentelemetry.trace import SpanKind


class ObservedPeer(Peer):
    """One replica.

    Args:
        address: ``host:port``, with a scheme if TLS is wanted.
        settings: How to connect.
        on_return: Called when the replica answers again after it was down.
        metadata: Sent when the fast lane begins.
        deployment: Name of its Deployment.
        observation: Where to record.
    """

    def __init__(
        self,
        address: str,
        settings: ConnectionSettings,
        on_return: Callable[[], None],
        metadata: Metadata = (),
        *,
        deployment: str,
        observation: Observation,
    ) -> None:
        super().__init__(address, settings, on_return, metadata)
        self._places: dict[str, Place] = {}
        self._labels = {'deployment': deployment, 'address': self.address}
        if observation.spans is not None:
            for method in (PROCESS_SINGLE_DATA, PROCESS_DATA, STREAM_DOC):
                self._places[method] = observation.spans.place(method, SpanKind.CLIENT, self._labels)
        self._usual = self._places.get(PROCESS_SINGLE_DATA)
        self._measures = observation.measures
        self._figures = None if self._measures is None else _Figures(self._measures, self._labels, self)
        self._open_stream = self.stream_doc
        self.stream_doc = self._stream

    async def process(
        self, raw: Payload, *, own: Metadata, more: Metadata, timeout: float | None = None, many: bool = False
    ) -> bytes:
        """Sends one request and returns the response."""
        place = self._places.get(PROCESS_DATA) if many else self._usual
        call = _Call(self._figures, place, len(raw), more)
        answer: bytes | None = None
        failure: BaseException | None = None
        try:
            answer = await super().process(raw, own=own, more=call.metadata, timeout=timeout, many=many)
            return answer
        except BaseException as error:
            failure = error
            raise
        finally:
            call.end(None if answer is None else len(answer), failure)

    def begin(
        self, raw: Payload, done: Done, *, more: Metadata, timeout: float | None = None
    ) -> Callable[[], None] | None:
        """Sends one request on the fast lane and calls ``done`` later; None if ``process`` has to be awaited."""
        if self._lane.missing:
            return None
        call = _Call(self._figures, self._usual, len(raw), more)
        call.done = done
        cancel = self._lane.begin(raw, call, timeout=timeout, metadata=call.metadata)
        if cancel is None:
            return None  # not sent: its span is never ended, and so never seen
        call.cancel = cancel
        return call.abandon

    def _stream(self, raw: bytes, *, timeout: float | None, metadata: Metadata) -> _Stream:
        call = _Call(self._figures, self._places.get(STREAM_DOC), len(raw), metadata)
        return _Stream(self._open_stream(raw, timeout=timeout, metadata=call.metadata), call)

    async def close(self) -> None:
        """Closes the channel."""
        await super().close()
        if self._measures is not None:
            self._measures.forget(_Figures.IN_FLIGHT, self._labels)


class _Figures:
    """The metrics of the calls to one replica."""

    IN_FLIGHT: Final = 'jina_replica_requests_in_flight'

    def __init__(self, measures: Measures, labels: dict[str, str], peer: Peer) -> None:
        self.seconds = measures.distribution(
            'jina_sending_request_seconds', 'Time from sending a request to its answer', labels, unit='s'
        )
        self.sent = measures.distribution(
            'jina_sent_request_bytes', 'Size of a request that was sent', labels, unit='By', bounds=BYTES
        )
        self.received = measures.distribution(
            'jina_received_response_bytes', 'Size of an answer that was received', labels, unit='By', bounds=BYTES
        )
        self.answered = Ledger(self.sent, self.seconds, self.received)
        measures.gauge(self.IN_FLIGHT, 'Requests under way at a replica', labels, read=lambda: float(peer.in_flight))


class _Call:
    """One call under way; calling it finishes one on the fast lane."""

    __slots__ = ('_began', '_figures', '_over', '_place', '_size', '_span', 'cancel', 'done', 'metadata')
    done: Done
    """Takes the answer."""

    def __init__(self, figures: _Figures | None, place: Place | None, size: int, metadata: Metadata) -> None:
        self._figures = figures
        self._place = place
        self._size = size
        self._over = False
        self.cancel: Callable[[], None] | None = None
        """Ends the work of the replica. It refers to this call: so it goes when the call is over."""
        self.metadata = metadata
        """What is sent with it."""
        self._span: Any = None
        if place is not None:
            self._span, sent = place.begin(metadata)
            self.metadata = tuple(sent)
        self._began = perf_counter()

    def __call__(self, answer: bytes, failure: LaneError | None) -> None:
        self.end(None if failure is not None else len(answer), failure)
        self.done(answer, failure)

    def abandon(self) -> None:
        """Ends the work; nobody waits for it any more."""
        cancel = self.cancel
        self.end(None, None)
        if cancel is not None:
            cancel()

    def end(self, received: int | None, failure: BaseException | None) -> None:
        """Records the outcome, once.

        Args:
            received: Bytes of the answer; None if there is none.
            failure: Why there is none; None if it was cancelled.
        """
        if self._over:
            return
        self._over = True
        self.cancel = None
        ended = perf_counter()
        figures = self._figures
        if figures is not None:
            if received is None:
                figures.sent.record(self._size)
            else:
                figures.answered.record((self._size, ended - self._began, received))
        if self._span is not None and self._place is not None:
            failed = '' if received is not None else repr(failure) if failure else 'cancelled'
            self._place.end(self._span, self._began, ended, failed)


class _Stream:
    """The responses of a stream that is watched; the rest of gRPC's call is as it was."""

    def __init__(self, call: Any, watched: _Call) -> None:
        self._call = call
        self._watched = watched
        self._received = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    async def read(self) -> Any:
        """Returns the next response."""
        try:
            response = await self._call.read()
        except BaseException as error:
            self._watched.end(None, error)
            raise
        if response is EOF:
            self._watched.end(self._received, None)
        else:
            self._received += len(response)
        return response

    def cancel(self) -> Any:
        """Ends the call."""
        self._watched.end(None, None)
        return self._call.cancel()
