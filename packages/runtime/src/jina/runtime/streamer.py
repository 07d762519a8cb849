"""``GatewayStreamer``: how a custom gateway sends documents to the Executors of its Flow."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, cast, get_origin

from jina.core.config import GatewayOptions, build, changed
from jina.core.environment import STREAMER_ARGS
from jina.core.errors import ConfigError, LifecycleError, NotStartedError, RemoteError, SchemaError
from jina.core.request import DataRequest, Response, SingleDocumentRequest
from jina.core.schema import doc_list_of
from jina.runtime.batches import Documents, batches_of, check_call, document_of, whole_batch
from jina.runtime.exchange import exchange
from jina.runtime.gateway import GatewayService

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList
    from jina.core.wire import StatusProto
    from pydantic import BaseModel

__all__ = ['ExecutorStreamer', 'Executors', 'GatewayStreamer']

Parameters: TypeAlias = 'Mapping[str, Any] | BaseModel | None'
ReturnType: TypeAlias = 'type[DocList[Any]] | type[BaseDoc] | None'

_DEFAULT_REQUEST_SIZE: Final = 100
_SHARED: Final = (
    'name',
    'graph_description',
    'graph_conditions',
    'deployments_addresses',
    'deployments_metadata',
    'deployments_no_reduce',
    'timeout_send',
    'retries',
    'compression',
    'prefetch',
    'grpc_channel_options',
    'log_config',
)


class GatewayStreamer:
    """Sends documents to the Executors of a Flow, through its graph.

    A gateway finds one in ``self.streamer``; code without access to the gateway calls :meth:`get_streamer`. All methods belong
    to the event loop of the gateway.

    Args:
        options: The graph, the addresses of the Executors, and how to talk to them.
        service: What takes requests through the graph; without it, one is made at the first request.
    """

    _current: ClassVar[GatewayStreamer | None] = None

    def __init__(self, options: GatewayOptions, service: GatewayService | None = None) -> None:
        self._options = options
        self._connection = _Connection(options, service)
        self.executor = Executors(options, self._connection)
        """The Executors by the names of their Deployments."""

    @staticmethod
    def get_streamer() -> GatewayStreamer:
        """Returns the streamer of the gateway that runs in this process, or that has started this process.

        Raises:
            NotStartedError: There is none.
        """
        if GatewayStreamer._current is None:
            text = os.environ.get(STREAMER_ARGS)
            if not text:
                raise NotStartedError(
                    'no gateway runs in this process', hint='call get_streamer() in code that a custom gateway runs'
                )
            GatewayStreamer._current = GatewayStreamer(_from_text(text))
        return GatewayStreamer._current

    def publish(self) -> None:
        """Makes this the streamer that ``get_streamer`` returns, here and in processes that are started from here."""
        GatewayStreamer._current = self
        values = changed(self._options)
        os.environ[STREAMER_ARGS] = json.dumps({name: values[name] for name in _SHARED if name in values})

    def withdraw(self) -> None:
        """Undoes ``publish``."""
        if GatewayStreamer._current is self:
            GatewayStreamer._current = None
            os.environ.pop(STREAMER_ARGS, None)

    async def stream_docs(  # noqa: PLR0913 - the documented signature
        self,
        docs: Documents,
        request_size: int = _DEFAULT_REQUEST_SIZE,
        return_results: bool = False,
        exec_endpoint: str = '/',
        target_executor: str | None = None,
        parameters: Parameters = None,
        results_in_order: bool = False,
        return_type: ReturnType = None,
        prefetch: int | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Sends documents through the graph and yields the results.

        Args:
            docs: The documents, or one.
            request_size: Documents per request; 0 puts all into one.
            return_results: Yield whole responses instead of their documents.
            exec_endpoint: The endpoint.
            target_executor: Regular expression for the names of the Executors that work on the documents; the default is all.
            parameters: Arguments for the Executors: a dict or a pydantic model.
            results_in_order: Yield the results in the order of the requests instead of as they come.
            return_type: Type of the results, ``DocList[MyDoc]``. Without it, a type is made from the schema of the Executors.
            prefetch: Requests that may be under way at the same time, 0 for no limit; by default the option of the gateway.

        Yields:
            The documents of one response each.

        Raises:
            RemoteError: An Executor failed; the results that came before it are yielded.
            TransportError: An Executor can't be reached, or takes too long.
            InputError: ``docs`` hold something else than documents.
            SchemaError: The results don't fit ``return_type``.
        """
        check_call(exec_endpoint, target_executor, request_size, prefetch)
        call = await self._call(exec_endpoint, target_executor, parameters, return_type, whole_responses=return_results)
        whole = whole_batch(docs, request_size)
        if whole is not None:
            result, error = await call.answer(whole)
            if error is not None:
                raise error
            yield result
            return
        window = self._options.prefetch if prefetch is None else prefetch
        results = call.answers(batches_of(docs, request_size), window, results_in_order)
        async with contextlib.aclosing(results):
            async for result, error in results:
                if error is not None:
                    raise error
                yield result

    async def stream(  # noqa: PLR0913 - the documented signature
        self,
        docs: Documents,
        request_size: int = _DEFAULT_REQUEST_SIZE,
        return_results: bool = False,
        exec_endpoint: str = '/',
        target_executor: str | None = None,
        parameters: Parameters = None,
        results_in_order: bool = False,
        return_type: ReturnType = None,
        prefetch: int | None = None,
    ) -> AsyncGenerator[tuple[Any, RemoteError | None], None]:
        """Sends documents through the graph and yields each result with what an Executor raised, if it did.

        Args:
            docs: As for ``stream_docs``, like the other arguments.
            request_size: Documents per request; 0 puts all into one.
            return_results: Yield whole responses instead of their documents.
            exec_endpoint: The endpoint.
            target_executor: Regular expression for the names of the Executors that work on the documents; the default is all.
            parameters: Arguments for the Executors: a dict or a pydantic model.
            results_in_order: Yield the results in the order of the requests instead of as they come.
            return_type: Type of the results, ``DocList[MyDoc]``. Without it, a type is made from the schema of the Executors.
            prefetch: Requests that may be under way at the same time, 0 for no limit; by default the option of the gateway.

        Yields:
            The documents of one response and None; of one on which an Executor failed, the documents as they went in, and the
            error, whose ``name`` is that of the exception.

        Raises:
            TransportError: An Executor can't be reached, or takes too long.
            InputError: ``docs`` hold something else than documents.
            SchemaError: The results don't fit ``return_type``.
        """
        check_call(exec_endpoint, target_executor, request_size, prefetch)
        call = await self._call(exec_endpoint, target_executor, parameters, return_type, whole_responses=return_results)
        whole = whole_batch(docs, request_size)
        if whole is not None:
            yield await call.answer(whole)
            return
        window = self._options.prefetch if prefetch is None else prefetch
        results = call.answers(batches_of(docs, request_size), window, results_in_order)
        async with contextlib.aclosing(results):
            async for result in results:
                yield result

    async def stream_doc(
        self,
        doc: BaseDoc,
        exec_endpoint: str = '/',
        target_executor: str | None = None,
        parameters: Parameters = None,
        return_type: ReturnType = None,
    ) -> AsyncGenerator[tuple[Any, RemoteError | None], None]:
        """Sends one document to an endpoint that streams, and yields what it yields.

        Args:
            doc: The document.
            exec_endpoint: The endpoint.
            target_executor: Regular expression for the names of the Executors that work on the document; the default is all.
            parameters: Arguments for the Executors: a dict or a pydantic model.
            return_type: Type of the results, ``MyDoc``. Without it, a type is made from the schema of the Executors.

        Yields:
            One document each and None; at the end, if an Executor failed, None and the error.

        Raises:
            TransportError: An Executor can't be reached, takes too long, or its stream broke.
        """
        service = self._connection.service or await self._connection.open()
        self._connection.check_loop()
        request = _single_request(doc, exec_endpoint, parameters)
        if target_executor:
            request.target_executor = target_executor
        kind = _Shape(return_type).given or await _output_of(
            service, exec_endpoint, target_executor, doc_list_of(type(doc))
        )
        items = service.stream(request)
        async with contextlib.aclosing(items):
            async for item in items:
                if item.is_error:
                    yield None, _error_of(request.request_id, item.status)
                    return
                yield document_of(item, kind, exec_endpoint), None

    async def process_single_data(self, request: DataRequest, context: object = None) -> DataRequest:
        """Takes one request through the graph and returns the response, with routes and status.

        Args:
            request: The request; it may be changed, and be the response.
            context: Not used; a gRPC method of this name has it.

        Raises:
            TransportError: An Executor can't be reached, or takes too long.
        """
        service = self._connection.service or await self._connection.open()
        self._connection.check_loop()
        return await service.process(request)

    async def _call(
        self,
        endpoint: str,
        target: str | None,
        parameters: Parameters,
        return_type: ReturnType,
        *,
        whole_responses: bool,
    ) -> _Call:
        service = self._connection.service or await self._connection.open()
        self._connection.check_loop()
        return _Call(service, endpoint, target, parameters, _Shape(return_type), whole_responses=whole_responses)

    async def close(self) -> None:
        """Closes the connections, if they are the streamer's own."""
        await self._connection.close()


