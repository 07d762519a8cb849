"""What answers the requests of endpoints: plain ASGI, without the dependency machinery of FastAPI, which only describes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from random import Random
from typing import Any, Final

import orjson
from jina.core.errors import ConnectError, JinaError
from jina.core.logging.logger import JinaLogger
from jina.core.request import DataRequest
from jina.core.schema import EndpointSchema
from jina.core.trace_headers import trace_of_headers
from jina.runtime.http.bodies import BodyError, DocumentBody, EndpointBody, with_floats
from jina.runtime.http.rendering import render_error, to_json, untyped_docs
from jina.runtime.service import Cancel, RequestService
from starlette.types import Message, Receive, Scope, Send

EXECUTOR_ERROR: Final = 499
"""Status of a request on which an Executor raised."""
UNSUPPORTED_MEDIA_TYPE: Final = 415
RETRY_AFTER: Final = (b'retry-after', b'1')
"""Header of answers with status 503."""
RETRY_LINE: Final = b': '.join(RETRY_AFTER) + b'\r\n'
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
        success: HTTP status of successful answers.

    Attributes:
        name: The endpoint.
        schema: Its types.
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
        success: int = 200,
    ) -> None:
        self._service = service
        self._is_worker = is_worker
        self._with_header = with_header
        self._logger = logger
        self._success = success
        self.name = name
        self.schema = schema

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        with contextlib.suppress(ClientGone):
            raw = await read_body(receive)
            wrong = wrong_content_type(scope['headers']) if raw else None
            if wrong is None:
                await self._serve(scope, raw, receive, send)
            else:
                await send_json(send, UNSUPPORTED_MEDIA_TYPE, wrong)

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
        await send_json(send, *await self.answer(scope, raw, receive))

    async def answer(self, scope: Scope, raw: bytes, receive: Receive) -> tuple[int, bytes]:
        """Returns status and body of the answer to a request.

        Args:
            scope: The ASGI scope of the request.
            raw: Its body.
            receive: The ASGI channel from the client.

        Raises:
            ClientGone: The client closed the connection.
        """
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

        def finish(status: int, payload: bytes) -> None:
            if not answer.done():
                answer.set_result((status, payload))

        exchange = Exchange(self, finish)
        exchange.begin(raw, scope['headers'])
        try:
            result: tuple[int, bytes] = await while_connected(answer, receive)
        except ClientGone:
            exchange.abandon()
            raise
        except asyncio.CancelledError:  # the server stops and this took too long; the task ends with the answer
            exchange.abandon()
            return exchange.too_late()
        return result

    def start(self, raw: bytes, exchange: Exchange) -> Cancel | None:
        """Gives the request in a body to the service, which calls the exchange back; returns what cancels it.

        Raises:
            BodyError: The body doesn't fit the endpoint.
        """
        request = self.read(raw, self.name)
        exchange.concerns(request, self.name)
        return self._service.begin_request(request, exchange.answered, with_routes=False)

    def read(self, raw: bytes, name: str) -> DataRequest:
        """Makes a request of a body.

        Args:
            raw: The body.
            name: The endpoint that the request is for.

        Raises:
            BodyError: It doesn't fit the endpoint.
        """
        return self._body.parse(raw).to_request(name, self.schema, typed=self._is_worker, new_id=self._new_id)

    def _new_id(self) -> str:
        return f'{self._random_bits(128):032x}'

    def render(self, response: DataRequest) -> tuple[int, bytes]:
        """Returns status and body of the answer."""
        if response.is_error:
            return EXECUTOR_ERROR, orjson.dumps({'detail': response.status.description})
        answer: dict[str, Any] = {'data': response.docs if self._is_worker else untyped_docs(response)}
        answer['parameters'] = with_floats(response.parameters)
        if self._with_header:
            answer['header'] = {'requestId': response.request_id, 'targetExecutor': response.target_executor}
        return self._success, to_json(answer)


class GetHandler(PostHandler):
    """``GET`` for an endpoint that doesn't stream: a document in the query or as the body."""

    def __init__(self, service: RequestService, name: str, schema: EndpointSchema, **kwargs: Any) -> None:
        super().__init__(service, name, schema, **kwargs)
        self._document = DocumentBody(schema, service.name if self._is_worker else '')

    async def answer(self, scope: Scope, raw: bytes, receive: Receive) -> tuple[int, bytes]:
        try:
            body = self._document.parse(raw, scope.get('query_string', b''))
        except BodyError as error:
            return self.failure(error)
        return await super().answer(scope, to_json({'data': body.docs, 'parameters': body.parameters}), receive)


