"""Routes of endpoints: FastAPI describes them, and they answer as plain ASGI without its dependency machinery."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any, Final

import orjson
from fastapi.routing import APIRoute
from jina.core.errors import ConnectError, JinaError
from jina.core.logging.logger import JinaLogger
from jina.core.request import DataRequest
from jina.core.schema import EndpointSchema
from jina.core.trace_headers import trace_of_headers
from jina.runtime.http.bodies import BodyError, EndpointBody, request_model, response_model, with_floats
from jina.runtime.http.rendering import render_error, to_json, untyped_docs
from jina.runtime.service import Cancel, Finished, RequestService
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

EXECUTOR_ERROR: Final = 499
"""Status of a request on which an Executor raised."""
EVENT_STREAM: Final = 'text/event-stream'
"""Media type of server-sent events."""
_WATCH_AFTER_S: Final = 0.5
_JSON_TYPE: Final = (b'content-type', b'application/json')


class ClientGone(Exception):
    """The client closed the connection before it had sent the whole request."""


class Handler:
    """Answers the requests of one endpoint over ASGI.

    Args:
        service: What answers.
        name: The endpoint.
        schema: Its types.
        is_worker: The service is an Executor itself: parameters are checked here.
        with_header: Responses carry the header of the request.
        logger: For failures of the server itself.
    """

    def __init__(
        self,
        service: RequestService,
        name: str,
        schema: EndpointSchema,
        *,
        is_worker: bool,
        with_header: bool,
        logger: JinaLogger,
    ) -> None:
        self._service = service
        self.name = name
        self._is_worker = is_worker
        self._with_header = with_header
        self._logger = logger
        self.schema = schema

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        with contextlib.suppress(ClientGone):
            await self._serve(scope, await read_body(receive), receive, send)

    async def _serve(self, scope: Scope, raw: bytes, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    def failure(self, error: Exception, request_id: str = '') -> tuple[int, bytes]:
        """Returns status and body for what went wrong outside of Executors."""
        if isinstance(error, BodyError):
            return 422, to_json({'detail': error.details})
        status = error.http_status if isinstance(error, JinaError) else 500
        if not isinstance(error, JinaError):
            self._logger.error('%s failed', self.name, exc_info=error)
        return status, render_error(error, request_id)


class PostHandler(Handler):
    """``POST``: documents in, documents out."""

    def __init__(self, service: RequestService, name: str, schema: EndpointSchema, **kwargs: Any) -> None:
        super().__init__(service, name, schema, **kwargs)
        self._body = EndpointBody(schema, service.name if self._is_worker else '')
        # Ids have to differ, not to be secret: the system's random numbers cost as much as the rest of a small request. The
        # generator is of this process alone, whatever an Executor does with that of the module.
        self._random_bits = Random().getrandbits
        self.exchanged: Any = getattr(service, 'exchanged', None)
        """Takes the sizes of a request and its answer; None if nobody records them."""

    async def _serve(self, scope: Scope, raw: bytes, receive: Receive, send: Send) -> None:
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

        def finish(status: int, payload: bytes) -> None:
            if not answer.done():
                answer.set_result((status, payload))

        exchange = Exchange(self, finish)
        exchange.begin(raw, scope['headers'])
        try:
            status, payload = await while_connected(answer, receive)
        except ClientGone:
            exchange.abandon()
            raise
        except asyncio.CancelledError:  # the server stops and this took too long; the task ends with the answer
            exchange.abandon()
            status, payload = exchange.too_late()
        await send_json(send, status, payload)

    def read(self, raw: bytes) -> DataRequest:
        """Makes a request of a body.

        Raises:
            BodyError: It doesn't fit the endpoint.
        """
        body = self._body.parse(raw)
        return body.to_request(self.name, self.schema, typed=self._is_worker, new_id=self._new_id)

    def _new_id(self) -> str:
        return f'{self._random_bits(128):032x}'

    def begin(self, request: DataRequest, finished: Finished) -> Cancel | None:
        """Gives a request to the service; returns what cancels it."""
        return self._service.begin_request(request, finished, with_routes=False)

    def render(self, response: DataRequest) -> tuple[int, bytes]:
        """Returns status and body of the answer."""
        if response.is_error:
            return EXECUTOR_ERROR, orjson.dumps({'detail': response.status.description})
        answer: dict[str, Any] = {'data': response.docs if self._is_worker else untyped_docs(response)}
        answer['parameters'] = with_floats(response.parameters)
        if self._with_header:
            answer['header'] = {'requestId': response.request_id, 'targetExecutor': response.target_executor}
        return 200, to_json(answer)


class Exchange:
    """One request to a :class:`PostHandler`, and its answer.

    Args:
        handler: What reads and answers it.
        finish: Called once with status and body of the answer.
    """

    __slots__ = ('_cancel', '_finish', '_handler', '_over', '_received', '_request_id')

    def __init__(self, handler: PostHandler, finish: Callable[[int, bytes], None]) -> None:
        self._handler = handler
        self._finish = finish
        self._cancel: Cancel | None = None
        self._over = False
        self._request_id = ''

    def begin(self, raw: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Starts to answer a body; may finish at once."""
        try:
            request = self._handler.read(raw)
            self._request_id = request.request_id
            if self._handler.exchanged is not None:
                self._received = len(raw)
                request.trace = trace_of_headers(headers)
            cancel = self._handler.begin(request, self._answered)
        except Exception as error:  # noqa: BLE001 - the edge: everything becomes a response
            self._answered(None, error)
        else:
            if not self._over:
                self._cancel = cancel

    def abandon(self) -> None:
        """Ends the work; nobody waits for the answer."""
        self._over = True
        if self._cancel is not None:
            self._cancel()

    def cut_off(self) -> None:
        """Ends the work with an answer that says so."""
        if not self._over:
            self.abandon()
            self._finish(*self.too_late())

    def too_late(self) -> tuple[int, bytes]:
        """Returns the answer to a request that takes longer than the server lives."""
        error = ConnectError('the server is stopping and the request took too long', hint='send it again')
        return self._handler.failure(error, self._request_id)

    def _answered(self, response: DataRequest | None, error: Exception | None) -> None:
        if self._over:
            return
        self._over = True
        self._cancel = None
        handler = self._handler
        if response is not None:
            try:
                status, payload = handler.render(response)
                if handler.exchanged is not None:
                    handler.exchanged(handler.name, self._received, None if response.is_error else len(payload))
            except Exception as failure:  # noqa: BLE001 - the edge: everything becomes a response
                error = failure
        if error is not None:
            status, payload = handler.failure(error, self._request_id)
        self._finish(status, payload)


