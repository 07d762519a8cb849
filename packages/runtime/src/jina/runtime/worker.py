"""One Executor behind a server: dispatch to its methods, threads for the synchronous ones, results and errors."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jina.core.codec import merge_contents
from jina.core.config import ExecutorOptions
from jina.core.endpoints import DEFAULT_ENDPOINT, Endpoint, EndpointTable
from jina.core.errors import JinaError, NotSupportedError, RequestTypeError
from jina.core.executor import BaseExecutor
from jina.core.instrumentation import measures_of
from jina.core.loader import load_executor
from jina.core.logging.logger import JinaLogger
from jina.core.parameters import RESULTS_KEY, parameters_for
from jina.core.payloads import Payload
from jina.core.request import DataRequest, Request, SingleDocumentRequest
from jina.core.schema import EndpointSchema, legacy_document
from jina.core.wire import EndpointsProto
from jina.runtime.answers import read_many, serialise
from jina.runtime.batching import BatchedTable, with_batching
from jina.runtime.fast_lane import Finish, begin_task
from jina.runtime.missing_endpoint import MissingEndpoints, not_streaming
from jina.runtime.service import Cancel, Finished, begin_by_task
from jina.runtime.stream_items import DocumentItem, Render, StreamItem, failed_item, wire_item
from jina.runtime.threaded_generator import ThreadedGenerator
from jina.runtime.threads import CallThreads

if TYPE_CHECKING:
    from docarray import DocList
    from jina.runtime.work_sharing import WorkSharing

QUIET_ERROR_HINT: Final = 'add "--quiet-error" to suppress the exception details'
_LARGE: Final = 1 << 14
"""Bytes from which on documents are decoded and encoded in the thread."""


class WorkerService:
    """Answers requests with the methods of an Executor.

    Synchronous methods run in a thread, one call at a time unless ``allow_concurrent``; asynchronous ones run on the
    event loop. What a method raises is logged and becomes the status of the response.

    Args:
        options: Which Executor, and how to run it.
        logger: Logger of the process; by default one is made from the options.
        instruments: ``tracer``, ``meter`` and ``measures`` of the process, those that it has.

    Raises:
        ConfigError: The Executor or its configuration is wrong.
        Exception: What the Executor's ``__init__`` raises.
    """

    def __init__(
        self,
        options: ExecutorOptions,
        *,
        logger: JinaLogger | None = None,
        instruments: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = options.runtime_name
        self.logger = logger or JinaLogger(
            self.name, log_config=options.log_config, quiet=options.quiet, quiet_error=options.quiet_error
        )
        self.on_fatal: Callable[[BaseException], None] = lambda _: None
        """Called with an exception that ``exit_on_exceptions`` names, after its response is made."""
        self.executor: BaseExecutor = load_executor(options, runtime_name=self.name, instruments=instruments)
        """The loaded Executor."""
        self._class_name = type(self.executor).__name__
        self._deployment = self.name.partition('/')[0]
        self._no_reduce = options.no_reduce
        self._quiet_error = options.quiet_error
        self.fatal = frozenset(options.exit_on_exceptions)
        """Names of the exceptions that end the process."""
        threads = min(32, (os.cpu_count() or 1) + 4) if options.allow_concurrent else 1
        self._threads = CallThreads(threads, f'{self.name}-call')
        self._options = options
        self._sharing: WorkSharing | None = None
        self._table: EndpointTable = with_batching(self.executor, self._threads)
        self._discovery = self._table.discovery()
        self._context_of: Callable[[Sequence[tuple[str, str]]], Any] | None = None
        if self.executor.tracer is not None:
            from jina.runtime.trace_context import context_of  # noqa: PLC0415 - OpenTelemetry, for those who record

            self._context_of = context_of
        measures = measures_of(self.executor)
        if measures is not None:
            measures.gauge(
                'jina_queue_length', 'Calls that run or wait for a thread', read=lambda: float(self._threads.busy)
            )
        self._missing = MissingEndpoints(self.logger.warning)

    @property
    def endpoint_schemas(self) -> dict[str, EndpointSchema]:
        """Types of all endpoints by name. An Executor without endpoints passes documents on at ``/default``."""
        schemas = self._table.schemas
        if not schemas:
            legacy = legacy_document()
            return {DEFAULT_ENDPOINT: EndpointSchema(legacy, legacy)}
        return schemas

    @property
    def has_warm_up(self) -> bool:
        """Whether the Executor has something to do before it answers its first request."""
        return type(self.executor).warm_up is not BaseExecutor.warm_up

    async def start(self) -> None:
        """Warms the Executor up: in the thread of its synchronous methods, or here if ``warm_up`` is ``async def``.

        Raises:
            Exception: What ``warm_up`` raises.
        """
        if self.has_warm_up:
            await self.run(self.executor.warm_up)

    async def run(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Runs a method of the Executor that is no endpoint: in the thread of its synchronous methods, or here if it is ``async def``.

        Raises:
            Exception: What it raises.
        """
        if inspect.iscoroutinefunction(method):
            return await method(*arguments)
        return await self._threads.run(partial(method, *arguments))

    def begin(
        self,
        raw: Payload,
        finish: Finish,
        *,
        many: bool = False,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = None,
        here: bool = False,
    ) -> Callable[[], object] | None:
        """Starts to answer a serialised request, without a task if the method is synchronous.

        Args:
            raw: The request, or a list of requests.
            finish: Called with the serialised response.
            many: It is a list of requests.
            metadata: Metadata of the caller; trace context in it is that of the method.
            timeout: Not needed: the server cancels a call that nobody waits for any more.
            here: Don't give it to another replica.

        Returns:
            What cancels it, None if it is answered already.
        """
        if self._sharing is not None and not (here or many):
            return self._sharing.begin(raw, finish, metadata=metadata, timeout=timeout)
        try:
            if many:
                return begin_task(self._serialised(self.process_many(read_many(raw))), finish)
            request = DataRequest.from_bytes(raw)
        except RequestTypeError as error:
            finish(b'', True, error)
            return None
        if self._context_of is not None:
            request.trace = metadata
        if len(raw) >= _LARGE:
            endpoint = self._table.lookup(request.exec_endpoint)
            if endpoint is not None and _runs_in_thread(endpoint):
                return self._begin_large(request, endpoint, finish)

        def finished(response: DataRequest | None, error: Exception | None) -> None:
            if response is not None:
                finish(*self.serialised(response))
            else:
                finish(b'', True, error if isinstance(error, JinaError) else JinaError(f'Unexpected {error!r}'))

        return self.begin_here(request, finished)

    def begin_request(self, request: DataRequest, finished: Finished, *, with_routes: bool = True) -> Cancel | None:
        """Starts to answer a request, without a task if the method is synchronous.

        Args:
            request: The request; it is the response too.
            finished: Called with it.
            with_routes: Makes no difference: an Executor notes its own visit in any case.

        Returns:
            What cancels it, None if it is answered already.
        """
        if self._sharing is not None:
            return self._sharing.begin_request(request, finished)
        return self.begin_here(request, finished)

    def begin_here(self, request: DataRequest, finished: Finished) -> Cancel | None:
        """The same as ``begin_request``; no other replica gets it."""
        endpoint = self._table.lookup(request.exec_endpoint)
        if endpoint is None or not _runs_in_thread(endpoint):
            return begin_by_task(self._answer(request, None, None), finished)
        try:
            docs = _decode(request, endpoint)
            arguments = self._arguments(endpoint, request, docs, None, None)
        except Exception as error:  # noqa: BLE001 - documents of a client that don't fit are its error, not ours
            finished(self.fail(request, error), None)
            return None

        def done(returned: Any, error: Exception | None) -> None:
            if error is None:
                try:
                    self._keep(request, docs, *endpoint.collect(returned, docs))
                except Exception as raised:  # noqa: BLE001 - the Executor gave something that can't be sent
                    error = raised
            finished(self._routed(request) if error is None else self.fail(request, error), None)

        return self._threads.submit(partial(endpoint.function, **arguments), done).cancel

    def _begin_large(self, request: DataRequest, endpoint: Endpoint, finish: Finish) -> Callable[[], object]:
        """Answers a request whose documents take a while to decode: in the thread, so that the event loop stays free.

        They are decoded when it is their turn. What the method works on is in the processor's cache then, and what waits
        exists once, as bytes.
        """

        def answer() -> tuple[Payload, bool]:
            docs = _decode(request, endpoint)
            returned = endpoint.function(**self._arguments(endpoint, request, docs, None, None))
            self._keep(request, docs, *endpoint.collect(returned, docs))
            return self.serialised(self._routed(request))

        def done(answered: Any, error: Exception | None) -> None:
            finish(*(answered if error is None else serialise(self.fail(request, error))))

        return self._threads.submit(answer, done).cancel

    async def _serialised(self, answer: Awaitable[DataRequest]) -> tuple[Payload, bool]:
        return self.serialised(await answer)

    def serialised(self, response: DataRequest) -> tuple[Payload, bool]:
        """Returns a response as bytes, and whether it is an error."""
        return serialise(response, self._blame)

    async def process(
        self, request: DataRequest, *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers one request; the response is the same object, unless another replica has given it.

        Args:
            request: The request.
            metadata: Metadata of the caller; trace context in it is that of the method.
            timeout: Seconds that the caller still waits; only needed by other replicas.
        """
        if metadata:
            request.trace = metadata
        if self._sharing is not None:
            return await self._sharing.process(request, timeout)
        return await self._answer(request, None, None)

    def is_write(self, exec_endpoint: str) -> bool:
        """Whether a request to an endpoint changes the state of the Executor."""
        endpoint = self._table.lookup(exec_endpoint)
        return endpoint is not None and endpoint.is_write

    async def process_here(self, request: DataRequest) -> DataRequest:
        """The same as ``process``; no other replica gets it."""
        return await self._answer(request, None, None)

    async def process_many(
        self, requests: Sequence[DataRequest], *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers the requests of several branches with one response.

        With ``no_reduce`` the Executor gets them as ``docs_matrix`` and ``docs_map``; otherwise documents are merged by id.

        Args:
            requests: One request per branch, with the branch's Deployment as the last route.
            metadata: Metadata of the caller; trace context in it is that of the method.
            timeout: Not needed: the server cancels a call that nobody waits for any more.
        """
        request = requests[0] if requests else DataRequest()
        if metadata:
            request.trace = metadata
        try:
            matrix, by_name = self.merge(requests)
        except Exception as error:  # noqa: BLE001 - documents of a client that don't fit are its error, not ours
            return self.fail(request, error)
        return await self._answer(request, matrix, by_name)

    def merge(
        self, requests: Sequence[DataRequest]
    ) -> tuple[list[DocList[Any]] | None, dict[str, DocList[Any]] | None]:
        """Puts what the requests of several branches bring into the first of them.

        Args:
            requests: One request per branch, with the branch's Deployment as the last route.

        Returns:
            ``docs_matrix`` and ``docs_map`` if they aren't reduced.

        Raises:
            Exception: The documents of one don't fit the endpoint.
        """
        if len(requests) < 2:
            return None, None
        first = requests[0]
        _merge_parameters(requests)
        endpoint = self._table.lookup(first.exec_endpoint)
        if not self._no_reduce or endpoint is None:
            first.raw_content = merge_contents([request.raw_content for request in requests])
            return None, None
        matrix = [_decode(request, endpoint) for request in requests]
        names = [request.routes[-1].executor if request.routes else '' for request in requests]
        first.docs = endpoint.schema.input_list([doc for docs in matrix for doc in docs])
        return matrix, dict(zip(names, matrix, strict=True))

    def stream(
        self, request: SingleDocumentRequest, *, timeout: float | None = None, render: Render = wire_item
    ) -> AsyncGenerator[StreamItem, None]:
        """Answers one document with those that a generator endpoint yields.

        Args:
            request: The document and the endpoint.
            timeout: Seconds that the caller still waits; only needed by other replicas.
            render: Turns documents into what is sent.
        """
        if self._sharing is not None:
            return self._sharing.stream(request, timeout, render)
        return self.stream_here(request, render)

    async def stream_here(self, request: SingleDocumentRequest, render: Render) -> AsyncGenerator[StreamItem, None]:
        """The same as ``stream``; no other replica gets it."""
        endpoint = self._table.lookup(request.exec_endpoint)
        try:
            if endpoint is None or not endpoint.is_generator:
                raise not_streaming(request.exec_endpoint, {known.name: known.is_generator for known in self._table})
            request.document_cls = endpoint.schema.input_model
            items = endpoint.function(
                **endpoint.arguments({**self._shared(endpoint, request), 'doc': request.document})
            )
            declared = endpoint.schema.output_model

            def form(item: Any) -> StreamItem:
                return render(DocumentItem(item if type(item) is declared else endpoint.check_yielded(item)))

            if endpoint.is_async:
                async with contextlib.aclosing(items):
                    async for item in items:
                        yield form(item)
            else:
                async with contextlib.aclosing(ThreadedGenerator(self._threads, items, form).read()) as formed:
                    async for item in formed:
                        yield item
        except Exception as error:  # noqa: BLE001 - whatever the Executor raises belongs into the stream
            self._log(error, request)
            yield failed_item(request, error, self._class_name)
            self._end_if_fatal(error)

    async def endpoints(self) -> EndpointsProto:
        """Names and schemas of the Executor's endpoints."""
        return self._discovery

    async def dry_run(self) -> None:
        """Returns at once: an Executor that is loaded can answer."""

    def flush(self) -> None:
        """Runs what waits for a batch; from now on nothing waits."""
        if isinstance(self._table, BatchedTable):
            self._table.flush()

    async def share(self, addresses: Sequence[str], grace: float) -> None:
        """Gives requests to other replicas too, whenever they have less to do.

        Args:
            addresses: Where the others are, perhaps none any more.
            grace: Seconds to wait for the answers of those that leave.
        """
        if self._sharing is None:
            from jina.runtime.work_sharing import WorkSharing  # noqa: PLC0415 - few workers do that

            self._sharing = WorkSharing(self, self._options)
        await self._sharing.update(addresses, grace)

    def declare_results(self, response: DataRequest) -> None:
        """Notes the type of the documents in a response that another replica has given."""
        endpoint = self._table.lookup(response.exec_endpoint)
        if endpoint is not None:
            response.document_array_cls = endpoint.schema.output_list

    async def close(self) -> None:
        """Closes the Executor."""
        if self._sharing is not None:
            await self._sharing.close()
        self._threads.close()
        result: Any = self.executor.close()
        if inspect.isawaitable(result):
            await result

    async def _answer(
        self, request: DataRequest, docs_matrix: list[DocList[Any]] | None, docs_map: dict[str, DocList[Any]] | None
    ) -> DataRequest:
        endpoint = self._table.lookup(request.exec_endpoint)
        if endpoint is not None:
            try:
                await self._call(endpoint, request, docs_matrix, docs_map)
            except Exception as error:  # noqa: BLE001 - whatever the Executor raises belongs into the response
                return self.fail(request, error)
        elif len(self._table):
            request.status.description = self._missing.note(request.exec_endpoint, self._table.schemas)
        return self._routed(request)

    def _routed(self, request: DataRequest) -> DataRequest:
        request.add_visit(self._deployment)
        return request

    async def _call(
        self,
        endpoint: Endpoint,
        request: DataRequest,
        docs_matrix: list[DocList[Any]] | None,
        docs_map: dict[str, DocList[Any]] | None,
    ) -> None:
        """Calls the method and puts what it gives into the request."""
        if endpoint.is_generator:
            raise NotSupportedError(
                f'endpoint {endpoint.name!r} streams documents', hint='call it with stream_doc, one document at a time'
            )
        docs = _decode(request, endpoint)
        arguments = self._arguments(endpoint, request, docs, docs_matrix, docs_map)
        if endpoint.mode == 'doc':
            result_docs, result = endpoint.collect_single(await self._call_each(endpoint, arguments, docs), docs)
        else:
            if endpoint.is_async:
                returned = await endpoint.function(**arguments)
            else:
                returned = await self._threads.run(partial(endpoint.function, **arguments))
            result_docs, result = endpoint.collect(returned, docs)
        self._keep(request, docs, result_docs, result)

    def _keep(
        self, request: DataRequest, docs: DocList[Any], result_docs: DocList[Any], result: dict[str, Any] | None
    ) -> None:
        """Puts what a method gave into the request."""
        if result_docs is not docs:
            request.docs = result_docs
        if result is not None:
            parameters = request.parameters
            results = parameters.get(RESULTS_KEY)
            parameters[RESULTS_KEY] = {**(results if isinstance(results, dict) else {}), self.name: result}

    async def _call_each(self, endpoint: Endpoint, shared: dict[str, Any], docs: DocList[Any]) -> list[Any]:
        """Calls a method that takes one document for each of them, in one visit to the thread."""
        arguments = [{**shared, 'doc': doc} for doc in docs]
        if endpoint.is_async:
            return [await endpoint.function(**one) for one in arguments]
        return await self._threads.run(lambda: [endpoint.function(**one) for one in arguments])

    def _arguments(
        self,
        endpoint: Endpoint,
        request: DataRequest,
        docs: DocList[Any],
        docs_matrix: list[DocList[Any]] | None,
        docs_map: dict[str, DocList[Any]] | None,
    ) -> dict[str, Any]:
        """Everything that the method takes; without ``doc``, if it takes one document at a time."""
        available = {**self._shared(endpoint, request), 'docs_matrix': docs_matrix, 'docs_map': docs_map}
        if endpoint.mode != 'doc':
            available['docs'] = docs
        return endpoint.arguments(available)

    def _shared(self, endpoint: Endpoint, request: Request) -> dict[str, Any]:
        """What every kind of method may take."""
        if endpoint.accepts is not None and 'parameters' not in endpoint.accepts:
            return {'tracing_context': self._tracing_context(request)}
        bound = endpoint.bind_parameters(parameters_for(self._deployment, request.parameters))
        return {'parameters': bound, 'tracing_context': self._tracing_context(request)}

    def _tracing_context(self, request: Request) -> Any:
        """What new spans of the method take as their parent."""
        return None if self._context_of is None else self._context_of(request.trace)

    def fail(self, request: DataRequest, error: Exception) -> DataRequest:
        """Logs an error and makes it the answer to a request."""
        self._log(error, request)
        request.add_exception(error, self._class_name)
        self._end_if_fatal(error)
        return request

    def _blame(self, error: JinaError, request: Request) -> str:
        """Logs that what a method gave can't be sent; returns whose method."""
        self._log(error, request)
        return self._class_name

    def _log(self, error: Exception, request: Request) -> None:
        ids = _trace_ids(request)
        if self._quiet_error:
            self.logger.error('%r', error, extra=ids)
        else:
            self.logger.error('%r\n%s', error, QUIET_ERROR_HINT, exc_info=error, extra=ids)

    def _end_if_fatal(self, error: Exception) -> None:
        if self.fatal and not self.fatal.isdisjoint(kind.__name__ for kind in type(error).__mro__):
            self.logger.error('%s ends because exit_on_exceptions names %s', self.name, type(error).__name__)
            self.on_fatal(error)


def _trace_ids(request: Request) -> dict[str, str]:
    """What a log line says of the trace of a request; it is written after the span has ended."""
    for key, value in request.trace:
        if key == 'traceparent' and value.count('-') == 3:
            _, trace_id, span_id, _ = value.split('-')
            return {'trace_id': trace_id, 'span_id': span_id}
    return {}


def _runs_in_thread(endpoint: Endpoint) -> bool:
    """Tells whether a request is one synchronous call of a method that takes a list of documents."""
    return not (endpoint.is_async or endpoint.is_generator or endpoint.mode == 'doc')


def _decode(request: DataRequest, endpoint: Endpoint) -> DocList[Any]:
    request.document_array_cls = endpoint.schema.input_list
    return request.docs


def _merge_parameters(requests: Sequence[DataRequest]) -> None:
    """Gathers the results of all branches in the first request."""
    results: dict[str, Any] = {}
    for request in requests:
        found = request.parameters.get(RESULTS_KEY)
        if isinstance(found, dict):
            results.update(found)
    if results:
        requests[0].parameters[RESULTS_KEY] = results
