"""The ASGI application: endpoint routes, health and status, API documentation without a CDN."""

from __future__ import annotations

import asyncio
import contextlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.routing import APIRoute
from jina.core.config.groups import HttpServerOptions
from jina.core.enums import PodRoleType
from jina.core.environment import environment_facts, system_facts
from jina.core.errors import ConnectError, JinaError, MissingExtraError
from jina.core.logging.logger import JinaLogger
from jina.core.schema import EndpointSchema
from jina.core.version import __version__
from jina.runtime import grpc_traffic
from jina.runtime.access import Access
from jina.runtime.dry_run import dry_run_status
from jina.runtime.endpoint_types import endpoint_types, missing_endpoint
from jina.runtime.http.any_endpoint import AnyEndpointHandler
from jina.runtime.http.events import StreamHandler
from jina.runtime.http.guard import Guard, route_path, with_security
from jina.runtime.http.openapi_models import HealthModel, InfoModel, StatusModel
from jina.runtime.http.rendering import render_error, to_json
from jina.runtime.http.route_table import RouteTable
from jina.runtime.http.routes import GetHandler, Handler, PostHandler, send_json
from jina.runtime.service import RequestService
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from jina.runtime.http.graphql.endpoint import GraphQLEndpoint

Role = Literal['worker', 'gateway']

DEFAULT_TITLE: Final = 'My Jina Service'
DEFAULT_DESCRIPTION: Final = 'You can set `title` and `description` in your `Deployment` or `Flow`.'
_ASSETS_PATH: Final = '/static-offline-docs'
_CONTENT_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    'worker-src blob:'
)
_PUBLIC_PATHS: Final = frozenset({'/', '/docs', '/redoc', '/openapi.json'})
_DISCOVERY_WAIT_S: Final = 2.0
_REFRESH_INTERVAL_S: Final = 1.0


