"""``POST /post``: a request that names its endpoint in the body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from fastapi.routing import APIRoute
from jina.core.errors import JinaError
from jina.core.logging.logger import JinaLogger
from jina.core.request import DataRequest
from jina.core.schema import EndpointSchema, legacy_document
from jina.core.wire import DEFAULT_ENDPOINT
from jina.runtime.http.bodies import BodyError, sample_document, with_floats
from jina.runtime.http.openapi_models import FAILURES, ErrorModel, PostRequest, PostResponse
from jina.runtime.http.rendering import header_values, route_values, to_json, untyped_docs
from jina.runtime.http.routes import Exchange, Handler, PostHandler
from jina.runtime.service import Cancel, RequestService
from pydantic_core import from_json

PATH: Final = '/post'
OPERATION: Final = 'call_any_endpoint'
"""``operationId`` by which clients know that ``/post`` is this route, and not the endpoint of an Executor."""


class AnyEndpointHandler(PostHandler):
    """Gives each request to the endpoint that it names.

    Args:
        service: What answers.
        find: Returns the handler of an endpoint, that of the default endpoint, or None.
        look_again: Asks for the endpoints once more: an Executor may have come meanwhile.
        missing: Makes the error of a request for an endpoint that isn't there.
        is_worker: The service is an Executor itself.
        logger: For failures of the server itself.
    """

    def __init__(
        self,
        service: RequestService,
        *,
        find: Callable[[str], Handler | None],
        look_again: Callable[[], Awaitable[None]],
        missing: Callable[[str], JinaError],
        is_worker: bool,
        logger: JinaLogger,
    ) -> None:
        legacy = legacy_document()
        super().__init__(
            service, PATH, EndpointSchema(legacy, legacy), is_worker=is_worker, with_header=True, logger=logger
        )
        self._find = find
        self._look_again = look_again
        self._missing = missing

    def start(self, raw: bytes, exchange: Exchange) -> Cancel | None:
        name, raw = _addressed(raw)
        handler = self._find(name)
        if handler is not None:
            return self._start(handler, name, raw, exchange)
        return asyncio.get_running_loop().create_task(self._start_later(name, raw, exchange)).cancel

    async def _start_later(self, name: str, raw: bytes, exchange: Exchange) -> None:
        try:
            await self._look_again()
            handler = self._find(name)
            if handler is None:
                raise self._missing(name)
            exchange.go_on(self._start(handler, name, raw, exchange))
        except Exception as error:  # noqa: BLE001 - the edge: everything becomes a response
            exchange.answered(None, error)

    def _start(self, handler: Handler, name: str, raw: bytes, exchange: Exchange) -> Cancel | None:
        if not isinstance(handler, PostHandler):
            message = f'{name!r} streams its answers: call it at its own path'
            raise BodyError([{'type': 'streams', 'loc': ['body', 'execEndpoint'], 'msg': message, 'input': name}])
        # The default endpoint serves all names, the others their own, however it was written.
        request = handler.read(raw, name if handler.name == DEFAULT_ENDPOINT else handler.name)
        exchange.concerns(request, handler.name)
        return self._service.begin_request(request, exchange.answered)

    def render(self, response: DataRequest) -> tuple[int, bytes]:
        if response.is_error:
            return super().render(response)
        answer = {
            'header': header_values(response.header),
            'parameters': with_floats(response.parameters),
            'routes': [route_values(route) for route in response.routes],
            'data': response.docs if self._is_worker else untyped_docs(response),
        }
        return 200, to_json(answer)


class AnyEndpointRoute(APIRoute):
    """``/post`` as FastAPI describes it.

    Args:
        handler: Answers it.
        name: An endpoint, for an example.
        schema: Its types.
    """

    def __init__(self, handler: AnyEndpointHandler, name: str, schema: EndpointSchema) -> None:
        example = {'execEndpoint': name, 'data': [sample_document(schema)]}

        async def endpoint(body: Any) -> None: ...

        endpoint.__annotations__['body'] = PostRequest
        super().__init__(
            PATH,
            endpoint,
            methods=['POST'],
            summary='Call any endpoint',
            description='The endpoint stands in `execEndpoint`. Its types say what documents look like.',
            operation_id=OPERATION,
            name=OPERATION,
            response_model=PostResponse,
            openapi_extra={'requestBody': {'content': {'application/json': {'example': example}}}},
            responses={404: {'model': ErrorModel, 'description': 'There is no such endpoint'}, **FAILURES},
        )
        self.app = handler


def _addressed(raw: bytes) -> tuple[str, bytes]:
    """Returns the endpoint that a body names, and the body as the endpoint reads it.

    Raises:
        BodyError: It is no JSON object, or the endpoint isn't named by a text.
    """
    try:
        body: Any = from_json(raw)
    except ValueError as error:
        raise BodyError([{'type': 'json_invalid', 'loc': ['body'], 'msg': f'Invalid JSON: {error}'}]) from None
    if not isinstance(body, Mapping):
        raise BodyError([{'type': 'dict_type', 'loc': ['body'], 'msg': 'Input should be an object', 'input': body}])
    header = body.get('header')
    places = (('body', body), ('header', header if isinstance(header, Mapping) else {}))
    name = ''
    for place, values in places:
        for spelling in ('execEndpoint', 'exec_endpoint'):
            found = values.get(spelling)
            if found is not None and not isinstance(found, str):
                where = ['body', spelling] if place == 'body' else ['body', 'header', spelling]
                raise BodyError(
                    [{'type': 'string_type', 'loc': where, 'msg': 'Input should be a valid string', 'input': found}]
                )
            name = name or found or ''
    data = body.get('data')
    if data is None:
        raw = json.dumps({**body, 'data': []}).encode()
    elif isinstance(data, Mapping) and len(data) == 1 and isinstance(data.get('docs'), list):
        raw = json.dumps({**body, 'data': data['docs']}).encode()
    return name or '/', raw
