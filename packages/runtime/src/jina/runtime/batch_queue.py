"""The order of things in dynamic batching: who waits, when a batch is due, and who gets which part of the outcome."""

from __future__ import annotations

import asyncio
import bisect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from jina.core.config import DynamicBatchingOptions
from jina.core.errors import DocumentErrors
from jina.runtime.batch_cost import BatchCost

if TYPE_CHECKING:
    from docarray import DocList

_numbers = count()


@dataclass
class Outcome:
    """What a batch gave."""

    docs: list[Any] = field(default_factory=list)
    kind: type[DocList[Any]] | None = None
    """Type of the list that was returned."""
    result: dict[str, Any] | None = None
    """Dict that was returned instead of documents."""
    errors: Mapping[int, Exception] = field(default_factory=dict)
    """Documents that failed alone, by position."""
    error: Exception | None = None
    """What failed for the whole batch."""


class Run(Protocol):
    """Starts a batch and calls ``done`` later, once, on the event loop; returns what cancels it."""

    def __call__(
        self, docs: list[Any], first: Ticket, waited_s: list[float], done: Callable[[Outcome], None]
    ) -> Callable[[], object]: ...


class Ticket:
    """A request that waits for its documents.

    Args:
        docs: Its documents.
        weights: Their measures; None counts each as 1.
        parameters: Its parameters as the method takes them.
        priority: Higher ones go first.
        tracing_context: The trace that it belongs to.

    Attributes:
        answered: Done when all documents are answered, or when one failed.
        output: The answers.
        kind: Type of the list that the method returned.
        result: Merged dicts that the method returned.
        error: What failed.
        error_trace: Traceback of ``error`` when it was caught.
    """

    def __init__(
        self,
        docs: DocList[Any],
        weights: list[float] | None,
        parameters: Any,
        priority: float,
        tracing_context: Any = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.docs = docs
        self.weights = weights
        self.parameters = parameters
        self.tracing_context = tracing_context
        self.order = (-priority, next(_numbers))
        self.arrived = loop.time()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.output: list[Any] = [None] * len(docs)
        self.kind: type[DocList[Any]] | None = None
        self.result: dict[str, Any] | None = None
        self.error: Exception | None = None
        self.error_trace: TracebackType | None = None
        self.line: Line | None = None
        self.taken = 0
        """Documents that are in a batch already."""
        self.missing = len(docs)
        """Documents without an answer."""
        self.batches: set[Batch] = set()
        self._errors: dict[int, Exception] = {}

    @property
    def weight(self) -> float:
        """Measure of the documents that still wait."""
        if self.weights is None:
            return len(self.docs) - self.taken
        return sum(self.weights[self.taken :])

    def answer(self, start: int, stop: int, outcome: Outcome, offset: int) -> None:
        """Takes its part of the outcome of a batch, whose document ``offset`` is document ``start`` of the request."""
        if self.answered.done():
            return
        if outcome.error is not None:
            self.fail(outcome.error)
            return
        size = stop - start
        self.output[start:stop] = outcome.docs[offset : offset + size]
        self.kind = outcome.kind
        if outcome.result is not None:
            self.result = {**(self.result or {}), **outcome.result}
        if outcome.errors:
            for position in range(size):
                if offset + position in outcome.errors:
                    self._errors[start + position] = outcome.errors[offset + position]
        self.missing -= size
        if not self.missing:
            self._finish()

    def _finish(self) -> None:
        if not self._errors:
            self.answered.set_result(None)
        elif len(self.docs) == 1:
            self.fail(self._errors[0])
        else:
            self.fail(DocumentErrors(self._errors))

    def fail(self, error: Exception) -> None:
        """Ends the wait with an error."""
        self.error = error
        self.error_trace = error.__traceback__
        self.answered.set_result(None)


class Line:
    """Requests with equal parameters, in the order in which they go into batches.

    Args:
        key: What their parameters have in common.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.tickets: list[Ticket] = []
        self.weight = 0.0
        self.oldest = 0.0
        """When the request that waits longest has arrived."""
        self.due = False
        """Whether requests that filled a batch wait still: what is left of them doesn't wait for more."""
        self._due_to = -1
        self._fresh = 0.0

    def add(self, ticket: Ticket, limit: float) -> None:
        """Puts a request behind those of its priority; ``limit`` is the measure of a full batch."""
        if not self.tickets:
            self.oldest = ticket.arrived
        bisect.insort(self.tickets, ticket, key=_order)
        weight = ticket.weight
        self.weight += weight
        self._fresh += weight
        if self._fresh >= limit:
            self.due, self._due_to, self._fresh = True, ticket.order[1], 0.0
        ticket.line = self

    def remove(self, ticket: Ticket) -> None:
        """Takes a request out."""
        self.tickets.remove(ticket)
        self._left(ticket.weight)
        ticket.line = None

    def take(self, limit: float) -> list[tuple[Ticket, int, int]]:
        """Takes the next documents, up to a measure of ``limit``: requests and the range of each. Never nothing."""
        parts: list[tuple[Ticket, int, int]] = []
        taken, whole = 0.0, 0
        for ticket in self.tickets:
            start = ticket.taken
            stop = _fitting(ticket, limit - taken, force=not parts or all(begin == end for _, begin, end in parts))
            if stop == start and start < len(ticket.docs):
                break
            parts.append((ticket, start, stop))
            before = ticket.weight
            ticket.taken = stop
            taken += before - ticket.weight
            if stop < len(ticket.docs):
                break
            whole += 1
        for ticket in self.tickets[:whole]:
            ticket.line = None
        del self.tickets[:whole]
        self._left(taken)
        return parts

    def _left(self, weight: float) -> None:
        if not self.tickets:
            self.weight, self._fresh, self.due = 0.0, 0.0, False
            return
        self.weight -= weight
        self.oldest = min(ticket.arrived for ticket in self.tickets)
        fresh = [ticket for ticket in self.tickets if ticket.order[1] > self._due_to]
        self._fresh = float(sum(ticket.weight for ticket in fresh))
        self.due = len(fresh) < len(self.tickets)


class Batch:
    """Documents of several requests that are with the method.

    Args:
        parts: Requests, and the range of each that is in the batch.
        size: Measure of the documents.
    """

    def __init__(self, parts: list[tuple[Ticket, int, int]], size: float) -> None:
        self.parts = parts
        self.size = size
        self.waiting = len(parts)
        """Requests that have not gone away."""
        self.started = asyncio.get_running_loop().time()
        self.cancel: Callable[[], object] | None = None


class BatchQueue:
    """Collects requests and runs batches of them.

    Args:
        options: When a batch is due, and its size.
        run: Starts a batch.
        slots: Batches that can run at the same time. One more full batch is handed over ahead, so that the next one starts
            without a way through the event loop.
    """

    def __init__(self, options: DynamicBatchingOptions, run: Run, *, slots: int) -> None:
        self._options = options
        self._run = run
        self._slots = slots
        self._window_s = options.timeout / 1000
        self._goal_s = None if options.max_latency_ms is None else options.max_latency_ms / 1000
        self._cost = BatchCost()
        self._lines: dict[str, Line] = {}
        self._running = 0
        self._last_end = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._pump_soon = False
        self._flushing = False

    def add(self, ticket: Ticket, key: str) -> None:
        """Takes a request; ``key`` is equal for those that may share a batch."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(key)
        is_first = not line.tickets
        limit = self._limit()
        line.add(ticket, limit)
        if line.weight >= limit:
            self._pump()
        elif self._flushing or (self._options.run_when_idle and not self._running):
            self._pump_in_a_moment()
        elif is_first or self._goal_s is not None:
            self._set_timer(self._deadline(line))

    def withdraw(self, ticket: Ticket) -> None:
        """Forgets a request whose caller is gone; a batch that nobody waits for any more is cancelled."""
        line = ticket.line
        if line is not None:
            line.remove(ticket)
            if not line.tickets:
                self._lines.pop(line.key, None)
        for batch in tuple(ticket.batches):
            batch.waiting -= 1
            if not batch.waiting and batch.cancel is not None:
                self._abandon(batch)

    def flush(self) -> None:
        """Runs what waits, and from now on lets nothing wait."""
        self._flushing = True
        self._pump()

    def _limit(self) -> float:
        most = float(self._options.preferred_batch_size)
        return most if self._goal_s is None else self._cost.fitting(self._goal_s, most)

    def _deadline(self, line: Line) -> float:
        """When the oldest request of a line has waited long enough."""
        window = self._window_s
        if self._goal_s is not None:
            window = min(window, max(0.0, self._goal_s - self._cost.expected_s(line.weight)))
        return line.oldest + window

    def _pump_in_a_moment(self) -> None:
        """Lets requests that come in the same round of the event loop share a batch."""
        if not self._pump_soon:
            self._pump_soon = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._pump(asyncio.get_running_loop().time() + 0.0005)  # a timer may fire a moment early

    def _pump(self, now: float | None = None) -> None:
        """Runs what is due, as long as there is room, and sets the timer for the rest."""
        self._pump_soon = False
        now = asyncio.get_running_loop().time() if now is None else now
        limit = self._limit()
        while (line := self._next(now, limit)) is not None:
            self._dispatch(line, limit)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines and self._running < self._slots:
            self._set_timer(min(self._deadline(line) for line in self._lines.values()))

    def _next(self, now: float, limit: float) -> Line | None:
        """Returns the line whose batch is next, by priority and then by arrival; None if there is none, or no room."""
        if self._running > self._slots:
            return None
        due = (line for line in self._lines.values() if self._is_due(line, now, limit))
        return min(due, key=_first, default=None)

    def _is_due(self, line: Line, now: float, limit: float) -> bool:
        if line.weight >= limit:
            return True
        # A batch that isn't full gains nothing by being handed over ahead: until its turn others may join it.
        if self._running >= self._slots:
            return False
        idle = self._options.run_when_idle and not self._running
        return line.due or self._flushing or idle or self._deadline(line) <= now

    def _dispatch(self, line: Line, limit: float) -> None:
        before = line.weight
        parts = line.take(math.inf if self._options.flush_all else limit)
        batch = Batch(parts, before - line.weight)
        if not line.tickets:
            del self._lines[line.key]
        self._running += 1
        docs: list[Any] = []
        waited: list[float] = []
        for ticket, start, stop in parts:
            docs.extend(ticket.docs[start:stop] if stop - start < len(ticket.docs) else ticket.docs)
            ticket.batches.add(batch)
            if start == 0:
                waited.append(batch.started - ticket.arrived)
        try:
            batch.cancel = self._run(docs, parts[0][0], waited, partial(self._finished, batch))
        except Exception as error:  # noqa: BLE001 - the batch could not be made: its requests fail
            self._finished(batch, Outcome(error=error))

    def _finished(self, batch: Batch, outcome: Outcome) -> None:
        if batch.waiting < 0:
            return
        now = asyncio.get_running_loop().time()
        if outcome.error is None:
            # A batch that was handed over ahead has waited for the one before it.
            self._cost.measured(batch.size, now - max(batch.started, self._last_end))
        self._last_end = now
        self._running -= 1
        offset = 0
        for ticket, start, stop in batch.parts:
            ticket.batches.discard(batch)
            ticket.answer(start, stop, outcome, offset)
            if ticket.error is not None and ticket.line is not None:
                self.withdraw(ticket)
            offset += stop - start
        self._pump()

    def _abandon(self, batch: Batch) -> None:
        batch.waiting = -1
        self._running -= 1
        if batch.cancel is not None:
            batch.cancel()
        self._pump_in_a_moment()


def _order(ticket: Ticket) -> tuple[float, int]:
    return ticket.order


def _first(line: Line) -> tuple[float, int]:
    return line.tickets[0].order


def _fitting(ticket: Ticket, room: float, *, force: bool) -> int:
    """Returns up to which document a request fits; with ``force`` at least one does."""
    start, size = ticket.taken, len(ticket.docs)
    if ticket.weights is None:
        fits = min(size, start + int(min(room, size)))
    else:
        fits = start
        while fits < size and ticket.weights[fits] <= room:
            room -= ticket.weights[fits]
            fits += 1
    return min(size, start + 1) if force and fits == start else fits