class EndpointRoute(APIRoute):
    """A route that FastAPI describes and that a handler answers.

    Args:
        path: The path.
        handler: Answers over ASGI.
        method: ``POST``, or ``GET`` for the document alone as the body of a streaming endpoint.
        with_header: Responses carry a header.
    """

    def __init__(self, path: str, handler: Handler, *, method: str, with_header: bool) -> None:
        schema = handler.schema
        name = path.strip('/') or 'root'
        safe = ''.join(character if character.isalnum() else '_' for character in name)

        async def endpoint(**_: Any) -> None: ...

        options: dict[str, Any] = {}
        body: Any = schema.input_model if method == 'GET' else request_model(safe, schema)
        if schema.is_generator:
            summary, prefix = f'Streaming Endpoint {path}', f'streaming_{method.lower()}'
            options['responses'] = {200: {'content': {EVENT_STREAM: {}}, 'description': 'Server-sent events'}}
            options['response_class'] = Response  # of any type, so that JSON isn't named beside the events
        else:
            summary, prefix = f'Endpoint {path}', 'post'
            options['response_model'] = response_model(safe, schema, with_header=with_header)
        _annotate(endpoint, body)
        super().__init__(
            path,
            endpoint,
            methods=[method],
            summary=summary,
            operation_id=f'{prefix}_{safe}_{method.lower()}',
            name=f'{prefix}_{safe}',
            **options,
        )
        self.app = handler


def _annotate(endpoint: Callable[..., Any], body: Any) -> None:
    """Gives a function the signature that FastAPI reads the body model from."""

    parameter = inspect.Parameter('body', inspect.Parameter.KEYWORD_ONLY, annotation=body)
    endpoint.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]


async def read_body(receive: Receive) -> bytes:
    """Reads the whole body of a request.

    Raises:
        ClientGone: The client closed the connection.
    """
    message = await receive()
    if message['type'] == 'http.request' and not message.get('more_body'):
        body: bytes = message.get('body', b'')
        return body
    chunks: list[bytes] = []
    while True:
        if message['type'] == 'http.disconnect':
            raise ClientGone
        chunks.append(message.get('body', b''))
        if not message.get('more_body'):
            return b''.join(chunks)
        message = await receive()


async def while_connected(work: Awaitable[Any], receive: Receive, *, at_once: bool = False) -> Any:
    """Awaits work and cancels it when the client goes away.

    Args:
        work: What to await.
        receive: The ASGI channel from the client, whose body was read.
        at_once: Watch from the start; otherwise only work that takes long is watched, which costs quick requests nothing.

    Raises:
        ClientGone: The client closed the connection.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    watchers: list[asyncio.Task[None]] = []
    gone = False

    async def watch() -> None:
        nonlocal gone
        message: Message = await receive()
        if message['type'] == 'http.disconnect' and task is not None:
            gone = True
            task.cancel()

    def start() -> None:
        watchers.append(loop.create_task(watch()))

    timer = loop.call_later(0 if at_once else _WATCH_AFTER_S, start)
    try:
        return await work
    except asyncio.CancelledError:
        if gone:
            raise ClientGone from None
        raise
    finally:
        timer.cancel()
        for watcher in watchers:
            watcher.cancel()


async def send_json(send: Send, status: int, payload: bytes) -> None:
    """Sends a whole JSON response."""
    headers = [_JSON_TYPE, (b'content-length', b'%d' % len(payload))]
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': payload})