class Executors(Mapping[str, 'ExecutorStreamer']):
    """The Executors of a Flow by the names of their Deployments.

    Args:
        options: Options of the gateway.
        connection: The way to the Executors.
    """

    def __init__(self, options: GatewayOptions, connection: _Connection) -> None:
        self._streamers = {name: ExecutorStreamer(name, connection) for name in options.deployments_addresses}

    def __getitem__(self, name: str) -> ExecutorStreamer:
        try:
            return self._streamers[name]
        except KeyError:
            near = difflib.get_close_matches(str(name), self._streamers, 1)
            hint = f'did you mean {near[0]!r}?' if near else f'there are {", ".join(self._streamers) or "none"}'
            raise KeyError(f'there is no Executor {name!r}; {hint}') from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._streamers)

    def __len__(self) -> int:
        return len(self._streamers)


class ExecutorStreamer:
    """Sends documents to one Executor alone, whatever the graph says.

    Args:
        name: Name of its Deployment.
        connection: The way to it.
    """

    def __init__(self, name: str, connection: _Connection) -> None:
        self.name = name
        """Name of the Deployment."""
        self._connection = connection

    async def post(
        self,
        inputs: Documents = None,
        request_size: int = _DEFAULT_REQUEST_SIZE,
        on: str = '/',
        parameters: Parameters = None,
        return_type: ReturnType = None,
        prefetch: int = 1000,
    ) -> Any:
        """Sends documents and returns the results.

        Args:
            inputs: The documents, one, or none.
            request_size: Documents per request; 0 puts all into one.
            on: The endpoint.
            parameters: Arguments for the Executor: a dict or a pydantic model.
            return_type: Type of the results: ``DocList[MyDoc]``, or ``MyDoc`` for a single document without its list. Without
                it, a type is made from the schema of the Executor.
            prefetch: Requests that may be under way at the same time, 0 for no limit.

        Raises:
            RemoteError: The Executor failed.
            TransportError: It can't be reached, or takes too long.
            InputError: ``inputs`` hold something else than documents.
            SchemaError: The results don't fit ``return_type``.
        """
        check_call(on, None, request_size, prefetch)
        service = self._connection.service or await self._connection.open()
        self._connection.check_loop()
        shape = _Shape(return_type)

        async def send(batch: DocList[Any]) -> DocList[Any]:
            response = await service.call(self.name, _request(batch, on, parameters))
            if response.is_error:
                raise _error_of(response.request_id, response.status)
            return _docs_of(response, shape.given or await _output_of(service, on, None, type(batch), self.name), on)

        whole = whole_batch(inputs, request_size)
        if whole is not None:
            return shape.joined([await send(whole)])
        parts: list[DocList[Any]] = []
        responses = exchange(batches_of(inputs, request_size), send, window=prefetch, in_order=True)
        async with contextlib.aclosing(responses):
            async for _, docs in responses:
                parts.append(docs)
        return shape.joined(parts)

    async def stream_doc(
        self, inputs: BaseDoc, on: str = '/', parameters: Parameters = None, return_type: ReturnType = None
    ) -> AsyncGenerator[Any, None]:
        """Sends one document to an endpoint that streams, and yields what it yields.

        Args:
            inputs: The document.
            on: The endpoint.
            parameters: Arguments for the Executor: a dict or a pydantic model.
            return_type: Type of the results, ``MyDoc``. Without it, a type is made from the schema of the Executor.

        Raises:
            RemoteError: The Executor failed; the documents that came before it are yielded.
            TransportError: It can't be reached, takes too long, or its stream broke.
        """
        service = self._connection.service or await self._connection.open()
        self._connection.check_loop()
        request = _single_request(inputs, on, parameters)
        kind = _Shape(return_type).given or await _output_of(service, on, None, doc_list_of(type(inputs)), self.name)
        items = service.call_stream(self.name, request)
        async with contextlib.aclosing(items):
            async for item in items:
                if item.is_error:
                    raise _error_of(request.request_id, item.status)
                yield document_of(item, kind, on)


