"""Routes of endpoints as FastAPI describes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import orjson
from fastapi import Query
from fastapi.routing import APIRoute
from jina.core.schema import EndpointSchema
from jina.runtime.http.bodies import query_fields, request_model, response_model
from jina.runtime.http.events import EVENT_STREAM
from jina.runtime.http.openapi_models import FAILURES
from jina.runtime.http.routes import (
    EXECUTOR_ERROR,
    UNSUPPORTED_MEDIA_TYPE,
    ClientGone,
    Handler,
    PostHandler,
    read_body,
    wrong_content_type,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_OF_RESPONSE: Final = frozenset(
    {
        'response_model',
        'response_class',
        'response_model_include',
        'response_model_exclude',
        'response_model_exclude_unset',
        'response_model_exclude_defaults',
        'response_model_exclude_none',
        'response_model_by_alias',
    }
)
"""What FastAPI does to an answer."""
_RUN_BY_FASTAPI: Final = _OF_RESPONSE | {'dependencies'}


def needs_fastapi(options: Mapping[str, Any]) -> bool:
    """Tells whether a route has options that FastAPI has to carry out, and not only to describe."""
    return not _RUN_BY_FASTAPI.isdisjoint(options)


def without_effect(options: Mapping[str, Any], schema: EndpointSchema) -> list[str]:
    """Returns the settings that do nothing to an endpoint: a stream has no answer that FastAPI could change."""
    return sorted(_OF_RESPONSE.intersection(options)) if schema.is_generator else []


class EndpointRoute(APIRoute):
    """A route that FastAPI describes and that a handler answers.

    Args:
        path: The path.
        handler: Answers over ASGI.
        method: The HTTP method. With ``GET`` a document is in the query or is the body, otherwise the body is as for all endpoints.
        with_header: Responses carry a header.
        options: Settings of FastAPI's routes.
    """

    def __init__(
        self,
        path: str,
        handler: Handler,
        *,
        method: str,
        with_header: bool,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        schema = handler.schema
        name = path.strip('/') or 'root'
        safe = ''.join(character if character.isalnum() else '_' for character in name)

        async def endpoint(**_: Any) -> None: ...

        settings: dict[str, Any] = {}
        prefix = 'post'
        if schema.is_generator:
            prefix = f'streaming_{method.lower()}'
            settings['summary'] = f'Streaming Endpoint {path}'
            settings['response_class'] = Response  # of any type, so that JSON isn't named beside the events
        else:
            settings['summary'] = f'Endpoint {path}'
            settings['response_model'] = response_model(safe, schema, with_header=with_header)
        settings['operation_id'] = f'{prefix}_{safe}_{method.lower()}'
        settings['name'] = f'{prefix}_{safe}'
        given = _in_pythons_form(options or {})
        if schema.is_generator:
            given = {name: value for name, value in given.items() if name not in _OF_RESPONSE}
        if 'generate_unique_id_function' in given:
            settings.pop('operation_id')
        success = given.get('status_code', 200)
        responses: dict[int | str, dict[str, Any]] = dict(FAILURES)
        if schema.is_generator:
            description = given.get('response_description') or 'Server-sent events'
            responses[success] = {'content': {EVENT_STREAM: {}}, 'description': description}
        settings.update(given)
        settings['responses'] = {**responses, **given.get('responses', {})}
        _annotate(endpoint, _signature(safe, schema, method))
        super().__init__(path, endpoint, methods=[method], **settings)
        self.app = handler
        if needs_fastapi(given):
            self.app = _run_by_fastapi(self, handler, settings, shapes=not _OF_RESPONSE.isdisjoint(given))


def _run_by_fastapi(route: APIRoute, handler: Handler, settings: Mapping[str, Any], *, shapes: bool) -> Any:
    """Returns an application that runs dependencies before a handler, and makes of its answer what FastAPI would.

    Args:
        route: The route that is described.
        handler: Answers it.
        settings: Those of the route.
        shapes: FastAPI changes what the handler answers.
    """

    async def answer(request: Request) -> Any:
        if not (shapes and isinstance(handler, PostHandler)):
            return _Handled(handler)
        try:
            raw = await read_body(request.receive)
            wrong = wrong_content_type(request.scope['headers']) if raw else None
            if wrong is not None:
                return Response(wrong, UNSUPPORTED_MEDIA_TYPE, media_type='application/json')
            status, payload = await handler.answer(request.scope, raw, request.receive)
        except ClientGone:
            return Response(status_code=EXECUTOR_ERROR)  # to nobody
        if status != settings.get('status_code', 200):
            return Response(payload, status, media_type='application/json')
        return orjson.loads(payload)

    used = {name: settings[name] for name in (*_RUN_BY_FASTAPI, 'status_code') if name in settings}
    return APIRoute(route.path, answer, methods=list(route.methods or ()), **used).app


class _Handled(Response):
    """The response of a handler, which writes it itself."""

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._handler(scope, receive, send)


def _in_pythons_form(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns route options as FastAPI takes them: without what the server does itself."""
    found = {name: value for name, value in options.items() if name not in ('http_path', 'methods')}
    for name in ('response_model_include', 'response_model_exclude'):
        if name in found:
            found[name] = _field_names(found[name])
    return found


def _field_names(value: Any) -> Any:
    """Makes sets of lists of names: JSON and YAML have no sets."""
    if isinstance(value, Mapping):
        return {key: _field_names(item) for key, item in value.items()}
    return set(value) if isinstance(value, (list, tuple)) else value


def _signature(safe: str, schema: EndpointSchema, method: str) -> list[inspect.Parameter]:
    """Returns the parameters that FastAPI reads the description of a request from."""
    if method != 'GET':
        return [_parameter('body', request_model(safe, schema))]
    fields = query_fields(schema)
    if fields is None:
        return [_parameter('body', schema.input_model)]
    parameters = [
        _parameter(name, Annotated[kind, Query(description=text)], default) for name, kind, default, text in fields
    ]
    if all(parameter.name != 'parameters' for parameter in parameters):
        text = 'Parameters of the endpoint: a JSON object'
        parameters.append(_parameter('parameters', Annotated[str | None, Query(description=text)], None))
    return parameters


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _annotate(endpoint: Callable[..., Any], parameters: list[inspect.Parameter]) -> None:
    """Gives a function the signature that FastAPI reads."""
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
