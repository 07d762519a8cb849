"""An ASGI application that a user has made, with what a server asks of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import FastAPI
from jina.core.config.groups import HttpServerOptions
from jina.core.errors import JinaError, RemoteError
from jina.core.logging.logger import JinaLogger
from jina.runtime.access import Access
from jina.runtime.http.guard import Guard, route_path, with_security
from jina.runtime.http.rendering import render_error
from jina.runtime.http.routes import PostHandler
from jina.runtime.service import count_refusal
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ['GivenApplication']

_POLICY_VIOLATION = 1008
_ROOT: Scope = {'type': 'http', 'method': 'GET', 'path': '/', 'root_path': '', 'headers': []}


class GivenApplication:
    """Completes an application: health check, answers to errors, CORS, title and description.

    Args:
        app: The application. Of one that isn't made by FastAPI or Starlette only CORS is added.
        options: Of the HTTP server; ``cors``, ``title`` and ``description`` are used.
        logger: Logger of the process.
        access: Who may call; None for everybody. Health checks and the pages that FastAPI makes of a description are for everybody.
        served: Counts those who may not.
    """

    def __init__(
        self, app: ASGIApp, options: Any, logger: JinaLogger, access: Access | None = None, served: Any = None
    ) -> None:
        self.app = app
        self._served = served
        self.direct: dict[bytes, PostHandler] = {}
        """Always empty: no request is answered without ASGI."""
        self.settings: dict[str, Any] = {'lifespan': 'auto', 'ws': 'auto' if _may_speak_websocket(app) else 'none'}
        """Settings of uvicorn that differ from the usual ones."""
        if isinstance(app, Starlette):
            _add_health(app, logger)
            _add_error_handler(app)
        http = options if isinstance(options, HttpServerOptions) else HttpServerOptions()
        if isinstance(app, FastAPI):
            app.title = http.title or app.title
            app.description = http.description or app.description
            if access is not None:
                _describe_key(app)
        self._access = access
        self._entry = app if access is None else Guard(app, access, _needs_no_key(app), served)
        origins: list[str] = getattr(options, 'allow_origins', None) or []
        if http.cors or origins:
            everybody = not origins or '*' in origins
            if everybody:
                logger.warning('CORS is enabled: pages of any origin can call this server')
            self._entry = CORSMiddleware(
                self._entry,
                allow_origins=[] if everybody else origins,
                allow_origin_regex='.*' if everybody else None,
                allow_credentials=True,
                allow_methods=['*'],
                allow_headers=['*'],
            )

    async def start(self) -> None:
        """Does nothing: the application starts with its server."""

    async def stop(self) -> None:
        """Does nothing: the application stops with its server."""

    def refresh(self) -> None:
        """Does nothing: the application has its own routes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one ASGI connection."""
        if scope['type'] == 'http':
            await self._entry(scope, receive, send)
        elif scope['type'] == 'websocket' and not self._lets_in(scope):
            count_refusal(self._served, 'access')
            await receive()
            await send({'type': 'websocket.close', 'code': _POLICY_VIOLATION, 'reason': 'a key is needed'})
        else:
            await self.app(scope, receive, send)

    def _lets_in(self, scope: Scope) -> bool:
        access = self._access
        return (
            access is None
            or access.refusal(scope['headers']) is None
            or access.allows_protocols(scope.get('subprotocols') or ())
        )


def _needs_no_key(app: ASGIApp) -> Callable[[Scope], bool]:
    """Returns what tells whether a request needs no key: health, and the pages of FastAPI, which ask for one."""
    paths = {'/'}
    if isinstance(app, FastAPI) and app.openapi_url:
        redirect = app.swagger_ui_oauth2_redirect_url if app.docs_url else None
        paths.update(page for page in (app.openapi_url, app.docs_url, app.redoc_url, redirect) if page)

    def is_open(scope: Scope) -> bool:
        return scope['method'] in ('GET', 'HEAD') and route_path(scope) in paths

    return is_open


def _describe_key(app: FastAPI) -> None:
    """Has the description of an application say how to send the key, beside what it says itself."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        return with_security(describe())

    app.openapi = openapi  # type: ignore[method-assign]


def _may_speak_websocket(app: ASGIApp) -> bool:
    """Tells whether uvicorn needs its WebSocket server, whose import costs time."""
    return not isinstance(app, Starlette) or not all(isinstance(route, Route) for route in app.router.routes)


def _add_health(app: Starlette, logger: JinaLogger) -> None:
    if any(route.matches(dict(_ROOT))[0] is Match.FULL for route in app.router.routes):
        logger.debug('the application has its own GET /, which answers health checks')
        return

    async def health() -> dict[str, str]:
        return {}

    async def plain_health(_: Request) -> Response:
        return JSONResponse({})

    if isinstance(app, FastAPI):
        app.add_api_route('/', health, methods=['GET'], summary='Health check')
    else:
        app.add_route('/', plain_health, methods=['GET'])


def _add_error_handler(app: Starlette) -> None:
    """Answers errors of Executors and of the network, unless the application does so itself."""
    own = [kind for kind in app.exception_handlers if isinstance(kind, type)]
    if 500 in app.exception_handlers or any(issubclass(JinaError, kind) or issubclass(kind, JinaError) for kind in own):
        return
    app.add_exception_handler(JinaError, _answer_error)


async def _answer_error(_: Request, error: Exception) -> Response:
    status = error.http_status if isinstance(error, JinaError) else 500
    # The traceback of an Executor isn't for clients.
    body = orjson.dumps({'detail': error.description}) if isinstance(error, RemoteError) else render_error(error)
    return Response(body, status, media_type='application/json')