class _Call:
    """One call of ``stream`` or ``stream_docs``."""

    __slots__ = ('_endpoint', '_parameters', '_service', '_shape', '_target', '_whole_responses')

    def __init__(
        self,
        service: GatewayService,
        endpoint: str,
        target: str | None,
        parameters: Parameters,
        shape: _Shape,
        *,
        whole_responses: bool,
    ) -> None:
        self._service = service
        self._endpoint = endpoint
        self._target = target
        self._parameters = parameters
        self._shape = shape
        self._whole_responses = whole_responses

    async def answer(self, batch: DocList[Any]) -> tuple[Any, RemoteError | None]:
        """Sends the documents of one request and returns the result, and what an Executor raised."""
        request = _request(batch, self._endpoint, self._parameters)
        if self._target:
            request.target_executor = self._target
        response = await _begun(self._service, request, with_routes=self._whole_responses)
        if response.is_error:
            error = _error_of(response.request_id, response.status)
            return (_response(response, type(batch)) if self._whole_responses else batch), error
        kind = self._shape.given or await _output_of(self._service, self._endpoint, self._target, type(batch))
        if self._whole_responses:
            return _response(response, kind), None
        return _docs_of(response, kind, self._endpoint), None

    async def answers(
        self, batches: Iterator[DocList[Any]], window: int, in_order: bool
    ) -> AsyncGenerator[tuple[Any, RemoteError | None], None]:
        """Does the same for several requests, of which some are under way at the same time."""
        results = exchange(batches, self.answer, window=window, in_order=in_order)
        async with contextlib.aclosing(results):
            async for _, result in results:
                yield result


