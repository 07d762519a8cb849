"""Streaming endpoints over HTTP: one document in, server-sent events out."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timezone
from time import perf_counter
from typing import Any, Final

import orjson
from jina.core.request import SingleDocumentRequest
from jina.core.schema import EndpointSchema
from jina.core.trace_headers import trace_of_headers
from jina.runtime.http.bodies import BodyError, ParsedBody, StreamBody
from jina.runtime.http.rendering import to_json
from jina.runtime.http.routes import EVENT_STREAM, EXECUTOR_ERROR, Handler, send_json, while_connected
from jina.runtime.service import RequestService
from jina.runtime.stream_items import StreamItem, WireItem
from jina.runtime.stream_writer import StreamWriter
from starlette.types import Receive, Scope, Send

PING_INTERVAL_S: Final = 15.0
"""Silence after which a stream sends a comment, so that proxies keep the connection."""
_END: Final = b'event: end\r\n\r\n'
_HEADERS: Final = [
    (b'content-type', f'{EVENT_STREAM}; charset=utf-8'.encode()),
    (b'cache-control', b'no-cache'),
    (b'connection', b'keep-alive'),
    (b'x-accel-buffering', b'no'),
]


class StreamHandler(Handler):
    """A streaming endpoint: ``GET`` with a document as query or body, ``POST`` with the body of any endpoint."""

    def __init__(self, service: RequestService, name: str, schema: EndpointSchema, **kwargs: Any) -> None:
        super().__init__(service, name, schema, **kwargs)
        self._body = StreamBody(schema, service.name if self._is_worker else '')

    async def _serve(self, scope: Scope, raw: bytes, receive: Receive, send: Send) -> None:
        try:
            if scope['method'] == 'POST':
                body = self._body.parse_envelope(raw)
            else:
                body = self._body.parse(raw, scope.get('query_string', b''))
        except BodyError as error:
            await send_json(send, *self.failure(error))
            return
        with contextlib.suppress(asyncio.CancelledError):  # the server stops: cutting off is all that can be done
            await while_connected(self._stream(self._request(body, scope), send), receive, at_once=True)

    def _request(self, body: ParsedBody, scope: Scope) -> SingleDocumentRequest:
        request = SingleDocumentRequest()
        request.exec_endpoint = self.name
        request.trace = trace_of_headers(scope['headers'])
        request.document = body.docs[0]
        if body.parameters:
            request.parameters = body.parameters
        if body.request_id:
            request.request_id = body.request_id
        if body.target_executor:
            request.target_executor = body.target_executor
        return request

    async def _stream(self, request: SingleDocumentRequest, send: Send) -> None:
        events = _Events(send)
        writer = events.writer
        try:
            async with contextlib.aclosing(self._service.stream(request, render=_event_item)) as items:
                async for item in items:
                    if item.is_error:
                        error = EXECUTOR_ERROR, orjson.dumps({'detail': item.status.description})
                        break
                    if not writer.put(item.to_bytes()):
                        await writer.room()
                else:
                    writer.put(_END)
                    error = None
            await events.finish(error)
        except Exception as failure:  # noqa: BLE001 - the edge: everything becomes a response
            await events.finish(self.failure(failure, request.request_id))
        finally:
            events.abandon()


def _event_item(item: StreamItem) -> StreamItem:
    return WireItem(b'event: update\r\ndata: %b\r\n\r\n' % to_json(item.document))


class _Events:
    """One response with events.

    Args:
        send: The ASGI channel to the client.
    """

    def __init__(self, send: Send) -> None:
        self.writer = StreamWriter(self._write, packs=True)
        self._send = send
        self._started = False
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(PING_INTERVAL_S, self._ping)

    async def finish(self, error: tuple[int, bytes] | None) -> None:
        """Ends the response, with an error if there is one: as an event, or by its status if nothing was sent yet."""
        await self.writer.finish()
        if error is not None:
            status, payload = error
            if not self._started:
                await send_json(self._send, status, payload)
                return
            await self._write(b'event: error\r\ndata: %b\r\n\r\n' % payload)
        await self._send({'type': 'http.response.body', 'body': b'', 'more_body': False})

    def abandon(self) -> None:
        """Frees what is held."""
        self._timer.cancel()
        self.writer.abandon()

    async def _write(self, body: bytes) -> None:
        if not self._started:
            self._started = True
            await self._send({'type': 'http.response.start', 'status': 200, 'headers': _HEADERS})
        await self._send({'type': 'http.response.body', 'body': body, 'more_body': True})

    def _ping(self) -> None:
        silent_s = perf_counter() - self.writer.last_put
        if silent_s >= PING_INTERVAL_S:
            silent_s = 0
            with contextlib.suppress(Exception):  # a write that failed is raised where the items are
                self.writer.put(f': ping - {datetime.now(timezone.utc)}\r\n\r\n'.encode())
        self._timer = self._loop.call_later(PING_INTERVAL_S - silent_s, self._ping)