class Exchange:
    """One request to a :class:`PostHandler`, and its answer.

    Args:
        handler: What reads and answers it.
        finish: Called once with status and body of the answer.

    Attributes:
        request_id: Id of the request, once it is known.
    """

    __slots__ = ('_cancel', '_endpoint', '_finish', '_handler', '_headers', '_over', '_received', 'request_id')

    def __init__(self, handler: PostHandler, finish: Callable[[int, bytes], None]) -> None:
        self._handler = handler
        self._finish = finish
        self._cancel: Cancel | None = None
        self._over = False
        self.request_id = ''

    def begin(self, raw: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Starts to answer a body; may finish at once."""
        try:
            if self._handler.exchanged is not None:
                self._received = len(raw)
                self._headers = headers
            cancel = self._handler.start(raw, self)
        except Exception as error:  # noqa: BLE001 - the edge: everything becomes a response
            self.answered(None, error)
        else:
            if not self._over:
                self._cancel = cancel

    def concerns(self, request: DataRequest, endpoint: str) -> None:
        """Notes which request it is, and gives it the trace of its client if somebody records it."""
        self.request_id = request.request_id
        if self._handler.exchanged is not None:
            self._endpoint = endpoint
            request.trace = trace_of_headers(self._headers)

    def go_on(self, cancel: Cancel | None) -> None:
        """Notes what cancels the work from now on."""
        if not self._over:
            self._cancel = cancel
        elif cancel is not None:
            cancel()

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
        return self._handler.failure(error, self.request_id)

    def answered(self, response: DataRequest | None, error: Exception | None) -> None:
        """Finishes with the response of the service, or with what failed instead."""
        if self._over:
            return
        self._over = True
        self._cancel = None
        handler = self._handler
        if response is not None:
            try:
                status, payload = handler.render(response)
                if handler.exchanged is not None:
                    handler.exchanged(self._endpoint, self._received, None if response.is_error else len(payload))
            except Exception as failure:  # noqa: BLE001 - the edge: everything becomes a response
                error = failure
        if error is not None:
            status, payload = handler.failure(error, self.request_id)
        self._finish(status, payload)


def wrong_content_type(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """Returns the body of the answer to a request whose body says that it is something else than JSON, or compressed.

    A page of another origin may send text and forms without asking the browser first, so that is no mere formality.
    """
    wrong = None
    for name, value in headers:
        said = value.partition(b';')[0].strip().lower()
        if name == b'content-encoding' and said not in (b'', b'identity'):
            wrong = f'the body has the content-encoding {said.decode("latin-1")!r}; send it as it is'
        elif name == b'content-type':
            json = said == b'application/json' or (said.startswith(b'application/') and said.endswith(b'+json'))
            if not json:
                kind = said.decode('latin-1')
                wrong = f'the body is {kind!r}; send JSON, with the header content-type: application/json'
    return None if wrong is None else to_json({'detail': wrong})


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


async def send_json(send: Send, status: int, payload: bytes, *more_headers: tuple[bytes, bytes]) -> None:
    """Sends a whole JSON response."""
    headers = [_JSON_TYPE, (b'content-length', b'%d' % len(payload)), *more_headers]
    if status == 503:
        headers.append(RETRY_AFTER)
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': payload})
