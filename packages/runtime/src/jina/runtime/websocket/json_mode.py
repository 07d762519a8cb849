"""The subprotocol ``json``: each message is an object as in HTTP, with the endpoint in ``execEndpoint``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from jina.core.document_stream import END, MORE, STREAM_KEY
from jina.core.errors import ConnectError, JinaError, OverloadError, TransportError
from jina.core.logging.logger import JinaLogger
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.schema import EndpointSchema
from jina.core.status import StatusMessage, fill_status
from jina.core.trace_headers import TRACE_KEYS
from jina.core.wire import DEFAULT_ENDPOINT, HeaderProto, StatusProto
from jina.runtime.endpoint_types import endpoint_types, missing_endpoint
from jina.runtime.http.bodies import BodyError, EndpointBody, with_floats
from jina.runtime.http.rendering import header_values, route_values, to_json, untyped_docs
from jina.runtime.service import RequestService
from jina.runtime.stream_items import StreamItem
from jina.runtime.websocket.mode import Reply, begin_stream, begin_task

_DISCOVERY_WAIT_S: Final = 2.0
_REFRESH_INTERVAL_S: Final = 1.0


class _Known(NamedTuple):
    """An endpoint and what reads its bodies."""

    schema: EndpointSchema
    body: EndpointBody


class EndpointCatalog:
    """The endpoints of a service, looked up again when somebody asks for one that isn't there.

    Args:
        service: What has them.
        is_worker: It is an Executor itself.
        logger: Logger of the process.
    """

    def __init__(self, service: RequestService, *, is_worker: bool, logger: JinaLogger) -> None:
        self._service = service
        self._is_worker = is_worker
        self._logger = logger
        self._known: dict[str, _Known] | None = None
        self._refreshed_at = float('-inf')
        self._refreshing: asyncio.Task[None] | None = None

    def find(self, name: str) -> _Known | None:
        """Returns an endpoint, or the one that serves all others; None if neither is known."""
        if self._known is None:
            return None
        return self._known.get(name) or self._known.get(f'/{name.lstrip("/")}') or self._known.get(DEFAULT_ENDPOINT)

    async def look_again(self) -> None:
        """Asks for the endpoints, unless that was done a moment ago."""
        if asyncio.get_running_loop().time() - self._refreshed_at >= _REFRESH_INTERVAL_S:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.refresh()), _DISCOVERY_WAIT_S)

    def refresh(self) -> asyncio.Task[None]:
        """Starts to ask for the endpoints; the task ends when they are there."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())
        return self._refreshing

    async def close(self) -> None:
        """Stops asking."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait((self._refreshing,))

    async def _refresh(self) -> None:
        types = await endpoint_types(self._service, is_worker=self._is_worker, logger=self._logger)
        self._refreshed_at = asyncio.get_running_loop().time()
        owner = self._service.name if self._is_worker else ''
        self._known = {name: _Known(schema, EndpointBody(schema, owner)) for name, schema in types.items()}

    def missing(self, name: str) -> JinaError:
        """Returns the error of a request for an endpoint that isn't there."""
        if self._known is None:
            return ConnectError('the endpoints are not known yet: not every Executor has answered', hint='try again')
        return missing_endpoint(name, self._known)


