"""The ASGI application: endpoint routes, health and status, API documentation without a CDN."""

from __future__ import annotations

import asyncio
import contextlib
from importlib.resources import files
from typing import Any, Final, Literal
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.routing import APIRoute
from jina.core.config.groups import HttpServerOptions
from jina.core.enums import PodRoleType
from jina.core.environment import environment_facts, system_facts
from jina.core.errors import ConnectError
from jina.core.logging.logger import JinaLogger
from jina.core.schema import EndpointSchema
from jina.core.version import __version__
from jina.runtime.access import Access
from jina.runtime.dry_run import dry_run_status
from jina.runtime.endpoint_types import endpoint_types
from jina.runtime.http.events import StreamHandler
from jina.runtime.http.guard import Guard, with_security
from jina.runtime.http.rendering import render_error, to_json
from jina.runtime.http.routes import EndpointRoute, Handler, PostHandler, send_json
from jina.runtime.service import RequestService
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

Role = Literal['worker', 'gateway']

DEFAULT_TITLE: Final = 'My Jina Service'
DEFAULT_DESCRIPTION: Final = 'You can set `title` and `description` in your `Deployment` or `Flow`.'
_ASSETS_PATH: Final = '/static-offline-docs'
_PUBLIC_PATHS: Final = frozenset({'/', '/docs', '/redoc', '/openapi.json'})
_DISCOVERY_WAIT_S: Final = 2.0
_REFRESH_INTERVAL_S: Final = 1.0


class ExceptionModel(BaseModel):
    """What an Executor raised."""

    name: str = ''
    args: list[str] = []
    stacks: list[str] = []
    executor: str = ''


class StatusModel(BaseModel):
    """Whether requests can be answered: code 0 if so, else 1."""

    code: int = 0
    description: str = ''
    exception: ExceptionModel | None = None


class InfoModel(BaseModel):
    """Versions and platform, and the environment variables of the framework."""

    jina: dict[str, str]
    envs: dict[str, str]


class HealthModel(BaseModel):
    """Nothing: an answer is enough."""