class _Connection:
    """The service that a streamer uses: that of the gateway, or its own, made at the first request."""

    def __init__(self, options: GatewayOptions, service: GatewayService | None) -> None:
        self._options = options
        self._owned: GatewayService | None = None
        self._starting: asyncio.Future[None] | None = None
        self._loop = None if service is None else asyncio.get_running_loop()
        self.service = service

    def check_loop(self) -> None:
        """Refuses calls from another event loop, which would wait for ever.

        Raises:
            LifecycleError: This isn't the loop of the gateway.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise LifecycleError(
                'the streamer was called in another event loop than that of its gateway',
                hint='write the endpoint as `async def`, or use asyncio.run_coroutine_threadsafe with the loop of the gateway',
            )

    async def open(self) -> GatewayService:
        """Makes the service and asks the Executors for their endpoints."""
        if self._owned is None:
            self._loop = asyncio.get_running_loop()
            self._owned = GatewayService(self._options)
            self._starting = asyncio.ensure_future(self._owned.start())
        if self._starting is not None:
            self.check_loop()
            await asyncio.shield(self._starting)
        self.service = self._owned
        return self._owned

    async def close(self) -> None:
        owned, self._owned, self._starting = self._owned, None, None
        if owned is not None:
            self.service = None
            await owned.close()


class _Shape:
    """What ``return_type`` asks for."""

    def __init__(self, return_type: ReturnType) -> None:
        self.given: type[DocList[Any]] | None = None
        """The type of a list of documents; None if it follows from the Executors."""
        self._unwrap = False
        if return_type is not None:
            self._read(return_type)

    def _read(self, return_type: Any) -> None:
        from docarray import BaseDoc, DocList  # noqa: PLC0415 - heavy, and not every gateway looks at documents

        kind = get_origin(return_type) or return_type  # DocList[MyDoc] is an alias of a class made for it
        if isinstance(kind, type) and issubclass(kind, DocList):
            self.given = kind
        elif isinstance(kind, type) and issubclass(kind, BaseDoc):
            typed: Any = DocList[kind]  # type: ignore[valid-type]
            self.given, self._unwrap = get_origin(typed) or typed, True
        else:
            raise SchemaError(f'return_type is {return_type!r}', hint='give a document type: MyDoc or DocList[MyDoc]')

    def joined(self, parts: list[DocList[Any]]) -> DocList[Any] | BaseDoc:
        """Returns the documents of all responses; a single one without its list if that was asked for."""
        docs = parts[0]
        for part in parts[1:]:
            docs.extend(part)
        if self._unwrap and len(docs) == 1:
            return cast('BaseDoc', docs[0])
        return docs


async def _begun(service: GatewayService, request: DataRequest, *, with_routes: bool) -> DataRequest:
    """Takes a request through the graph, without a task where that is possible."""
    answer: asyncio.Future[DataRequest] = asyncio.get_running_loop().create_future()

    def finished(response: DataRequest | None, error: Exception | None) -> None:
        if answer.done():
            return
        if response is not None:
            answer.set_result(response)
        else:
            answer.set_exception(error or LifecycleError('the request was lost'))

    cancel = service.begin_request(request, finished, with_routes=with_routes)
    try:
        return await answer
    except asyncio.CancelledError:
        if cancel is not None:
            cancel()
        raise


async def _output_of(
    service: GatewayService, endpoint: str, target: str | None, default: type[DocList[Any]], deployment: str = ''
) -> type[DocList[Any]]:
    """Returns the type that the Executors' schemas say; that of what was sent if nobody answers this endpoint."""
    found = await service.output_type(endpoint, target=target, deployment=deployment)
    return default if found is None else found


