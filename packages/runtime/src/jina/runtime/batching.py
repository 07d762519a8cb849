"""Dynamic batching: requests to an endpoint wait for each other and are answered by one call of its method.

An endpoint with batching is replaced, when the worker starts, by one whose function joins the next batch. So everything
in front of it, and every endpoint without batching, works as if there were none.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from jina.core.endpoints import Endpoint, EndpointTable
from jina.core.errors import DocumentErrors, SchemaError
from jina.core.executor import BaseExecutor
from jina.core.instrumentation import recorded, recorded_seconds
from jina.core.measures import ITEMS
from jina.runtime.batch_queue import BatchQueue, Outcome, Ticket
from jina.runtime.threads import CallThreads
from pydantic import BaseModel

if TYPE_CHECKING:
    from docarray import DocList

_Done: TypeAlias = 'Callable[[Any, Exception | None], None]'
_UNLIMITED: Final = 1 << 30


@dataclass(frozen=True)
class BatchedParameters:
    """The parameters of one request on their way into a batch."""

    bound: Any
    """As the method takes them."""
    key: str
    """Equal for requests that may share a batch."""
    priority: float


@dataclass(frozen=True)
class BatchedEndpoint(Endpoint):
    """An endpoint whose function waits for a batch; it takes ``docs`` and ``parameters`` and returns what ``collect`` gives."""

    sees_parameters: bool = True
    priority_parameter: str | None = None

    def bind_parameters(self, parameters: dict[str, Any]) -> Any:
        """Returns the parameters with what decides about the batch.

        Raises:
            pydantic.ValidationError: They don't fit the annotated model.
            ValueError: The priority is no number.
        """
        priority = 0.0
        if self.priority_parameter is not None and self.priority_parameter in parameters:
            parameters = dict(parameters)
            priority = _number(parameters.pop(self.priority_parameter), self.priority_parameter)
        if not self.sees_parameters:
            return BatchedParameters(None, '', priority)
        bound = super().bind_parameters(parameters)
        if not bound:
            return BatchedParameters(bound, '', priority)
        plain = bound.model_dump(mode='python') if isinstance(bound, BaseModel) else bound
        return BatchedParameters(bound, json.dumps(plain, sort_keys=True, default=repr), priority)

    def collect(self, result: Any, docs: DocList[Any]) -> tuple[DocList[Any], dict[str, Any] | None]:
        """Returns what the batch gave to this request."""
        return cast('tuple[DocList[Any], dict[str, Any] | None]', result)


class EndpointBatcher:
    """Runs the batches of one endpoint.

    Args:
        endpoint: The endpoint, with ``batching``.
        executor: The Executor; its meter gets size and waiting time.
        threads: Where synchronous methods run, and how many at the same time.
    """

    def __init__(self, endpoint: Endpoint, executor: BaseExecutor, threads: CallThreads) -> None:
        if endpoint.batching is None:
            raise ValueError(f'{endpoint.name!r} has no dynamic batching')
        self._endpoint = endpoint
        self._batching = endpoint.batching
        self._threads = threads
        self._observe = _observer(executor, endpoint.name)
        slots = _UNLIMITED if endpoint.is_async else threads.size
        self._queue = BatchQueue(self._batching.options, self._run, slots=slots)

    def replacement(self) -> BatchedEndpoint:
        """The endpoint that a worker calls instead."""
        values = {field.name: getattr(self._endpoint, field.name) for field in dataclasses.fields(Endpoint)}
        return BatchedEndpoint(
            **{
                **values,
                'function': self._join,
                'accepts': frozenset({'docs', 'parameters', 'tracing_context'}),
                'is_async': True,
                'sees_parameters': self._endpoint.accepts is None or 'parameters' in self._endpoint.accepts,
                'priority_parameter': self._batching.options.priority_parameter,
            }
        )

    def flush(self) -> None:
        """Runs what waits, and from now on lets nothing wait: the worker stops."""
        self._queue.flush()

    async def _join(self, docs: DocList[Any], parameters: BatchedParameters, tracing_context: Any = None) -> Any:
        metric = self._batching.metric
        weights = None if metric is None else [_number(metric(doc), 'custom_metric') for doc in docs]
        ticket = Ticket(docs, weights, parameters.bound, parameters.priority, tracing_context)
        self._queue.add(ticket, parameters.key)
        try:
            await ticket.answered
        except asyncio.CancelledError:
            self._queue.withdraw(ticket)
            raise
        if ticket.error is not None:
            # All requests of a batch raise the same exception: it must not gather the traces of all of them.
            raise ticket.error.with_traceback(ticket.error_trace)
        return self._own_docs(ticket), ticket.result

    def _own_docs(self, ticket: Ticket) -> DocList[Any]:
        docs = ticket.docs
        if all(map(_is, ticket.output, docs)):
            return docs
        kind = ticket.kind or self._endpoint.schema.output_list
        return kind(ticket.output)

    def _run(
        self, docs: list[Any], first: Ticket, waited_s: list[float], done: Callable[[Outcome], None]
    ) -> Callable[[], object]:
        """Calls the method with a batch; returns what cancels it. Its span belongs to the trace of the first request."""
        parameters = first.parameters
        self._observe(len(docs), waited_s)
        batch = self._endpoint.schema.input_list(docs)
        available = {
            'docs': batch,
            'parameters': dict(parameters) if isinstance(parameters, dict) else parameters,
            'tracing_context': first.tracing_context,
            'docs_matrix': None,
            'docs_map': None,
        }
        arguments = self._endpoint.arguments(available)

        def finished(returned: Any, error: Exception | None) -> None:
            done(self._outcome(batch, len(docs), returned, error))

        if self._endpoint.is_async:
            return _start_task(self._endpoint.function(**arguments), finished)
        return self._threads.submit(lambda: self._endpoint.function(**arguments), finished).cancel

    def _outcome(self, batch: DocList[Any], size: int, returned: Any, error: Exception | None) -> Outcome:
        """Sorts out what the method returned or raised for the whole batch."""
        errors: dict[int, Exception] = {}
        try:
            if isinstance(error, DocumentErrors):
                errors, returned, error = _checked_errors(error, size), error.docs, None
            if error is not None:
                return Outcome(error=error)
            docs, result = self._endpoint.collect(returned, batch)
            if len(docs) != size:
                raise SchemaError(
                    f'endpoint {self._endpoint.name!r} returned {len(docs)} documents for a batch of {size}',
                    hint='with dynamic batching return one document for each that came in, in the same order',
                )
        except Exception as raised:  # noqa: BLE001 - what the Executor gave can't be used: its batch fails
            return Outcome(error=raised)
        return Outcome(list(docs), type(docs), result, errors)


class BatchedTable(EndpointTable):
    """The endpoints of a worker, with batching where it is configured.

    Args:
        executor: The Executor.
        threads: Where synchronous methods run.
    """

    def __init__(self, executor: BaseExecutor, threads: CallThreads) -> None:
        self._batchers: list[EndpointBatcher] = []
        super().__init__(self._batched(endpoint, executor, threads) for endpoint in executor.endpoints)

    def _batched(self, endpoint: Endpoint, executor: BaseExecutor, threads: CallThreads) -> Endpoint:
        if endpoint.batching is None:
            return endpoint
        batcher = EndpointBatcher(endpoint, executor, threads)
        self._batchers.append(batcher)
        return batcher.replacement()

    def flush(self) -> None:
        """Runs what waits for a batch, and lets nothing wait any more."""
        for batcher in self._batchers:
            batcher.flush()


def with_batching(executor: BaseExecutor, threads: CallThreads) -> EndpointTable:
    """Returns the endpoints of an Executor as a worker calls them; see :class:`BatchedTable`."""
    if any(endpoint.batching is not None for endpoint in executor.endpoints):
        return BatchedTable(executor, threads)
    return executor.endpoints


def _is(one: object, other: object) -> bool:
    return one is other


def _number(value: Any, what: str) -> float:
    number = float(value) if isinstance(value, (int, float)) or hasattr(value, '__float__') else math.nan
    if not math.isfinite(number):
        raise ValueError(f'{what} is {value!r}; it must be a number')
    return number


def _checked_errors(error: DocumentErrors, size: int) -> dict[int, Exception]:
    wrong = [
        position
        for position, cause in error.errors.items()
        if not (isinstance(position, int) and 0 <= position < size and isinstance(cause, Exception))
    ]
    if wrong:
        raise SchemaError(
            f'DocumentErrors has no exception for a document at {wrong[0]!r}; the batch has {size}',
            hint='map positions in docs to exceptions',
        ) from error
    return error.errors


def _start_task(call: Any, finished: _Done) -> Callable[[], object]:
    task: asyncio.Task[Any] = asyncio.ensure_future(call)

    def done(_: asyncio.Task[Any]) -> None:
        if task.cancelled():
            finished(None, RuntimeError('the call was cancelled'))
            return
        error = task.exception()
        if error is not None and not isinstance(error, Exception):
            error = RuntimeError(f'the method raised {error!r}')
        finished(None if error else task.result(), error)

    task.add_done_callback(done)
    return task.cancel


def _observer(executor: BaseExecutor, endpoint: str) -> Callable[[int, list[float]], None]:
    """Returns what records size and waiting times of a batch; without a meter it does nothing."""
    sizes = recorded(executor, 'batch_size', 'Documents in a batch', endpoint, unit='', bounds=ITEMS)
    waiting = recorded_seconds(executor, 'batch_waiting_seconds', 'Time that a request waited for its batch', endpoint)
    if sizes is None or waiting is None:
        return lambda size, waited_s: None

    def observe(size: int, waited_s: list[float]) -> None:
        sizes(size)
        for one in waited_s:
            waiting(one)

    return observe