class Application:
    """Serves a worker or a gateway over ASGI.

    Args:
        service: What answers.
        options: ``title``, ``description`` and ``cors`` are used, where the options have them. Without ``description`` that in the
            ``metas`` of the Executor counts.
        role: What the service is.
        logger: Logger of the process.
        access: Who may call; None for everybody.
    """

    def __init__(
        self, service: RequestService, options: Any, *, role: Role, logger: JinaLogger, access: Access | None = None
    ) -> None:
        self._service = service
        self._is_worker = role == 'worker'
        # A gateway in front of one Deployment's replicas answers as the Executor itself would.
        self._with_header = not self._is_worker and getattr(options, 'pod_role', None) is not PodRoleType.HEAD
        self._logger = logger
        http = options if isinstance(options, HttpServerOptions) else HttpServerOptions()
        self.app = FastAPI(
            title=http.title or DEFAULT_TITLE,
            description=http.description or _description_of(service) or DEFAULT_DESCRIPTION,
            version=__version__,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
        )
        self._handlers: dict[tuple[str, str], Handler] = {}
        origins: list[str] = getattr(options, 'allow_origins', None) or []
        self._cors = http.cors or bool(origins)
        self._protected = access is not None
        self.direct: dict[bytes, PostHandler] = {}
        """Handlers that may be called without ASGI, by path as it stands in the request line."""
        self._endpoint_routes: list[BaseRoute] = []
        self._schemas: dict[str, EndpointSchema] | None = None
        self._refreshed_at = float('-inf')
        self._refreshing: asyncio.Task[None] | None = None
        self._add_pages()
        self._fixed_routes = list(self.app.router.routes)
        self._entry: ASGIApp = self._route if access is None else Guard(self._route, access, self._is_public)
        if self._cors:
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
        """Adds the routes of all endpoints. Of a gateway whose Executors aren't there yet, they are added later."""
        refresh = self.refresh()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(refresh), _DISCOVERY_WAIT_S)

    async def stop(self) -> None:
        """Stops looking for endpoints."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait((self._refreshing,))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one ASGI connection."""
        if scope['type'] == 'http':
            await self._entry(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes requests for endpoints directly to their handlers, and all else through FastAPI."""
        key = (scope['method'], scope['path'])
        handler = self._handlers.get(key)
        if handler is None and not self._is_worker and self._is_unknown(scope):
            await self._refresh_now()
            handler = self._handlers.get(key)
            if handler is None and self._schemas is None:
                error = ConnectError(
                    'the endpoints are not known yet: not every Executor has answered', hint='try again'
                )
                await send_json(send, error.http_status, render_error(error))
                return
        await (handler or self.app)(scope, receive, send)

    def _is_public(self, scope: Scope) -> bool:
        """Tells whether a request needs no key: health, and the pages that ask for one."""
        method, path = scope['method'], scope['path']
        if method not in ('GET', 'HEAD') or ('GET', path) in self._handlers:
            return False
        return path in _PUBLIC_PATHS or path.startswith(f'{_ASSETS_PATH}/')

    def _is_unknown(self, scope: Scope) -> bool:
        return scope['method'] in ('POST', 'GET') and not any(
            route.matches(scope)[0] is not Match.NONE for route in self.app.router.routes
        )

    def refresh(self) -> asyncio.Task[None]:
        """Starts to look for the endpoints again; the task ends when their routes are there."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())
        return self._refreshing

    async def _refresh_now(self) -> None:
        """Asks a gateway again for its endpoints: an Executor may have started or changed meanwhile."""
        if asyncio.get_running_loop().time() - self._refreshed_at >= _REFRESH_INTERVAL_S:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.refresh()), _DISCOVERY_WAIT_S)

    async def _refresh(self) -> None:
        schemas = await endpoint_types(self._service, is_worker=self._is_worker, logger=self._logger)
        self._refreshed_at = asyncio.get_running_loop().time()
        if schemas != self._schemas:
            self._install(schemas)
            self._schemas = schemas

    def _install(self, schemas: dict[str, EndpointSchema]) -> None:
        """Replaces the routes of endpoints."""
        handlers: dict[tuple[str, str], Handler] = {}
        routes: list[BaseRoute] = []
        for name, schema in schemas.items():
            path = f'/{name.lstrip("/")}'
            kind: type[Handler] = StreamHandler if schema.is_generator else PostHandler
            handler = kind(
                self._service,
                name,
                schema,
                is_worker=self._is_worker,
                with_header=self._with_header,
                logger=self._logger,
            )
            for method in ('GET', 'POST') if schema.is_generator else ('POST',):
                handlers[method, path] = handler
                routes.append(EndpointRoute(path, handler, method=method, with_header=self._with_header))
        # Endpoints come first: one called /status replaces the page of that name.
        self.app.router.routes[:] = [*routes, *self._fixed_routes]
        self.app.openapi_schema = None
        self._handlers = handlers
        self.direct.clear()
        if not self._cors:
            for (_, path), handler in handlers.items():
                if isinstance(handler, PostHandler):
                    self.direct[quote(path).encode()] = handler

    def _add_pages(self) -> None:
        app = self.app
        self._add_page('/', self._health, HealthModel, 'Health check')
        self._add_page('/status', self._status, InfoModel, 'Versions, platform and environment')
        self._add_page('/dry_run', self._dry_run, StatusModel, 'Check that requests reach all Executors')
        app.add_route('/openapi.json', self._openapi, include_in_schema=False)
        app.add_route('/docs', self._swagger, include_in_schema=False)
        app.add_route('/redoc', self._redoc, include_in_schema=False)
        assets = files('fastapi_offline') / 'static'
        app.mount(_ASSETS_PATH, StaticFiles(directory=str(assets)), name='static-offline-docs')

    def _add_page(self, path: str, answer: Any, model: type[BaseModel], summary: str) -> None:
        name = path.strip('/') or 'health'
        route = APIRoute(path, answer, methods=['GET'], response_model=model, summary=summary, name=name)
        self.app.router.routes.append(route)

    async def _health(self) -> Response:
        return _json_response({})

    async def _status(self) -> Response:
        return _json_response({'jina': system_facts(), 'envs': environment_facts()})

    async def _dry_run(self) -> Response:
        return _json_response((await dry_run_status(self._service)).to_dict())

    async def _openapi(self, request: Request) -> Response:
        if not self._is_worker:
            await self._refresh_now()
        schema = self.app.openapi()
        if self._protected:
            schema = with_security(schema)
        root = request.scope.get('root_path', '').rstrip('/')
        return _json_response({**schema, 'servers': [{'url': root}]} if root else schema)

    async def _swagger(self, request: Request) -> HTMLResponse:
        root = request.scope.get('root_path', '').rstrip('/')
        return get_swagger_ui_html(
            openapi_url=f'{root}/openapi.json',
            title=f'{self.app.title} - Swagger UI',
            swagger_js_url=f'{root}{_ASSETS_PATH}/swagger-ui-bundle.js',
            swagger_css_url=f'{root}{_ASSETS_PATH}/swagger-ui.css',
            swagger_favicon_url=f'{root}{_ASSETS_PATH}/favicon.png',
        )

    async def _redoc(self, request: Request) -> HTMLResponse:
        root = request.scope.get('root_path', '').rstrip('/')
        return get_redoc_html(
            openapi_url=f'{root}/openapi.json',
            title=f'{self.app.title} - ReDoc',
            redoc_js_url=f'{root}{_ASSETS_PATH}/redoc.standalone.js',
            redoc_favicon_url=f'{root}{_ASSETS_PATH}/favicon.png',
            with_google_fonts=False,
        )


def _json_response(value: Any) -> Response:
    return Response(to_json(value), media_type='application/json')


def _description_of(service: RequestService) -> str:
    """What the metas of a worker's Executor say about it."""
    executor = getattr(service, 'executor', None)
    return (
        str(executor.metas.description or '') if executor is not None and hasattr(executor.metas, 'description') else ''
    )