class Application:
    """Serves a worker or a gateway over ASGI.

    Args:
        service: What answers.
        options: Those of ``HttpServerOptions`` are used, where the options have them. Without ``description`` that in the ``metas`` of
            the Executor counts.
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
        self._http = http
        self._table: RouteTable | None = None
        self._any_endpoint = AnyEndpointHandler(
            service,
            find=self._find,
            look_again=self._look_again,
            missing=self._missing,
            is_worker=self._is_worker,
            logger=logger,
        )
        origins: list[str] = getattr(options, 'allow_origins', None) or []
        self._cors = http.cors or bool(origins)
        self._protected = access is not None
        self.direct: dict[bytes, PostHandler] = {}
        """Handlers that may be called without ASGI, by path as it stands in the request line."""
        self.settings: dict[str, Any] = {}
        """Settings of uvicorn that differ from the usual ones."""
        self._extended: ASGIApp | None = None
        self._schemas: dict[str, EndpointSchema] | None = None
        self._refreshed_at = float('-inf')
        self._refreshing: asyncio.Task[None] | None = None
        self._graphql = self._graphql_endpoint() if http.expose_graphql_endpoint else None
        self._add_pages()
        self._fixed_routes = list(self.app.router.routes)
        self._entry: ASGIApp = self._route if access is None else Guard(self._route, access, self._is_public, service)
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

    def extend(self, app: ASGIApp) -> None:
        """Sends every request through an application that was made of ``app``; called before ``start``.

        Args:
            app: ``app`` with more routes or middleware, or something that wraps it.
        """
        self._extended = app
        self._fixed_routes = list(self.app.router.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one ASGI connection."""
        if scope['type'] == 'http':
            await self._entry(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes requests for endpoints directly to their handlers, and all else through FastAPI."""
        if self._extended is not None:
            if self._handler_of(scope) is None and not self._is_known(scope):
                await self._look_again()
            await self._extended(scope, receive, send)
            return
        handler = self._handler_of(scope)
        if handler is None and not self._is_known(scope):
            await self._look_again()
            handler = self._handler_of(scope)
            if handler is None and not self._is_known(scope):
                await self._refuse(scope, send)
                return
        await (handler or self.app)(scope, receive, send)

    def _is_public(self, scope: Scope) -> bool:
        """Tells whether a request needs no key: health, and the pages that ask for one."""
        path = route_path(scope)
        if scope['method'] not in ('GET', 'HEAD') or self._is_endpoint(path) or self._is_endpoint(scope['path']):
            return False
        return path in _PUBLIC_PATHS or path.startswith(f'{_ASSETS_PATH}/')

    def _is_endpoint(self, path: str) -> bool:
        """Whether an endpoint is called by ``GET`` at a path, with a handler of its own or by FastAPI."""
        table = self._table
        if table is None:
            return False
        by_fastapi = any(isinstance(route, Route) and route.path == path for route in table.routes)
        return by_fastapi or ('GET', path) in table.handlers

    def _handler_of(self, scope: Scope) -> Handler | None:
        return None if self._table is None else self._table.handlers.get((scope['method'], scope['path']))

    def _is_known(self, scope: Scope) -> bool:
        """Whether FastAPI has an answer: a route, or a hint to one without the slash at the end."""
        path: str = scope['path']
        if len(path) > 1 and path.endswith('/'):
            return True
        return any(route.matches(scope)[0] is Match.FULL for route in self.app.router.routes)

    async def _refuse(self, scope: Scope, send: Send) -> None:
        """Answers a request for which there is no route."""
        root = scope.get('root_path', '').rstrip('/')
        path = str(scope['path']).removeprefix(root)
        routes = [route for route in self.app.router.routes if isinstance(route, Route)]
        methods = sorted({method for route in routes if route.path == path for method in route.methods or ()})
        if methods:
            message = f'{path!r} takes {" and ".join(methods)}, not {scope["method"]}'
            allow = (b'allow', ', '.join(methods).encode())
            await send_json(send, 405, to_json({'detail': message}), allow)
            return
        error: JinaError = ConnectError(
            'the endpoints are not known yet: not every Executor has answered', hint='try again'
        )
        if self._table is not None:
            shown = {route.path for route in routes if isinstance(route, APIRoute) and route.include_in_schema}
            error = missing_endpoint(path, shown, 'route')
        await send_json(send, error.http_status, render_error(error))

    def _find(self, name: str) -> Handler | None:
        return None if self._table is None else self._table.find(name)

    def _missing(self, name: str) -> JinaError:
        return missing_endpoint(name, self._table.names if self._table is not None else ())

    async def _look_again(self) -> None:
        """Asks a gateway again for its endpoints: an Executor may have started or changed meanwhile."""
        if not self._is_worker and asyncio.get_running_loop().time() - self._refreshed_at >= _REFRESH_INTERVAL_S:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.refresh()), _DISCOVERY_WAIT_S)

    def refresh(self) -> asyncio.Task[None]:
        """Starts to look for the endpoints again; the task ends when their routes are there."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())
        return self._refreshing

    async def _refresh(self) -> None:
        schemas = await endpoint_types(self._service, is_worker=self._is_worker, logger=self._logger)
        self._refreshed_at = asyncio.get_running_loop().time()
        if schemas != self._schemas:
            self._install(schemas)
            self._schemas = schemas

    def _install(self, schemas: dict[str, EndpointSchema]) -> None:
        """Replaces the routes of endpoints."""
        table = RouteTable(
            schemas,
            self._http,
            self._make_handler,
            any_endpoint=self._any_endpoint,
            with_header=self._with_header,
        )
        for remark in table.remarks:
            self._logger.warning('expose_endpoints: %s', remark)
        # Endpoints come first: one called /status replaces the page of that name.
        self.app.router.routes[:] = [*table.routes, *self._fixed_routes]
        self.app.openapi_schema = None
        self._table = table
        if self._graphql is not None:
            self._graphql.install(table.unguarded)
        self.direct.clear()
        if not self._cors and self._extended is None:
            self.direct.update(table.direct)

    def _make_handler(self, name: str, schema: EndpointSchema, *, success: int = 200, by_get: bool = False) -> Handler:
        kind: type[Handler] = StreamHandler if schema.is_generator else GetHandler if by_get else PostHandler
        return kind(
            self._service,
            name,
            schema,
            is_worker=self._is_worker,
            with_header=self._with_header,
            logger=self._logger,
            success=success,
        )

    def _graphql_endpoint(self) -> GraphQLEndpoint:
        try:
            from jina.runtime.http.graphql.endpoint import GraphQLEndpoint  # noqa: PLC0415 - optional extra
        except ModuleNotFoundError as error:
            if (error.name or '').partition('.')[0] not in ('strawberry', 'graphql'):
                raise
            raise MissingExtraError('GraphQL', install='jina-runtime[graphql]') from error
        endpoint = GraphQLEndpoint(self._service, self._look_again, is_worker=self._is_worker, logger=self._logger)
        self.app.add_route('/graphql', endpoint, methods=['GET', 'POST'], include_in_schema=False)  # type: ignore[arg-type]
        return endpoint

    def _add_pages(self) -> None:
        app = self.app
        self._add_page('/', self._health, HealthModel, 'Health check')
        if not self._http.no_debug_endpoints:
            self._add_page('/status', self._status, InfoModel, 'Versions, platform and environment')
        self._add_page('/dry_run', self._dry_run, StatusModel, 'Check that requests reach all Executors')
        app.add_route('/', self._head, methods=['HEAD'], include_in_schema=False)
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

    async def _head(self, _: Request) -> Response:
        return _json_response({})

    async def _status(self) -> Response:
        grpc_traffic.publish()
        return _json_response({'jina': system_facts(), 'envs': environment_facts()})

    async def _dry_run(self) -> Response:
        return _json_response((await dry_run_status(self._service)).to_dict())

    async def _openapi(self, request: Request) -> Response:
        await self._look_again()
        schema = self.app.openapi()
        if self._protected:
            schema = with_security(schema)
        root = request.scope.get('root_path', '').rstrip('/')
        return _json_response({**schema, 'servers': [{'url': root}]} if root else schema)

    async def _swagger(self, request: Request) -> HTMLResponse:
        root = request.scope.get('root_path', '').rstrip('/')
        page = get_swagger_ui_html(
            openapi_url=f'{root}/openapi.json',
            title=f'{self.app.title} - Swagger UI',
            swagger_js_url=f'{root}{_ASSETS_PATH}/swagger-ui-bundle.js',
            swagger_css_url=f'{root}{_ASSETS_PATH}/swagger-ui.css',
            swagger_favicon_url=f'{root}{_ASSETS_PATH}/favicon.png',
        )
        return _confined(page)

    async def _redoc(self, request: Request) -> HTMLResponse:
        root = request.scope.get('root_path', '').rstrip('/')
        page = get_redoc_html(
            openapi_url=f'{root}/openapi.json',
            title=f'{self.app.title} - ReDoc',
            redoc_js_url=f'{root}{_ASSETS_PATH}/redoc.standalone.js',
            redoc_favicon_url=f'{root}{_ASSETS_PATH}/favicon.png',
            with_google_fonts=False,
        )
        return _confined(page)


def _confined(page: HTMLResponse) -> HTMLResponse:
    """Makes browsers load nothing from elsewhere: Redoc would fetch the logo of its makers."""
    page.headers['content-security-policy'] = _CONTENT_POLICY
    return page


def _json_response(value: Any) -> Response:
    return Response(to_json(value), media_type='application/json')


def _description_of(service: RequestService) -> str:
    """What the metas of a worker's Executor say about it."""
    executor = getattr(service, 'executor', None)
    return (
        str(executor.metas.description or '') if executor is not None and hasattr(executor.metas, 'description') else ''
    )