def _request(docs: DocList[Any], endpoint: str, parameters: Parameters) -> DataRequest:
    request = DataRequest()
    request.exec_endpoint = endpoint
    request.docs = docs
    if parameters is not None:
        request.parameters = parameters
    return request


def _single_request(doc: BaseDoc, endpoint: str, parameters: Parameters) -> SingleDocumentRequest:
    request = SingleDocumentRequest()
    request.exec_endpoint = endpoint
    request.document = doc
    if parameters is not None:
        request.parameters = parameters
    return request


def _docs_of(response: DataRequest, kind: type[DocList[Any]], endpoint: str) -> DocList[Any]:
    response.document_array_cls = kind
    try:
        return response.docs
    except SchemaError as error:
        name = getattr(kind.doc_type, '__name__', kind.doc_type)
        raise SchemaError(
            f'what came back from {endpoint!r} does not fit return_type=DocList[{name}]: {error.__cause__ or error}',
            hint='pass the type that the endpoint returns as return_type',
        ) from error


def _response(response: DataRequest, kind: type[DocList[Any]]) -> Response:
    whole = Response(response.proto)
    whole.document_array_cls = kind
    return whole


def _error_of(request_id: str, status: StatusProto) -> RemoteError:
    cause = status.exception
    return RemoteError(
        status.description,
        name=cause.name,
        executor=cause.executor,
        request_id=request_id,
        remote_args=tuple(cause.args),
        stacks=tuple(cause.stacks),
    )


def _from_text(text: str) -> GatewayOptions:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f'{STREAMER_ARGS} holds no JSON: {error}', hint='leave it to the gateway that starts this process'
        ) from error
    return build(GatewayOptions, values, where=f'{STREAMER_ARGS}:')