class JsonMode:
    """Answers JSON with JSON.

    Args:
        service: What answers.
        catalog: Its endpoints.
        is_worker: It is an Executor itself.
        metadata: Headers of the connection; trace context in them travels on to Executors.
    """

    is_text = True

    def __init__(
        self,
        service: RequestService,
        catalog: EndpointCatalog,
        *,
        is_worker: bool,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._service = service
        self._trace = tuple(pair for pair in metadata if pair[0] in TRACE_KEYS)
        self._exchanged: Any = getattr(service, 'exchanged', None)
        self._catalog = catalog
        self._is_worker = is_worker

    def is_end(self, message: bytes | str) -> bool:
        if len(message) > 16:
            return False
        text = message if isinstance(message, str) else message.decode('latin-1')
        return ''.join(text.split()) == '{}'

    def begin(self, message: bytes | str, reply: Reply) -> None:
        asked = _Asked(message)
        if asked.problem is not None:
            reply.finish(_refusal(asked.header, asked.problem))
            return
        known = self._catalog.find(asked.endpoint)
        if known is None:
            begin_task(self._begin_later(asked, reply), reply)
        else:
            self._begin_known(known, asked, reply)

    async def _begin_later(self, asked: _Asked, reply: Reply) -> None:
        await self._catalog.look_again()
        known = self._catalog.find(asked.endpoint)
        if known is None:
            reply.finish(_failure(asked.header, self._catalog.missing(asked.endpoint)))
        else:
            self._begin_known(known, asked, reply)

    def _begin_known(self, known: _Known, asked: _Asked, reply: Reply) -> None:
        header = asked.header
        try:
            request = known.body.parse(asked.raw).to_request(asked.endpoint, known.schema, typed=self._is_worker)
        except BodyError as error:
            reply.finish(_refusal(header, error))
            return
        except Exception as error:  # noqa: BLE001 - what a client sent must not end its other requests
            reply.finish(_failure(header, error))
            return
        header.CopyFrom(request.header)
        request.trace = self._trace
        if known.schema.is_generator or request.parameters.get(STREAM_KEY):
            self._begin_stream(request, reply)
            return

        def finished(response: DataRequest | None, error: Exception | None) -> None:
            if isinstance(error, OverloadError):  # of an Executor: the other requests needn't suffer
                reply.finish(_failure(header, error))
                return
            if response is None:
                fail(error or RuntimeError('a request ended with nothing'))
                return
            try:
                rendered = self._render(response)
                if self._exchanged is not None:
                    self._exchanged(asked.endpoint, len(asked.raw), None if response.is_error else len(rendered))
                reply.finish(rendered)
            except Exception as failure:  # noqa: BLE001 - the edge: everything becomes a response
                reply.finish(_failure(header, failure))

        def fail(error: Exception) -> None:
            if isinstance(error, JinaError) and not isinstance(error, TransportError):
                reply.finish(_failure(header, error))  # what a client sent must not end its other requests
            else:
                reply.fail(error)

        try:
            reply.cancel = self._service.begin_request(request, finished)
        except JinaError as error:
            fail(error)

    def _begin_stream(self, request: DataRequest, reply: Reply) -> None:
        messages = _Messages(request.header)
        docs = request.docs if self._is_worker else untyped_docs(request)
        if len(docs) != 1:
            detail = {
                'type': 'one_document',
                'loc': ['body', 'data'],
                'msg': f'A stream answers one document, got {len(docs)}',
            }
            reply.finish(_refusal(request.header, BodyError([detail])))
            return
        single = SingleDocumentRequest()
        single.header.CopyFrom(request.header)
        single.trace = request.trace
        single.parameters = {key: value for key, value in request.parameters.items() if key != STREAM_KEY}
        single.document = docs[0]
        begin_stream(self._service, single, messages, reply)

    def _render(self, response: DataRequest) -> bytes:
        answer: dict[str, Any] = {
            'header': header_values(response.header, response.status if response.is_error else None),
            'parameters': with_floats(response.parameters),
            'routes': [route_values(route) for route in response.routes],
            'data': [],
        }
        if response.is_error:
            answer['detail'] = response.status.description
        else:
            answer['data'] = response.docs if self._is_worker else untyped_docs(response)
        return to_json(answer)

    def dry_run(self, status: StatusProto) -> bytes:
        if status.code == StatusProto.SUCCESS:
            return b'{}'
        return to_json(StatusMessage(status).to_dict())


class _Asked:
    """What a message says before the types of its endpoint are known.

    Args:
        message: JSON.

    Attributes:
        raw: The body, to be read with the types of the endpoint.
        header: As much of the header as there is.
        problem: Why it is no request.
    """

    def __init__(self, message: bytes | str) -> None:
        self.raw = message.encode() if isinstance(message, str) else message
        self.header = HeaderProto()
        self.problem: BodyError | None = None
        self.endpoint = ''
        try:
            body: Any = orjson.loads(self.raw)
        except orjson.JSONDecodeError as error:
            self.problem = BodyError([{'type': 'json_invalid', 'loc': ['body'], 'msg': f'JSON decode error: {error}'}])
            return
        if not isinstance(body, Mapping):
            self.problem = BodyError([{'type': 'dict_type', 'loc': ['body'], 'msg': 'Input should be an object'}])
            return
        header = body.get('header')
        header = header if isinstance(header, Mapping) else {}
        self.header.request_id = _text(header, 'requestId', 'request_id')
        self.endpoint = (
            _text(body, 'execEndpoint', 'exec_endpoint') or _text(header, 'execEndpoint', 'exec_endpoint') or '/'
        )
        self.header.exec_endpoint = self.endpoint
        if body.get('data') is None:
            self.raw = orjson.dumps({**body, 'data': []})


def _text(values: Mapping[str, Any], *names: str) -> str:
    """Returns the first of some values that is text and can be sent."""
    for name in names:
        value = values.get(name)
        if isinstance(value, str) and value:
            return value.encode('utf-8', 'backslashreplace').decode()
    return ''


class _Messages:
    """The messages of one stream."""

    def __init__(self, header: HeaderProto) -> None:
        self._header = header

    def item(self, item: StreamItem) -> bytes:
        return self._message([item.document], more=True)

    def end(self, status: StatusProto | None = None) -> bytes:
        return self._message([], status, more=False)

    def _message(self, data: list[Any], status: StatusProto | None = None, *, more: bool) -> bytes:
        message: dict[str, Any] = {
            'header': header_values(self._header, status),
            'parameters': {STREAM_KEY: MORE if more else END},
            'routes': [],
            'data': data,
        }
        if status is not None:
            message['detail'] = status.description
        return to_json(message)


def _refusal(header: HeaderProto, error: BodyError) -> bytes:
    """Returns the answer to a body that doesn't fit."""
    status = StatusProto(code=StatusProto.ERROR, description='the message does not fit the endpoint')
    status.exception.name = 'ValidationError'
    return to_json(
        {'header': header_values(header, status), 'parameters': {}, 'routes': [], 'data': [], 'detail': error.details}
    )


def _failure(header: HeaderProto, error: Exception) -> bytes:
    """Returns the answer to a request that failed outside of Executors."""
    status = StatusProto()
    fill_status(status, error)
    del status.exception.stacks[:]
    if isinstance(error, JinaError):
        status.description = str(error)
    return to_json(
        {
            'header': header_values(header, status),
            'parameters': {},
            'routes': [],
            'data': [],
            'detail': status.description,
        }
    )
